"""The REST contract of API.md, route by route: status codes, headers, shapes, paging, preconditions and retries."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests import fixture_models
from tests.raw_http import slug_of
from tests.running import RunningService

MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
OCTETS = {"Content-Type": "application/octet-stream"}
ROW = {"data": [[5.1, 3.5, 1.4, 0.2]]}
_names = (f"model-{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def service(shared_service: RunningService) -> RunningService:
    """Return a service that other modules use as well."""
    return shared_service


@pytest.fixture(scope="module")
def client(service: RunningService) -> Iterator[httpx.Client]:
    """Return the admin's client."""
    with service.client() as made:
        yield made


@pytest.fixture(scope="module")
def artifact() -> bytes:
    """Return a small model."""
    return fixture_models.dump(fixture_models.iris().estimator)


@pytest.fixture
def name(client: httpx.Client, artifact: bytes) -> str:
    """Return a model of its own for the test, with three versions."""
    made = next(_names)
    for _ in range(3):
        assert client.post(f"/models/{made}/versions", content=artifact, headers=OCTETS).status_code == 201
    return made


def test_a_published_version_has_every_field_of_the_contract(service: RunningService, client: httpx.Client, artifact: bytes) -> None:
    """What the publisher said and what admission found stand in the 201, and again in the GET."""
    manifest = {
        "description": "d", "tags": {"team": "x"}, "metrics": {"accuracy": 0.97}, "parameters": {"C": 1, "grid": [1, {"a": None}]}, "source": {"commit": "abc"},
        "input_example": [[5.1, 3.5, 1.4, 0.2]], "flavor": "sklearn", "sha256": hashlib.sha256(artifact).hexdigest(), "alias": "staging",
    }  # fmt: skip
    version = service.publish("shape", artifact, manifest)
    for field in ("description", "tags", "metrics", "parameters", "source"):
        assert version[field] == manifest[field]
    assert {key: version[key] for key in ("model", "version", "status", "flavor", "runtime", "deterministic", "aliases", "deleted_at", "golden")} == {
        "model": "shape", "version": 1, "status": "ready", "flavor": "sklearn", "runtime": "exact", "deterministic": True, "aliases": ["staging"], "deleted_at": None,
        "golden": {"rows": 1, "from": "example"},
    }  # fmt: skip
    assert version["estimator"].endswith("LogisticRegression")
    assert version["signature"]["inputs"][0].items() >= {"name": "x0", "type": "float64", "required": True}.items()
    assert version["signature"]["outputs"]["predict"]["type"] == "int64"
    assert version["signature"]["outputs"]["predict_proba"]["columns"] == [0, 1, 2]
    assert {"predict", "predict_proba"} <= set(version["methods"])
    assert {"python", "scikit-learn", "numpy"} <= version["environment"].keys()
    assert MOMENT.fullmatch(version["created_at"])
    assert version["created_by"] == client.get("/me").json()["id"]
    version.pop("advice")
    assert [client.get(f"/models/shape/{selector}").json() for selector in ("1", "@staging", "@latest")] == [version] * 3


