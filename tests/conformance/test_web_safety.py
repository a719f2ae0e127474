"""What the web side refuses, hides and bounds, where no other test says so; and that docs/web-safety.md names only tests that exist."""

from __future__ import annotations

import ast
import base64
import contextlib
import hashlib
import json
import os
import pickle
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from registry import keys
from registry.api.requests import NO_CONTENT
from registry.api.timed_body import Readers, TimedBody
from registry.api.uploads import ManifestBody
from registry.errors import UploadTimeout
from registry.observability import hide_keys
from tests import fixture_models
from tests.raw_http import Answer, ask, connect, read_answer, request_bytes, slug_of
from tests.running import RunningService, dumped, running

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "web-safety.md"
ROW = [5.1, 3.5, 1.4, 0.2]
OCTETS = {"Content-Type": "application/octet-stream"}
#: Every content type that there is: a browser makes a page of none of them.
CONTENT_TYPES = {"application/json", "application/problem+json", "application/octet-stream", "application/x-npy", "text/plain"}
SCRIPT = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def artifact() -> bytes:
    """Return a model as its file."""
    return dumped(fixture_models.iris().estimator)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, artifact: bytes) -> Iterator[RunningService]:
    """One service with one model, for the tests of this module."""
    settings = {
        "web_processes": "1",
        "web_threads": "16",
        "max_body_bytes": "1MiB",
        "upload_stall_seconds": "1",
        "upload_min_bytes_per_second": "200000",
    }
    with running(tmp_path_factory.mktemp("web") / "instance", failed_auth_limit="100000/minute", **settings) as started:
        started.publish("iris", artifact, {"alias": "production"})
        yield started


@pytest.fixture(scope="module")
def client(service: RunningService) -> Iterator[httpx.Client]:
    """Give the admin's client."""
    with service.client() as made:
        yield made


@pytest.fixture
def key(service: RunningService) -> str:
    """Return a key that is good for reading."""
    return service.make_key("read")


def slug(answer: httpx.Response, status: int) -> str:
    """Return the slug of a problem of this status."""
    assert answer.status_code == status, answer.text
    return slug_of(status, answer.headers, answer.content)


# -- keys -------------------------------------------------------------------------------------------------------------


def test_secrets_and_macs_are_compared_in_constant_time() -> None:
    """Let no `==` decide over a secret, its hash or a MAC, and give `compare_digest` bytes, since it raises on texts that aren't ASCII."""
    decides = {("registry/keys.py", "secret_matches"), ("registry/serving/predictions.py", "get")}
    for module, name in decides:
        function = next(node for node in ast.walk(tree(ROOT / module)) if isinstance(node, ast.FunctionDef) and node.name == name)
        calls = [ast.unparse(node.func) for node in ast.walk(function) if isinstance(node, ast.Call)]
        assert "hmac.compare_digest" in calls, f"{module}: {name}"
        assert not any(isinstance(node, ast.Compare) for node in ast.walk(function)), f"{module}: {name} compares by itself"
    for path in sorted((ROOT / "registry").rglob("*.py")):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Compare) and any(isinstance(operator, ast.Eq | ast.NotEq) for operator in node.ops):
                sides = [ast.unparse(side) for side in (node.left, *node.comparators)]
                assert not any(re.match(r"(\w+\.)*(secret|\w*pepper|_?mac|hash|hash_secret)\b", side) for side in sides), f"{path}: {sides}"
    assert not keys.secret_matches("\u00e9\u0661".encode(), keys.hash_secret(b"x", b"pepper"), b"pepper")


