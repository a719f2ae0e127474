"""Refused uploads: what each answer says and points at, hostile files, full slots; none leaves more than one event."""

from __future__ import annotations

import io
import json
import pickle
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import StandardScaler

from tests import fixture_models, misbehaving
from tests.raw_http import Answer, ask, connect, read_answer, request_bytes, slug_of
from tests.running import RunningService, dumped, running

OCTETS = {"Content-Type": "application/octet-stream"}
ROW = {"data": [[5.1, 3.5, 1.4, 0.2]]}
WRONG_SHA256 = "0" * 64


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """One service that takes two uploads at once and gives a load three seconds, with one model that goes on."""
    instance = tmp_path_factory.mktemp("refused") / "instance"
    settings = {"upload_slots": "2", "load_timeout_seconds": "3", "worker_memory_bytes": "1GiB", "min_free_bytes": "0"}
    with running(instance, measured=False, **settings, extra_names=misbehaving.EXTRA_NAMES) as started:
        started.publish("goes-on", fixture_models.iris().estimator)
        yield started


@pytest.fixture(scope="module")
def client(service: RunningService) -> Iterator[httpx.Client]:
    """Give the admin's client."""
    with service.client() as made:
        yield made


@pytest.fixture(scope="module")
def artifact() -> bytes:
    """Return a small model that loads."""
    return fixture_models.dump(fixture_models.iris().estimator)


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("weights.json", "{}")
    return buffer.getvalue()


