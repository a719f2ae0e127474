"""Uploads: both forms of body, everything that can be wrong with them, and slow ones that must hurt nobody else."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import statistics
import threading
import time
import zipfile
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests import fixture_models, misbehaving
from tests.raw_http import Answer, ask, chunked, connect, exchange, read_answer, request_bytes, slug_of
from tests.running import RunningService, running

OCTETS = {"Content-Type": "application/octet-stream"}
MAX_BYTES = 200_000
ROW = [5.1, 3.5, 1.4, 0.2]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """One service with small limits and little patience."""
    instance = tmp_path_factory.mktemp("uploads") / "instance"
    settings = {"max_artifact_bytes": str(MAX_BYTES), "max_manifest_bytes": "2048", "upload_stall_seconds": "1", "min_free_bytes": "0"}
    with running(instance, web_processes="1", web_threads="64", extra_names=misbehaving.EXTRA_NAMES, **settings) as started:
        yield started


@pytest.fixture(scope="module")
def client(service: RunningService) -> Iterator[httpx.Client]:
    """Return the admin's client."""
    with service.client() as made:
        yield made


@pytest.fixture(scope="module")
def artifact() -> bytes:
    """Return a small model that loads."""
    return fixture_models.dump(fixture_models.iris().estimator)


def test_the_manifest_may_come_before_or_after_the_artifact(service: RunningService, artifact: bytes) -> None:
    """Either order of the parts gives the same version."""
    manifest = json.dumps(
        {"description": "ordered", "tags": {"a": "b"}, "metrics": {"accuracy": 0.9}, "parameters": {"C": [1, None]}}
    ).encode()
    for parts in ([("manifest", manifest), ("artifact", artifact)], [("artifact", artifact), ("manifest", manifest)]):
        answer = _multipart(service, "ordered", parts)
        version = json.loads(answer.body)
        assert (answer.status, version["description"], version["tags"]) == (201, "ordered", {"a": "b"}), answer.body
        assert (version["metrics"], version["parameters"]) == ({"accuracy": 0.9}, {"C": [1, None]})


def test_bare_bytes_take_the_manifests_scalars_from_the_query(client: httpx.Client, artifact: bytes) -> None:
    """Curl --data-binary is enough to publish, describe, check and point."""
    digest = hashlib.sha256(artifact).hexdigest()
    query = {
        "description": "bare",
        "sha256": digest,
        "alias": "production",
        "flavor": "sklearn",
        "accept_skew": "true",
        "batching": "false",
    }
    answer = client.post("/models/bare/versions", params=query, content=artifact, headers=OCTETS)
    version = answer.json()
    assert (answer.status_code, answer.headers["Location"]) == (201, "/models/bare/1"), answer.text
    assert (version["description"], version["aliases"], version["artifact"]) == (
        "bare",
        ["production"],
        {"sha256": digest, "size_bytes": len(artifact)},
    )
    assert (version["accept_skew"], version["batching"], version["flavor"]) == (True, False, "sklearn")
    assert client.post("/models/bare", json={"data": [ROW]}).json()["version"] == 1


def test_the_answer_says_what_admission_advises(client: httpx.Client, artifact: bytes) -> None:
    """A model whose two runs differ is published with the reason why its answers aren't cached; a plain one needs no advice."""
    plain = client.post("/models/advised/versions", content=artifact, headers=OCTETS).json()
    random = client.post("/models/advised/versions", content=misbehaving.model("non_deterministic", always=True), headers=OCTETS).json()
    assert (plain["advice"], plain["deterministic"]) == ([], True)
    assert (len(random["advice"]), random["deterministic"], random["golden"]) == (1, False, None)


def test_chunked_uploads_need_no_length(service: RunningService, artifact: bytes) -> None:
    """Bytes without an announced length are counted as they come."""
    head = request_bytes("POST", "/models/chunked/versions", service.admin_key, {**OCTETS, "Transfer-Encoding": "chunked"})
    answer = exchange(service, head + chunked(artifact[:100], artifact[100:]))
    assert (answer.status, json.loads(answer.body)["artifact"]["size_bytes"]) == (201, len(artifact))