@pytest.mark.parametrize("place", ["name", "names", "deep", "description", "reason", "manifest", "query", "idempotency"])
def test_a_key_is_refused_wherever_it_would_be_kept(client: httpx.Client, key: str, artifact: bytes, place: str) -> None:
    """Say to rotate it, and keep nothing: what is stored is shown to others."""
    multipart = {"artifact": ("m", artifact), "manifest": (None, json.dumps({"source": {"notebook": f"k={key}"}}), "application/json")}
    asked: dict[str, Callable[[], httpx.Response]] = {
        "name": lambda: client.post("/keys", json={"name": f"for {key}.", "scopes": ["read"]}),
        "names": lambda: client.patch("/models/iris", json={"tags": {key: "1"}}),
        "deep": lambda: client.patch("/models/iris/1", json={"tags": {"a": "b", "c": key}}),
        "description": lambda: client.patch("/models/iris", json={"description": f"curl -H 'Authorization: Bearer {key}'"}),
        "reason": lambda: client.put("/models/iris/aliases/kept", json={"version": 1, "reason": key}),
        "manifest": lambda: client.post("/models/kept/versions", files=multipart),
        "query": lambda: client.post("/models/kept/versions", params={"description": key}, content=artifact, headers=OCTETS),
        "idempotency": lambda: client.put("/models/iris/aliases/kept", json={"version": 1}, headers={"Idempotency-Key": key}),
    }
    answer = asked[place]()
    assert slug(answer, 422) == "invalid-request"
    assert ("rotate" in answer.json()["detail"], key in answer.text) == (True, False)
    assert client.get("/models/kept").status_code == client.get("/models/iris/aliases/kept").status_code == 404


def test_a_key_with_a_typo_is_a_key_and_a_name_that_begins_like_one_is_not(client: httpx.Client, key: str) -> None:
    """Refuse and hide what gives most of a secret away, and neither refuse nor hide a model called `my_classifier12_v2`."""
    for text in (key[:-1], f"{key[:-1]}{'a' if key[-1] != 'a' else 'b'}", f"{key}x", f"x{key}"):
        assert slug(client.patch("/models/iris", json={"description": text}), 422) == "invalid-request"
    assert client.patch("/models/iris", json={"description": f"my_ my_classifier12_v2 {key[:20]} {key[16:]}"}).status_code == 200
    assert hide_keys("/models/my_classifier12_v2") == "/models/my_classifier12_v2"
    assert hide_keys(f"/models/{key}") == "/models/my_[hidden]"
    assert key[16:40] not in hide_keys(f"/models/{key[:40]}")


def test_no_error_repeats_a_key_to_who_sent_it(service: RunningService, client: httpx.Client, key: str, artifact: bytes) -> None:
    """Blank it in path, names, values and the audit trail: bodies of errors are pasted into tickets and logged by proxies."""
    answers = [
        client.get(f"/{key}"),
        client.get(f"/models/{key}/1"),
        client.get(f"/keys/{key}"),
        client.get("/models", params={key: "1"}),
        client.post("/models/iris/1", json={"data": [[key, 1, 1, 1]]}),
        client.post("/models/iris/1", json={"data": [ROW], key: 1}),
        client.post("/models/iris/1", json={"data": [ROW], "method": key}),
        client.post("/models/kept/versions", files={key: ("m", artifact)}),
        client.request("GET", "/models/iris", headers={"If-None-Match": key, "Authorization": f"Basic {key}"}),
    ]
    assert {answer.status_code for answer in answers} <= {400, 401, 404, 422}
    for answer in answers:
        slug(answer, answer.status_code)
        assert key[16:] not in answer.text, answer.text
    assert key[16:] not in client.get("/events", params={"model": "kept"}).text
    assert key[16:] not in service.log()


def test_an_answer_that_holds_a_key_is_never_stored_on_its_way(client: httpx.Client) -> None:
    """Making and rotating say `no-store`."""
    made = client.post("/keys", json={"name": "k", "scopes": ["read"]})
    rotated = client.post(f"/keys/{made.json()['id']}/rotate")
    assert [(answer.status_code, answer.headers["Cache-Control"]) for answer in (made, rotated)] == [(201, "no-store")] * 2


def test_a_bound_key_hands_out_no_more_requests_than_it_has(service: RunningService) -> None:
    """Each of its own limits must stand in what it makes or changes; more may."""
    own = service.make_key("admin", models=["iris*"], limits=["100/minute", "1000/day"])
    with service.client(own) as client:
        grants = {"name": "k", "scopes": ["predict"], "models": ["iris"]}
        made = client.post("/keys", json={**grants, "models": ["iris*"], "limits": ["5/second", "100/minute", "1000/day"]})
        assert made.status_code == 201, made.text
        assert client.post("/keys", json={**grants, "models": ["iris*"]}).json()["limits"] == ["100/minute", "1000/day"]
        me = client.get("/me").json()["id"]
        for limits in (["100/minute"], ["101/minute", "1000/day"], ["600000/minute"]):
            assert slug(client.post("/keys", json={**grants, "models": ["iris*"], "limits": limits}), 403) == "forbidden"
            for key_id in (me, made.json()["id"]):
                assert slug(client.patch(f"/keys/{key_id}", json={"limits": limits}), 403) == "forbidden"
        assert slug(client.patch(f"/keys/{made.json()['id']}", json={"limits": []}), 403) == "forbidden"