def test_a_prediction_has_every_field_and_header(client: httpx.Client, name: str) -> None:
    """Values, who made them, from where, and how long it took."""
    answer = client.post(f"/models/{name}/2", json={**ROW, "method": "predict_proba"}, headers={"X-Request-Id": "my-own-request"})
    body = answer.json()
    assert {key: body[key] for key in ("model", "version", "method", "runtime", "cached", "request_id", "classes")} == {
        "model": name, "version": 2, "method": "predict_proba", "runtime": "exact", "cached": False, "request_id": "my-own-request", "classes": [0, 1, 2],
    }  # fmt: skip
    assert (answer.headers["X-Model-Version"], answer.headers["X-Cache"], answer.headers["X-Request-Id"]) == ("2", "miss", "my-own-request")
    assert re.fullmatch(r"validate;dur=[\d.]+, predict;dur=[\d.]+", answer.headers["Server-Timing"])
    assert {"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"} <= {
        key.title().replace("Ratelimit", "RateLimit") for key in answer.headers
    }
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_models_are_listed_searched_ordered_and_paged(service: RunningService, client: httpx.Client, artifact: bytes) -> None:
    """Pages follow each other without a gap or a double, under every order, search and tag."""
    made = [f"paged-{letter}" for letter in "cabed"]
    for each in made:
        client.post(f"/models/{each}/versions", content=artifact, headers=OCTETS)
    client.patch("/models/paged-b", json={"description": "Needle in hay", "tags": {"team": "x"}})
    for order, expected in (
        ("name", sorted(made)),
        ("-name", sorted(made, reverse=True)),
        ("created_at", made),
        ("-created_at", made[::-1]),
    ):
        assert [item["name"] for item in _pages(client, "/models", search="paged-", order=order, limit=2)] == expected
    assert [item["name"] for item in _pages(client, "/models", search="needle")] == ["paged-b"]
    assert [item["name"] for item in _pages(client, "/models", tag="team:x")] == ["paged-b"]
    item = client.get("/models/paged-b").json()
    assert (
        item.items()
        >= {
            "name": "paged-b",
            "description": "Needle in hay",
            "tags": {"team": "x"},
            "latest_version": 1,
            "version_count": 1,
            "aliases": {},
        }.items()
    )
    assert (
        _slug(client.get("/models", params={"cursor": client.get("/models?limit=1").json()["next_cursor"], "order": "-name"}))
        == "invalid-request"
    )


def test_versions_are_listed_by_status_and_tag(client: httpx.Client, name: str) -> None:
    """Newest first, a page at a time, deleted ones too unless they are left out."""
    client.patch(f"/models/{name}/2", json={"tags": {"stage": "good"}})
    client.delete(f"/models/{name}/1")
    assert [item["version"] for item in _pages(client, f"/models/{name}/versions", limit=1)] == [3, 2, 1]
    assert [item["version"] for item in _pages(client, f"/models/{name}/versions", status="ready")] == [3, 2]
    assert [item["version"] for item in _pages(client, f"/models/{name}/versions", status="deleted")] == [1]
    assert [item["version"] for item in _pages(client, f"/models/{name}/versions", tag="stage:good")] == [2]


def test_patch_changes_words_and_serving_and_nothing_else(client: httpx.Client, name: str) -> None:
    """Description, tags, metrics, accept_skew, batching, cache; whatever else is named is refused, and nothing changes then."""
    change = {
        "description": "new",
        "tags": {"a": "b"},
        "metrics": {"f1": 0.5},
        "accept_skew": True,
        "batching": False,
        "cache": False,
        "runtime": "exact",
    }
    changed = client.patch(f"/models/{name}/1", json=change)
    assert (changed.status_code, {key: changed.json()[key] for key in change}) == (200, change)
    for cache in ("auto", True):
        assert client.patch(f"/models/{name}/1", json={"cache": cache}).json()["cache"] == cache
    changed = client.patch(f"/models/{name}/1", json={"cache": False})
    refused = client.patch(f"/models/{name}/1", json={"cache": "on"})
    assert (_slug(refused), refused.json()["errors"][0]["pointer"]) == ("invalid-request", "#/cache")
    for body in (
        {},
        {"parameters": {}},
        {"estimator": "x"},
        {"status": "ready"},
        {"sha256": "0" * 64},
        {"description": None},
        {"runtime": "quick"},
    ):
        assert _slug(client.patch(f"/models/{name}/1", json=body)) == "invalid-request", body
    assert client.get(f"/models/{name}/1").json() == changed.json()
    assert client.patch(f"/models/{name}", json={"description": "m", "tags": {"x": "y"}}).json()["tags"] == {"x": "y"}
    assert _slug(client.patch(f"/models/{name}", json={})) == "invalid-request"


def test_a_deleted_version_is_410_until_it_is_restored(client: httpx.Client, name: str) -> None:
    """It shows when it was deleted, predicts and downloads no more, and comes back as it was."""
    before = client.get(f"/models/{name}/2").json()
    assert client.delete(f"/models/{name}/2").json()["status"] == "deleted"
    assert MOMENT.fullmatch(client.get(f"/models/{name}/2").json()["deleted_at"])
    for method, path in (("POST", ""), ("GET", "/artifact"), ("PATCH", ""), ("DELETE", ""), ("POST", "/load"), ("PUT", "/pin")):
        answer = client.request(method, f"/models/{name}/2{path}", json={"description": "x"} if method == "PATCH" else None)
        assert (answer.status_code, _slug(answer)) == (410, "version-deleted"), (method, path)
    assert (_slug(client.put(f"/models/{name}/aliases/a", json={"version": 2}))) == "version-deleted"
    assert client.post(f"/models/{name}/2/restore").json() == before
    assert client.post(f"/models/{name}/2", json=ROW).status_code == 200
    assert client.get(f"/models/{name}/@latest").json()["version"] == 3