REFUSED = {
    "empty": (b"", 415, "unknown-format"),
    "truncated": (None, 422, "not-a-model"),
    "html": (b"<!DOCTYPE html><html></html>", 415, "unknown-format"),
    "text": (b"hello world", 415, "unknown-format"),
    "zip": ("zip", 415, "unknown-format"),
    "csv": (b"a,b\n1,2\n", 415, "unknown-format"),
    "not_a_model": ("dict", 422, "not-a-model"),
    "class": ("class", 422, "not-a-model"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_model_is_refused_and_leaves_one_event(
    service: RunningService, client: httpx.Client, artifact: bytes, name: str
) -> None:
    """No version, no bytes in quarantine or store, and exactly one audit event."""
    body, status, slug = REFUSED[name]
    before = _stored(service)
    answer = client.post(f"/models/refused-{name.replace('_', '-')}/versions", content=_content(body, artifact), headers=OCTETS)
    assert (answer.status_code, _slug(answer)) == (status, slug), answer.text
    _require_no_trace(service, client, f"refused-{name.replace('_', '-')}", slug, before)


def test_an_artifact_over_the_limit_is_refused_with_and_without_its_length(service: RunningService, client: httpx.Client) -> None:
    """An announced one isn't even read; a chunked one is cut off at the limit. Multipart knows both, too."""
    before = _stored(service)
    large = b"\0" * (MAX_BYTES * 3)
    announced = exchange(
        service, request_bytes("POST", "/models/large-1/versions", service.admin_key, {**OCTETS, "Content-Length": str(1 << 40)})
    )
    head = request_bytes("POST", "/models/large-2/versions", service.admin_key, {**OCTETS, "Transfer-Encoding": "chunked"})
    sent = exchange(service, head + chunked(*[large[i : i + 10_000] for i in range(0, len(large), 10_000)]))
    parts = _multipart(service, "large-3", [("artifact", large)])
    for number, answer in enumerate((announced, sent, parts), start=1):
        assert (answer.status, answer.slug) == (413, "artifact-too-large")
        _require_no_trace(service, client, f"large-{number}", "artifact-too-large", before)


def test_an_aborted_upload_leaves_nothing(service: RunningService, client: httpx.Client, artifact: bytes) -> None:
    """Half of the bytes and a closed connection: announced, chunked or inside of a part."""
    before = _stored(service)
    head = request_bytes("POST", "/models/aborted-1/versions", service.admin_key, {**OCTETS, "Content-Length": str(len(artifact))})
    announced = exchange(service, head + artifact[:300], half_close=True)
    assert (announced.status, announced.slug) == (400, "upload-incomplete")
    body, content_type = _form([("artifact", artifact)])
    head = request_bytes(
        "POST", "/models/aborted-2/versions", service.admin_key, {"Content-Type": content_type, "Content-Length": str(len(body) - 20)}
    )
    parts = exchange(service, head + body[:-20])
    assert (parts.status, parts.slug) == (400, "malformed-body")
    for number, slug in enumerate(("upload-incomplete", "malformed-body"), start=1):
        _require_no_trace(service, client, f"aborted-{number}", slug, before)
    head = request_bytes("POST", "/models/aborted-3/versions", service.admin_key, {**OCTETS, "Transfer-Encoding": "chunked"})
    with connect(service) as connection:
        connection.sendall(head + chunked(artifact[:300], end=False))
    _poll(lambda: _stored(service) == before)
    assert client.get("/models/aborted-3").status_code == 404


@pytest.mark.parametrize(
    ("parts", "status", "slug"),
    [
        ([("manifest", b"{}")], 422, "invalid-request"),
        ([("artifact", b"x"), ("artifact", b"x")], 422, "invalid-request"),
        ([("manifest", b"{}"), ("manifest", b"{}"), ("artifact", b"x")], 422, "invalid-request"),
        ([("artifact", b"x"), ("extra", b"x")], 422, "invalid-request"),
        ([("extra", b"x"), ("artifact", b"x")], 422, "invalid-request"),
        ([("artifact", b"x"), ("manifest", b"{}"), ("third", b"x")], 422, "invalid-request"),
        ([("artifact", b"x"), ("manifest", b"[]")], 422, "invalid-request"),
        ([("artifact", b"x"), ("manifest", b'{"colour": 1}')], 422, "invalid-request"),
        ([("artifact", b"x"), ("manifest", b'{"path": "/etc/passwd"}')], 422, "invalid-request"),
        ([("artifact", b"x"), ("manifest", b'{"alias": "latest"}')], 422, "invalid-request"),
        ([("artifact", b"x"), ("manifest", b'{"sha256": "zz"}')], 422, "invalid-request"),
        ([("artifact", b"x"), ("manifest", b'{"tags": {"a": 1}}')], 422, "invalid-request"),
        ([("artifact", b"x"), ("manifest", b'{"metrics": {"a": "high"}}')], 422, "invalid-request"),
        ([("artifact", b"x"), ("manifest", b'{"metrics": {"a": NaN}}')], 400, "malformed-body"),
        ([("artifact", b"x"), ("manifest", b'{"tags": {}, "tags": {}}')], 400, "malformed-body"),
        ([("artifact", b"x"), ("manifest", b'{"description": "a\\u0000"}')], 400, "malformed-body"),
        ([("artifact", b"x"), ("manifest", b"[" * 2000)], 400, "malformed-body"),
        ([("artifact", b"x"), ("manifest", b'{"description": "' + b"x" * 3000 + b'"}')], 413, "body-too-large"),
    ],
)  # fmt: skip
def test_unknown_double_and_bad_parts_are_refused(service: RunningService, parts: list[tuple[str, bytes]], status: int, slug: str) -> None:
    """An upload has one part `artifact`, at most one part `manifest`, and no field that isn't known."""
    answer = _multipart(service, "parts", parts)
    assert (answer.status, answer.slug) == (status, slug), answer.body


@pytest.mark.parametrize("query", ["?colour=1", "?alias=latest", "?alias=a&alias=b", "?sha256=zz", "?runtime=quick", "?tags=a:b"])
def test_unknown_and_double_query_fields_are_refused(service: RunningService, artifact: bytes, query: str) -> None:
    """The query of a bare upload is as strict as a manifest."""
    answer = ask(service, "POST", f"/models/query/versions{query}", artifact, Content_Type="application/octet-stream")
    assert (answer.status, answer.slug) == (422, "invalid-request")


@pytest.mark.parametrize(
    "kind",
    [
        "text/html",
        "application/json",
        "",
        "multipart/form-data",
        "multipart/form-data; boundary=" + "x" * 300,
        "multipart/mixed; boundary=x",
    ],
)
def test_another_content_type_or_boundary_is_refused(service: RunningService, artifact: bytes, kind: str) -> None:
    """And refusing it leaves no thread behind: a hundred of them don't use up the readers."""
    for _ in range(30):
        answer = ask(service, "POST", "/models/kind/versions", artifact, Content_Type=kind)
        assert answer.slug in {"unsupported-media-type", "malformed-body"}
    good = ask(service, "POST", "/models/kind/versions", artifact, Content_Type="application/octet-stream")
    assert good.status == 201


def test_digests_that_differ_are_refused_and_right_ones_pass(client: httpx.Client, artifact: bytes) -> None:
    """`sha256` is of the artifact; Content-Digest of the whole body, which for a bare upload is the same."""
    right, wrong = hashlib.sha256(artifact).digest(), hashlib.sha256(b"other").digest()
    for headers, query, status in (
        ({"Content-Digest": _digest(right)}, {}, 201),
        ({"Content-Digest": f"sha-512=:AAAA:, {_digest(right)}"}, {"sha256": right.hex()}, 201),
        ({"Content-Digest": _digest(wrong)}, {}, 422),
        ({}, {"sha256": wrong.hex()}, 422),
    ):
        answer = client.post("/models/digest/versions", params=query, content=artifact, headers={**OCTETS, **headers})
        assert answer.status_code == status
        if status == 422:
            assert _slug(answer) == "checksum-mismatch"
    for header in ("sha-512=:AAAA:", "sha-256=:AAAA:", "sha-256=nothing", "nonsense"):
        answer = client.post("/models/digest/versions", content=artifact, headers={**OCTETS, "Content-Digest": header})
        assert (answer.status_code, _slug(answer)) == (422, "invalid-request")


@pytest.mark.parametrize(
    "manifest",
    [
        {"input_example": [["a", "b", "c", "d"]]},
        {"input_example": [[1, 2, 3]]},
        {"input_example": []},
        {"input_example": "text"},
        {"input_example": {"x0": [1]}},
        {"signature": {"inputs": [{"name": "x", "type": "float64"}]}},
        {"signature": {"inputs": [{"name": "x0", "type": "object"}]}},
        {"signature": {"inputs": 5}},
    ],
)
def test_an_example_or_signature_that_does_not_fit_is_refused(
    service: RunningService, client: httpx.Client, artifact: bytes, manifest: dict[str, Any]
) -> None:
    """It is said before the version exists, not at the first prediction."""
    files = {"artifact": ("m", artifact), "manifest": (None, json.dumps(manifest), "application/json")}
    answer = client.post("/models/unfit/versions", files=files)
    assert (answer.status_code, _slug(answer)) == (422, "signature-mismatch"), answer.text
    assert client.get("/models/unfit").status_code == 404


def test_an_upload_that_stalls_gets_408_and_the_process_goes_on(service: RunningService, client: httpx.Client, artifact: bytes) -> None:
    """However the client holds its connection afterwards, others are served."""
    for extra in ({"Content-Length": "5000"}, {"Transfer-Encoding": "chunked"}):
        head = request_bytes("POST", "/models/stalled/versions", service.admin_key, {**OCTETS, **extra})
        with connect(service) as connection:
            connection.sendall(head + (chunked(artifact[:300], end=False) if "Transfer-Encoding" in extra else artifact[:300]))
            answer = read_answer(connection)
            assert (answer.status, answer.slug) == (408, "upload-timeout")
            for _ in range(5):
                assert client.get("/health/live", timeout=5).status_code == 200


def test_a_fifth_upload_of_one_key_gets_429_at_once(service: RunningService, client: httpx.Client, artifact: bytes) -> None:
    """Four may be under way; another key's goes on; and once one ends, the next is taken."""
    key = service.make_key("publish")
    slow = [_Slow(service, key, f"four-{number}", artifact) for number in range(4)]
    try:
        slots, own = service.instance / "run" / "upload-slots", f"key-{key.split('_')[1]}.*"
        # A slot of the host is taken after the key's is locked; an upload of another test may still be ending.
        _poll(lambda: len(list(slots.glob(own))) == 4 and len(list(slots.glob("host.*"))) >= 4)
        fifth = ask(service, "POST", "/models/four-4/versions", artifact, key, Content_Type="application/octet-stream")
        assert (fifth.status, fifth.slug) == (429, "too-many-uploads")
        assert client.post("/models/four-5/versions", content=artifact, headers=OCTETS).status_code == 201
        assert [upload.finish().status for upload in slow] == [201] * 4
        again = ask(service, "POST", "/models/four-4/versions", artifact, key, Content_Type="application/octet-stream")
        assert again.status == 201
    finally:
        for upload in slow:
            upload.close()


@pytest.mark.alone
def test_slow_uploads_leave_predictions_alone(tmp_path_factory: pytest.TempPathFactory, artifact: bytes) -> None:
    """Eight uploads stall and eight trickle while predictions go on: none fails, the median stays within twice what it was, and the
    next upload gets its 503 at once. When the slow ones go on, each becomes a version.
    """
    instance = tmp_path_factory.mktemp("slow") / "instance"
    with running(instance, measured=False, upload_stall_seconds="20", upload_min_bytes_per_second="0") as service:
        service.publish("iris", artifact)
        keys = [service.make_key("publish") for _ in range(4)]
        calm = _median_of_predictions(service, seconds=1)
        slow = [_Slow(service, keys[number % 4], f"slow-{number}", artifact) for number in range(16)]
        trickling = threading.Event()
        trickles = [threading.Thread(target=upload.trickle, args=(trickling,)) for upload in slow[8:]]
        for thread in trickles:
            thread.start()
        try:
            _poll(lambda: len(list((instance / "run" / "upload-slots").glob("host.*"))) == 16)
            began = time.monotonic()
            refused = ask(service, "POST", "/models/next/versions", artifact, Content_Type="application/octet-stream")
            assert (refused.status, refused.slug, time.monotonic() - began < 1) == (503, "no-upload-slot", True)
            busy = _median_of_predictions(service, seconds=2)
            assert busy < 2 * calm, f"median went from {1000 * calm:.2f} ms to {1000 * busy:.2f} ms"
        finally:
            trickling.set()
            for thread in trickles:
                thread.join()
        assert [upload.finish().status for upload in slow] == [201] * 16


class _Slow:
    """An upload that is begun and goes on when it is told to."""

    def __init__(self, service: RunningService, key: str, name: str, artifact: bytes) -> None:
        self._artifact = artifact
        self._sent = 200
        self._connection = connect(service, 60)
        head = request_bytes("POST", f"/models/{name}/versions", key, {**OCTETS, "Content-Length": str(len(artifact))})
        self._connection.sendall(head + artifact[: self._sent])

    def trickle(self, stop: threading.Event) -> None:
        while not stop.wait(0.05) and self._sent < len(self._artifact) - 1:
            self._connection.sendall(self._artifact[self._sent : self._sent + 1])
            self._sent += 1

    def finish(self) -> Answer:
        self._connection.sendall(self._artifact[self._sent :])
        with self._connection:
            return read_answer(self._connection)

    def close(self) -> None:
        self._connection.close()


def _median_of_predictions(service: RunningService, seconds: float) -> float:
    spent = []
    until = time.monotonic() + seconds
    with service.client() as client:
        while time.monotonic() < until:
            began = time.monotonic()
            answer = client.post("/models/iris/1", json={"data": [ROW]}, headers={"Cache-Control": "no-store"})
            spent.append(time.monotonic() - began)
            assert answer.status_code == 200, answer.text
    return statistics.median(spent)


def _multipart(service: RunningService, name: str, parts: list[tuple[str, bytes]]) -> Answer:
    body, content_type = _form(parts)
    return ask(service, "POST", f"/models/{name}/versions", body, Content_Type=content_type)


def _form(parts: list[tuple[str, bytes]]) -> tuple[bytes, str]:
    lines = [
        f'--limit\r\nContent-Disposition: form-data; name="{name}"; filename="../../{name}"\r\n\r\n'.encode() + content + b"\r\n"
        for name, content in parts
    ]
    return b"".join(lines) + b"--limit--\r\n", "multipart/form-data; boundary=limit"


def _content(kind: Any, artifact: bytes) -> bytes:
    if isinstance(kind, bytes):
        return kind
    if kind is None:
        return artifact[:-50]
    if kind == "zip":
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("model.joblib", artifact)
        return buffer.getvalue()
    return fixture_models.dump({"model": 1} if kind == "dict" else type(fixture_models.iris().estimator))


def _require_no_trace(service: RunningService, client: httpx.Client, name: str, slug: str, before: list[str]) -> None:
    assert client.get(f"/models/{name}").status_code == 404
    assert _stored(service) == before
    events = client.get("/events", params={"model": name}).json()["items"]
    assert [(event["kind"], event["detail"]["problem"]) for event in events] == [("upload.refused", slug)]


def _stored(service: RunningService) -> list[str]:
    return sorted(path.name for path in (service.instance / "artifacts").rglob("*") if path.is_file() and path.name != ".lock")


def _poll(holds: Any, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.02)


def _digest(digest: bytes) -> str:
    return f"sha-256=:{base64.b64encode(digest).decode()}:"


def _slug(answer: httpx.Response) -> str:
    return slug_of(answer.status_code, answer.headers, answer.content)
