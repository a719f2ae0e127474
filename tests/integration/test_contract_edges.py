"""The corners of the REST contract: what is refused, deleted, repeated, paged, or isn't there at all."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from tests.raw_http import slug_of
from tests.running import RunningService, dumped

OCTETS = {"Content-Type": "application/octet-stream"}
ROW = [5.1, 3.5, 1.4, 0.2]


@pytest.fixture(scope="module")
def service(shared_service: RunningService) -> RunningService:
    """Return a service that other modules use as well."""
    return shared_service


@pytest.fixture(scope="module")
def client(service: RunningService) -> Iterator[httpx.Client]:
    """Give the admin's client."""
    with service.client() as made:
        yield made


@pytest.fixture
def name() -> str:
    """Return a model name that no other test uses."""
    return f"m-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def production(client: httpx.Client, name: str) -> str:
    """Return the path of an alias that points at the second of two versions."""
    for number in (1, 2):
        assert _publish(client, name, number, alias="production").status_code == 201
    return f"/models/{name}/aliases/production"


# --- publish ----------------------------------------------------------------------------------------------------------


def test_publish_with_an_alias_points_it_at_the_new_version(client: httpx.Client, name: str) -> None:
    """The answer lists it, it serves, and its history says why."""
    for number in (1, 2):
        published = _publish(client, name, number, alias="production")
        assert (published.status_code, published.json()["aliases"]) == (201, ["production"])
        assert _predict(client, name).headers["X-Model-Version"] == str(number)
    moves = client.get(f"/models/{name}/aliases/production/history").json()["items"]
    assert [(move["from"], move["to"], move["reason"]) for move in moves] == [(1, 2, "published"), (None, 1, "published")]


def test_a_publish_that_is_retried_late_does_not_take_back_a_later_move(client: httpx.Client, name: str) -> None:
    """It finds the alias moved on, and leaves it there."""
    key = {"Idempotency-Key": name}
    _publish(client, name, 1, headers=key, alias="production")
    _publish(client, name, 2, alias="production")
    late = _publish(client, name, 1, headers=key, alias="production")
    assert (late.status_code, late.json()["version"], late.json()["aliases"]) == (201, 1, [])
    assert client.get(f"/models/{name}/aliases/production").json()["version"] == 2


def test_an_idempotency_key_belongs_to_the_key_that_sent_it(service: RunningService, client: httpx.Client, name: str) -> None:
    """Two publishers who choose the same text don't get each other's answers."""
    headers = {"Idempotency-Key": name}
    assert _publish(client, name, 1, headers=headers).json()["version"] == 1
    with service.client(service.make_key("publish")) as other:
        assert _publish(other, name, 1, headers=headers).json()["version"] == 2


def test_an_idempotency_key_that_is_none_is_refused(client: httpx.Client, name: str) -> None:
    """Blanks and other lengths are named as such."""
    for text in ("a b", "x" * 201, ""):
        assert _slug(_publish(client, name, 1, headers={"Idempotency-Key": text}), 422) == "invalid-request"


def test_the_alias_latest_can_not_be_set(client: httpx.Client, name: str) -> None:
    """Neither by PUT nor by a manifest, nor taken away or rolled back."""
    assert _slug(_publish(client, name, 1, alias="latest"), 422) == "invalid-request"
    _publish(client, name, 1)
    path = f"/models/{name}/aliases/latest"
    for answer in (client.put(path, json={"version": 1}), client.delete(path), client.post(f"{path}/rollback"), client.get(path)):
        assert _slug(answer, 400) == "invalid-name"
        assert "latest" in answer.json()["detail"]


# --- models and versions ----------------------------------------------------------------------------------------------


def test_a_deleted_model_is_gone_may_be_made_again_and_its_numbers_go_on(client: httpx.Client, name: str, production: str) -> None:
    """While an alias points into it, it can't be deleted; afterwards nothing of it is found, nor loaded."""
    in_use = client.delete(f"/models/{name}")
    assert _slug(in_use, 409) == "version-in-use"
    assert in_use.json()["aliases"] == {"production": 2}
    assert client.delete(production).status_code == 204
    client.post(f"/models/{name}/1/load")
    assert _serving(client, name) is not None
    assert (client.delete(f"/models/{name}").status_code, _serving(client, name)) == (204, None)
    assert client.get("/models", params={"search": name}).json()["items"] == []
    for suffix in ("", "/1", "/@latest", "/versions", "/aliases", "/1/artifact"):
        assert _slug(client.get(f"/models/{name}{suffix}"), 404) == "model-not-found"
    for selector in ("1", "@production", "@latest"):
        assert {_slug(_predict(client, name, selector), 404) for _ in range(4)} == {"model-not-found"}
    assert _slug(client.delete(f"/models/{name}"), 404) == "model-not-found"
    assert _publish(client, name, 3).json()["version"] == 3
    assert _slug(_predict(client, name, "1"), 410) == "version-deleted"


