"""A whole busy life of a service, with keys put into every wrong place, and then everything that it wrote, keeps or holds is read.

No secret part of a key, no pepper and no cache secret may stand in a log line, a database cell, a value in Valkey, an announcement,
a file, a metric, a command line or an environment, but in the files that are there to hold them.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import redis
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sqlalchemy import MetaData, create_engine, select

from config import Config
from registry import keys
from registry.instance import Instance
from tests import fixture_models
from tests.processes import Processes
from tests.raw_http import chunked, exchange, request_bytes
from tests.running import RunningService, dumped

#: As much of a secret as may stand nowhere, so that one cut short is found as well: 20 characters of base62 are 119 bits.
PART = 20
ROW = [5.1, 3.5, 1.4, 0.2]
OCTETS = {"Content-Type": "application/octet-stream"}
JSON = {"Content-Type": "application/json"}
GREETING = "Admin key, shown this once"
#: What may hold a secret, and whose it is.
SECRET_FILES = {"admin.key", "key-pepper.secret", "cache-secret.secret"}


@dataclass
class Secrets:
    """What must not be found, by what it is."""

    needles: dict[str, bytes] = field(default_factory=dict)
    headers: set[bytes] = field(default_factory=set)

    def add_key(self, text: str, what: str) -> str:
        """Look for a key's secret part, and for the key as Basic authentication carries it; return the key."""
        name = f"{what} {len(self.needles)}"
        self.needles[name] = text.split("_")[2][:PART].upper().encode()
        self.headers.add(base64.b64encode(f"{text}:".encode()).upper()[8 : 8 + 2 * PART])
        return text

    def add(self, secret: str, what: str) -> None:
        """Look for a secret of the service."""
        self.needles[what] = secret[:PART].upper().encode()

    def found_in(self, content: bytes) -> list[str]:
        """Return what stands in `content`, in whatever case."""
        upper = content.upper()
        found = [name for name, needle in self.needles.items() if needle in upper]
        return found + ["basic authentication" for header in self.headers if header in upper]


@dataclass
class Life:
    """One service, its secrets, and all that was seen of it while it lived."""

    service: RunningService
    database_url: str
    secrets: Secrets
    printed: list[str] = field(default_factory=list)

    @property
    def instance(self) -> Instance:
        """Return the layout of its folder."""
        return Instance(Config.from_environ({"MODELYARD_INSTANCE_PATH": str(self.service.instance)}))

    def new_key(self, client: httpx.Client, *scopes: str, **grants: Any) -> tuple[str, str]:
        """Make a key and return its id and text."""
        made = client.post("/keys", json={"name": "k", "scopes": list(scopes), **grants}).json()
        return made["id"], self.secrets.add_key(made["key"], "key")

    def run(self, *command: str, makes_key: bool = False) -> str:
        """Run a command and return what it printed; a key that it makes is shown to who made it, and to nobody else."""
        done = self.service.run(*command)
        if makes_key:
            self.secrets.add_key(done.stdout.strip(), "key of the command line")
            self.printed.append(done.stderr)
        else:
            self.printed.append(done.stdout + done.stderr)
        return done.stdout.strip()


@pytest.fixture(params=["sqlite", "postgresql"])
def life(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Life]:
    """Start a service: on its own folder with secrets that it makes, or on PostgreSQL with secrets from files."""
    settings, secrets = {"log_level": "debug", "failed_auth_limit": "100000/minute"}, Secrets()
    if request.param == "postgresql":
        settings["database_url"] = str(request.getfixturevalue("postgres_database_url"))
        for name in ("key_pepper", "cache_secret"):
            secret = os.urandom(24).hex()
            (tmp_path / name).write_text(secret)
            settings[f"{name}_file"] = str(tmp_path / name)
            secrets.add(secret, name)
    service = RunningService(tmp_path / "instance", measured=False, **settings)
    try:
        service.start()
        if request.param == "sqlite":
            for name in ("key-pepper", "cache-secret"):
                secrets.add((service.instance / f"{name}.secret").read_text().strip(), name)
        secrets.add_key(service.admin_key, "admin key")
        yield Life(service, settings.get("database_url", f"sqlite:///{service.instance}/modelyard.db"), secrets)
    finally:
        if service.process is not None:
            service.stop()


@pytest.mark.timeout(300)
def test_no_key_and_no_secret_is_found_anywhere_after_a_busy_life(life: Life) -> None:
    """Live, look; start anew, live on for a while, look again; stop, and look at what is left."""
    with announcements(life) as heard:
        live(life)
        look_at_the_running(life)
        told = list(heard())
    assert told, "the changes were announced"
    nothing_in(life, "an announcement", told)
    assert life.service.stop() == 0
    look_at_what_stays(life)
    life.service.start()
    live_on(life)
    look_at_the_running(life)
    assert life.service.stop() == 0
    look_at_what_stays(life)