# -- addresses --------------------------------------------------------------------------------------------------------


def failures(service: RunningService, *forwarded: str) -> list[int]:
    """Fail to authenticate once for each X-Forwarded-For, and return the statuses."""
    return [httpx.get(f"{service.url}/me", headers={"X-Forwarded-For": value}).status_code for value in forwarded]


def test_nobody_chooses_his_address_where_no_proxy_is_set(tmp_path: Path) -> None:
    """Count by the connection, whatever the headers claim."""
    with running(tmp_path / "instance", measured=False, web_processes="1", failed_auth_limit="3/hour") as service:
        assert failures(service, *(f"10.0.0.{number}" for number in range(5))) == [401] * 3 + [429] * 2
        headers = {"Forwarded": "for=10.9.9.9", "X-Real-IP": "10.9.9.9", "X-Client-IP": "10.9.9.9"}
        assert httpx.get(f"{service.url}/me", headers=headers).status_code == 429


def test_behind_one_proxy_only_what_that_proxy_says_counts(tmp_path: Path) -> None:
    """Take the last address, which the proxy wrote, and none of those before it, which the caller did."""
    with running(tmp_path / "instance", measured=False, web_processes="1", failed_auth_limit="3/hour", trusted_proxies="1") as service:
        assert failures(service, *(f"10.0.0.{number}, 192.0.2.7" for number in range(5))) == [401] * 3 + [429] * 2
        assert failures(service, "192.0.2.7, 192.0.2.8") == [401]
        with service.client() as client:
            answer = client.get("/keys", headers={"X-Forwarded-Host": "evil.example", "X-Forwarded-Prefix": "/evil"})
        assert (answer.status_code, "evil" in answer.text + str(answer.headers)) == (200, False)


# -- answers ----------------------------------------------------------------------------------------------------------


def test_no_answer_is_a_page_or_sets_a_cookie(service: RunningService, client: httpx.Client) -> None:
    """Give each answer, right or wrong, a type that no browser renders, `nosniff` and a policy that lets nothing run."""
    admin = {"Authorization": f"Bearer {service.admin_key}", "Accept": "text/html"}
    answers = [
        client.request(method, path, headers=admin, **options)
        for method, path, options in (
            *(("GET", path, {}) for path in ("/", "/models", "/models/iris", "/models/iris/1", "/models/iris/1/artifact", "/me", "/keys")),
            *(("GET", path, {}) for path in ("/events", "/serving", "/metrics", "/openapi.json", "/health/live", "/health/ready")),
            *(("GET", path, {}) for path in (f"/{SCRIPT}", f"/models/{SCRIPT}", f"/keys/{SCRIPT}", f"/models?{SCRIPT}=1", "/models//", "/models/")),
            ("POST", "/models/iris", {"json": {"data": [ROW]}}),
            ("POST", "/models/iris", {"json": {"data": [[SCRIPT, 1, 1, 1]]}}),
            ("POST", "/models/iris", {"json": {SCRIPT: 1}}),
            ("DELETE", "/models", {}),
            ("OPTIONS", "/models/iris/1", {}),
            ("HEAD", "/models/iris/1/artifact", {}),
            ("POST", "/keys", {"content": b"x" * (2 << 20)}),
            ("PUT", "/models/iris/aliases/a", {"content": b"[" * 100_000}),
        )
    ]  # fmt: skip
    answers += [httpx.get(f"{service.url}/models"), httpx.get(f"{service.url}/nothing")]
    assert {answer.status_code for answer in answers} >= {200, 400, 401, 404, 405, 413, 422}
    for answer in answers:
        told = f"{answer.request.method} {answer.request.url}: {answer.headers}"
        assert answer.headers.get("Content-Type", "text/plain").partition(";")[0] in CONTENT_TYPES or not answer.content, told
        assert answer.headers["X-Content-Type-Options"] == "nosniff", told
        assert answer.headers["Content-Security-Policy"] == NO_CONTENT, told
        assert "Set-Cookie" not in answer.headers, told


