"""What an operator sees: one line a request, figures over all processes that count each request once, and no key anywhere."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from registry import keys
from tests import misbehaving
from tests.outside import Connection, connect_to_each
from tests.processes import eventually
from tests.running import RunningService, running
from tests.slow_models import sleeping

ROW = {"data": [[1.0, 2.0, 3.0, 4.0]]}
ORIGIN = "https://example.org"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """One service that logs all it can, for the tests of this module."""
    settings = {"web_processes": "2", "log_level": "debug", "failed_auth_limit": "100000/minute"}
    with running(tmp_path_factory.mktemp("logs") / "instance", measured=False, **settings, extra_names=misbehaving.EXTRA_NAMES) as started:
        started.publish("sum", sleeping(0), {"alias": "production"})
        started.publish("raises", misbehaving.model("raises"))
        yield started


@pytest.fixture(scope="module")
def open_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """One service with public metrics that browsers of one origin may call."""
    origins = f"{ORIGIN}, https://example.net"
    with running(tmp_path_factory.mktemp("open") / "instance", web_processes="1", public_metrics="true", cors_origins=origins) as started:
        yield started


@pytest.fixture(scope="module")
def client(service: RunningService) -> Iterator[httpx.Client]:
    """Give the admin's client."""
    with service.client() as made:
        yield made


def line_of(service: RunningService, answer: httpx.Response) -> dict[str, object]:
    """Return the one line that the log has of an answered request."""
    wanted = answer.headers["X-Request-Id"]

    def found() -> list[dict[str, object]]:
        return [line for line in service.log_lines() if line.get("event") == "request" and line["request_id"] == wanted]

    lines = eventually(found, what="its line")
    assert len(lines) == 1
    return lines[0]