def test_what_an_alias_points_at_is_not_deleted(client: httpx.Client, name: str) -> None:
    """409 names the alias; once it is gone, version and model may go, and numbers go on when the model is made again."""
    client.put(f"/models/{name}/aliases/production", json={"version": 3})
    for path in (f"/models/{name}/3", f"/models/{name}"):
        answer = client.delete(path)
        assert (answer.status_code, _slug(answer)) == (409, "version-in-use")
        assert "production" in answer.text
    assert client.delete(f"/models/{name}/aliases/production").status_code == 204
    assert client.delete(f"/models/{name}").status_code == 204
    assert _slug(client.get(f"/models/{name}")) == "model-not-found"
    assert _slug(client.post(f"/models/{name}/3", json=ROW)) in {"model-not-found", "version-deleted"}
    artifact = fixture_models.dump(fixture_models.iris().estimator)
    assert client.post(f"/models/{name}/versions", content=artifact, headers=OCTETS).json()["version"] == 4


def test_if_match_and_if_none_match_guard_each_move(client: httpx.Client, name: str) -> None:
    """An etag names one move: with an old one nothing moves, and `*` means any or none."""
    alias = f"/models/{name}/aliases/guarded"
    assert _slug(client.put(alias, json={"version": 1}, headers={"If-Match": "*"})) in {"alias-moved", "alias-not-found"}
    first = client.put(alias, json={"version": 1}, headers={"If-None-Match": "*"})
    assert (first.status_code, first.headers["ETag"]) == (200, f'"{first.json()["etag"]}"')
    again = client.put(alias, json={"version": 2}, headers={"If-None-Match": "*"})
    assert (again.status_code, _slug(again)) == (412, "alias-moved")
    second = client.put(alias, json={"version": 2}, headers={"If-Match": first.headers["ETag"]})
    assert second.status_code == 200
    for stale in (
        client.put(alias, json={"version": 3}, headers={"If-Match": first.headers["ETag"]}),
        client.post(f"{alias}/rollback", headers={"If-Match": first.headers["ETag"]}),
        client.delete(alias, headers={"If-Match": first.headers["ETag"]}),
    ):
        assert (stale.status_code, _slug(stale)) == (412, "alias-moved")
    for bad in ('W/"1"', "1", '"1", "2"', '"'):
        assert _slug(client.put(alias, json={"version": 3}, headers={"If-Match": bad})) == "invalid-request"
    assert _slug(client.put(alias, json={"version": 3}, headers={"If-None-Match": '"1"'})) == "invalid-request"
    shown = client.get(alias)
    assert (shown.json()["version"], shown.headers["ETag"]) == (2, second.headers["ETag"])
    assert client.post(f"{alias}/rollback", headers={"If-Match": second.headers["ETag"]}).json()["to"] == 1
    assert client.delete(alias, headers={"If-Match": "*"}).status_code == 204


def test_a_retried_publish_gives_the_same_version(client: httpx.Client, artifact: bytes) -> None:
    """The same key and digest: the same 201; another digest or model: 422; another caller's key is another key."""
    made = next(_names)
    headers = {**OCTETS, "Idempotency-Key": "run-1"}
    first, second = (client.post(f"/models/{made}/versions?alias=staging", content=artifact, headers=headers) for _ in range(2))
    assert (first.status_code, second.status_code, second.json()["version"]) == (201, 201, 1)
    assert client.get(f"/models/{made}").json()["version_count"] == 1
    other = fixture_models.dump(fixture_models.kmeans().estimator)
    for path, body in ((made, other), (next(_names), artifact)):
        answer = client.post(f"/models/{path}/versions", content=body, headers=headers)
        assert (answer.status_code, _slug(answer)) == (422, "idempotency-key-reused")
    for bad in ("x" * 201, "with space", ""):
        assert (
            _slug(client.post(f"/models/{made}/versions", content=artifact, headers={**OCTETS, "Idempotency-Key": bad}))
            == "invalid-request"
        )


