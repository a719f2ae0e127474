"""Rate limits: exact over all views and processes, several at once, and what becomes of them while Redis is away."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import redis

from tests import fixture_models
from tests.raw_http import slug_of
from tests.running import RunningService, running

ROW = {"data": [[5.1, 3.5, 1.4, 0.2]]}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """One service of two web processes with a small cache."""
    with running(tmp_path_factory.mktemp("limits") / "instance", measured=False, cache_memory_bytes="2MiB") as started:
        started.publish("iris", fixture_models.iris().estimator, {"alias": "production"})
        started.publish("other", fixture_models.iris().estimator)
        yield started


def test_a_limit_counts_every_way_to_predict_over_all_processes_exactly(service: RunningService) -> None:
    """Version, alias, production, another model, JSON, CSV, refused bodies and unknown names all count; 60 means 60, not 61."""
    key = _limited(service, "60/hour")
    ways: list[tuple[str, dict[str, Any]]] = [
        ("/models/iris/1", {"json": ROW}),
        ("/models/iris/@production", {"json": ROW}),
        ("/models/iris", {"json": ROW}),
        ("/models/other/1", {"json": ROW}),
        ("/models/iris/1", {"content": b"x0,x1,x2,x3\n1,2,3,4\n", "headers": {"Content-Type": "text/csv"}}),
        ("/models/iris/1", {"json": {"data": "bad"}}),
        ("/models/none/1", {"json": ROW}),
    ]

    def ask(number: int) -> int:
        path, body = ways[number % len(ways)]
        with service.client(key) as client:
            return client.post(path, **body).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(ask, range(90)))
    assert statuses.count(429) == 30
    with service.client(key) as client:
        assert client.get("/me").json()["limits_left"][0]["remaining"] == 0
        assert client.get("/models/iris").status_code == 200


def test_headers_tell_of_the_tightest_limit_and_of_the_way_back(service: RunningService) -> None:
    """Limit, remaining and reset stand on every answer, on the refused one too, which says when to come back."""
    with service.client(_limited(service, "3/minute", "1000/day")) as client:
        answers = [client.post("/models/iris/1", json=ROW) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == ["2", "1", "0", "0"]
    for answer in answers:
        assert answer.headers["X-RateLimit-Limit"] == "3"
        assert 1 <= int(answer.headers["X-RateLimit-Reset"]) <= 60
    assert slug_of(429, answers[3].headers, answers[3].content) == "rate-limited"
    assert answers[3].headers["Retry-After"] == answers[3].headers["X-RateLimit-Reset"]


def test_several_limits_stand_at_once(service: RunningService) -> None:
    """The longer one refuses when the shorter would not; what the shorter refuses isn't counted in the longer."""
    with service.client(_limited(service, "2/second", "5/hour")) as client:
        granted = 0
        deadline = time.monotonic() + 15
        while granted < 5 and time.monotonic() < deadline:
            answer = client.post("/models/iris/1", json=ROW)
            granted += answer.status_code == 200
            if answer.status_code == 429:
                assert answer.json()["limit"] == 2
                time.sleep(0.1)
        _poll(lambda: client.post("/models/iris/1", json=ROW).json().get("limit") == 5)
        left = {row["amount"]: row["remaining"] for row in client.get("/me").json()["limits_left"]}
    assert (granted, left[5]) == (5, 0)


def test_a_window_ends_and_counts_anew(service: RunningService) -> None:
    """After Retry-After seconds the key is served again."""
    with service.client(_limited(service, "2/second")) as client:
        statuses = [client.post("/models/iris/1", json=ROW).status_code for _ in range(4)]
        assert statuses[:2] == [200, 200]
        _poll(lambda: client.post("/models/iris/1", json=ROW).status_code == 200)


def test_each_key_has_a_count_of_its_own(service: RunningService) -> None:
    """One key's last request isn't another's."""
    keys = [_limited(service, "1/hour") for _ in range(3)]
    for key in keys:
        with service.client(key) as client:
            assert [client.post("/models/iris/1", json=ROW).status_code for _ in range(2)] == [200, 429]