def figures(client: httpx.Client, name: str, **labels: str) -> float:
    """Return the sum of a metric's samples that have these labels."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    samples = [sample for family in families for sample in family.samples]
    return sum(sample.value for sample in samples if sample.name == name and labels.items() <= sample.labels.items())


# -- log lines --------------------------------------------------------------------------------------------------------


def test_a_prediction_leaves_one_line_that_says_everything(service: RunningService) -> None:
    """Name request, key, model, version, cache and what each step took."""
    key = service.make_key("predict")
    with service.client(key) as own:
        answers = [own.post("/models/sum", json={"data": [[7.0, 2.0, 3.0, 4.0]] * 3}) for _ in range(2)]
    for answer, cache in zip(answers, ("miss", "hit"), strict=True):
        line = line_of(service, answer)
        assert (line["key_id"], line["model"], line["version"], line["cache"], line["rows"]) == (key.split("_")[1], "sum", 1, cache, 3)
        assert (line["method"], line["path"], line["status"], line["level"]) == ("POST", "/models/sum", 200, "info")
        assert line["request_id"] == answer.json()["request_id"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", str(line["timestamp"]))
        took, validated, predicted = (float(str(line[name])) for name in ("ms", "validate_ms", "predict_ms"))
        assert 0 < validated + predicted <= took + 0.01
        steps = re.findall(r"(\w+);dur=([0-9.]+)", answer.headers["Server-Timing"])
        assert [(name, float(dur)) for name, dur in steps] == [("validate", validated), ("predict", predicted)]


def test_a_refused_or_failed_request_leaves_one_line_with_its_problem(service: RunningService, client: httpx.Client) -> None:
    """Name the problem, and model and version only where they are there."""
    failed = client.post("/models/raises/1", json={"data": [[misbehaving.TRIGGER, 1, 1, 1]]})
    line = line_of(service, failed)
    assert (line["status"], line["problem"], line["model"], line["version"], line["level"]) == (
        500,
        "prediction-failed",
        "raises",
        1,
        "error",
    )
    unknown = line_of(service, client.post("/models/none/1", json=ROW))
    assert (unknown["status"], unknown["problem"], "model" in unknown) == (404, "model-not-found", False)
    stranger = line_of(service, httpx.get(f"{service.url}/models"))
    assert (stranger["status"], stranger["problem"], "key_id" in stranger) == (401, "unauthenticated", False)


def test_every_line_of_the_log_is_one_json_object(service: RunningService, client: httpx.Client) -> None:
    """Keep text with line ends inside of its line, and a traceback too."""
    before = len(service.log())
    client.get("/models", params={"search": 'a\n{"event": "forged"}'})
    client.get('/models/a%0A{"event":"forged"}')
    client.get("/models", headers={"X-Request-Id": '{"event":"forged"}'})
    line_of(service, client.post("/models/raises/1", json={"data": [[misbehaving.TRIGGER, 1, 1, 1]]}))
    lines = [json.loads(line) for line in service.log()[before:].splitlines()]
    assert [line["event"] for line in lines].count("request") == 4
    assert "forged" not in [line["event"] for line in lines]
    assert all({"level", "timestamp"} <= line.keys() for line in lines)


@pytest.mark.parametrize("offered", ["abcdefgh", "A-b.c_1234", "x" * 64, "0190b5c0-1111-7abc-8def-0123456789ab"])
def test_a_well_formed_request_id_is_kept(service: RunningService, client: httpx.Client, offered: str) -> None:
    """Repeat it in header, body and log."""
    answer = client.post("/models/sum/1", json=ROW, headers={"X-Request-Id": offered})
    assert answer.headers["X-Request-Id"] == answer.json()["request_id"] == offered
    assert line_of(service, answer)["request_id"] == offered


@pytest.mark.parametrize("offered", ["", "short", "x" * 65, "with space", "a/b/c/d/e/f", '"quoted-id"', "<script>1</script>", "\u00e4" * 9])
def test_any_other_request_id_is_replaced(service: RunningService, client: httpx.Client, offered: str) -> None:
    """Make a new one, on problems too."""
    ids = set()
    for path in ("/models/sum/1", "/models/none/1"):
        answer = client.post(path, json=ROW, headers=[(b"X-Request-Id", offered.encode())])
        assert re.fullmatch(r"[0-9a-f]{24}", answer.headers["X-Request-Id"])
        assert answer.json()["request_id"] == answer.headers["X-Request-Id"]
        ids.add(line_of(service, answer)["request_id"])
    assert len(ids) == 2


# -- keys -------------------------------------------------------------------------------------------------------------


def test_no_key_is_written_anywhere_but_in_its_own_file(service: RunningService, client: httpx.Client, tmp_path: Path) -> None:
    """Send good and wrong keys wherever they may be put by mistake; find no secret in log, database or file but the first's in admin.key."""
    made = client.post("/keys", json={"name": "one", "scopes": ["admin"]}).json()
    rotated = client.post(f"/keys/{made['id']}/rotate", json={"overlap_seconds": 60}).json()["key"]
    revoked = client.post("/keys", json={"name": "two", "scopes": ["predict"]}).json()
    client.delete(f"/keys/{revoked['id']}")
    unknown, _ = keys.make_key()
    texts = [service.admin_key, made["key"], rotated, revoked["key"], unknown]
    for text in texts:
        send_everywhere(service, text)
    service.wait_for_log("my_[hidden]", times=len(texts))
    secrets = [text.split("_")[2].encode() for text in texts]
    log = service.log().encode().upper()  # in capitals, as methods are
    assert [secret for secret in secrets[1:] if secret.upper() in log] == []
    said = [line for line in service.log().splitlines() if service.admin_key in line]
    assert said  # when it was made, for the person who started the service, in no line of the log proper
    assert not [line for line in said if line.startswith("{")]
    assert [cell for cell in cells(service, tmp_path) for secret in secrets if secret in cell] == []
    holders = {path.name for path in files(service.instance) for secret in secrets if secret in path.read_bytes()}
    assert holders == {"admin.key"}
    assert (service.instance / "admin.key").stat().st_mode & 0o777 == 0o600


