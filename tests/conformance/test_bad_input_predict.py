"""Predict routes refuse what isn't valid input, say where, and go on answering what is."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from tests import fixture_models
from tests.raw_http import ask, chunked, connect, exchange, read_answer, request_bytes, slug_of
from tests.running import RunningService, running

JSON = {"Content-Type": "application/json"}
ROW = [5.1, 3.5, 1.4, 0.2]
MALFORMED = {
    "empty": b"",
    "blank": b"  \n",
    "nan": b'{"data": [[NaN, 1, 1, 1]]}',
    "infinity": b'{"data": [[Infinity, 1, 1, 1]]}',
    "out_of_range": b'{"data": [[1e999, 1, 1, 1]]}',
    "duplicate_names": b'{"data": [[1, 1, 1, 1]], "data": [[2, 2, 2, 2]]}',
    "duplicate_columns": b'{"instances": [{"x0": 1, "x0": 2, "x1": 1, "x2": 1, "x3": 1}]}',
    "brackets": b"[" * 200_000,
    "brackets_in_data": b'{"data": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "braces": b'{"data":' * 200_000,
    "lone_surrogate": b'{"data": [["\\ud800", 1, 1, 1]]}',
    "surrogate_as_name": b'{"data": [[1, 1, 1, 1]], "\\udfff": 1}',
    "not_utf8": b'{"data": [["\xff", 1, 1, 1]]}',
    "truncated": b'{"data": [[1, 1, 1',
    "trailing": b'{"data": [[1, 1, 1, 1]]} 1',
    "html": b"<html></html>",
    "byte_order_mark": b'\xef\xbb\xbf{"data": [[1, 1, 1, 1]]}',
    "pickle": b"\x80\x04K\x01.",
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """One service with one published model, small limits and little patience."""
    instance = tmp_path_factory.mktemp("predict") / "instance"
    settings = {"web_processes": "1", "web_threads": "16", "compute_slots": "4", "upload_stall_seconds": "0.5", "max_body_bytes": "8MiB"}
    with running(instance, measured=False, **settings, max_rows="1000") as started:
        started.publish("iris", fixture_models.iris().estimator)
        started.publish("people", fixture_models.mixed_frame().estimator, {"input_example": _people()})
        yield started


@pytest.fixture(scope="module")
def client(service: RunningService) -> Iterator[httpx.Client]:
    """Return the admin's client."""
    with service.client() as made:
        yield made


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_a_body_that_is_not_strict_json_is_malformed(client: httpx.Client, body: bytes) -> None:
    """Nothing that two readers could read differently is predicted, and no depth ends the process."""
    answer = client.post("/models/iris/1", content=body, headers=JSON)
    assert (answer.status_code, _slug(answer)) == (400, "malformed-body")


@pytest.mark.parametrize(
    ("data", "pointer", "words"),
    [
        ([ROW, [1, "abc", 1, 1]], "#/data/1/1", 'expected a number, got "abc"'),
        ([[1, None, 1, 1]], "#/data/0/1", "null"),
        ([[1, True, 1, 1]], "#/data/0/1", "true"),
        ([ROW, [1, 1, 1]], "#/data/1", "expected 4 values, got 3"),
        ([ROW, [1, 1, 1, 1, 1]], "#/data/1", "expected 4 values, got 5"),
        ([ROW, {}], "#/data/1", "an object"),
        ([[1, 1, 1, [1]]], "#/data/0/3", "a list"),
        ([[1, 1, 1, 10**400]], None, ""),
        ([], "#/data", "at least one row"),
        ("text", "#/data", "list"),
        (None, "#/data", "list"),
        ([None], "#/data", "expected 4 values, got 1"),
    ],
)
def test_each_bad_value_is_found_with_its_pointer(client: httpx.Client, data: Any, pointer: str | None, words: str) -> None:
    """Ragged rows, texts, nulls, bools and lists where numbers belong are named where they stand."""
    answer = client.post("/models/iris/1", json={"data": data})
    if pointer is None:
        assert answer.status_code in {400, 422}
        _slug(answer)
        return
    assert (answer.status_code, _slug(answer)) == (422, "signature-mismatch")
    assert any(found["pointer"] == pointer and words in found["detail"] for found in answer.json()["errors"]), answer.text


def test_at_most_20_bad_values_are_listed(client: httpx.Client) -> None:
    """A thousand bad rows don't make an answer of a thousand findings."""
    answer = client.post("/models/iris/1", json={"data": [["x", 1, 1, 1]] * 900})
    assert (answer.status_code, len(answer.json()["errors"])) == (422, 20)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"rows": [ROW]},
        {"data": [ROW], "instances": [ROW]},
        {"data": [ROW], "colour": 1},
        {"data": [ROW], "method": 5},
        {"data": [ROW], "params": []},
        {"data": [ROW], "params": {"__class__": 1}},
        {"dataframe_split": {"data": [ROW]}},
        {"dataframe_split": [ROW]},
        [ROW],
        "data",
        5,
    ],
)
def test_a_body_that_is_not_exactly_one_form_is_refused(client: httpx.Client, body: Any) -> None:
    """None, two or unknown forms and fields are named."""
    answer = client.post("/models/iris/1", json=body)
    assert (answer.status_code, _slug(answer)) == (422, "invalid-request")


