"""Control routes refuse every body that doesn't mean exactly one thing, with a problem that says what is wrong."""

from __future__ import annotations

import select
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.raw_http import ask, chunked, connect, exchange, read_answer, request_bytes, slug_of
from tests.running import RunningService, running

JSON = {"Content-Type": "application/json"}
MALFORMED = {
    "nan": b'{"name": "k", "scopes": ["read"], "x": NaN}',
    "infinity": b'{"name": "k", "scopes": ["read"], "x": -Infinity}',
    "out_of_range": b'{"name": "k", "scopes": ["read"], "x": 1e999}',
    "duplicate_names": b'{"name": "k", "scopes": ["read"], "scopes": ["admin"]}',
    "duplicate_names_escaped": b'{"name": "k", "scopes": ["read"], "\\u0073copes": ["admin"]}',
    "brackets": b"[" * 200_000,
    "braces": b'{"a":' * 200_000,
    "closed_brackets": b"[" * 200_000 + b"]" * 200_000,
    "lone_surrogate": b'{"name": "\\ud800", "scopes": ["read"]}',
    "surrogates_reversed": b'{"name": "\\udc00\\ud800", "scopes": ["read"]}',
    "nul": b'{"name": "a\\u0000b", "scopes": ["read"]}',
    "nul_in_a_name": b'{"name": "k", "scopes": ["read"], "a\\u0000": 1}',
    "raw_nul": b'{"name": "a\0b", "scopes": ["read"]}',
    "not_utf8": b'{"name": "\xff", "scopes": ["read"]}',
    "utf16": '{"name": "k"}'.encode("utf-16"),
    "trailing": b'{"name": "k", "scopes": ["read"]} {}',
    "truncated": b'{"name": "k", "sco',
    "single_quotes": b"{'name': 'k'}",
    "comment": b'{"name": "k" /* c */}',
    "html": b"<html></html>",
    "5000_digits": b'{"name": "k", "scopes": ["read"], "x": ' + b"9" * 5000 + b"}",
}
NOT_OBJECTS = {
    "list": b"[]",
    "null": b"null",
    "number": b"1",
    "text": b'"x"',
    "json_in_a_text": b'"{\\"name\\": \\"k\\", \\"scopes\\": [\\"read\\"]}"',
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """One service for the tests of this module, with little patience."""
    instance = tmp_path_factory.mktemp("control") / "instance"
    with running(instance, web_processes="1", web_threads="16", compute_slots="2", upload_stall_seconds="0.5") as started:
        yield started


@pytest.fixture(scope="module")
def client(service: RunningService) -> Iterator[httpx.Client]:
    """Return the admin's client."""
    with service.client() as made:
        yield made


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_a_body_that_is_not_strict_json_is_malformed(client: httpx.Client, body: bytes) -> None:
    """Nothing that two readers could read differently is accepted, and no depth ends the process."""
    answer = client.post("/keys", content=body, headers=JSON)
    assert (answer.status_code, slug_of(400, answer.headers, answer.content)) == (400, "malformed-body")


@pytest.mark.parametrize("body", NOT_OBJECTS.values(), ids=NOT_OBJECTS)
def test_a_body_that_is_no_object_is_refused(client: httpx.Client, body: bytes) -> None:
    """Least of all a text that holds JSON, which would be parsed a second time and less strictly."""
    answer = client.post("/keys", content=body, headers=JSON)
    assert (answer.status_code, slug_of(422, answer.headers, answer.content)) == (422, "invalid-request")


@pytest.mark.parametrize(
    ("body", "pointer", "words"),
    [
        ({}, "#/name", "required"),
        ({"name": "k", "scopes": ["read"], "colour": 1}, "#/colour", "unknown field 'colour'"),
        ({"name": "k", "scopes": ["root"]}, "#/scopes/0", "read"),
        ({"name": "k", "scopes": "read"}, "#/scopes", "list"),
        ({"name": 5, "scopes": ["read"]}, "#/name", "string"),
        ({"name": "", "scopes": ["read"]}, "#/name", "1"),
        ({"name": "k" * 201, "scopes": ["read"]}, "#/name", "200"),
        ({"name": "k", "scopes": ["read"], "models": ["../etc"]}, "#/models/0", "pattern"),
        ({"name": "k", "scopes": ["read"], "limits": ["0/minute"]}, "#/limits/0", "0/minute"),
        ({"name": "k", "scopes": ["read"], "limits": ["-1/minute"]}, "#/limits/0", "-1/minute"),
        ({"name": "k", "scopes": ["read"], "limits": ["5/minute;6/day"]}, "#/limits/0", "5/minute;6/day"),
        ({"name": "k", "scopes": ["read"], "limits": ["9999999999999/minute"]}, "#/limits/0", "isn't a limit"),
        ({"name": "k", "scopes": ["read"], "limits": ["1/99999999 year"]}, "#/limits/0", "isn't a limit"),
        ({"name": "k", "scopes": ["read"], "limits": ["many"]}, "#/limits/0", "isn't a limit"),
        ({"name": "k", "scopes": ["read"], "limits": ["1/day"] * 11}, "#/limits", "10"),
        ({"name": "k", "scopes": ["read"], "expires_at": "tomorrow"}, "#/expires_at", "date"),
    ],
)  # fmt: skip
def test_each_wrong_field_is_named_with_its_pointer(client: httpx.Client, body: dict[str, Any], pointer: str, words: str) -> None:
    """The finding points at the field and says what is expected."""
    answer = client.post("/keys", json=body)
    assert (answer.status_code, slug_of(422, answer.headers, answer.content)) == (422, "invalid-request")
    (found,) = [finding for finding in answer.json()["errors"] if finding["pointer"] == pointer]
    assert words in found["detail"]


@pytest.mark.parametrize("moment", ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "2001-01-01T00:00:00Z"])
def test_a_time_outside_the_calendar_or_in_the_past_is_no_expiry(client: httpx.Client, moment: str) -> None:
    """The ends of the calendar don't overflow into a 500."""
    answer = client.post("/keys", json={"name": "k", "scopes": ["read"], "expires_at": moment})
    assert (answer.status_code, slug_of(422, answer.headers, answer.content)) == (422, "invalid-request")


