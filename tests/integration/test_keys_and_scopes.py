"""Keys: what each scope may reach, which models a key sees, and how it ends, against a real service with two web processes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from registry import keys
from tests.raw_http import exchange, request_bytes, slug_of
from tests.running import RunningService, dumped, running

SCOPES = ("read", "predict", "publish", "admin")
OCTETS = {"Content-Type": "application/octet-stream"}
ROW = {"data": [[1.0, 2.0]]}
READ_ROUTES = [
    ("GET", "/models"), ("GET", "/models/mine"), ("GET", "/models/mine/versions"), ("GET", "/models/mine/1"), ("GET", "/models/mine/@production"),
    ("GET", "/models/mine/1/artifact"), ("GET", "/models/mine/aliases"), ("GET", "/models/mine/aliases/production"),
    ("GET", "/models/mine/aliases/production/history"), ("GET", "/serving"), ("GET", "/metrics"), ("GET", "/openapi.json"),
]  # fmt: skip
PREDICT_ROUTES = [("POST", "/models/mine"), ("POST", "/models/mine/1"), ("POST", "/models/mine/@production")]
PUBLISH_ROUTES = [
    ("POST", "/models/mine/versions"), ("POST", "/models/mine/versions/check"), ("PATCH", "/models/mine"), ("DELETE", "/models/mine"), ("PATCH", "/models/mine/1"), ("DELETE", "/models/mine/1"),
    ("POST", "/models/mine/1/restore"), ("PUT", "/models/mine/aliases/production"), ("DELETE", "/models/mine/aliases/production"),
    ("POST", "/models/mine/aliases/production/rollback"), ("POST", "/models/mine/rollback"), ("POST", "/models/mine/1/load"),
    ("POST", "/models/mine/1/unload"), ("PUT", "/models/mine/1/pin"), ("DELETE", "/models/mine/1/pin"),
]  # fmt: skip
ADMIN_ROUTES = [
    ("POST", "/keys"), ("GET", "/keys"), ("GET", "/keys/x"), ("PATCH", "/keys/x"), ("DELETE", "/keys/x"), ("POST", "/keys/x/rotate"), ("GET", "/events"),
]  # fmt: skip
ROUTES = [
    *(("read", *route) for route in READ_ROUTES), *(("predict", *route) for route in PREDICT_ROUTES),
    *(("publish", *route) for route in PUBLISH_ROUTES), *(("admin", *route) for route in ADMIN_ROUTES),
]  # fmt: skip
OF_MODELS = [(method, path) for _, method, path in ROUTES if path.startswith("/models/mine")]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """One service with two models, on which failing to authenticate often is allowed."""
    with running(tmp_path_factory.mktemp("keys") / "instance", failed_auth_limit="1000000/minute") as started:
        for name in ("mine", "mine-too", "other"):
            started.publish(name, _artifact(), {"alias": "production"})
        yield started


@pytest.fixture(scope="module")
def admin(service: RunningService) -> Iterator[httpx.Client]:
    """Give the first key's client."""
    with service.client() as made:
        yield made


@pytest.fixture(scope="module")
def by_scope(service: RunningService) -> dict[str, str]:
    """One key for each scope."""
    return {scope: service.make_key(scope) for scope in SCOPES}


# --- scopes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scope", "method", "path"), ROUTES)
def test_each_route_refuses_a_key_without_its_scope_before_it_reads_the_body(
    service: RunningService, by_scope: dict[str, str], scope: str, method: str, path: str
) -> None:
    """403 at once, though the announced body never comes; and nothing is told of whether the thing is there."""
    head = {"Content-Type": "application/json", "Content-Length": "50000"} if method in {"POST", "PUT", "PATCH"} else {}
    for other in set(SCOPES) - {scope, "admin"}:
        for each in (path, path.replace("mine", "nothing-here")):
            answer = exchange(service, request_bytes(method, each, by_scope[other], head), timeout=5)
            assert (answer.status, answer.slug) == (403, "forbidden"), (other, answer.body)
            assert f"{scope!r}" in answer.body.decode()