def send_everywhere(service: RunningService, text: str) -> None:
    """Put a key in every place of a request that a hurried person, or a wrong script, may put it."""
    good = {"Authorization": f"Bearer {service.admin_key}"}
    paths = (
        f"/{text}",
        f"/models/{text}",
        f"/keys/{text}",
        f"/models/sum/{text}",
        f"/models/sum/@{text}",
        f"/models?key={text}",
        f"/models?search={text}",
    )
    strange = ({"Authorization": f"Bearer {text}"}, {"Authorization": f"Basic {text}"}, {"Authorization": text}, {"X-Api-Key": text})
    with httpx.Client(base_url=service.url, timeout=30) as sender:
        for headers in (good, *strange):
            for path in paths:
                sender.get(path, headers=headers)
            sender.post(f"/models/sum/1?key={text}", json={"data": [[text, 1, 1, 1]]}, headers={**headers, "X-Request-Id": text})
            sender.post("/models/sum/1", json={**ROW, "method": text, text: text}, headers={**headers, "Cookie": f"key={text}"})
            sender.post("/models/sum/1", content=text, headers={**headers, "Content-Type": text})
            for name in (text, "new"):
                sender.post(
                    f"/models/{name}/versions", content=text.encode(), headers={**headers, "Content-Type": "application/octet-stream"}
                )
            sender.put(f"/models/sum/aliases/{text}", json={"version": text, text: 1}, headers=headers)
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
    connection.request(text, "/models", headers=good)
    connection.getresponse().read()
    connection.close()


def cells(service: RunningService, folder: Path) -> Iterator[bytes]:
    """Yield every cell of every table, of a copy that nobody writes to."""
    for path in service.instance.glob("modelyard.db*"):
        shutil.copy(path, folder)
    database = sqlite3.connect(folder / "modelyard.db")
    tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    assert "api_key" in " ".join(tables)
    for table in tables:
        for row in database.execute(f'SELECT * FROM "{table}"').fetchall():
            yield from (cell if isinstance(cell, bytes) else str(cell).encode() for cell in row)
    database.close()


def files(folder: Path) -> list[Path]:
    """Return every file below a folder."""
    return [path for path in folder.rglob("*") if path.is_file()]


# -- metrics ----------------------------------------------------------------------------------------------------------


def test_every_request_is_counted_exactly_once_over_both_processes(service: RunningService, client: httpx.Client) -> None:
    """Send known numbers to each process, and read their sum from either."""
    connections: dict[int, Connection] = connect_to_each(service, service.admin_key)
    predicted = {"model": "sum", "version": "1", "outcome": "ok"}
    wanted: tuple[tuple[str, dict[str, str], int], ...] = (
        ("modelyard_requests_total", {"method": "POST", "route": "/models/<name>/<selector>", "status": "200"}, 17),
        ("modelyard_requests_total", {"method": "POST", "route": "/models/<name>/<selector>", "status": "422"}, 4),
        ("modelyard_requests_total", {"method": "GET", "route": "/models", "status": "200"}, 6),
        ("modelyard_requests_total", {"method": "GET", "route": "none", "status": "404"}, 2),
        ("modelyard_predictions_total", predicted, 17),
        ("modelyard_predictions_total", {"model": "sum", "version": "1", "outcome": "signature-mismatch"}, 4),
        ("modelyard_prediction_seconds_count", predicted, 17),
        ("modelyard_prediction_seconds_bucket", {**predicted, "le": "+Inf"}, 17),
        ("modelyard_cache_total", {}, 17),
    )
    before = [figures(client, name, **labels) for name, labels, _ in wanted]
    one, other = connections.values()
    for connection, count in ((one, 12), (other, 5)):
        assert {connection.send("POST", "/models/sum/1", ROW)[0] for _ in range(count)} == {200}
    for connection in (one, other):
        assert {connection.send("POST", "/models/sum/1", {"data": [["x", 1, 1, 1]]})[0] for _ in range(2)} == {422}
        assert {connection.send("GET", "/models")[0] for _ in range(3)} == {200}
        assert connection.send("GET", "/no/such/page")[0] == 404
    after = [figures(client, name, **labels) for name, labels, _ in wanted]
    assert [late - early for late, early in zip(after, before, strict=True)] == [count for _, _, count in wanted]


def test_callers_can_not_make_labels_up(service: RunningService, client: httpx.Client) -> None:
    """Count invented methods, paths, models and aliases under names of our own."""
    before = figures(client, "modelyard_requests_total", method="other")
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
    for number in range(5):
        connection.request(f"INVENTED{number}", f"/models/invented{number}", headers={"Authorization": f"Bearer {service.admin_key}"})
        response = connection.getresponse()
        assert (response.status, b"method-not-allowed" in response.read()) == (405, True)
        for path in (f"/invented{number}", f"/models/invented{number}/1", f"/models/sum/@invented{number}", f"/models/sum/9{number}"):
            assert client.post(path, json=ROW).status_code in {404, 405}
    connection.close()
    assert "invented" not in client.get("/metrics").text.lower()
    assert figures(client, "modelyard_requests_total", method="other") == before + 5


