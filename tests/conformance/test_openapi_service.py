"""What a running service answers is what its OpenAPI document says: each success by hand, everything else by Schemathesis."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

from registry.api.openapi.document import OF_THE_SERVER
from tests import schemathesis_run
from tests.raw_http import exchange, request_bytes
from tests.running import RunningService, running

#: More of them find more, and take longer: RUN_EXAMPLES=100 is some minutes for each caller, RUN_SEED=7 another run.
EXAMPLES = int(os.environ.get("RUN_EXAMPLES", "2"))
#: Who is refused nearly everything isn't asked every boundary of every value, and each value once, unless time doesn't matter.
PHASES_OF_THE_REFUSED = schemathesis_run.ALL_PHASES if "RUN_EXAMPLES" in os.environ else "examples,fuzzing,stateful"
EXAMPLES_OF_THE_REFUSED = EXAMPLES if "RUN_EXAMPLES" in os.environ else 1
OCTETS = {"Content-Type": "application/octet-stream"}
#: What can't be had from a service that is well.
NOT_MET = {("ready", 503)}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """Return a service of two web processes, with models of three kinds, that forgives strangers."""
    with running(tmp_path_factory.mktemp("openapi") / "instance", measured=False, failed_auth_limit="1000000/minute") as started:
        schemathesis_run.prepare(started)
        yield started


class Described:
    """A client that holds each answer against the document, and remembers which it met."""

    def __init__(self, client: httpx.Client) -> None:
        """Fetch the document."""
        self._client = client
        self.document: dict[str, Any] = client.get("/openapi.json").json()
        self.met: set[tuple[str, int]] = set()

    def ask(self, method: str, path: str, route: str, status: int, **options: Any) -> httpx.Response:
        """Send a request to `path`, which is of a documented route, and check the answer."""
        answer = self._client.request(method, path, **options)
        assert answer.status_code == status, answer.text
        operation = self.document["paths"][route][method.lower()]
        described = self.resolve(operation["responses"][str(status)])
        self.met.add((operation["operationId"], status))
        for name, reference in described.get("headers", {}).items():
            header = self.resolve(reference)
            assert name in answer.headers or not header["required"], f"{method} {route} {status}: {name}"
            if name in answer.headers and header["schema"]["type"] == "string":
                self.validate(header["schema"], answer.headers[name])
        kind = answer.headers.get("Content-Type", "").partition(";")[0]
        assert kind in described.get("content", {"": None}), f"{method} {route} {status}: {kind}"
        if kind == "application/json":
            self.validate(described["content"][kind]["schema"], answer.json())
        return answer

    def resolve(self, value: dict[str, Any]) -> dict[str, Any]:
        """Return what a reference refers to, or the value itself."""
        while "$ref" in value:
            found: Any = self.document
            for step in value["$ref"].removeprefix("#/").split("/"):
                found = found[step]
            value = found
        return value

    def validate(self, schema: dict[str, Any], value: Any) -> None:
        """Hold a value against a schema of the document."""
        whole = {"components": self.document["components"], **schema}
        jsonschema.Draft202012Validator(whole, format_checker=jsonschema.FormatChecker()).validate(value)

    def successes(self) -> set[tuple[str, int]]:
        """Return each operation and status that is no problem."""
        return {
            (operation["operationId"], int(status))
            for methods in self.document["paths"].values()
            for operation in methods.values()
            for status, answer in operation["responses"].items()
            if status not in OF_THE_SERVER and "application/problem+json" not in self.resolve(answer).get("content", {})
        }


@pytest.fixture(scope="module")
def described(service: RunningService) -> Iterator[Described]:
    """Return a client of the admin's that checks what it is answered."""
    with service.client() as client:
        yield Described(client)


def sent(kind: str, example: Any) -> bytes:
    """Return a documented example of a body as bytes."""
    if kind == "application/json":
        return json.dumps(example).encode()
    return base64.b64decode(example) if kind == "application/x-npy" else str(example).encode()


def test_each_example_of_a_prediction_is_answered(described: Described) -> None:
    """In every form, by both routes, as JSON and, where it is asked for, as npy."""
    count = 0
    for path, route in (("/models/iris", "/models/{name}"), ("/models/iris/@staging", "/models/{name}/{selector}")):
        content = described.document["paths"][route]["post"]["requestBody"]["content"]
        for kind, media in content.items():
            for name, example in media["examples"].items():
                body, headers = sent(kind, example["value"]), {"Content-Type": kind}
                answer = described.ask("POST", path, route, 200, content=body, headers=headers)
                assert len(answer.json()["prediction"]) == 1, name
                described.ask("POST", path, route, 200, content=body, headers={**headers, "Accept": "application/x-npy"})
                count += 1
    assert count == 18


