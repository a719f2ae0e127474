"""Rate limits over two web processes, each asked by its own connection: one count while their Valkey is there, one each while it isn't."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from itertools import cycle
from typing import Any

import httpx
import pytest

from tests.misbehaving import EXTRA_NAMES
from tests.outside import Connection, connect_to_each
from tests.processes import Processes, eventually, is_running, kill
from tests.running import RunningService, running
from tests.slow_models import sleeping

WEB_PROCESSES = 2
ROW = {"data": [[1.0, 2.0, 3.0, 4.0]]}
WAYS = ("/models/sum/1", "/models/sum", "/models/sum/@production", "/models/sum/@latest")
AWAY, BACK = "shared limit counters are away; counting in this process", "shared limit counters are back"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """One service for the tests of this module."""
    settings = {"web_processes": str(WEB_PROCESSES), "failed_auth_limit": "5/minute"}
    with running(tmp_path_factory.mktemp("limits") / "instance", measured=False, **settings, extra_names=EXTRA_NAMES) as started:
        started.publish("sum", sleeping(0), {"alias": "production"})
        yield started


def limited(service: RunningService, *limits: str) -> str:
    """Make a key with these limits."""
    return service.make_key("read", "predict", limits=list(limits))


def ask_in_turn(connections: dict[int, Connection], count: int) -> list[int]:
    """Predict so many times, each time by another process and another way, and return the statuses."""
    ways = cycle(WAYS)
    return [connection.send("POST", next(ways), ROW)[0] for _, connection in zip(range(count), cycle(connections.values()), strict=False)]


def test_the_count_is_one_over_processes_and_ways_to_call(service: RunningService) -> None:
    """Give a key exactly its five, whoever answers and whatever it calls the version; /me says the same in both."""
    connections = connect_to_each(service, limited(service, "5/minute", "1000/day"))
    assert ask_in_turn(connections, 3) == [200] * 3
    for connection in connections.values():
        _, me = connection.send("GET", "/me")
        assert [(row["limit"], row["remaining"]) for row in me["limits_left"]] == [("5 per 1 minute", 2), ("1000 per 1 day", 997)]
        assert all(1 <= row["reset_seconds"] <= most for row, most in zip(me["limits_left"], (60, 86_400), strict=True))
    assert ask_in_turn(connections, 7) == [200] * 2 + [429] * 5
    for connection in connections.values():
        _, me = connection.send("GET", "/me")
        assert [row["remaining"] for row in me["limits_left"]] == [0, 995]


def test_a_refusal_says_what_is_used_up_and_when_to_come_back(service: RunningService) -> None:
    """Answer with a problem, its members, and headers that agree with them; another key goes on."""
    with service.client(limited(service, "1/minute")) as client, service.client(limited(service, "1/minute")) as other:
        first, refused = (client.post("/models/sum", json=ROW) for _ in range(2))
        assert (first.status_code, first.headers["X-RateLimit-Remaining"]) == (200, "0")
        assert (refused.status_code, refused.headers["Content-Type"]) == (429, "application/problem+json")
        body = refused.json()
        assert (body["type"].rpartition("/")[2], body["status"], body["limit"], body["remaining"]) == ("rate-limited", 429, 1, 0)
        assert body["request_id"] == refused.headers["X-Request-Id"]
        assert 1 <= body["reset_seconds"] <= 60
        assert refused.headers["Retry-After"] == refused.headers["X-RateLimit-Reset"] == str(body["reset_seconds"])
        assert refused.headers["X-RateLimit-Limit"] == "1"
        assert other.post("/models/sum", json=ROW).status_code == 200


def test_only_predictions_are_counted(service: RunningService) -> None:
    """Let a key that has used up its limit read on, and show no limit where none was counted."""
    with service.client(limited(service, "1/minute")) as client:
        assert [client.post("/models/sum", json=ROW).status_code for _ in range(2)] == [200, 429]
        for path in ("/models/sum", "/models/sum/1", "/me", "/serving"):
            answer = client.get(path)
            assert (answer.status_code, "X-RateLimit-Limit" in answer.headers) == (200, False)


def test_wrong_keys_are_limited_by_address_and_good_ones_are_not(service: RunningService) -> None:
    """Refuse the sixth wrong key from one address with 429, in every process; a good key from it and another address go on."""
    good = limited(service, "1000/minute")
    wrong = {"Authorization": f"Bearer {good[:-1]}{'A' if good[-1] != 'A' else 'B'}"}
    answers = [httpx.get(f"{service.url}/models", headers=wrong) for _ in range(12)]
    assert [answer.status_code for answer in answers] == [401] * 5 + [429] * 7
    assert {answer.json()["type"].rpartition("/")[2] for answer in answers[5:]} == {"rate-limited"}
    assert all(1 <= int(answer.headers["Retry-After"]) <= 60 for answer in answers[5:])
    assert httpx.get(f"{service.url}/me").status_code == 429
    for connection in connect_to_each(service, good).values():
        assert connection.send("POST", "/models/sum", ROW)[0] == 200
    with httpx.Client(transport=httpx.HTTPTransport(local_address="127.0.0.2")) as elsewhere:
        assert elsewhere.get(f"{service.url}/models", headers=wrong).status_code == 401
    with service.client() as client:
        assert metric(client, 'modelyard_limit_refusals_total{kind="address"}') == 8


def test_without_their_valkey_each_process_counts_by_itself_until_it_is_back(service: RunningService) -> None:
    """Kill it while the host process stands still: predictions go on, each process says it once, all is counted, and sharing comes back."""
    processes = Processes(service)
    before, after = limited(service, "5/minute"), limited(service, "5/minute")
    connections = connect_to_each(service, before)
    with service.client() as client:
        client.post("/models/sum", json=ROW)
        failures = metric(client, 'modelyard_redis_failures_total{use="limits"}')
    assert ask_in_turn(connections, 4) == [200] * 4
    valkey = processes.valkey("limits")
    kill(processes.host, signal.SIGSTOP)  # it would start another one at once
    try:
        kill(valkey)
        eventually(lambda: not is_running(valkey), what="its end")
        for connection in connections.values():
            assert [connection.send("POST", "/models/sum/1", ROW)[0] for _ in range(8)] == [200] * 5 + [429] * 3
            assert connection.send("GET", "/me")[1]["limits_left"][0]["remaining"] == 0
        assert said(service, AWAY) == WEB_PROCESSES
    finally:
        kill(processes.host, signal.SIGCONT)
    eventually(lambda: all_back(service, connections), what="sharing in both processes")
    assert (said(service, AWAY), said(service, BACK)) == (WEB_PROCESSES, WEB_PROCESSES)
    assert ask_in_turn(connect_to_each(service, after), 8) == [200] * 5 + [429] * 3
    with service.client() as client:
        assert metric(client, 'modelyard_redis_failures_total{use="limits"}') >= failures + WEB_PROCESSES


def all_back(service: RunningService, connections: dict[int, Connection]) -> bool:
    """Ask each process for its counts, and tell whether each has said that they are shared again."""
    for connection in connections.values():
        connection.send("GET", "/me")
    return said(service, BACK) == WEB_PROCESSES


def said(service: RunningService, event: str) -> int:
    """Return how often the log says so."""
    return sum(line.get("event") == event for line in service.log_lines())


def metric(client: httpx.Client, name: str) -> float:
    """Return a figure of /metrics, 0 where it isn't there yet."""
    lines: list[Any] = client.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))