@pytest.mark.parametrize(("scope", "method", "path"), ROUTES)
def test_each_route_refuses_who_brings_no_key_before_it_reads_the_body(service: RunningService, scope: str, method: str, path: str) -> None:
    """401 at once, though the announced body never comes."""
    head = {"Content-Type": "application/json", "Content-Length": "50000"} if method in {"POST", "PUT", "PATCH"} else {}
    answer = exchange(service, request_bytes(method, path, None, head), timeout=5)
    assert (answer.status, answer.slug) == (401, "unauthenticated")
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_each_scope_opens_its_routes(service: RunningService, by_scope: dict[str, str]) -> None:
    """Reading, predicting and publishing each go with their own key."""
    with service.client(by_scope["read"]) as client:
        assert {client.request(method, path).status_code for method, path in READ_ROUTES} == {200}
    with service.client(by_scope["predict"]) as client:
        assert {client.request(method, path, json=ROW).status_code for method, path in PREDICT_ROUTES} == {200}
    with service.client(by_scope["publish"]) as client:
        assert client.post("/models/by-publisher/versions", content=_artifact(), headers=OCTETS).status_code == 201
        assert client.put("/models/by-publisher/aliases/production", json={"version": 1}).status_code == 200


def test_admin_implies_the_other_scopes(service: RunningService, by_scope: dict[str, str]) -> None:
    """A key of that one scope reads, predicts, publishes and makes keys."""
    with service.client(by_scope["admin"]) as client:
        assert (
            client.post("/models/by-admin/versions", content=_artifact(), headers=OCTETS, params={"alias": "production"}).status_code == 201
        )
        assert client.post("/models/by-admin", json=ROW).status_code == 200
        assert client.get("/models/by-admin").status_code == 200
        assert client.post("/keys", json={"name": "k", "scopes": ["read"]}).status_code == 201


def test_every_key_may_ask_who_it_is(service: RunningService, by_scope: dict[str, str]) -> None:
    """`/me` shows scopes, models, limits and what is left of them, never the key or its hash."""
    for scope, key in by_scope.items():
        with service.client(key) as client:
            answer = client.get("/me")
        assert answer.status_code == 200
        assert (answer.json()["scopes"], answer.json()["models"], answer.json()["limits"]) == ([scope], [], ["1000000/minute"])
        assert (len(answer.json()["limits_left"]), key in answer.text, "hash" in answer.json()) == (1, False, False)


# --- models -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), OF_MODELS)
def test_models_outside_of_a_keys_patterns_are_not_found(service: RunningService, method: str, path: str) -> None:
    """Whether they are there or not: 404 with the same words, before the body is read."""
    key = _bound_key(service, "mine*")
    details = []
    for name in ("other", "gone0"):
        answer = exchange(service, request_bytes(method, path.replace("mine", name), key), timeout=5)
        assert (answer.status, answer.slug) == (404, "model-not-found")
        details.append(answer.body.decode().replace(name, "").replace(answer.headers["x-request-id"], ""))
    assert details[0] == details[1]


def test_a_bound_key_does_all_it_may_within_its_patterns(service: RunningService) -> None:
    """Every listing leaves the others out."""
    with service.client(_bound_key(service, "mine*")) as client:
        assert [model["name"] for model in client.get("/models").json()["items"]] == ["mine", "mine-too"]
        assert client.get("/models", params={"search": "other"}).json()["items"] == []
        assert [client.post(f"/models/{name}", json=ROW).status_code for name in ("mine", "mine-too")] == [200, 200]
        assert {row["model"] for row in client.get("/serving").json()["loaded"]} <= {"mine", "mine-too"}
        assert client.post("/models/mine-new/versions", content=_artifact(), headers=OCTETS).status_code == 201
        assert client.delete("/models/mine-new").status_code == 204
        assert {event["model"] for event in client.get("/events", params={"model": "mine"}).json()["items"]} == {"mine"}
        assert _slug(client.get("/events"), 403) == "forbidden"
        assert _slug(client.get("/events", params={"model": "other"}), 404) == "model-not-found"
        assert _slug(client.get("/metrics"), 403) == "forbidden"