# -- what is done -----------------------------------------------------------------------------------------------------


def live(life: Life) -> None:
    """Make, rotate and end keys; publish, predict, move, roll back and fail, with keys where they belong and where they don't."""
    service = life.service
    with service.client() as client:
        texts = make_keys(life, client)
        publish_all(life, client, texts[0])
        predict_all(service, client, texts)
        move_aliases(client)
        for text in (texts[0], texts[-2], service.admin_key):
            misplace(service, text)
        fail_inside(service, client, texts[0])
        for path in (
            "/keys",
            "/events",
            "/models",
            "/serving",
            "/me",
            "/metrics",
            "/openapi.json",
            "/models/iris/aliases/production/history",
        ):
            nothing_in(life, path, [client.get(path, params={"limit": 1000} if path in {"/keys", "/events"} else {}).content])
    for command in (("keys", "list"), ("verify",), ("doctor",)):
        life.run(*command)
    nothing_in(life, "the output of a command", [text.encode() for text in life.printed])


def live_on(life: Life) -> None:
    """Go on after a new start, whose log and Valkeys are new as well."""
    with life.service.client() as client:
        _, text = life.new_key(client, "admin")
        predict_all(life.service, client, [text, text])
        fail_inside(life.service, client, text)


def make_keys(life: Life, client: httpx.Client) -> list[str]:
    """Return the texts of keys that are good, changed, rotated, revoked, made by command, and of one that was never made."""
    good_id, good = life.new_key(client, "admin")
    old_id, old = life.new_key(client, "read", "predict", "publish", models=["iris*"])
    rotated = client.post(f"/keys/{old_id}/rotate", json={"overlap_seconds": 3600}).json()["key"]
    gone_id, gone = life.new_key(client, "predict")
    assert client.delete(f"/keys/{gone_id}").status_code == 200
    assert client.patch(f"/keys/{good_id}", json={"name": "changed", "limits": ["1000000/minute"]}).status_code == 200
    by_command = life.run("keys", "create", "by-command", "--scope", "read", makes_key=True)
    second = life.run("keys", "rotate", by_command.split("_")[1], makes_key=True)
    life.run("keys", "revoke", second.split("_")[1])
    assert "holds an API key" in life.service.run("keys", "create", f"for {good}").stderr
    unknown, _ = keys.make_key()
    wrong = f"{good[:-1]}{'A' if good[-1] != 'A' else 'B'}"
    return [good, old, life.secrets.add_key(rotated, "key"), gone, by_command, second, life.secrets.add_key(unknown, "key"), wrong]


def publish_all(life: Life, client: httpx.Client, text: str) -> None:
    """Publish good and bad uploads in every form, with a key in all that an upload may say."""
    iris = dumped(fixture_models.iris().estimator)
    manifest = {"description": "d", "input_example": [ROW], "alias": "production"}
    for number in range(2):
        life.service.publish("iris", iris, manifest)
        assert client.post(f"/models/bare/versions?description={number}", content=iris, headers=OCTETS).status_code == 201
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(["good day", "bad day", "good", "bad"], ["+", "-", "+", "-"])
    life.service.publish("texts", model, {"alias": "production"})
    refused = [
        client.post("/models/bad/versions", content=text.encode(), headers=OCTETS),
        client.post("/models/bad/versions", content=iris[:-40], headers={**OCTETS, "Idempotency-Key": text}),
        client.post("/models/bad/versions", params={"description": text}, content=iris, headers=OCTETS),
        client.post("/models/bad/versions", params={text: text}, content=iris, headers=OCTETS),
        client.post("/models/bad/versions", params={"flavor": text}, content=iris, headers=OCTETS),
        client.post("/models/bad/versions", content=iris, headers={**OCTETS, "Content-Digest": f"sha-256=:{text}:"}),
        client.post("/models/bad/versions", content=iris, headers={"Content-Type": f"multipart/form-data; boundary={text}"}),
        client.post("/models/bad/versions", files={text: (text, iris)}),
        *(client.post("/models/bad/versions", files={"artifact": (text, iris), "manifest": (text, json.dumps(part), "application/json")})
          for part in ({"description": text}, {text: 1}, {"tags": {text: text}}, {"parameters": {"a": [{"b": text}]}}, {"input_example": [[text]]},
                       {"input_example": {text: [1]}}, {"signature": {"inputs": [{"name": text, "type": "float64"}]}}, {"alias": text}, text)),
    ]  # fmt: skip
    assert {answer.status_code for answer in refused} <= {400, 415, 422}, [answer.text for answer in refused]
    head = request_bytes("POST", f"/models/bad/versions?alias={text}", text, {**OCTETS, "Transfer-Encoding": "chunked"})
    assert exchange(life.service, head + chunked(text.encode(), end=False), half_close=True).status in {0, 400, 408, 422}