def test_a_version_of_a_deleted_model_can_be_restored(client: httpx.Client, name: str) -> None:
    """The model comes back with it, and its other versions stay deleted."""
    for number in (1, 2):
        _publish(client, name, number)
    client.delete(f"/models/{name}")
    restored = client.post(f"/models/{name}/1/restore")
    assert (restored.status_code, restored.json()["status"]) == (200, "ready"), restored.text
    assert client.get(f"/models/{name}").json()["version_count"] == 1
    assert _predict(client, name, "1").json()["version"] == 1
    assert _slug(_predict(client, name, "2"), 410) == "version-deleted"
    assert _slug(client.post(f"/models/{name}/9/restore"), 404) == "version-not-found"


def test_nothing_goes_on_with_a_deleted_version(client: httpx.Client, name: str, production: str) -> None:
    """Predicting, reading its bytes, pointing at it, changing and loading it are all 410, on both web processes."""
    assert _predict(client, name, "1").status_code == 200
    assert client.delete(f"/models/{name}/1").json()["status"] == "deleted"
    path = f"/models/{name}/1"
    answers = [
        *(_predict(client, name, "1") for _ in range(6)), client.get(f"{path}/artifact"), client.put(production, json={"version": 1}),
        client.patch(path, json={"description": "x"}), client.post(f"{path}/load"), client.put(f"{path}/pin"), client.delete(path),
    ]  # fmt: skip
    assert [_slug(answer, 410) for answer in answers] == ["version-deleted"] * len(answers)
    assert client.get(path).json()["deleted_at"] is not None


def test_latest_of_a_model_without_a_ready_version_is_not_found(client: httpx.Client, name: str) -> None:
    """Reading and predicting agree."""
    _publish(client, name, 1)
    client.delete(f"/models/{name}/1")
    for answer in (client.get(f"/models/{name}/@latest"), _predict(client, name, "@latest")):
        assert _slug(answer, 404) == "version-not-found"


@pytest.mark.parametrize(
    "field", ["model", "version", "status", "artifact", "signature", "methods", "parameters", "source", "estimator", "aliases", "pinned"]
)
def test_nothing_else_of_a_version_ever_changes(client: httpx.Client, name: str, field: str) -> None:
    """Each other field is refused by its name, and what came with it is not carried out."""
    _publish(client, name, 1)
    refused = client.patch(f"/models/{name}/1", json={field: {}, "description": "never"})
    assert _slug(refused, 422) == "invalid-request"
    assert refused.json()["errors"] == [{"detail": f"unknown field '{field}'", "pointer": f"#/{field}"}]
    assert client.get(f"/models/{name}/1").json()["description"] == ""


@pytest.mark.parametrize("path", ["", "/1"])
@pytest.mark.parametrize("body", [{}, {"description": None}, {"description": 1}, {"tags": {"a": 1}}, {"tags": None}])
def test_patch_refuses_nothing_null_and_wrong_types(client: httpx.Client, name: str, path: str, body: dict[str, Any]) -> None:
    """There is no value that quietly means something else."""
    _publish(client, name, 1)
    assert _slug(client.patch(f"/models/{name}{path}", json=body), 422) == "invalid-request"


# --- aliases ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "suffix"), [("POST", "/rollback"), ("DELETE", "")])
def test_if_none_match_is_refused_where_an_alias_must_be_there(client: httpx.Client, production: str, method: str, suffix: str) -> None:
    """A condition that can never hold is not passed over."""
    refused = client.request(method, f"{production}{suffix}", headers={"If-None-Match": "*"})
    assert _slug(refused, 422) == "invalid-request"
    assert client.get(production).json()["version"] == 2


def test_if_match_guards_rollback_and_deletion_too(client: httpx.Client, production: str) -> None:
    """The wrong one is 412, names where the alias points, and moves nothing."""
    for answer in (
        client.post(f"{production}/rollback", headers={"If-Match": '"0"'}),
        client.delete(production, headers={"If-Match": '"0"'}),
        client.put(production, json={"version": 2}, headers={"If-Match": '"0"'}),
    ):
        assert _slug(answer, 412) == "alias-moved"
        assert answer.json()["version"] == 2
    etag = client.get(production).headers["ETag"]
    back = client.post(f"{production}/rollback", headers={"If-Match": etag})
    assert (back.status_code, back.json()["to"]) == (200, 1)
    assert _slug(client.delete(production, headers={"If-Match": etag}), 412) == "alias-moved"


def test_pointing_where_it_points_already_changes_nothing(client: httpx.Client, production: str) -> None:
    """The same etag, no move in the history, nothing on the stack."""
    etags = {client.put(production, json={"version": 2}).headers["ETag"] for _ in range(3)}
    assert etags == {client.get(production).headers["ETag"]}
    assert len(client.get(f"{production}/history").json()["items"]) == 2
    assert client.post(f"{production}/rollback").json()["to"] == 1