def test_each_success_is_answered_as_it_is_described(described: Described, service: RunningService) -> None:
    """Every operation and status that is no problem, its headers and its body."""
    ask_of_models(described, service)
    ask_of_aliases(described)
    ask_of_serving(described)
    ask_of_keys(described)
    for path in ("/health/live", "/health/ready", "/metrics", "/openapi.json", "/docs"):
        described.ask("GET", path, path, 200)
    for name in ("page.js", "page.css", "swagger-ui.css", "swagger-ui-bundle.js"):
        described.ask("GET", f"/docs/{name}", "/docs/{file}", 200)
    assert described.successes() - described.met == NOT_MET


def ask_of_models(described: Described, service: RunningService) -> None:
    """Publish, look at, change, delete, restore and download."""
    body = described.document["paths"]["/models/{name}/versions/check"]["post"]["requestBody"]["content"]["application/json"]
    for example in body["examples"].values():
        described.ask("POST", "/models/walk/versions/check", "/models/{name}/versions/check", 200, json=example["value"])
    with service.client() as client:
        artifact = client.get("/models/iris/1/artifact").content
    for _ in range(2):
        described.ask("POST", "/models/walk/versions?alias=staging", "/models/{name}/versions", 201, content=artifact, headers=OCTETS)
    one = "/models/{name}/{selector}"
    described.ask("POST", "/models/walk/1", one, 200, json={"data": [[5.1, 3.5, 1.4, 0.2]]})
    described.ask("POST", "/models/iris", "/models/{name}", 200, json={"data": [5.1, 3.5, 1.4, 0.2]})
    described.ask("GET", "/models", "/models", 200)
    described.ask("GET", "/models/walk", "/models/{name}", 200)
    described.ask("PATCH", "/models/walk", "/models/{name}", 200, json={"description": "a walk"})
    described.ask("GET", "/models/walk/versions", "/models/{name}/versions", 200)
    described.ask("GET", "/models/walk/@latest", one, 200)
    described.ask("PATCH", "/models/walk/1", one, 200, json={"tags": {"a": "b"}, "runtime": "fast", "cache": True})
    described.ask("DELETE", "/models/walk/1", one, 200)
    described.ask("POST", "/models/walk/1/restore", one + "/restore", 200)
    whole = described.ask("GET", "/models/walk/1/artifact", one + "/artifact", 200)
    described.ask("GET", "/models/walk/1/artifact", one + "/artifact", 206, headers={"Range": "bytes=0-9"})
    described.ask("GET", "/models/walk/1/artifact", one + "/artifact", 304, headers={"If-None-Match": whole.headers["ETag"]})
    described.ask("GET", "/models/walk/1/artifact", one + "/artifact", 416, headers={"Range": "bytes=999999-"})


def ask_of_aliases(described: Described) -> None:
    """Point, roll back, look at and delete."""
    alias = "/models/{name}/aliases/{alias}"
    for number in (1, 2, 1):
        described.ask("PUT", "/models/walk/aliases/production", alias, 200, json={"version": number})
    described.ask("GET", "/models/walk/aliases/production", alias, 200)
    described.ask("GET", "/models/walk/aliases", "/models/{name}/aliases", 200)
    described.ask("POST", "/models/walk/aliases/production/rollback", alias + "/rollback", 200)
    described.ask("POST", "/models/walk/rollback", "/models/{name}/rollback", 200, json={"reason": "again"})
    described.ask("DELETE", "/models/walk/aliases/production", alias, 204)
    described.ask("GET", "/models/walk/aliases/production/history", alias + "/history", 200)


def ask_of_serving(described: Described) -> None:
    """Load, pin, unpin and unload; then delete what was walked through."""
    one = "/models/{name}/{selector}"
    described.ask("POST", "/models/walk/1/load", one + "/load", 200)
    described.ask("PUT", "/models/walk/1/pin", one + "/pin", 200)
    described.ask("GET", "/serving", "/serving", 200)
    described.ask("DELETE", "/models/walk/1/pin", one + "/pin", 200)
    described.ask("POST", "/models/walk/1/unload", one + "/unload", 200, json={})
    described.ask("DELETE", "/models/walk/aliases/staging", "/models/{name}/aliases/{alias}", 204)
    described.ask("DELETE", "/models/walk", "/models/{name}", 204)