@pytest.mark.parametrize(
    "query",
    [
        "/events?since=9999-12-31T23:59:59-14:00",
        "/events?since=yesterday",
        "/events?since=1e400",
        "/events?colour=blue",
        "/models?limit=0",
        "/models?limit=1001",
        "/models?limit=99999999999999999999999",
        "/models?limit=1.5",
        "/models?order=size",
        "/models?cursor=nonsense",
        "/models?cursor=%F0%9F",
        "/models?cursor=" + "A" * 5000,
        "/models?search=" + "a" * 201,
        "/models?tag=nocolon",
        "/keys?cursor=eyJhIjoxfQ",
    ],
)
def test_a_query_that_means_nothing_is_refused(client: httpx.Client, query: str) -> None:
    """Unknown names, values out of bounds and cursors of no listing are 422, never a 500 and never ignored."""
    answer = client.get(query)
    assert (answer.status_code, slug_of(422, answer.headers, answer.content)) == (422, "invalid-request")


def test_the_wrong_content_type_is_refused(client: httpx.Client) -> None:
    """A body must say that it is JSON."""
    for headers in ({"Content-Type": "text/plain"}, {"Content-Type": "application/x-www-form-urlencoded"}, {}):
        answer = client.post("/keys", content=b'{"name": "k", "scopes": ["read"]}', headers=headers)
        assert (answer.status_code, slug_of(415, answer.headers, answer.content)) == (415, "unsupported-media-type")


def test_an_empty_body_is_an_empty_object(client: httpx.Client) -> None:
    """A rollback without a body is complete; a key without a name isn't."""
    assert slug_of(422, *_parts(client.post("/keys"))) == "invalid-request"
    assert slug_of(404, *_parts(client.post("/models/none/rollback"))) == "model-not-found"