def test_a_download_is_bytes_to_keep_and_never_to_show(client: httpx.Client) -> None:
    """Whole and in part: an attachment whose name comes from checked names alone."""
    for headers in ({}, {"Range": "bytes=0-9"}):
        answer = client.get("/models/iris/1/artifact", headers=headers)
        assert answer.headers["Content-Disposition"] == "attachment; filename=iris-1.joblib"
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


# -- uploads ----------------------------------------------------------------------------------------------------------


def test_no_field_names_a_path_or_an_address(service: RunningService, client: httpx.Client, artifact: bytes, tmp_path: Path) -> None:
    """Refuse such fields by name; keep an address among the words about a version as words, and no file name at all."""
    for field in ("path", "url", "uri", "file", "artifact_uri", "artifact_path", "source_url"):
        assert field not in ManifestBody.model_fields
        files = {"artifact": ("m", artifact), "manifest": (None, json.dumps({field: f"{tmp_path}/x"}), "application/json")}
        for answer in (
            client.post("/models/fetched/versions", files=files),
            client.post("/models/fetched/versions", params={field: f"{tmp_path}/x"}, content=artifact, headers=OCTETS),
        ):
            assert slug(answer, 422) == "invalid-request"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/model.joblib"
        words = {"source": {"url": address, "path": "/etc/passwd"}, "description": address, "tags": {"file": f"file://{tmp_path}"}}
        files = {"artifact": (f"{tmp_path}/written", artifact), "manifest": ("../../written", json.dumps(words), "application/json")}
        answer = client.post("/models/fetched/versions", files=files)
        assert (answer.status_code, answer.json()["source"]) == (201, words["source"])
        assert client.post("/models/fetched/1", json={"data": [ROW]}).status_code == 200
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert not (tmp_path / "written").exists()
    assert not list(service.instance.parent.rglob("written"))


class Touches:
    """What makes a marker when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        """Take the marker's path."""
        self.marker = marker

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        """Make a folder."""
        return os.mkdir, (str(self.marker),)