def test_metrics_are_of_the_host_process_too(client: httpx.Client) -> None:
    """Show loads, memory and restarts beside what web processes count."""
    assert figures(client, "modelyard_host_up") == 1
    assert figures(client, "modelyard_host_events_total", kind="loads") >= 1
    assert figures(client, "modelyard_worker_bytes", model="sum", version="1") > 0
    assert figures(client, "modelyard_memory_budget_bytes") > 0
    assert figures(client, "modelyard_publishes_total") >= 2
    assert figures(client, "modelyard_generation") >= 2


def test_metrics_need_a_key_that_may_read_every_model(service: RunningService, open_service: RunningService) -> None:
    """Refuse strangers, keys without `read` and keys bound to models; answer anyone where the setting says so."""
    assert httpx.get(f"{service.url}/metrics").status_code == 401
    for status, key in (
        (200, service.make_key("read")), (403, service.make_key("predict")), (403, service.make_key("read", models=["sum"])),
    ):  # fmt: skip
        with service.client(key) as own:
            assert own.get("/metrics").status_code == status
    for path in ("/metrics", "/openapi.json"):
        assert httpx.get(open_service.url + path).status_code == 200
    assert httpx.get(f"{open_service.url}/models").status_code == 401


def test_health_needs_no_key_and_tells_no_secret(service: RunningService) -> None:
    """Answer live and ready to anyone, with parts and nothing of models or keys."""
    assert httpx.get(f"{service.url}/health/live").json() == {"status": "up"}
    answer = httpx.get(f"{service.url}/health/ready")
    assert (answer.status_code, set(answer.json())) == (200, {"status", "parts", "walls"})
    assert set(answer.json()["parts"]) == {"database", "redis", "cache", "workers", "sandbox"}
    assert "sum" not in answer.text
    assert httpx.get(f"{service.url}/health/live", headers={"Authorization": "Bearer junk"}).status_code == 200


# -- browsers ---------------------------------------------------------------------------------------------------------

PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization, content-type"}


def allowed(answer: httpx.Response) -> dict[str, str]:
    """Return the headers that let a browser's page read on."""
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}


def test_no_other_origin_may_call_by_default(service: RunningService, client: httpx.Client) -> None:
    """Answer without any header that a browser would go by."""
    assert allowed(httpx.options(f"{service.url}/models/sum/1", headers={"Origin": ORIGIN, **PREFLIGHT})) == {}
    assert allowed(client.post("/models/sum/1", json=ROW, headers={"Origin": ORIGIN})) == {}


def test_the_origins_of_the_setting_may_call_and_no_others(open_service: RunningService) -> None:
    """Let them ask before, read answers and problems, and see our headers; never send cookies."""
    url = f"{open_service.url}/models/sum/1"
    for origin in (ORIGIN, "https://example.net"):
        before = allowed(httpx.options(url, headers={"Origin": origin, **PREFLIGHT}))
        assert before["access-control-allow-origin"] == origin
        assert "POST" in before["access-control-allow-methods"]
        assert {"authorization", "content-type"} <= set(before["access-control-allow-headers"].lower().split(", "))
        with open_service.client() as own:
            problem = own.post("/models/sum/1", json=ROW, headers={"Origin": origin})
        for answer in (problem, httpx.get(f"{open_service.url}/models", headers={"Origin": origin})):
            assert answer.is_client_error
            assert allowed(answer)["access-control-allow-origin"] == origin
            assert {"X-Request-Id", "X-Cache", "Retry-After"} <= set(allowed(answer)["access-control-expose-headers"].split(", "))
            assert "access-control-allow-credentials" not in allowed(answer)
            assert "origin" in answer.headers["Vary"].lower()
    for stranger in ("https://example.org.evil.net", "http://example.org", "null"):
        assert "access-control-allow-origin" not in allowed(httpx.options(url, headers={"Origin": stranger, **PREFLIGHT}))