def test_a_body_over_the_limit_is_refused_with_and_without_its_length(service: RunningService) -> None:
    """1 MiB is what a control route takes; one that is announced isn't even read."""
    large = b'{"name": "' + b"x" * (1 << 20) + b'"}'
    announced = ask(service, "POST", "/keys", large, Content_Type="application/json")
    assert (announced.status, announced.slug) == (413, "body-too-large")
    head = request_bytes("POST", "/keys", service.admin_key, {**JSON, "Transfer-Encoding": "chunked"})
    sent = exchange(service, head + chunked(*[large[i : i + 65536] for i in range(0, len(large), 65536)]))
    assert (sent.status, sent.slug) == (413, "body-too-large")


def test_a_chunked_body_is_read_like_any_other(service: RunningService) -> None:
    """Chunks add up to the same JSON."""
    head = request_bytes("POST", "/keys", service.admin_key, {**JSON, "Transfer-Encoding": "chunked"})
    assert exchange(service, head + chunked(b'{"name": "chunked", ', b'"scopes": ["read"]}')).status == 201


def test_a_truncated_body_does_nothing(service: RunningService, client: httpx.Client) -> None:
    """Fewer bytes than announced are malformed even where they are valid JSON, and no key is made."""
    body = b'{"name": "truncated", "scopes": ["read"]}'
    head = request_bytes("POST", "/keys", service.admin_key, {**JSON, "Content-Length": str(len(body) + 10)})
    answer = exchange(service, head + body, half_close=True)
    assert (answer.status, answer.slug) == (400, "malformed-body")
    assert "truncated" not in {key["name"] for key in client.get("/keys?limit=1000").json()["items"]}


def test_a_large_body_that_stalls_is_ended(service: RunningService) -> None:
    """After the stall time its thread is free again, and the answer says why."""
    with connect(service) as connection:
        connection.sendall(request_bytes("POST", "/keys", service.admin_key, {**JSON, "Content-Length": str(512 * 1024)}) + b'{"name"')
        answer = read_answer(connection)
    assert (answer.status, answer.slug) == (408, "body-too-slow")


def test_one_keys_stalled_small_bodies_leave_threads_to_others(service: RunningService, client: httpx.Client) -> None:
    """A key may have half of the threads in the reading of small bodies; its next gets 429, and other keys go on."""
    other = service.make_key("admin")
    head = request_bytes("POST", "/keys", other, {**JSON, "Content-Length": "100"})
    stalled = [connect(service) for _ in range(9)]
    try:
        for connection in stalled:
            connection.sendall(head + b"{")
        answered, _, _ = select.select(stalled, [], [], 10)
        refused = read_answer(answered[0])
        assert (len(answered), refused.status, refused.slug) == (1, 429, "rate-limited")
        assert client.post("/keys", json={"name": "mine", "scopes": ["read"]}).status_code == 201
    finally:
        for connection in stalled:
            connection.close()


def test_idle_connections_keep_nobody_out(service: RunningService) -> None:
    """Many more than there are threads, with no byte sent or kept alive after an answer, cost nobody a thread."""
    idle = [connect(service) for _ in range(60)]
    for connection in idle[:30]:
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_answer(connection).status == 200
    for _ in range(5):
        assert httpx.get(f"{service.url}/health/live", timeout=5).status_code == 200
    for connection in idle:
        connection.close()


def test_a_method_or_path_that_is_not_there_is_a_problem(client: httpx.Client) -> None:
    """405 names what is allowed; 404 comes without asking for a key."""
    answer = client.put("/models")
    assert (answer.status_code, slug_of(405, *_parts(answer))) == (405, "method-not-allowed")
    assert "GET" in answer.headers["Allow"]
    assert slug_of(404, *_parts(httpx.get(f"{client.base_url}/nowhere"))) == "page-not-found"
    assert slug_of(405, *_parts(client.request("BREW", "/models"))) == "method-not-allowed"


def _parts(answer: httpx.Response) -> tuple[httpx.Headers, bytes]:
    return answer.headers, answer.content