def test_a_method_that_the_version_lacks_is_refused(client: httpx.Client) -> None:
    """Nothing but what stands under `methods` is ever called."""
    for method in ("__class__", "fit", "set_params", "predict ", "transform", ""):
        answer = client.post("/models/iris/1", json={"data": [ROW], "method": method})
        assert (answer.status_code, _slug(answer)) == (422, "method-not-available")
        assert "predict" in answer.json()["methods"]


def test_a_million_rows_are_too_many(client: httpx.Client) -> None:
    """They are refused by count or by size, in every form, before a worker hears of them."""
    million = b'{"data": [' + b",".join([b"[1,1,1,1]"] * 1_000_000) + b"]}"
    answer = client.post("/models/iris/1", content=million, headers=JSON)
    assert (answer.status_code, _slug(answer)) == (413, "body-too-large")
    columns = {"inputs": {name: [1] * 100_000 for name in ("x0", "x1", "x2", "x3")}}
    for body in ({"data": [[1, 1, 1, 1]] * 200_000}, columns, {"instances": [[1, 1, 1, 1]] * 1001}):
        answer = client.post("/models/iris/1", json=body)
        assert (answer.status_code, _slug(answer), answer.json()["max_rows"]) == (413, "too-many-rows", 1000)
    lines = b"x0,x1,x2,x3\n" + b"1,1,1,1\n" * 1_000_000
    answer = client.post("/models/iris/1", content=lines, headers={"Content-Type": "text/csv"})
    assert (answer.status_code, _slug(answer)) == (413, "too-many-rows")
    answer = client.post("/models/iris/1", content=_npy(np.zeros((200_000, 4))), headers={"Content-Type": "application/x-npy"})
    assert (answer.status_code, _slug(answer)) == (413, "too-many-rows")


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/xml", "application/octet-stream", "application/json; charset=latin-1", "", "multipart/form-data"]
)
def test_the_wrong_content_type_is_refused(service: RunningService, kind: str) -> None:
    """Only JSON, CSV and npy are read, and only as UTF-8."""
    answer = ask(service, "POST", "/models/iris/1", json.dumps({"data": [ROW]}).encode(), Content_Type=kind)
    assert (answer.status, answer.slug) == (415, "unsupported-media-type")


@pytest.mark.parametrize(
    ("body", "slug"),
    [
        (b"", "malformed-body"),
        (b"x0,x1,x2,x3\n", "signature-mismatch"),
        (b"x0,x1,x2,x3\n1,2,3\n", "signature-mismatch"),
        (b"x0,x1,x2,x3\n1,2,3,abc\n", "signature-mismatch"),
        (b"x0,x1,x2,x3\n1,2,3,nan\n", "signature-mismatch"),
        (b"x0,x1,x2,x3\n1,2,3,1e999\n", "signature-mismatch"),
        (b"x0,x1,x2,x3\n1,2,3,\xd9\xa3\n", "signature-mismatch"),
        (b"x0,x0,x2,x3\n1,2,3,4\n", "malformed-body"),
        (b"x0,x1,x2,x9\n1,2,3,4\n", "signature-mismatch"),
        (b'x0,x1,x2,x3\n"1,2,3,4\n', "malformed-body"),
        (b"x0,x1,x2,x3\n1,2,3,\0\n", "signature-mismatch"),
        (b"\xff\xfe1\0", "malformed-body"),
    ],
)
def test_bad_csv_is_refused(client: httpx.Client, body: bytes, slug: str) -> None:
    """Short rows, texts, NaN, foreign digits, doubled and unknown columns, open quotes, other encodings."""
    answer = client.post("/models/iris/1", content=body, headers={"Content-Type": "text/csv"})
    assert (answer.status_code, _slug(answer)) == (400 if slug == "malformed-body" else 422, slug)


def test_bad_npy_is_refused(client: httpx.Client) -> None:
    """Objects above all, then texts, structures, other sizes, NaN, cut-off and lying headers."""
    plain = _npy(np.ones((2, 4)))
    objects = io.BytesIO()
    np.save(objects, np.array([[1, 1, 1, object]], object), allow_pickle=True)
    bad = {
        "objects": objects.getvalue(),
        "texts": _npy(np.array([["a"] * 4])),
        "structure": _npy(np.zeros(4, [("a", float)])),
        "cut off": plain[:-1],
        "longer": plain + b"\0",
        "lying shape": plain.replace(b"(2, 4)", b"(9, 4)"),
        "huge shape": plain.replace(b"(2, 4), ", b"(9" + b"9" * 5 + b"),"),
        "no npy": b"\x93NUMPX" + plain[6:],
        "empty": b"",
    }
    for name, body in bad.items():
        answer = client.post("/models/iris/1", content=body, headers={"Content-Type": "application/x-npy"})
        assert _slug(answer) in {"malformed-body", "signature-mismatch"}, name
    for array in (
        np.full((1, 4), np.nan),
        np.full((1, 4), np.inf),
        np.ones((1, 5)),
        np.ones((1, 2, 4)),
        np.ones((0, 4)),
        np.ones((1, 4), bool),
    ):
        answer = client.post("/models/iris/1", content=_npy(array), headers={"Content-Type": "application/x-npy"})
        assert (answer.status_code, _slug(answer)) == (422, "signature-mismatch"), array.shape