FILES: dict[str, tuple[Callable[[], bytes], int, str, str]] = {
    "empty": (lambda: b"", 415, "unknown-format", "The artifact is empty."),
    "html": (lambda: b"\n <!DOCTYPE html><title>502</title>", 415, "unknown-format", "HTML page"),
    "zip": (_zip, 415, "unknown-format", "zip archive"),
    "png": (lambda: b"\x89PNG\r\n\x1a\n" + b"\0" * 50, 415, "unknown-format", "image"),
    "json": (lambda: b'{"model": 1}', 415, "unknown-format", "JSON"),
    "lfs": (lambda: b"version https://git-lfs.github.com/spec/v1\n", 415, "unknown-format", "git lfs pull"),
    "npy": (lambda: b"\x93NUMPY\x01\x00", 415, "unknown-format", "NumPy array"),
    "unknown": (lambda: b"\xfe\xfe\xfe\xfe", 415, "unknown-format", "joblib.dump"),
    "dict": (lambda: dumped({"model": LinearRegression()}), 422, "not-a-model", "dump the estimator that is in it"),
    "class": (lambda: dumped(LinearRegression), 422, "not-a-model", "no fitted estimator"),
    "array": (lambda: dumped(np.zeros(3)), 422, "not-a-model", "isn't an estimator"),
    "text": (lambda: pickle.dumps("model"), 422, "not-a-model", "isn't an estimator"),
    "not-fitted": (lambda: dumped(LinearRegression()), 422, "not-a-model", "isn't fitted"),
    "no-predict": (lambda: dumped(StandardScaler().fit(np.eye(3))), 422, "not-a-model", "predict"),
    "truncated": (lambda: fixture_models.dump(fixture_models.iris().estimator)[:-40], 422, "not-a-model", "damaged or cut off"),
    "truncated-compressed": (
        lambda: fixture_models.dump(fixture_models.iris().estimator, 3)[:-40],
        422,
        "not-a-model",
        "damaged or cut off",
    ),
    "missing-module": (
        lambda: b"\x80\x04cno_such_module\nModel\n)\x81.",
        422,
        "unsafe-artifact",
        "MODELYARD_EXTRA_NAMES=no_such_module:Model",
    ),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_is_no_model_is_refused_with_words_that_help(service: RunningService, client: httpx.Client, kind: str) -> None:
    """What it probably is, and what to publish instead."""
    make, status, slug, words = FILES[kind]
    before = _stored(service)
    answer = client.post(f"/models/file-{kind}/versions", content=make(), headers=OCTETS)
    assert _slug(answer, status) == slug
    assert words in answer.json()["detail"]
    _require_no_trace(service, client, f"file-{kind}", slug, before)


@pytest.mark.parametrize(
    ("make", "slug", "words"),
    [
        (misbehaving.opens_file_at_load, "unsafe-artifact", "tried to reach a file"),
        (misbehaving.starts_child_at_load, "unsafe-artifact", "another process"),
        (misbehaving.exits_at_load, "unsafe-artifact", "ended"),
        (misbehaving.sleeps_at_load, "unsafe-artifact", "took longer than 3 s"),
        (misbehaving.allocates_at_load, "not-a-model", "needs more memory"),
    ],
)
def test_a_file_that_is_hostile_when_it_loads_is_refused_and_the_service_goes_on(
    service: RunningService, client: httpx.Client, make: Callable[[], bytes], slug: str, words: str
) -> None:
    """It reads, starts, exits, sleeps or allocates, alone in its worker: 422, one event, and predictions as before."""
    name, before = make.__name__.replace("_", "-"), _stored(service)
    answer = client.post(f"/models/{name}/versions", content=make(), headers=OCTETS)
    assert _slug(answer, 422) == slug
    assert words in answer.json()["detail"]
    _require_no_trace(service, client, name, slug, before)
    assert client.post("/models/goes-on/1", json=ROW, headers={"Cache-Control": "no-store"}).status_code == 200
    assert client.get("/health/ready").json()["parts"]["workers"] == "up"


@pytest.mark.parametrize(
    ("manifest", "pointer", "words"),
    [
        ({"colour": 1}, "#/colour", "unknown field 'colour'"),
        ({"url": "http://127.0.0.1/model"}, "#/url", "unknown field 'url'"),
        ({"alias": "latest"}, "#/alias", "reserved"),
        ({"alias": "Production"}, "#/alias", "starts with a letter"),
        ({"alias": 5}, "#/alias", "string"),
        ({"sha256": "zz"}, "#/sha256", "pattern"),
        ({"metrics": {"accuracy": "high"}}, "#/metrics/accuracy", "number"),
        ({"metrics": {"a/b~c": None}}, "#/metrics/a~1b~0c", "number"),
        ({"metrics": [1]}, "#/metrics", "dictionary"),
        ({"tags": {"team": 1}}, "#/tags/team", "string"),
        ({"source": {"commit": 1}}, "#/source/commit", "string"),
        ({"description": 5}, "#/description", "string"),
        ({"runtime": "quick"}, "#/runtime", "exact"),
        ({"accept_skew": "perhaps"}, "#/accept_skew", "bool"),
        ({"batching": None}, "#/batching", "bool"),
        ({"signature": []}, "#/signature", "dictionary"),
    ],
)
def test_each_wrong_field_of_a_manifest_is_named_with_its_pointer(
    service: RunningService, client: httpx.Client, artifact: bytes, manifest: dict[str, Any], pointer: str, words: str
) -> None:
    """Before a worker ever sees the bytes, and whichever part comes first."""
    before = _stored(service)
    answer = _publish(client, "manifest", artifact, json.dumps(manifest).encode())
    assert _slug(answer, 422) == "invalid-request"
    (found,) = answer.json()["errors"]
    assert (found["pointer"], words in found["detail"]) == (pointer, True), found
    assert (_stored(service), client.get("/models/manifest").status_code) == (before, 404)


@pytest.mark.parametrize(
    "manifest",
    [b'{"metrics": {"a": NaN}}', b'{"metrics": {"a": Infinity}}', b'{"metrics": {"a": 1e999}}', b"{", b"\xff", b'{"tags": {}, "tags": {}}'],
)
def test_a_manifest_that_is_not_strict_json_is_malformed(client: httpx.Client, artifact: bytes, manifest: bytes) -> None:
    """NaN above all, which no reader of the metrics could be given."""
    assert _slug(_publish(client, "manifest", artifact, manifest), 400) == "malformed-body"


def test_every_wrong_field_is_listed_at_once(client: httpx.Client, artifact: bytes) -> None:
    """Nobody has to upload again to hear of the next one."""
    answer = _publish(client, "manifest", artifact, b'{"colour": 1, "alias": "latest", "sha256": "zz"}')
    assert {found["pointer"] for found in answer.json()["errors"]} == {"#/colour", "#/alias", "#/sha256"}
    query = client.post("/models/manifest/versions", params={"colour": "1", "tags": "a:b"}, content=artifact, headers=OCTETS)
    assert _slug(query, 422) == "invalid-request"
    assert {found["pointer"] for found in query.json()["errors"]} == {"#/colour", "#/tags"}


@pytest.mark.parametrize(
    ("manifest", "pointer", "words"),
    [
        ({"input_example": [[1, 2, 3]]}, "#/input_example", "takes 4 columns, not 3"),
        ({"input_example": [[1, 2, 3, 4], [1, 2]]}, "#/input_example/1", "row of 4 values"),
        ({"input_example": []}, "#/input_example", "at least one"),
        ({"input_example": 5}, "#/input_example", "list of rows"),
        ({"input_example": [["a", "b", "c", "d"]]}, "#/input_example", "predict raised"),
        ({"signature": {}}, "#/signature", "list of inputs"),
        ({"signature": {"inputs": [5] * 4}}, "#/signature/inputs/0", "expected a column"),
        ({"signature": {"inputs": [{"name": "x0", "type": "object"}] * 4}}, "#/signature/inputs/0/type", "expected one of"),
        ({"signature": {"inputs": [{"name": "x0", "type": "float64"}]}}, "#/signature", "takes 4 columns, not 1"),
        ({"signature": {"inputs": [{"name": "x0"}], "colour": 1}}, "#/signature/colour", "unknown field"),
    ],
)
def test_an_example_or_signature_that_does_not_fit_is_pointed_at(
    service: RunningService, client: httpx.Client, artifact: bytes, manifest: dict[str, Any], pointer: str, words: str
) -> None:
    """Found when it is published, not at the first prediction."""
    before = _stored(service)
    answer = _publish(client, "unfit", artifact, json.dumps(manifest).encode())
    assert _slug(answer, 422) == "signature-mismatch"
    assert any(found["pointer"] == pointer and words in found["detail"] for found in answer.json()["errors"]), answer.text
    assert (_stored(service), client.get("/models/unfit").status_code) == (before, 404)


BROKEN = {
    "no-end": b'--b\r\nContent-Disposition: form-data; name="artifact"\r\n\r\nbytes',
    "other-boundary": b'--c\r\nContent-Disposition: form-data; name="artifact"\r\n\r\nbytes\r\n--c--\r\n',
    "no-headers": b"--b\r\n\r\nbytes\r\n--b--\r\n",
    "no-name": b"--b\r\nContent-Disposition: form-data\r\n\r\nbytes\r\n--b--\r\n",
    "bare-line-feeds": b'--b\nContent-Disposition: form-data; name="artifact"\n\nbytes\n--b--\n',
    "endless-header": b"--b\r\nContent-Disposition: form-data; x=" + b"y" * 20_000 + b"\r\n\r\n\r\n--b--\r\n",
    "empty": b"",
    "no-part": b"--b--\r\n",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_multipart_body_leaves_one_event(service: RunningService, client: httpx.Client, kind: str) -> None:
    """Malformed, or without what an upload must have; never a part of a model."""
    before = _stored(service)
    answer = client.post(f"/models/form-{kind}/versions", content=BROKEN[kind], headers={"Content-Type": "multipart/form-data; boundary=b"})
    slug = slug_of(answer.status_code, answer.headers, answer.content)
    assert (answer.status_code, slug) in {(400, "malformed-body"), (422, "invalid-request")}
    _require_no_trace(service, client, f"form-{kind}", slug, before)


@pytest.mark.parametrize(
    ("query", "headers", "status", "slug"),
    [
        ({}, {"Content-Type": "text/html"}, 415, "unsupported-media-type"),
        ({}, {"Content-Type": "multipart/form-data"}, 400, "malformed-body"),
        ({"colour": "1"}, OCTETS, 422, "invalid-request"),
        ({}, {**OCTETS, "Content-Digest": "nonsense"}, 422, "invalid-request"),
        ({"alias": "x"}, {"Content-Type": "multipart/form-data; boundary=b"}, 422, "invalid-request"),
        ({"sha256": WRONG_SHA256}, OCTETS, 422, "checksum-mismatch"),
        ({}, {**OCTETS, "Content-Digest": f"sha-256=:{'A' * 43}=:"}, 422, "checksum-mismatch"),
    ],
)  # fmt: skip
def test_an_upload_that_is_refused_by_its_head_or_digest_leaves_one_event_too(
    service: RunningService, client: httpx.Client, artifact: bytes, query: dict[str, str], headers: dict[str, str], status: int, slug: str
) -> None:
    """Whatever was wrong with it, the audit trail has it once, with the reason."""
    name = f"head-{uuid.uuid4().hex[:12]}"
    before = _stored(service)
    answer = client.post(f"/models/{name}/versions", params=query, content=artifact, headers=headers)
    assert _slug(answer, status) == slug
    _require_no_trace(service, client, name, slug, before)


def test_a_checksum_that_differs_is_told_with_both(client: httpx.Client, artifact: bytes) -> None:
    """So that the publisher sees which file it was."""
    answer = client.post("/models/digests/versions", params={"sha256": WRONG_SHA256}, content=artifact, headers=OCTETS)
    assert _slug(answer, 422) == "checksum-mismatch"
    assert (answer.json()["expected"], len(answer.json()["sha256"])) == (WRONG_SHA256, 64)


def test_the_event_of_a_refused_upload_says_who_and_why(service: RunningService, client: httpx.Client) -> None:
    """Actor, model, problem and the words of the answer."""
    key = service.make_key("publish", "read")
    with service.client(key) as other:
        me = other.get("/me").json()["id"]
        answer = other.post("/models/told/versions", content=b"<html>", headers=OCTETS)
    (event,) = client.get("/events", params={"actor": me}).json()["items"]
    assert (event["kind"], event["model"], event["version"]) == ("upload.refused", "told", None)
    assert (event["reason"], event["detail"]["problem"]) == (answer.json()["detail"], "unknown-format")


def test_an_upload_with_no_slot_free_on_the_host_gets_503_at_once(service: RunningService, artifact: bytes) -> None:
    """Two keys hold the host's two slots, a third is told to come again, and is taken once one is done; predictions go on."""
    keys = [service.make_key("publish") for _ in range(3)]
    held = [_Held(service, key, artifact) for key in keys[:2]]
    try:
        _poll(lambda: len(list((service.instance / "run" / "upload-slots").glob("host.*"))) == 2)
        for _ in range(4):
            began = time.monotonic()
            third = ask(service, "POST", "/models/held/versions", artifact, keys[2], Content_Type="application/octet-stream")
            assert (third.status, third.slug, time.monotonic() - began < 2) == (503, "no-upload-slot", True)
        with service.client() as client:
            assert client.post("/models/goes-on/1", json=ROW).status_code == 200
        assert held[0].finish().status == 201
        again = ask(service, "POST", "/models/held/versions", artifact, keys[2], Content_Type="application/octet-stream")
        assert (again.status, held[1].finish().status) == (201, 201)
    finally:
        for upload in held:
            upload.close()


class _Held:
    """An upload that was begun and waits."""

    def __init__(self, service: RunningService, key: str, artifact: bytes) -> None:
        self._rest = artifact[100:]
        self._connection = connect(service)
        head = request_bytes("POST", "/models/held/versions", key, {**OCTETS, "Content-Length": str(len(artifact))})
        self._connection.sendall(head + artifact[:100])

    def finish(self) -> Answer:
        self._connection.sendall(self._rest)
        return read_answer(self._connection)

    def close(self) -> None:
        self._connection.close()


def _publish(client: httpx.Client, name: str, artifact: bytes, manifest: bytes) -> httpx.Response:
    files: dict[str, Any] = {"artifact": ("model.joblib", artifact), "manifest": (None, manifest, "application/json")}
    return client.post(f"/models/{name}/versions", files=files)


def _require_no_trace(service: RunningService, client: httpx.Client, name: str, slug: str, before: list[str]) -> None:
    """Check that neither model nor bytes are there, and one event with the problem is."""
    assert client.get(f"/models/{name}").status_code == 404
    assert _stored(service) == before
    events = client.get("/events", params={"model": name}).json()["items"]
    assert [(event["kind"], event["detail"]["problem"]) for event in events] == [("upload.refused", slug)]


def _stored(service: RunningService) -> list[str]:
    return sorted(path.name for path in (service.instance / "artifacts").rglob("*") if path.is_file() and path.name != ".lock")


def _poll(holds: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.02)


def _slug(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    return slug_of(status, answer.headers, answer.content)
