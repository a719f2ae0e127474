"""Predict requests are answered by the lane or by Flask; whoever asks can't tell which, nor can the log or the metrics."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from tests import misbehaving
from tests.running import RunningService, running
from tests.slow_models import sleeping

#: A browser's header, which the lane leaves to Flask; no origin is allowed here, so Flask adds nothing for it.
BY_FLASK = {"Origin": "https://example.org"}
ROW = [5.1, 3.5, 1.4, 0.2]
#: What differs between any two answers, and headers that count down or measure.
OF_EACH_REQUEST = {"x-request-id", "date", "server-timing", "x-ratelimit-remaining", "x-ratelimit-reset", "content-length"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """One service of one web process, with a classifier, a model that raises, and a version that was deleted."""
    settings = {"web_processes": "1", "cache_process_bytes": "0", "max_rows": "50", "extra_names": misbehaving.EXTRA_NAMES}
    with running(tmp_path_factory.mktemp("lane") / "instance", **settings) as started:
        generator = np.random.default_rng(0)
        rows = generator.normal(size=(60, 4))
        for _ in range(2):
            started.publish("iris", LogisticRegression().fit(rows, rows[:, 0] > 0), {"input_example": rows[:3].tolist()})
        started.publish("raises", misbehaving.model("raises"))
        started.publish("sum", sleeping(0), {"alias": "production"})
        with started.client() as client:
            assert client.delete("/models/iris/2").status_code in {200, 204}
            for name in ("iris", "sum"):
                assert client.patch(f"/models/{name}/1", json={"cache": False}).status_code == 200
        yield started


@pytest.fixture(scope="module")
def key(service: RunningService) -> str:
    """Give a key that may predict with all models."""
    return service.make_key("predict")


def npy_bytes(array: Any) -> bytes:
    """Return an array as the bytes of a .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def both_ways(service: RunningService, path: str, headers: dict[str, str], **options: Any) -> tuple[httpx.Response, httpx.Response]:
    """Send the same request through the lane and around it."""
    return (
        httpx.post(service.url + path, headers=headers, timeout=30, **options),
        httpx.post(service.url + path, headers={**headers, **BY_FLASK}, timeout=30, **options),
    )


def plain(answer: httpx.Response) -> Any:
    """Return the body without what belongs to one request."""
    if "json" not in answer.headers["Content-Type"]:
        return answer.content
    body = answer.json()
    body.pop("request_id")
    return {name: value for name, value in body.items() if name != "reset_seconds"}


def lasting(answer: httpx.Response) -> dict[str, str]:
    """Return the headers without what belongs to one request."""
    return {name: value for name, value in answer.headers.items() if name not in OF_EACH_REQUEST}


def logged(service: RunningService, answer: httpx.Response) -> dict[str, Any]:
    """Return the log's one line of a request, without times and id."""
    wanted = answer.headers["X-Request-Id"]
    deadline = time.monotonic() + 10
    while True:
        lines = [line for line in service.log_lines() if line.get("request_id") == wanted and line["event"] == "request"]
        if lines or time.monotonic() > deadline:
            break
    assert len(lines) == 1
    return {name: value for name, value in lines[0].items() if name not in {"request_id", "timestamp"} and not name.endswith("ms")}


