"""Models that misbehave: only their own requests get errors, the worker is replaced, everyone else goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import misbehaving
from tests.asking import loaded, pid_of
from tests.misbehaving import EXTRA_NAMES, TRIGGER, model
from tests.processes import Hammering, Processes, eventually
from tests.running import RunningService, running

GOOD = {"data": [[1.0, 2.0, 3.0, 4.0]]}
BAD = {"data": [[TRIGGER, 2.0, 3.0, 4.0]]}
UNCACHED = {"Cache-Control": "no-store"}

#: What each behaviour is answered with, and whether the worker survives it.
ANSWERED = {
    "raises": (500, "prediction-failed", True),
    "raises_exit": (500, "prediction-failed", True),
    "wrong_length": (500, "prediction-failed", True),
    "allocates": (500, "prediction-failed", True),
    "opens_file": (500, "prediction-failed", True),
    "writes_file": (500, "prediction-failed", True),
    "opens_socket": (500, "prediction-failed", True),
    "starts_child": (500, "prediction-failed", True),
    "forks": (500, "prediction-failed", True),
    "starts_thread": (500, "prediction-failed", True),
    "exits": (500, "prediction-failed", False),
    "crashes": (500, "prediction-failed", False),
    "sleeps": (504, "prediction-timeout", False),
    "spins": (504, "prediction-timeout", False),
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """One service with a version for each behaviour."""
    settings = {"prediction_timeout_seconds": "1.5", "worker_memory_bytes": "1GiB", "web_processes": "2"}
    with running(tmp_path_factory.mktemp("misbehaving") / "instance", **settings, extra_names=EXTRA_NAMES) as started:
        for behaviour in ANSWERED:
            started.publish(behaviour.replace("_", "-"), model(behaviour))
        started.publish("neighbour", model("raises"))
        yield started


def ask(client: httpx.Client, name: str, body: Any) -> httpx.Response:
    """Send an uncached prediction."""
    return client.post(f"/models/{name}/1", json=body, headers=UNCACHED)


@pytest.mark.parametrize("behaviour", ANSWERED)
def test_a_model_that_misbehaves_fails_its_own_request_and_no_other(service: RunningService, behaviour: str) -> None:
    """A problem with a request id and none of the model's words; the next good request is answered, and so are other versions."""
    name = behaviour.replace("_", "-")
    status, slug, survives = ANSWERED[behaviour]
    with service.client() as client, Hammering(service, lambda other, _: ask(other, "neighbour", GOOD), threads=2) as neighbour:
        assert ask(client, name, GOOD).json()["prediction"] == [10.0]
        pid = pid_of(service, name)
        answer = ask(client, name, BAD)
        problem = answer.json()
        assert (answer.status_code, problem["type"].rpartition("/")[2]) == (status, slug)
        assert problem["request_id"] == answer.headers["X-Request-Id"]
        assert "secret of the model" not in answer.text
        assert ask(client, name, GOOD).json()["prediction"] == [10.0]
        assert (pid_of(service, name) == pid) is survives
    assert neighbour.failed == []
    assert any(line.get("request_id") == problem["request_id"] and line.get("cause") for line in service.log_lines())


def test_what_a_model_raised_is_in_the_log_alone(service: RunningService) -> None:
    """Its own words are there under the request id."""
    with service.client() as client:
        answer = ask(client, "raises", BAD)
    causes = [
        str(line["cause"]) for line in service.log_lines() if line.get("request_id") == answer.headers["X-Request-Id"] and "cause" in line
    ]
    assert any("secret of the model" in cause for cause in causes)


def test_a_bad_row_fails_alone_among_requests_that_came_together(service: RunningService) -> None:
    """Requests joined into one call are run apart when it raises."""

    def send(client: httpx.Client, count: int) -> httpx.Response:
        return ask(client, "raises", BAD if count % 5 == 0 else {"data": [[float(count), 2.0, 3.0, 4.0]]})

    with Hammering(service, send, threads=8) as hammering:
        hammering.wait_for_more(200)
    statuses = [answer.status_code for answer in hammering.answers]
    bad = [b"666" in answer.request.content for answer in hammering.answers]
    assert [status == 500 for status in statuses] == bad
    assert hammering.errors == []


def test_nothing_escaped(service: RunningService) -> None:
    """No file was written, and no process stayed."""
    assert not Path("/tmp/modelyard-escape").exists()
    processes = Processes(service)
    eventually(lambda: set(processes.workers) <= {row["pid"] for row in loaded(service)}, what="an end of all other workers")


def test_repeated_crashes_rest_with_back_off(service: RunningService) -> None:
    """After the third crash 503 with Retry-After until the rest is over; then it serves again."""
    service.publish("crasher", model("exits"))
    with service.client() as client:
        answers = [ask(client, "crasher", BAD) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [500, 500, 500, 503]
        rests = answers[-1]
        assert rests.json()["type"].endswith("/version-resting")
        assert 1 <= int(rests.headers["Retry-After"]) <= 2
        assert ask(client, "neighbour", GOOD).status_code == 200
        eventually(lambda: ask(client, "crasher", GOOD).status_code == 200, what="the end of the rest")
        assert ask(client, "crasher", BAD).status_code == 500
        assert int(ask(client, "crasher", GOOD).headers["Retry-After"]) >= 2, "the next rest is longer"
        assert client.post("/models/crasher/1/load", json={}).status_code == 200, "loading by hand doesn't wait"
        assert ask(client, "crasher", GOOD).status_code == 200


@pytest.mark.parametrize("behaviour", ["opens_file_at_load", "starts_child_at_load", "exits_at_load", "allocates_at_load"])
def test_an_artifact_that_misbehaves_while_it_is_judged_is_refused(service: RunningService, behaviour: str) -> None:
    """422, no version, no bytes, one audit event."""
    artifact = getattr(misbehaving, behaviour)()
    with service.client() as client:
        refused = client.post("/models/refused/versions", content=artifact, headers={"Content-Type": "application/octet-stream"})
        assert refused.status_code == 422, refused.text
        assert client.get("/models/refused").status_code == 404
    assert list((service.instance / "artifacts" / ".quarantine").iterdir()) == []


def test_an_exit_status_while_judging_is_told(service: RunningService) -> None:
    """The publisher learns how the process ended."""
    with service.client() as client:
        refused = client.post(
            "/models/refused/versions", content=misbehaving.exits_at_load(), headers={"Content-Type": "application/octet-stream"}
        )
    assert refused.json()["found"] == [{"rule": "ended-its-process", "exit_status": 3}]