@pytest.mark.parametrize(
    ("pattern", "seen"),
    [
        ("mine", ["mine"]),
        ("*too", ["mine-too"]),
        ("*", ["mine", "mine-too", "other"]),
        ("m*e", ["mine"]),
        ("m_ne", []),
        ("mine.", []),
        ("min", []),
    ],
)
def test_a_pattern_means_the_whole_name(service: RunningService, pattern: str, seen: list[str]) -> None:
    """Only the star stands for anything; listing and reading agree."""
    names = ["mine", "mine-too", "other"]
    with service.client(_bound_key(service, pattern)) as client:
        assert [model["name"] for model in client.get("/models").json()["items"] if model["name"] in names] == seen
        assert [name for name in names if client.get(f"/models/{name}").status_code == 200] == seen


# --- what a key may hand out ------------------------------------------------------------------------------------------


def test_a_bound_key_can_not_mint_or_touch_a_wider_one(service: RunningService, admin: httpx.Client) -> None:
    """Not by POST, nor by freeing itself; and a key that has more isn't there for it, in the very words of one that isn't there."""
    unbound = _new_key(admin, scopes=["admin"])
    with service.client(_bound_key(service, "mine*", "third")) as client:
        me = client.get("/me").json()["id"]
        for models in ([], ["*"], ["other"], ["mine*", "other"], ["m*"]):
            assert _slug(client.post("/keys", json={"name": "k", "scopes": ["read"], "models": models}), 403) == "forbidden"
            assert _slug(client.patch(f"/keys/{me}", json={"models": models}), 403) == "forbidden"
        assert _slug(client.post("/keys", json={"name": "k", "scopes": ["admin"]}), 403) == "forbidden"
        for answer in (
            client.patch(f"/keys/{unbound['id']}", json={"models": ["mine*"]}),
            client.patch(f"/keys/{unbound['id']}", json={"name": "x"}),
            client.post(f"/keys/{unbound['id']}/rotate"),
            client.delete(f"/keys/{unbound['id']}"),
            client.get(f"/keys/{unbound['id']}"),
        ):
            assert _slug(answer, 404) == "key-not-found"
            assert answer.json()["detail"] == client.get("/keys/none").json()["detail"].replace("none", unbound["id"])
        assert {tuple(key["models"]) for key in client.get("/keys", params={"limit": 1000}).json()["items"]} <= {
            ("mine*",),
            ("third",),
            ("mine*", "third"),
        }
        made = client.post("/keys", json={"name": "k", "scopes": ["read"], "models": ["mine*"]})
        assert (made.status_code, made.json()["models"]) == (201, ["mine*"])
    assert admin.get(f"/keys/{unbound['id']}").json()["revoked_at"] is None


def test_a_key_that_expires_can_not_mint_one_that_lives_longer(service: RunningService, admin: httpx.Client) -> None:
    """Nor put off its own end."""
    end = datetime.now(UTC) + timedelta(hours=1)
    made = _new_key(admin, scopes=["admin"], expires_at=end.isoformat())
    with service.client(made["key"]) as client:
        for later in (None, (end + timedelta(seconds=1)).isoformat()):
            assert _slug(client.post("/keys", json={"name": "k", "scopes": ["read"], "expires_at": later}), 403) == "forbidden"
            assert _slug(client.patch(f"/keys/{made['id']}", json={"expires_at": later}), 403) == "forbidden"
        sooner = (end - timedelta(minutes=1)).isoformat()
        assert client.post("/keys", json={"name": "k", "scopes": ["read"], "expires_at": sooner}).status_code == 201


# --- one refusal for every key that isn't valid -----------------------------------------------------------------------