@pytest.mark.parametrize(
    "body", [{}, {"version": "1"}, {"version": 0}, {"version": True}, {"version": 1, "colour": 1}, {"version": 2**31}, {"version": None}]
)
def test_a_put_that_names_no_version_is_refused(client: httpx.Client, body: dict[str, Any]) -> None:
    """Numbers only, in range, and nothing beside them."""
    assert _slug(client.put("/models/any/aliases/production", json=body), 422) == "invalid-request"


def test_a_deleted_alias_is_not_found_and_keeps_its_history(client: httpx.Client, name: str, production: str) -> None:
    """It can be made again, and starts without a way back."""
    assert client.delete(production).status_code == 204
    for answer in (client.get(production), client.delete(production), client.post(f"{production}/rollback"), _predict(client, name)):
        assert _slug(answer, 404) == "alias-not-found"
    assert client.get(f"/models/{name}/aliases").json() == {"items": [], "next_cursor": None}
    moves = client.get(f"{production}/history").json()["items"]
    assert [(move["kind"], move["from"], move["to"]) for move in moves] == [("delete", 2, None), ("point", 1, 2), ("point", None, 1)]
    assert client.put(production, json={"version": 1}).status_code == 200
    assert _slug(client.post(f"{production}/rollback"), 409) == "nothing-to-roll-back-to"


def test_the_history_of_an_alias_is_paged_newest_first(client: httpx.Client, production: str) -> None:
    """Every move with its fields, none twice, none left out."""
    for number in (1, 2, 1):
        client.put(production, json={"version": number, "reason": f"to {number}"})
    moves: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = client.get(f"{production}/history", params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        moves += page["items"]
        cursor = page["next_cursor"]
    assert [move["to"] for move in moves] == [1, 2, 1, 2, 1]
    assert moves[0].keys() == {"model", "alias", "kind", "from", "to", "at", "by", "reason"}


# --- what isn't there -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/nothing", "/models/a/b/c/d", "/keys/a/b/c", "/health", "/models/any/aliases/production/none"])
def test_an_unknown_route_is_a_problem(service: RunningService, client: httpx.Client, path: str) -> None:
    """404 with the shape of every other error, with a key and without one."""
    for answer in (client.get(path), httpx.get(f"{service.url}{path}")):
        assert _slug(answer, 404) == "page-not-found"
        assert answer.json()["instance"] == path


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/models", {"GET"}),
        ("PUT", "/models/any/1", {"GET", "PATCH", "DELETE", "POST"}),
        ("PATCH", "/models/any/aliases/production", {"GET", "PUT", "DELETE"}),
        ("PUT", "/models/any/aliases/production/rollback", {"POST"}),
        ("DELETE", "/models/any/aliases/production/history", {"GET"}),
        ("PUT", "/keys", {"GET", "POST"}),
        ("POST", "/events", {"GET"}),
        ("DELETE", "/events", {"GET"}),
        ("POST", "/serving", {"GET"}),
        ("POST", "/health/live", {"GET"}),
        ("POST", "/models/any/1/pin", {"PUT", "DELETE"}),
    ],
)
def test_the_wrong_method_is_a_problem_that_says_which_are_allowed(client: httpx.Client, method: str, path: str, allowed: set[str]) -> None:
    """405 with Allow."""
    answer = client.request(method, path)
    assert _slug(answer, 405) == "method-not-allowed"
    assert {each.strip() for each in answer.headers["Allow"].split(",")} - {"HEAD", "OPTIONS"} == allowed


def test_serving_by_hand_needs_a_version_that_is_there(client: httpx.Client, name: str) -> None:
    """Of number, alias and model each has its own problem; a body with fields is refused."""
    _publish(client, name, 1)
    for method, action in (("POST", "load"), ("POST", "unload"), ("PUT", "pin"), ("DELETE", "pin")):
        for selector, slug in (
            (f"{name}/9", "version-not-found"),
            (f"{name}/@other", "alias-not-found"),
            (f"{name}-2/1", "model-not-found"),
        ):
            assert _slug(client.request(method, f"/models/{selector}/{action}"), 404) == slug
    assert _slug(client.post(f"/models/{name}/1/load", json={"force": True}), 422) == "invalid-request"


# --- helpers ----------------------------------------------------------------------------------------------------------


def _publish(client: httpx.Client, name: str, number: int, headers: dict[str, str] | None = None, **query: str) -> httpx.Response:
    artifact = dumped(LinearRegression().fit(np.eye(4), [float(number)] * 3 + [0.0]))
    return client.post(f"/models/{name}/versions", content=artifact, params=query, headers={**OCTETS, **(headers or {})})


def _predict(client: httpx.Client, name: str, selector: str = "") -> httpx.Response:
    return client.post(f"/models/{name}/{selector}".removesuffix("/"), json={"data": [ROW]})


def _serving(client: httpx.Client, name: str) -> dict[str, Any] | None:
    rows: list[dict[str, Any]] = client.get("/serving").json()["loaded"]
    return next((row for row in rows if row["model"] == name), None)


def _slug(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    return slug_of(status, answer.headers, answer.content)