def test_a_retried_move_moves_once(client: httpx.Client, name: str) -> None:
    """A rollback that is asked twice goes back once, and a point that is retried doesn't take back what came after it."""
    alias = f"/models/{name}/aliases/production"
    for number in (1, 2, 3):
        client.put(alias, json={"version": number}, headers={"Idempotency-Key": f"to-{number}"})
    answers = [client.post(f"/models/{name}/rollback", json={"reason": "bad"}, headers={"Idempotency-Key": "back"}) for _ in range(3)]
    assert [answer.json() for answer in answers] == [answers[0].json()] * 3
    assert answers[0].json().items() >= {"model": name, "alias": "production", "from": 3, "to": 2, "reason": "bad"}.items()
    assert client.put(alias, json={"version": 3}, headers={"Idempotency-Key": "to-3"}).status_code == 200
    assert client.get(alias).json()["version"] == 2
    reused = client.put(alias, json={"version": 1}, headers={"Idempotency-Key": "to-3"})
    assert (reused.status_code, _slug(reused)) == (422, "idempotency-key-reused")


def test_rollback_goes_further_down_and_names_what_stands_in_its_way(client: httpx.Client, name: str) -> None:
    """`to` pops down to a version; a deleted target is named with the next one; the bottom is 409."""
    alias = f"/models/{name}/aliases/steps"
    for number in (1, 2, 3):
        client.put(alias, json={"version": number})
    assert client.put(alias, json={"version": 3}).status_code == 200
    client.delete(f"/models/{name}/2")
    blocked = client.post(f"{alias}/rollback")
    assert (blocked.status_code, _slug(blocked)) == (409, "rollback-target-deleted")
    assert "2" in blocked.json()["detail"]
    assert client.post(f"{alias}/rollback", json={"to": 1}).json()["to"] == 1
    assert _slug(client.post(f"{alias}/rollback")) == "nothing-to-roll-back-to"
    assert _slug(client.post(f"{alias}/rollback", json={"to": 3})) == "nothing-to-roll-back-to"
    for body in ({"to": 0}, {"to": "1"}, {"to": 1.5}, {"to": True}, {"colour": 1}):
        assert _slug(client.post(f"{alias}/rollback", json=body)) == "invalid-request"
    history = client.get(f"{alias}/history?limit=1000").json()
    assert [(move["kind"], move["from"], move["to"]) for move in history["items"]] == [
        ("rollback", 3, 1),
        ("point", 2, 3),
        ("point", 1, 2),
        ("point", None, 1),
    ]
    at = history["items"][1]["at"]
    assert client.get(alias, params={"at": at}).json()["version"] == 3
    assert _slug(client.get(alias, params={"at": "2001-01-01T00:00:00Z"})) == "alias-not-found"
    assert {item["alias"] for item in client.get(f"/models/{name}/aliases").json()["items"]} == {"steps"}


def test_a_download_has_ranges_digests_and_validators(client: httpx.Client, name: str, artifact: bytes) -> None:
    """Whole, in part, not at all when it is known, and as an attachment."""
    path = f"/models/{name}/1/artifact"
    digest = hashlib.sha256(artifact)
    announced = f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"
    whole = client.get(path)
    assert (whole.status_code, whole.content, whole.headers["Content-Digest"], whole.headers["ETag"]) == (
        200,
        artifact,
        announced,
        f'"{digest.hexdigest()}"',
    )
    assert whole.headers["Content-Disposition"].startswith("attachment")
    assert (whole.headers["Content-Type"], whole.headers["Accept-Ranges"]) == ("application/octet-stream", "bytes")
    for header, start, stop in (
        ("bytes=10-19", 10, 20),
        ("bytes=-5", len(artifact) - 5, len(artifact)),
        ("bytes=100-", 100, len(artifact)),
    ):
        part = client.get(path, headers={"Range": header})
        assert (part.status_code, part.content) == (206, artifact[start:stop])
        assert part.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(artifact)}"
        assert part.headers["Repr-Digest"] == announced
        assert "Content-Digest" not in part.headers
    beyond = client.get(path, headers={"Range": f"bytes={len(artifact) + 1}-"})
    assert (beyond.status_code, slug_of(416, beyond.headers, beyond.content)) == (416, "range-not-satisfiable")
    assert client.get(path, headers={"If-None-Match": whole.headers["ETag"]}).status_code == 304
    assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200
    assert client.get(path, headers={"Range": "bytes=0-4", "If-Range": '"other"'}).status_code == 200
    head = client.head(path)
    assert (head.status_code, head.content, head.headers["Content-Length"]) == (200, b"", str(len(artifact)))