def test_every_key_that_is_not_valid_gets_the_same_answer(service: RunningService, admin: httpx.Client) -> None:
    """Missing, unknown, malformed, with a wrong secret, revoked, expired: the bodies differ by their request id alone."""
    good = _new_key(admin, scopes=["read"])
    revoked = _new_key(admin, scopes=["read"])
    assert admin.delete(f"/keys/{revoked['id']}").json()["revoked_at"] is not None
    expired = _new_key(admin, scopes=["read"], expires_at=(datetime.now(UTC) + timedelta(seconds=0.7)).isoformat())
    _poll(lambda: _asks(service, expired["key"]).status_code == 401)
    unknown, _ = keys.make_key()
    parts = good["key"].split("_")
    typo = good["key"][:-1] + ("a" if good["key"][-1] != "a" else "b")
    headers = {
        "nothing": "", "scheme alone": "Bearer", "blank": "Bearer  ", "basic": f"Basic {good['key']}", "no scheme": good["key"],
        "unknown": f"Bearer {unknown}", "malformed": "Bearer my_x", "typo": f"Bearer {typo}", "wrong secret": f"Bearer {_with_another_secret(parts[1])}",
        "two": f"Bearer {good['key']}, Bearer {good['key']}", "longer": f"Bearer {good['key']}x", "not ASCII": f"Bearer {good['key'][:-1]}\xe9",
        "long": "Bearer my_" + "a" * 7000, "revoked": f"Bearer {revoked['key']}", "expired": f"Bearer {expired['key']}",
    }  # fmt: skip
    bodies = set()
    for name, header in headers.items():
        lines = {"Authorization": header} if name != "nothing" else {}
        answer = exchange(service, request_bytes("GET", "/me", None, lines))
        assert (answer.status, answer.slug) == (401, "unauthenticated"), name
        assert answer.headers["www-authenticate"] == 'Bearer realm="modelyard"'
        bodies.add(answer.body.replace(answer.headers["x-request-id"].encode(), b""))
    assert len(bodies) == 1
    assert _asks(service, good["key"]).status_code == 200


def test_a_key_outside_of_its_header_is_no_key(service: RunningService) -> None:
    """Neither a query string nor a cookie, a body or another header lets anyone in, and none of it is logged."""
    key = service.make_key("read")
    bare: list[dict[str, Any]] = [{"params": {name: key}} for name in ("key", "api_key", "access_token", "token", "authorization")]
    bare += [
        {"cookies": {"Authorization": f"Bearer {key}"}},
        {"headers": {"X-Api-Key": key}},
        {"headers": {"Proxy-Authorization": f"Bearer {key}"}},
    ]
    for options in bare:
        with httpx.Client(base_url=service.url, cookies=options.pop("cookies", None)) as client:
            assert _slug(client.get("/me", **options), 401) == "unauthenticated"
    assert key not in service.log()
    assert key.rsplit("_", 1)[1] not in service.log()


# --- the life of a key ------------------------------------------------------------------------------------------------


def test_a_key_is_shown_once_and_never_again(admin: httpx.Client, service: RunningService) -> None:
    """The answer to its making is the only place; listings, the audit trail and the log have its id alone."""
    made = admin.post("/keys", json={"name": "once", "scopes": ["read", "read"], "models": ["mine*"], "limits": ["5/minute"]})
    body = made.json()
    assert (made.status_code, made.headers["Location"], body["key"].startswith(f"my_{body['id']}_")) == (201, f"/keys/{body['id']}", True)
    assert (body["name"], body["scopes"], body["models"], body["limits"]) == ("once", ["read"], ["mine*"], ["5/minute"])
    shown = admin.get(f"/keys/{body['id']}").json()
    assert shown == {name: value for name, value in body.items() if name != "key"}
    assert {"id", "name", "scopes", "models", "limits", "created_at", "created_by", "expires_at", "revoked_at"} == shown.keys()
    secret = body["key"].rsplit("_", 1)[1]
    for listing in ("/keys", "/events"):
        text = admin.get(listing, params={"limit": 1000}).text
        assert (body["id"] in text, secret in text) == (True, False)
    assert secret not in service.log()