GOOD: dict[str, tuple[str, dict[str, Any], dict[str, str]]] = {
    "a row": ("/models/iris/1", {"json": {"data": [ROW]}}, {}),
    "a method": ("/models/iris/1", {"json": {"data": [ROW], "method": "predict_proba"}}, {}),
    "an alias": ("/models/sum/@production", {"json": {"data": [ROW]}}, {}),
    "production by default": ("/models/sum", {"json": {"data": [ROW]}}, {}),
    "the latest": ("/models/iris/@latest", {"json": {"data": [ROW]}}, {}),
    "CSV": ("/models/iris/1", {"content": b"x0,x1,x2,x3\n1,2,3,4\n"}, {"Content-Type": "text/csv"}),
    "npy in and out": (
        "/models/iris/1",
        {"content": npy_bytes(np.array([ROW]))},
        {"Content-Type": "application/x-npy", "Accept": "application/x-npy"},
    ),
    "no-cache": ("/models/sum", {"json": {"data": [ROW]}}, {"Cache-Control": "no-cache"}),
    "no-store": ("/models/sum", {"json": {"data": [ROW]}}, {"Cache-Control": "max-age=0, No-Store"}),
}
BAD: dict[str, tuple[int, str, dict[str, Any], dict[str, str]]] = {
    "no body": (400, "/models/iris/1", {}, {"Content-Type": "application/json"}),
    "not JSON": (400, "/models/iris/1", {"content": b"{"}, {"Content-Type": "application/json"}),
    "a text for a number": (422, "/models/iris/1", {"json": {"data": [["a", 1, 2, 3]]}}, {}),
    "too few columns": (422, "/models/iris/1", {"json": {"data": [[1.0]]}}, {}),
    "too many rows": (413, "/models/iris/1", {"json": {"data": [ROW] * 51}}, {}),
    "a media type": (415, "/models/iris/1", {"content": b"x"}, {"Content-Type": "text/html"}),
    "no such method": (422, "/models/iris/1", {"json": {"data": [ROW], "method": "transform"}}, {}),
    "no such model": (404, "/models/nothing/1", {"json": {"data": [ROW]}}, {}),
    "no such version": (404, "/models/iris/9", {"json": {"data": [ROW]}}, {}),
    "no such alias": (404, "/models/iris/@nothing", {"json": {"data": [ROW]}}, {}),
    "a bad name": (400, "/models/Iris/1", {"json": {"data": [ROW]}}, {}),
    "a bad selector": (400, "/models/iris/0", {"json": {"data": [ROW]}}, {}),
    "a deleted version": (410, "/models/iris/2", {"json": {"data": [ROW]}}, {}),
    "a model that raises": (500, "/models/raises/1", {"json": {"data": [[misbehaving.TRIGGER, 2.0, 3.0, 4.0]]}}, {}),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_request_is_answered_alike(service: RunningService, key: str, name: str) -> None:
    """With the same body, headers and log line."""
    path, options, headers = GOOD[name]
    one, other = both_ways(service, path, {"Authorization": f"Bearer {key}", **headers}, **options)
    assert (one.status_code, other.status_code) == (200, 200), one.text
    assert plain(one) == plain(other)
    assert lasting(one) == lasting(other)
    assert int(one.headers["X-RateLimit-Remaining"]) == int(other.headers["X-RateLimit-Remaining"]) + 1
    assert logged(service, one) == logged(service, other)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_is_refused_alike_and_counted_once(service: RunningService, key: str, name: str) -> None:
    """Though one was handed over in the middle."""
    status, path, options, headers = BAD[name]
    one, other = both_ways(service, path, {"Authorization": f"Bearer {key}", **headers}, **options)
    assert (one.status_code, other.status_code) == (status, status), one.text
    assert plain(one) == plain(other)
    assert lasting(one) == lasting(other)
    if "X-RateLimit-Remaining" in one.headers:
        assert int(one.headers["X-RateLimit-Remaining"]) == int(other.headers["X-RateLimit-Remaining"]) + 1
    assert logged(service, one) == logged(service, other)


@pytest.mark.parametrize("grants", [{"scopes": ["read"]}, {"scopes": ["predict"], "models": ["sum*"]}], ids=["scope", "model"])
def test_a_key_that_may_not_is_refused_alike(service: RunningService, grants: dict[str, Any]) -> None:
    """Without the scope 403, for a model it may not see 404."""
    scopes = grants.pop("scopes")
    headers = {"Authorization": f"Bearer {service.make_key(*scopes, **grants)}"}
    one, other = both_ways(service, "/models/iris/1", headers, json={"data": [ROW]})
    assert one.status_code == other.status_code == (404 if grants else 403)
    assert plain(one) == plain(other)
    assert lasting(one) == lasting(other)


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer my_x", "Basic eA==", f"Bearer my_{'0' * 12}_{'0' * 49}"])
def test_without_a_good_key_nobody_is_answered(service: RunningService, header: str) -> None:
    """And the failure is counted for the address once."""
    one, other = both_ways(service, "/models/iris/1", {"Authorization": header} if header else {}, json={"data": [ROW]})
    assert one.status_code == other.status_code == 401
    assert plain(one) == plain(other)
    assert lasting(one) == lasting(other)


def test_a_limit_that_is_used_up_is_told_alike(service: RunningService) -> None:
    """With the headers and Retry-After, and nothing counted beyond it."""
    headers = {"Authorization": f"Bearer {service.make_key('predict', limits=['2/hour'])}"}
    for _ in range(2):
        assert httpx.post(f"{service.url}/models/iris/1", headers=headers, json={"data": [ROW]}).status_code == 200
    one, other = both_ways(service, "/models/iris/1", headers, json={"data": [ROW]})
    assert one.status_code == other.status_code == 429
    assert {"retry-after", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"} <= set(one.headers)
    assert plain(one) == plain(other)
    assert one.headers["X-RateLimit-Remaining"] == other.headers["X-RateLimit-Remaining"] == "0"


def test_a_known_key_is_refused_as_soon_as_it_is_revoked_and_obeys_new_grants(service: RunningService) -> None:
    """Though the process had checked it before."""
    with service.client() as admin:
        made = admin.post("/keys", json={"name": "short", "scopes": ["predict"]}).json()
        headers = {"Authorization": f"Bearer {made['key']}"}
        ask = {"json": {"data": [ROW]}, "headers": headers}
        assert httpx.post(f"{service.url}/models/iris/1", **ask).status_code == 200  # type: ignore[arg-type]
        assert admin.patch(f"/keys/{made['id']}", json={"models": ["sum"]}).status_code == 200
        assert httpx.post(f"{service.url}/models/iris/1", **ask).status_code == 404  # type: ignore[arg-type]
        assert admin.patch(f"/keys/{made['id']}", json={"models": []}).status_code == 200
        assert httpx.post(f"{service.url}/models/iris/1", **ask).status_code == 200  # type: ignore[arg-type]
        assert admin.delete(f"/keys/{made['id']}").status_code in {200, 204}
        assert httpx.post(f"{service.url}/models/iris/1", **ask).status_code == 401  # type: ignore[arg-type]


def test_an_offered_request_id_comes_back(service: RunningService, key: str) -> None:
    """Where it is well-formed; else another."""
    headers = {"Authorization": f"Bearer {key}", "X-Request-Id": "my-own-request-1"}
    for answer in both_ways(service, "/models/iris/1", headers, json={"data": [ROW]}):
        assert answer.headers["X-Request-Id"] == answer.json()["request_id"] == "my-own-request-1"
    headers["X-Request-Id"] = "<bad>"
    for answer in both_ways(service, "/models/iris/1", headers, json={"data": [ROW]}):
        assert answer.headers["X-Request-Id"] == answer.json()["request_id"] != "<bad>"