def test_serving_shows_loads_unloads_and_pins(client: httpx.Client, name: str) -> None:
    """By hand: load, see it, pin it, unpin it, unload it."""
    assert client.post(f"/models/{name}/1/load").json() == {"model": name, "version": 1, "loaded": True}
    report = client.get("/serving").json()
    assert {"host", "budget_bytes", "used_bytes", "walls", "counts", "loaded"} <= report.keys()
    (row,) = [row for row in report["loaded"] if row["model"] == name]
    assert row["bytes"] > 0
    assert {"version", "state", "pinned", "processes", "requests", "waiting"} <= row.keys()
    assert client.put(f"/models/{name}/1/pin").json() == {"model": name, "version": 1, "pinned": True}
    assert client.get(f"/models/{name}/1").json()["pinned"] is True
    assert client.delete(f"/models/{name}/1/pin").json()["pinned"] is False
    assert client.post(f"/models/{name}/1/unload").json()["was_loaded"] is True
    assert client.post(f"/models/{name}/1/unload").json()["was_loaded"] is False
    assert name not in {row["model"] for row in client.get("/serving").json()["loaded"]}
    assert _slug(client.post(f"/models/{name}/1/load", json={"now": True})) == "invalid-request"


def test_events_say_who_did_what_when_and_why(client: httpx.Client, name: str) -> None:
    """Each filter narrows, pages follow each other, and a move carries from, to and reason."""
    client.put(f"/models/{name}/aliases/production", json={"version": 1, "reason": "first"})
    client.put(f"/models/{name}/aliases/production", json={"version": 2, "reason": "better"})
    events = list(_pages(client, "/events", model=name, limit=2))
    me = client.get("/me").json()["id"]
    assert [event["kind"] for event in events] == ["alias.pointed"] * 2 + ["version.published"] * 3 + ["model.created"]
    assert events[0].items() >= {"actor": me, "alias": "production", "from": 1, "to": 2, "reason": "better", "model": name}.items()
    assert all(MOMENT.fullmatch(event["at"]) for event in events)
    assert len(list(_pages(client, "/events", model=name, kind="version.published"))) == 3
    assert len(list(_pages(client, "/events", model=name, actor=me))) == 6
    assert list(_pages(client, "/events", model=name, actor="nobody")) == []
    assert len(list(_pages(client, "/events", model=name, since=events[1]["at"]))) == 2


def test_options_names_the_methods_and_needs_no_key(service: RunningService) -> None:
    """Without the setting no origin is permitted."""
    answer = httpx.options(
        f"{service.url}/models/iris/1", headers={"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    )
    assert answer.status_code == 200
    assert {"GET", "POST", "PATCH", "DELETE"} <= set(answer.headers["Allow"].split(", "))
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_the_openapi_document_names_every_control_route(client: httpx.Client) -> None:
    """It is made from the code that validates."""
    paths = client.get("/openapi.json").json()["paths"]
    for path in (
        "/models",
        "/models/{name}/versions",
        "/models/{name}/aliases/{alias}/rollback",
        "/keys/{key_id}/rotate",
        "/events",
        "/serving",
        "/me",
    ):
        assert path in paths


def _pages(client: httpx.Client, path: str, **query: Any) -> Iterator[dict[str, Any]]:
    while True:
        page = client.get(path, params=query).json()
        assert page.keys() == {"items", "next_cursor"}
        assert len(page["items"]) <= query.get("limit", 50)
        yield from page["items"]
        if page["next_cursor"] is None:
            return
        query["cursor"] = page["next_cursor"]


def _slug(answer: httpx.Response) -> str:
    return slug_of(answer.status_code, answer.headers, answer.content)