def ask_of_keys(described: Described) -> None:
    """Make, look at, change, rotate and revoke a key, and read what was done."""
    made = described.ask("POST", "/keys", "/keys", 201, json={"name": "walk", "scopes": ["read"]}).json()["id"]
    described.ask("GET", "/keys", "/keys", 200)
    described.ask("GET", f"/keys/{made}", "/keys/{key_id}", 200)
    described.ask("PATCH", f"/keys/{made}", "/keys/{key_id}", 200, json={"limits": ["5/minute"]})
    described.ask("POST", f"/keys/{made}/rotate", "/keys/{key_id}/rotate", 201)
    described.ask("DELETE", f"/keys/{made}", "/keys/{key_id}", 200)
    described.ask("GET", "/me", "/me", 200)
    described.ask("GET", "/events?limit=1000", "/events", 200)


@pytest.mark.parametrize(
    ("query", "headers", "status"), [(66_000 * "a", {}, 414), ("a", {f"X-{number}": "a" for number in range(120)}, 431)]
)  # fmt: skip
def test_too_much_before_a_body_is_answered_by_the_http_server(
    service: RunningService, query: str, headers: dict[str, str], status: int
) -> None:
    """An empty answer, which never reached the service, and which the document has for every route."""
    answer = exchange(service, request_bytes("GET", f"/models?search={query}", service.admin_key, headers))
    assert (answer.status, answer.body, str(status) in OF_THE_SERVER) == (status, b"", True)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "/models/iris/1", {"cache": 0}),
        ("PATCH", "/models/iris/1", {"batching": "yes"}),
        ("PATCH", "/models/iris/1", {"metrics": {"f1": True}}),
        ("PATCH", "/models/iris", {"description": None, "tags": {}}),
        ("PATCH", "/models/iris", {}),
        ("POST", "/keys", {"name": "k", "scopes": ["read"], "expires_at": 4_000_000_000}),
        ("POST", "/keys", {"name": "k", "scopes": ["read"], "expires_at": "2099-01-01"}),
        ("GET", "/events?since=0.5", None),
        ("GET", "/models/iris/aliases/production?at=1700000000", None),
    ],
)
def test_a_value_of_another_type_is_refused(service: RunningService, method: str, path: str, body: Any) -> None:
    """No false out of a 0, no time out of a number, and no null where a field is left out."""
    with service.client() as client:
        answer = client.request(method, path, json=body)
    assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (422, "invalid-request")


def test_a_whole_number_may_be_written_with_a_point(service: RunningService) -> None:
    """In JSON 1.0 is an integer."""
    with service.client() as client:
        assert client.put("/models/iris/aliases/pointed", json={"version": 1.0}).json()["version"] == 1
        assert client.delete("/models/iris/aliases/pointed").status_code == 204


@pytest.mark.parametrize("method", ["PATCH", "DELETE", "PUT"])
@pytest.mark.parametrize("word", ["versions", "rollback", "aliases"])
def test_a_word_in_a_selectors_place_is_no_selector(service: RunningService, method: str, word: str) -> None:
    """A method that its path doesn't have is 405, and is not said to be allowed."""
    with service.client() as client:
        answer = client.request(method, f"/models/iris/{word}", json={"description": "x"})
        allowed = set(client.request("OPTIONS", f"/models/iris/{word}").headers["Allow"].split(", "))
    assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (405, "method-not-allowed")
    assert set(answer.headers["Allow"].split(", ")) == allowed
    assert allowed <= {"GET", "HEAD", "OPTIONS", "POST"}


@pytest.mark.timeout(300 + 60 * EXAMPLES)
@pytest.mark.parametrize("caller", ["admin", "bound", "nobody"])
def test_schemathesis_finds_nothing(service: RunningService, caller: str, tmp_path: Path) -> None:
    """Every check: no 5xx, no status, header, content type or body that isn't described, whoever asks."""
    key = {
        "admin": lambda: service.make_key("admin"),
        "bound": lambda: service.make_key("read", "predict", models=["iris"]),
        "nobody": lambda: None,
    }[caller]()
    phases, examples = (schemathesis_run.ALL_PHASES, EXAMPLES) if caller == "admin" else (PHASES_OF_THE_REFUSED, EXAMPLES_OF_THE_REFUSED)
    found = schemathesis_run.run(service, tmp_path, key, examples=examples, phases=phases)
    assert found.status == 0, found.output[-20_000:]
    assert found.selected >= 40, found.output[-3000:]
    if caller == "admin":
        assert (found.tested, found.cases >= 2000) == (found.selected, True), found.output[-3000:]
    assert "unexpected error" not in service.log()