def test_bad_records_of_a_frame_are_named_by_column(client: httpx.Client) -> None:
    """A misspelt column gets the near name, a text for a number its column, a number for a text as well."""
    good = _people()[0]
    misspelt = {("agee" if name == "age" else name): value for name, value in good.items()}
    answer = client.post("/models/people/1", json={"instances": [misspelt]})
    assert 'did you mean "age"' in answer.json()["errors"][0]["detail"]
    for name, value in (("age", "young"), ("job", 5), ("member", "yes"), ("city", None)):
        answer = client.post("/models/people/1", json={"instances": [{**good, name: value}]})
        assert (answer.status_code, _slug(answer)) == (422, "signature-mismatch")
        assert answer.json()["errors"][0]["column"] == name


def test_a_body_over_the_limit_is_refused_with_and_without_its_length(service: RunningService) -> None:
    """What is announced too large isn't read; what comes in chunks is read up to the limit."""
    head = {**JSON, "Content-Length": str(1 << 40)}
    announced = exchange(service, request_bytes("POST", "/models/iris/1", service.admin_key, head) + b"{")
    assert (announced.status, announced.slug) == (413, "body-too-large")
    head = {**JSON, "Transfer-Encoding": "chunked"}
    sent = exchange(service, request_bytes("POST", "/models/iris/1", service.admin_key, head) + chunked(*[b" " * (1 << 20)] * 9))
    assert (sent.status, sent.slug) == (413, "body-too-large")


def test_a_chunked_and_a_large_body_are_predicted_like_any_other(service: RunningService, client: httpx.Client) -> None:
    """How the bytes come changes nothing of the answer."""
    rows = [[5.1, 3.5, 1.4, 0.2 + number / 1000] for number in range(1000)]
    text = json.dumps({"data": rows}).encode()
    padded = text + b" " * (300 * 1024)
    plain = client.post("/models/iris/1", content=text, headers=JSON).json()["prediction"]
    large = client.post("/models/iris/1", content=padded, headers=JSON)
    head = request_bytes("POST", "/models/iris/1", service.admin_key, {**JSON, "Transfer-Encoding": "chunked"})
    sent = exchange(service, head + chunked(text[:7], text[7:]))
    assert (large.json()["prediction"], large.headers["X-Cache"]) == (plain, "hit")
    assert json.loads(sent.body)["prediction"] == plain


def test_a_truncated_body_is_not_predicted(service: RunningService) -> None:
    """Fewer bytes than announced are malformed, small or large, even where they are valid JSON."""
    body = json.dumps({"data": [ROW]}).encode()
    for missing in (1, 1 << 20):
        head = request_bytes("POST", "/models/iris/1", service.admin_key, {**JSON, "Content-Length": str(len(body) + missing)})
        answer = exchange(service, head + body, half_close=True)
        assert (answer.status, answer.slug) == (400, "malformed-body")


def test_large_bodies_that_stall_take_no_more_than_half_of_the_slots_of_one_key(service: RunningService, client: httpx.Client) -> None:
    """Its third gets 429 at once, another key's large body is predicted meanwhile, and the stalled ones end with 408."""
    other = service.make_key("predict")
    head = request_bytes("POST", "/models/iris/1", other, {**JSON, "Transfer-Encoding": "chunked"})
    stalled = [connect(service) for _ in range(3)]
    for connection in stalled:
        connection.sendall(head + b"1\r\n{\r\n")
    large = json.dumps({"data": [ROW]}).encode() + b" " * (300 * 1024)
    assert client.post("/models/iris/1", content=large, headers=JSON).status_code == 200
    answers = [read_answer(connection) for connection in stalled]
    for connection in stalled:
        connection.close()
    assert sorted(answer.slug for answer in answers) == ["body-too-slow", "body-too-slow", "rate-limited"]


def test_names_that_are_well_formed_but_not_there_are_404(client: httpx.Client) -> None:
    """Each kind of absence has its own problem."""
    for path, slug in (
        ("none/1", "model-not-found"),
        ("none", "model-not-found"),
        ("iris/9", "version-not-found"),
        ("iris", "alias-not-found"),
        ("iris/@x", "alias-not-found"),
    ):
        answer = client.post(f"/models/{path}", json={"data": [ROW]})
        assert (answer.status_code, _slug(answer)) == (404, slug)


def _slug(answer: httpx.Response) -> str:
    return slug_of(answer.status_code, answer.headers, answer.content)


def _npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _people() -> list[dict[str, Any]]:
    return [
        {"age": 33.0, "job": "chef", "city": "Bonn", "member": True},
        {"age": None, "job": "nurse", "city": "Oslo", "member": False},
        {"age": 41.0, "job": None, "city": "Oslo", "member": False},
    ]