def test_a_flood_of_cache_entries_evicts_no_counter(service: RunningService) -> None:
    """The cache has a server of its own: it evicts there, while each counter stays to the last request."""
    key = _limited(service, "10/hour")
    with service.client(key) as client:
        for _ in range(5):
            client.post("/models/iris/1", json=ROW)
    cache = redis.Redis(unix_socket_path=str(service.instance / "run" / "cache.sock"))
    for number in range(4000):
        cache.set(f"my:p:flood-{number}", b"x" * 1024, ex=600)
    assert int(cache.info()["evicted_keys"]) > 0
    counters = redis.Redis(unix_socket_path=str(service.instance / "run" / "limits.sock"))
    assert counters.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
    assert int(counters.info()["evicted_keys"]) == 0
    with service.client(key) as client:
        assert client.get("/me").json()["limits_left"][0]["remaining"] == 5
    cache.close()
    counters.close()


def test_limits_go_on_in_memory_while_redis_hangs_and_come_back_by_themselves(service: RunningService) -> None:
    """Said once a process, counted, never a 5xx, and the shared count goes on where it was."""
    key = _limited(service, "1000/hour")
    with service.client(key) as client:
        for _ in range(5):
            client.post("/models/iris/1", json=ROW)
    pid = _pid_of(service, "limits.sock")
    os.kill(pid, signal.SIGSTOP)
    try:
        statuses = [_once(service, key) for _ in range(20)]
        assert set(statuses) == {200}
        # in memory a limit still holds, in each process by itself
        tight = _limited(service, "2/hour")
        refused = [_once(service, tight) for _ in range(12)].count(429)
        assert refused >= 12 - 2 * 2
        assert _ready(service)["parts"]["redis"] == "degraded"
    finally:
        os.kill(pid, signal.SIGCONT)
    _poll(lambda: _shared_again(service, key))
    _require_said_once(service, "shared limit counters are away; counting in this process", "shared limit counters are back")


def test_limits_survive_the_end_of_redis(service: RunningService) -> None:
    """A killed Valkey is started again by the host process, and counting in it begins anew."""
    key = _limited(service, "1000/hour")
    os.kill(_pid_of(service, "limits.sock"), signal.SIGKILL)
    assert {_once(service, key) for _ in range(10)} == {200}
    _poll(lambda: _ready(service)["parts"]["redis"] == "up")
    _poll(lambda: _shared_again(service, key))


def _limited(service: RunningService, *limits: str) -> str:
    with service.client() as client:
        made = client.post("/keys", json={"name": "limited", "scopes": ["read", "predict"], "limits": list(limits)})
    assert made.status_code == 201, made.text
    return str(made.json()["key"])


def _once(service: RunningService, key: str) -> int:
    return httpx.post(f"{service.url}/models/iris/1", json=ROW, headers={"Authorization": f"Bearer {key}"}, timeout=20).status_code


def _shared_again(service: RunningService, key: str) -> bool:
    """Tell whether a request is seen by the counters in Redis: all processes count there."""
    counters = redis.Redis(unix_socket_path=str(service.instance / "run" / "limits.sock"), socket_timeout=1)
    try:
        name = next(iter(counters.scan_iter(f"LIMITS:LIMITER/{key.split('_')[1]}/*")), None)
        before = int(counters.get(name) or 0) if name else 0
        for _ in range(4):
            _once(service, key)
        name = next(iter(counters.scan_iter(f"LIMITS:LIMITER/{key.split('_')[1]}/*")), None)
        return name is not None and int(counters.get(name) or 0) - before == 4
    except redis.RedisError:
        return False
    finally:
        counters.close()


def _require_said_once(service: RunningService, *events: str) -> None:
    lines = [line["event"] for line in service.log_lines() if "event" in line]
    for event in events:
        assert 1 <= lines.count(event) <= 2, f"{event}: {lines.count(event)} times in two processes"
    with service.client() as client:
        metrics = client.get("/metrics").text
    assert any(
        line.startswith('modelyard_redis_failures_total{use="limits"}') and float(line.split()[-1]) >= 1 for line in metrics.splitlines()
    )


def _ready(service: RunningService) -> dict[str, Any]:
    answer: dict[str, Any] = httpx.get(f"{service.url}/health/ready", timeout=10).json()
    return answer


def _pid_of(service: RunningService, socket: str) -> int:
    client = redis.Redis(unix_socket_path=str(service.instance / "run" / socket))
    pid = int(client.info()["process_id"])
    client.close()
    return pid


def _poll(holds: Any, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)