def test_keys_are_listed_newest_first_and_paged(admin: httpx.Client) -> None:
    """Every key once."""
    made = [_new_key(admin, scopes=["read"])["id"] for _ in range(3)]
    walked: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = admin.get("/keys", params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        walked += [key["id"] for key in page["items"]]
        cursor = page["next_cursor"]
    assert walked[:3] == made[::-1]
    assert len(set(walked)) == len(walked)


def test_a_revoked_key_stops_at_once_on_both_web_processes(service: RunningService, admin: httpx.Client) -> None:
    """From the answer to DELETE on, no connection is served any more, old or new."""
    made = _new_key(admin, scopes=["read", "predict"])
    with service.client(made["key"]) as held:
        assert {_asks(service, made["key"]).status_code for _ in range(20)} == {200}
        assert held.get("/me").status_code == 200
        assert admin.delete(f"/keys/{made['id']}").json()["revoked_at"] is not None
        assert held.get("/me").status_code == 401
        assert {_asks(service, made["key"]).status_code for _ in range(20)} == {401}
    assert admin.delete(f"/keys/{made['id']}").status_code == 200
    for answer in (admin.patch(f"/keys/{made['id']}", json={"name": "x"}), admin.post(f"/keys/{made['id']}/rotate")):
        assert _slug(answer, 422) == "invalid-request"


def test_a_changed_key_is_another_at_once_on_both_web_processes(service: RunningService, admin: httpx.Client) -> None:
    """Scopes and models that are taken away don't work a request longer."""
    made = _new_key(admin, scopes=["read", "predict"])
    with service.client(made["key"]) as client:
        assert {_asks(service, made["key"], "/models/other").status_code for _ in range(10)} == {200}
        assert admin.patch(f"/keys/{made['id']}", json={"models": ["mine*"]}).status_code == 200
        assert {_asks(service, made["key"], "/models/other").status_code for _ in range(10)} == {404}
        changed = admin.patch(f"/keys/{made['id']}", json={"scopes": ["predict"], "name": "new", "limits": ["7/hour"]})
        assert (changed.json()["scopes"], changed.json()["name"], changed.json()["limits"]) == (["predict"], "new", ["7/hour"])
        assert {_asks(service, made["key"], "/models/mine").status_code for _ in range(10)} == {403}
        assert client.post("/models/mine", json=ROW).headers["X-RateLimit-Limit"] == "7"
    for body in ({}, {"name": None}, {"key": "my_x"}, {"created_by": "me"}, {"revoked_at": None}):
        assert _slug(admin.patch(f"/keys/{made['id']}", json=body), 422) == "invalid-request"


def test_an_expired_key_stops_by_itself_and_can_not_be_rotated(service: RunningService, admin: httpx.Client) -> None:
    """Without anyone doing anything, on both web processes."""
    ends = datetime.now(UTC) + timedelta(seconds=1)
    made = _new_key(admin, scopes=["read"], expires_at=ends.isoformat())
    assert _asks(service, made["key"]).status_code == 200
    _poll(lambda: datetime.now(UTC) > ends)
    assert {_asks(service, made["key"]).status_code for _ in range(10)} == {401}
    assert _slug(admin.post(f"/keys/{made['id']}/rotate"), 422) == "invalid-request"


def test_a_rotated_key_goes_on_beside_the_new_one_for_the_overlap(service: RunningService, admin: httpx.Client) -> None:
    """The same grants; then the old one ends and the new one stays. It can't be rotated twice."""
    made = _new_key(admin, scopes=["read"], models=["mine*"], limits=["9/minute"])
    rotated = admin.post(f"/keys/{made['id']}/rotate", json={"overlap_seconds": 3})
    new = rotated.json()
    assert (rotated.status_code, rotated.headers["Location"]) == (201, f"/keys/{new['id']}")
    assert all(new[name] == made[name] for name in ("name", "scopes", "models", "limits", "expires_at"))
    assert (new["id"] != made["id"], new["key"] != made["key"]) == (True, True)
    assert [_asks(service, key["key"]).status_code for key in (made, new)] == [200, 200]
    assert admin.get(f"/keys/{made['id']}").json()["expires_at"] is not None
    assert _slug(admin.post(f"/keys/{made['id']}/rotate"), 422) == "invalid-request"
    _poll(lambda: _asks(service, made["key"]).status_code == 401)
    assert {_asks(service, made["key"]).status_code for _ in range(10)} == {401}
    assert {_asks(service, new["key"]).status_code for _ in range(10)} == {200}


def test_a_key_rotated_without_overlap_ends_at_once(service: RunningService, admin: httpx.Client) -> None:
    """On both web processes."""
    made = _new_key(admin, scopes=["read"])
    assert {_asks(service, made["key"]).status_code for _ in range(10)} == {200}
    new = admin.post(f"/keys/{made['id']}/rotate").json()
    assert {_asks(service, made["key"]).status_code for _ in range(10)} == {401}
    assert _asks(service, new["key"]).status_code == 200
    for seconds in (-1, 30 * 86_400 + 1, "soon", 1.5):
        assert _slug(admin.post(f"/keys/{new['id']}/rotate", json={"overlap_seconds": seconds}), 422) == "invalid-request"


def test_a_rotation_never_puts_off_the_end_of_the_old_key(service: RunningService, admin: httpx.Client) -> None:
    """The overlap ends no later than the key would have."""
    end = (datetime.now(UTC) + timedelta(hours=1)).isoformat(timespec="microseconds").replace("+00:00", "Z")
    made = _new_key(admin, scopes=["read"], expires_at=end)
    new = admin.post(f"/keys/{made['id']}/rotate", json={"overlap_seconds": 7200}).json()
    assert (admin.get(f"/keys/{made['id']}").json()["expires_at"], new["expires_at"]) == (end, end)


def test_what_is_done_to_keys_stands_in_the_audit_trail(admin: httpx.Client) -> None:
    """Made, changed, rotated, revoked, each with the key's id and who did it."""
    made = _new_key(admin, scopes=["read"])
    admin.patch(f"/keys/{made['id']}", json={"name": "renamed"})
    new = admin.post(f"/keys/{made['id']}/rotate").json()
    admin.delete(f"/keys/{new['id']}")
    me = admin.get("/me").json()["id"]
    events = [event for event in admin.get("/events", params={"actor": me}).json()["items"] if event["key_id"] in {made["id"], new["id"]}]
    assert sorted(event["kind"] for event in events if event["key_id"] == made["id"]) == ["key.changed", "key.created", "key.rotated"]
    assert sorted(event["kind"] for event in events if event["key_id"] == new["id"]) == ["key.created", "key.revoked"]


def test_a_key_that_is_not_there_is_not_found(admin: httpx.Client) -> None:
    """By whatever one does to it."""
    for answer in (
        admin.get("/keys/none"),
        admin.patch("/keys/none", json={"name": "x"}),
        admin.delete("/keys/none"),
        admin.post("/keys/none/rotate"),
    ):
        assert _slug(answer, 404) == "key-not-found"


# --- helpers ----------------------------------------------------------------------------------------------------------


def _artifact() -> bytes:
    return dumped(LinearRegression().fit(np.eye(2), [1.0, 2.0]))


def _new_key(admin: httpx.Client, **fields: Any) -> dict[str, Any]:
    answer = admin.post("/keys", json={"name": "made", **fields})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def _bound_key(service: RunningService, *patterns: str) -> str:
    return service.make_key("admin", models=list(patterns))


def _with_another_secret(key_id: str) -> str:
    """Return a well-formed key of that id whose secret nobody was given."""
    secret = keys._base62(12345, keys._SECRET_LENGTH)
    return f"my_{key_id}_{secret}{keys._checksum(key_id, secret)}"


def _asks(service: RunningService, key: str, path: str = "/me") -> httpx.Response:
    """Ask on a connection of its own, so that either web process may answer."""
    return httpx.get(f"{service.url}{path}", headers={"Authorization": f"Bearer {key}"})


def _poll(holds: Any, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.02)


def _slug(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    return slug_of(status, answer.headers, answer.content)