def test_a_digest_that_is_right_spares_no_wall(client: httpx.Client, tmp_path: Path) -> None:
    """Refuse a hostile file whoever vouches for its bytes."""
    marker = tmp_path / "marker"
    hostile = pickle.dumps(Touches(marker))
    digest = hashlib.sha256(hostile)
    headers = {**OCTETS, "Content-Digest": f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"}
    answer = client.post("/models/vouched/versions", params={"sha256": digest.hexdigest()}, content=hostile, headers=headers)
    assert slug(answer, 422) in {"unsafe-artifact", "not-a-model"}
    assert (marker.exists(), client.get("/models/vouched").status_code) == (False, 404)


def test_an_upload_that_only_trickles_is_ended(service: RunningService, client: httpx.Client) -> None:
    """408 for one that never stalls but stays under the lowest average rate; nothing of it is kept."""
    head = request_bytes("POST", "/models/trickled/versions", service.admin_key, {**OCTETS, "Content-Length": "100000000"})
    answers: list[Answer] = []
    with connect(service) as connection:
        connection.sendall(head)
        reader = threading.Thread(target=lambda: answers.append(read_answer(connection)))
        reader.start()
        while reader.is_alive():
            with contextlib.suppress(ConnectionError):
                connection.sendall(b"x" * 4000)
            reader.join(0.05)
    assert (answers[0].status, answers[0].slug, b"on average" in answers[0].body) == (408, "upload-timeout", True)
    assert client.get("/models/trickled").status_code == 404
    assert list((service.instance / "artifacts" / ".quarantine").iterdir()) == []


def test_a_body_that_comes_steadily_must_end_all_the_same() -> None:
    """End it at the deadline, though neither stall nor rate would."""
    reading, writing = os.pipe()
    stop = threading.Event()

    def trickle() -> None:
        while not stop.wait(0.01):
            os.write(writing, b"x" * 100)

    thread = threading.Thread(target=trickle)
    thread.start()
    began = time.monotonic()
    try:
        with os.fdopen(reading, "rb", buffering=0) as stream:
            body = TimedBody(
                stream, None, readers=Readers(1, 1), key_id="a", stall_seconds=5, min_bytes_per_second=1, longest_seconds=0.3
            )  # fmt: skip
            with pytest.raises(UploadTimeout, match=r"isn't complete after 0\.3 s"):
                list(body)
            assert time.monotonic() - began < 5
            stop.set()
            thread.join()
            os.close(writing)
            body.release()
    finally:
        stop.set()
        thread.join()


# -- bodies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"data": [[' + b"1," * 400_000 + b"1]]}", 422),
        (b'{"data": [' + b"[1]," * 150_000 + b"[1]]}", 413),
        (b'{"data": ' + b"[" * 500 + b"1" + b"]" * 500 + b"}", 422),
        (b'{"inputs": {' + b",".join(b'"c%d": [1]' % number for number in range(60_000)) + b"}}", 422),
    ],
    ids=["columns", "rows", "depth", "names"],
)
def test_too_much_of_anything_is_refused_at_once(service: RunningService, body: bytes, status: int) -> None:
    """Columns, rows, depth and names: counted before an array is made of them."""
    began = time.monotonic()
    answer = ask(service, "POST", "/models/iris/1", body, Content_Type="application/json")
    assert (answer.status, time.monotonic() - began < 5) == (status, True), answer.body[:300]
    assert len(answer.body) < 20_000
    assert ask(service, "POST", "/models/iris/1", json.dumps({"data": [ROW]}).encode(), Content_Type="application/json").status == 200


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_no_number_that_is_not_finite_is_kept_or_predicted(client: httpx.Client, artifact: bytes, number: str) -> None:
    """In metrics, parameters, examples, rows of JSON and CSV alike."""
    json_type = {"Content-Type": "application/json"}
    for content in (
        f'{{"metrics": {{"auc": {number}}}}}',
        f'{{"parameters": {{"c": [{number}]}}}}',
        f'{{"input_example": [[{number},1,1,1]]}}',
    ):
        files: dict[str, Any] = {"artifact": ("m", artifact), "manifest": (None, content, "application/json")}
        assert slug(client.post("/models/infinite/versions", files=files), 400) == "malformed-body"
    assert slug(client.patch("/models/iris/1", content=f'{{"metrics": {{"auc": {number}}}}}', headers=json_type), 400) == "malformed-body"
    assert slug(client.post("/models/iris/1", content=f'{{"data": [[{number},1,1,1]]}}', headers=json_type), 400) == "malformed-body"
    rows = f"x0,x1,x2,x3\n{number},1,1,1\n"
    assert slug(client.post("/models/iris/1", content=rows, headers={"Content-Type": "text/csv"}), 422) == "signature-mismatch"


# -- the code and the page --------------------------------------------------------------------------------------------


def tree(path: Path) -> ast.Module:
    """Return the syntax tree of a module."""
    return ast.parse(path.read_text())


def test_nothing_outside_of_the_workers_can_unpickle() -> None:
    """Web and host processes name no module that turns bytes into objects, and numpy reads and writes without pickle."""
    unpicklers = {"pickle", "_pickle", "pickletools", "marshal", "shelve", "dill", "cloudpickle", "joblib", "copyreg", "skops"}
    for path in sorted((ROOT / "registry").rglob("*.py")):
        if path.relative_to(ROOT / "registry").parts[0] == "flavors":
            continue
        for node in ast.walk(tree(path)):
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            assert unpicklers.isdisjoint(name.partition(".")[0] for name in names), f"{path}: {names}"
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {"np.load", "np.save", "np.lib.format.read_array"}:
                assert "allow_pickle=False" in ast.unparse(node), f"{path}: {ast.unparse(node)}"


def test_the_page_names_only_tests_that_exist() -> None:
    """Each line of its tables names at least one test, by file and function."""
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ") and not line.startswith("| holds")]
    assert len(rows) >= 30
    for row in rows:
        named = re.findall(r"`(\w+/\w+\.py)::(\w+)`", row)
        assert named, row
        for file, function in named:
            text = (ROOT / "tests" / file).read_text()
            assert re.search(rf"^def {function}\(", text, re.MULTILINE), f"{file}::{function}"