def predict_all(service: RunningService, client: httpx.Client, texts: list[str]) -> None:
    """Predict in every form of body, cached and not, good and bad, with keys as values, names, methods and texts."""
    for content, kind in (
        (json.dumps({"data": [ROW]}), "application/json"),
        (json.dumps({"inputs": {f"x{number}": [1] for number in range(4)}}), "application/json"),
        ("x0,x1,x2,x3\n1,2,3,4\n", "text/csv"),
    ):
        for _ in range(2):
            assert client.post("/models/iris", content=content, headers={"Content-Type": kind}).status_code == 200
    for text in texts:
        assert client.post("/models/texts", json={"data": [text, "good"]}).status_code == 200
        for body in ({"data": [[text, 1, 1, 1]]}, {"data": [ROW], text: text}, {"data": [ROW], "method": text}, {"instances": [{text: 1}]}):
            assert client.post("/models/iris", json=body).status_code == 422
        for kind in ("text/csv", "application/x-npy", text):
            assert client.post("/models/iris", content=f"{text},a\n{text},1\n", headers={"Content-Type": kind}).status_code in {
                400,
                415,
                422,
            }
    with service.client(texts[1]) as own:
        assert own.post("/models/iris/@production?method=predict_proba", json={"data": [ROW]}).status_code == 200


def move_aliases(client: httpx.Client) -> None:
    """Point, roll back and read the history."""
    for number in (1, 2, 1):
        assert client.put("/models/iris/aliases/production", json={"version": number, "reason": "r"}).status_code == 200
    body = {"reason": "too slow"}
    assert client.post("/models/iris/rollback", json=body, headers={"Idempotency-Key": os.urandom(8).hex()}).status_code == 200


def misplace(service: RunningService, text: str) -> None:
    """Put a key in every place of a request that a hurried person, or a wrong script, may put it."""
    admin = {"Authorization": f"Bearer {service.admin_key}"}
    paths = [
        f"/{text}",
        f"/models/{text}",
        f"/keys/{text}",
        f"/models/iris/{text}",
        f"/models/iris/@{text}",
        f"/{'a' * 170}/{text}",
        f"/{text}/{text}",
    ]
    paths += [f"/models?{name}={text}" for name in ("key", "api_key", "access_token", "token", "search", "cursor", "tag", text)]
    strange = [
        f"Bearer {text}",
        f"Bearer  {text}",
        f"Basic {text}",
        f"Token {text}",
        text,
        f"Bearer {text}, Bearer {text}",
        f"Bearer {text}\xe9",
    ]
    strange.append(f"Basic {base64.b64encode(f'{text}:'.encode()).decode()}")
    with httpx.Client(base_url=service.url, timeout=60) as sender:
        for path in paths:
            sender.get(path, headers=admin)
            sender.get(path)
        for value in strange:
            sender.get("/models", headers={"Authorization": value.encode("latin-1")})
            sender.post("/models/iris/1", json={"data": [ROW]}, headers={"Authorization": value.encode("latin-1")})
        for name in (
            "X-Api-Key",
            "X-Request-Id",
            "Cookie",
            "Referer",
            "User-Agent",
            "If-Match",
            "If-None-Match",
            "Range",
            "Accept",
            "Origin",
            "X-Forwarded-For",
        ):
            sender.get("/models/iris/1/artifact", headers={**admin, name: text})
        sender.get("/me", headers={"Cookie": f"key={text}; session={text}"}, auth=(text, ""))
        for method, path, body in (
            ("POST", "/keys", {"name": text, "scopes": ["read"]}),
            ("POST", "/keys", {"name": "n", "scopes": [text], "models": [text], "limits": [text], text: text}),
            ("PATCH", "/models/iris", {"description": text, "tags": {text: text}}),
            ("PUT", f"/models/iris/aliases/{text}", {"version": 1}),
            ("PUT", "/models/iris/aliases/production", {"version": text, "reason": text}),
            ("POST", "/models/iris/rollback", {"reason": text}),
            ("POST", f"/keys/{text}/rotate", {}),
            ("DELETE", f"/keys/{text}", None),
        ):
            answer = sender.request(method, path, json=body, headers=admin)
            assert 400 <= answer.status_code < 500, (method, path, answer.text)
    for line in (text, f"GET /{text}", f"{text} /models HTTP/1.1\r\nHost: x", f"GET /models HTTP/1.1\r\n{text}\r\nHost: {text}"):
        exchange(service, f"{line}\r\n\r\n".encode(), half_close=True)
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
    connection.request(text, "/models", headers=admin)
    connection.getresponse().read()
    connection.close()


