"""The embedded Valkeys stopped and started while predictions go on: none fails, it is said once and counted, all comes back."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import httpx
import pytest

from tests.misbehaving import EXTRA_NAMES
from tests.outside import connect_to_each
from tests.processes import Hammering, Processes, eventually, is_running, kill
from tests.running import RunningService, running
from tests.slow_models import sleeping

pytestmark = pytest.mark.alone

WEB_PROCESSES = 2
USES = {
    "cache": ("prediction cache is away; every request computes", "prediction cache is back"),
    "limits": ("shared limit counters are away; counting in this process", "shared limit counters are back"),
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """One service for the tests of this module, which remembers no answer itself and asks Redis each time."""
    settings = {"web_processes": str(WEB_PROCESSES), "cache_process_bytes": "0", "extra_names": EXTRA_NAMES}
    with running(tmp_path_factory.mktemp("redis") / "instance", **settings) as started:
        started.publish("sum", sleeping(0))
        with started.client() as client:
            assert client.patch("/models/sum/1", json={"cache": True}).status_code == 200
        yield started


def repeat(client: httpx.Client, count: int) -> httpx.Response:
    """Send one of a hundred predictions, so that the cache has hits and misses."""
    return client.post("/models/sum/1", json={"data": [[float(count % 100), 2.0, 3.0, 4.0]]})


def lines(service: RunningService, event: str) -> int:
    """Return how often the log says so."""
    return sum(line.get("event") == event for line in service.log_lines())


def failures(service: RunningService, use: str) -> float:
    """Return the count of Redis calls that were done without."""
    with service.client() as client:
        text = client.get("/metrics").text
    wanted = f'modelyard_redis_failures_total{{use="{use}"}}'
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(wanted))


@pytest.mark.parametrize("name", ["cache", "limits"])
def test_a_valkey_that_is_killed_mid_load_costs_no_prediction(service: RunningService, name: str) -> None:
    """It is started again, and nobody noticed."""
    processes = Processes(service)
    before = processes.valkey(name)
    counted = failures(service, name)
    with Hammering(service, repeat) as hammering:
        hammering.wait_for_more()
        kill(before)
        eventually(lambda: not is_running(before))
        eventually(lambda: processes.valkey(name) != before)
        eventually(lambda: up(service), what="readiness")
        hammering.wait_for_more(100)
    assert hammering.failed == []
    assert failures(service, name) >= counted


@pytest.mark.parametrize("name", ["cache", "limits"])
def test_a_valkey_that_is_silent_mid_load_is_said_once_and_counted(service: RunningService, name: str) -> None:
    """No prediction fails; each web process says once that it is away and once that it is back."""
    away, back = USES[name]
    callers = connect_to_each(service, service.admin_key).values()

    def is_quiet() -> bool:
        for caller in callers:  # a process says that it is back when it next asks
            caller.send("POST", "/models/sum/1", {"data": [[1.0, 2.0, 3.0, 4.0]]})
        return lines(service, away) == lines(service, back)

    eventually(is_quiet, what="quiet")
    said, counted = lines(service, away), failures(service, name)
    pid = Processes(service).valkey(name)
    with Hammering(service, repeat) as hammering:
        hammering.wait_for_more()
        kill(pid, signal.SIGSTOP)
        try:
            eventually(lambda: lines(service, away) > said, what="the word that it is away")
            eventually(lambda: failures(service, name) > counted, what="the count")
            with service.client() as client:
                assert client.get("/health/ready").json()["status"] == "degraded"
            hammering.wait_for_more(200)
        finally:
            kill(pid, signal.SIGCONT)
        eventually(lambda: up(service), what="readiness")
        eventually(lambda: lines(service, back) == lines(service, away), what="the word that it is back")
    assert hammering.failed == []
    assert 1 <= lines(service, away) - said <= WEB_PROCESSES
    with service.client() as client:
        repeat(client, 7)
        assert repeat(client, 7).headers["X-Cache"] == "hit"


def up(service: RunningService) -> bool:
    """Tell whether everything is up."""
    with service.client() as client:
        return bool(client.get("/health/ready").json()["status"] == "up")


def test_limits_hold_while_their_valkey_is_away(service: RunningService) -> None:
    """Each process counts by itself meanwhile: a key's limit still ends in 429."""
    key = service.make_key("predict", limits=["5/minute"])
    pid = Processes(service).valkey("limits")
    kill(pid, signal.SIGSTOP)
    try:
        with service.client(key) as client:
            statuses = [repeat(client, count).status_code for count in range(5 * WEB_PROCESSES + 1)]
    finally:
        kill(pid, signal.SIGCONT)
    assert set(statuses) == {200, 429}