def fail_inside(service: RunningService, client: httpx.Client, text: str) -> None:
    """Take a version's bytes away, so that a 500 with a log line comes of it, asked for with a key in all that may be logged."""
    name = f"lost-{os.urandom(4).hex()}"
    version = service.publish(name, dumped(fixture_models.iris().estimator, compress=int(len(name) % 9) or 1))
    assert client.post(f"/models/{name}/1/unload").status_code in {200, 202, 204}
    for path in (service.instance / "artifacts").rglob(f"*{version['artifact']['sha256']}*"):
        path.unlink()
    answer = client.post(f"/models/{name}/1?key={text}", json={"data": [ROW]}, headers={"Cookie": text, "X-Request-Id": text})
    assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (500, "model-unloadable")


# -- where it is looked -----------------------------------------------------------------------------------------------


def nothing_in(life: Life, where: str, contents: list[bytes]) -> None:
    """Require that no secret stands in any of these."""
    for content in contents:
        assert life.secrets.found_in(content) == [], f"in {where}: {content[:2000]!r}"


def look_at_the_running(life: Life) -> None:
    """Read what only is there while it runs: Valkey, command lines, environments."""
    processes = Processes(life.service)
    assert len(processes.all) >= 6, "host, fork server, Granian, web processes, two Valkeys"
    for pid in processes.all:
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError, FileNotFoundError):  # a worker may have ended meanwhile
            nothing_in(life, f"the command line of {pid}", [Path(f"/proc/{pid}/cmdline").read_bytes()])
            nothing_in(life, f"the environment of {pid}", [environment_of(pid)])
    for name in ("limits", "cache"):
        with redis.Redis(unix_socket_path=str(life.instance.sockets / f"{name}.sock")) as client:
            stored = list(client.scan_iter("*"))
            assert stored, f"{name} was used"
            nothing_in(life, f"a value of {name}", [part for key in stored for part in (key, value_of(client, key))])
    nothing_in(life, "the log", printed_by(life.service))


def look_at_what_stays(life: Life) -> None:
    """Read log, database and files of a service that has ended."""
    nothing_in(life, "the log", printed_by(life.service))
    cells = list(cells_of(life.database_url))
    assert len(cells) > 500
    nothing_in(life, "a cell of the database", cells)
    holders = set()
    for path in (path for path in life.service.instance.rglob("*") if path.is_file()):
        if path.name in SECRET_FILES:
            holders.add(path.name)
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
        else:
            nothing_in(life, str(path), [path.read_bytes()])
    assert holders == ({"admin.key"} if "key_pepper_file" in life.service.settings else SECRET_FILES)
    assert stat.S_IMODE(life.service.instance.stat().st_mode) == 0o700


def printed_by(service: RunningService) -> list[bytes]:
    """Return every line that the service printed, but the one that shows the first key, once, to who started it."""
    lines = service.log().splitlines()
    (shown,) = [number for number, line in enumerate(lines) if line.startswith(GREETING)]
    assert lines.pop(shown + 1).strip() == service.admin_key
    assert len(lines) > 100
    return [line.encode() for line in lines]


def environment_of(pid: int) -> bytes:
    """Return a process's environment; without root, nobody may read that of a locked worker."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except PermissionError:
        assert os.geteuid() != 0
        return b""


def value_of(client: redis.Redis, key: bytes) -> bytes:
    """Return what stands under a key."""
    kind = client.type(key)
    assert kind in {b"string", b"none"}, kind  # none: it has ended by itself
    value = client.get(key)
    return value if isinstance(value, bytes) else b""


@contextlib.contextmanager
def announcements(life: Life) -> Iterator[Any]:
    """Hear all that is announced to other hosts during a block; the value gives what was heard."""
    with redis.Redis(unix_socket_path=str(life.instance.sockets / "limits.sock")) as client, client.pubsub() as heard:
        heard.psubscribe("*")

        def messages() -> Iterator[bytes]:
            while (message := heard.get_message(timeout=0.2)) is not None:
                yield repr(message).encode()

        assert b"psubscribe" in next(messages())
        yield messages


def cells_of(url: str) -> Iterator[bytes]:
    """Yield every cell of every table."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1))
    tables = MetaData()
    tables.reflect(engine)
    assert {"api_keys", "events", "versions", "idempotent_responses"} <= tables.tables.keys()
    with engine.connect() as connection:
        for table in tables.tables.values():
            for row in connection.execute(select(table)):
                yield from (cell if isinstance(cell, bytes) else json.dumps(cell, default=str).encode() for cell in row)
    engine.dispose()
