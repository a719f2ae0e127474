"""The memory budget over all workers: who goes first, who never goes, and that memory comes back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.misbehaving import EXTRA_NAMES, TRIGGER
from tests.processes import Processes, eventually, in_background, kill
from tests.running import RunningService, running
from tests.slow_models import growing, holding

pytestmark = pytest.mark.alone

BUDGET = 220 << 20
GOOD = {"data": [[1.0, 2.0, 3.0, 4.0]]}
BAD = {"data": [[TRIGGER, 2.0, 3.0, 4.0]]}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """One service whose budget holds two of the three models of 70 MiB."""
    settings = {"memory_budget_bytes": str(BUDGET), "worker_memory_bytes": "1GiB", "cache": "off", "web_processes": "1"}
    with running(tmp_path_factory.mktemp("memory") / "instance", **settings, extra_names=EXTRA_NAMES) as started:
        for name in ("a", "b", "c"):
            started.publish(name, holding(70, seconds=2, marker=ord(name)))
        started.publish("huge", holding(300))
        started.publish("grows", growing(150))
        yield started


@pytest.fixture
def client(service: RunningService) -> Iterator[httpx.Client]:
    """Return the admin's client, with nothing loaded and nothing pinned."""
    with service.client() as made:
        for name in ("a", "b", "c", "huge", "grows"):
            made.delete(f"/models/{name}/1/pin")
            made.post(f"/models/{name}/1/unload", json={})
        yield made


def predict(client: httpx.Client, name: str, body: dict[str, Any] = GOOD) -> int:
    """Return the status of one prediction."""
    return client.post(f"/models/{name}/1", json=body).status_code


def loaded(service: RunningService) -> set[str]:
    """Return the names that are loaded."""
    return {row["model"] for row in service.host_report()["loaded"]}


def test_the_least_recently_used_version_makes_room(service: RunningService, client: httpx.Client) -> None:
    """A third version evicts the one of the two that was used longest ago; the budget holds, and everyone is answered."""
    evictions = service.host_report()["counts"].get("evictions", 0)
    assert [predict(client, name) for name in ("a", "b", "a", "c")] == [200] * 4
    report = service.host_report()
    assert loaded(service) == {"a", "c"}
    assert report["counts"]["evictions"] == evictions + 1
    assert 140 << 20 < report["used_bytes"] <= BUDGET


def test_a_pinned_version_is_never_evicted(service: RunningService, client: httpx.Client) -> None:
    """Though it was used longest ago."""
    assert client.put("/models/a/1/pin").status_code == 200
    assert [predict(client, name) for name in ("b", "c", "b", "c")] == [200] * 4
    assert loaded(service) == {"a", "c"}


def test_a_busy_version_is_waited_for_and_not_evicted(service: RunningService, client: httpx.Client) -> None:
    """With the rest pinned, the newcomer waits until the busy one has answered."""
    assert client.put("/models/a/1/pin").status_code == 200
    assert predict(client, "b") == 200
    with in_background(lambda: httpx.post(f"{service.url}/models/b/1", json=BAD, headers=client.headers, timeout=30).status_code) as busy:
        eventually(lambda: any(row["waiting"] for row in service.host_report()["loaded"]), what="a busy worker")
        assert predict(client, "c") == 200
    assert busy == [200]
    assert loaded(service) == {"a", "c"}


def test_a_version_that_can_never_fit_says_so(service: RunningService, client: httpx.Client) -> None:
    """503 too-large-for-budget with Retry-After, at its first load and at once afterwards; nothing is left of it."""
    for _ in range(2):
        answer = client.post("/models/huge/1", json=GOOD)
        assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (503, "too-large-for-budget")
        assert int(answer.headers["Retry-After"]) >= 1
    assert predict(client, "a") == 200
    eventually(lambda: service.host_report()["used_bytes"] < BUDGET, what="memory")
    assert loaded(service) == {"a"}


def test_a_version_that_grows_past_the_budget_gives_way(service: RunningService, client: httpx.Client) -> None:
    """Memory that a model keeps while it predicts counts as well."""
    assert predict(client, "grows", BAD) == 200
    assert predict(client, "grows", BAD) == 200
    eventually(lambda: "grows" not in loaded(service), what="its eviction")
    eventually(lambda: service.host_report()["used_bytes"] <= BUDGET, what="its memory")
    assert predict(client, "grows") == 200, "and it is loaded again, small"


def test_pins_and_idle_ends_after_a_restart(service: RunningService, client: httpx.Client) -> None:
    """What is pinned is loaded again without being asked for; what is idle ends and gives its memory back; pinned workers stay."""
    assert client.put("/models/a/1/pin").status_code == 200
    assert service.stop() == 0
    service.settings["idle_seconds"] = "0.7"
    service.start()
    eventually(lambda: loaded(service) == {"a"}, what="the pinned version")
    alone = eventually(lambda: service.host_report()["used_bytes"])
    assert predict(client, "b") == 200
    assert service.host_report()["used_bytes"] > alone + (60 << 20)
    eventually(lambda: loaded(service) == {"a"}, what="the end of the idle worker")
    eventually(lambda: service.host_report()["used_bytes"] < alone + (20 << 20), what="its memory")
    assert service.host_report()["counts"]["idle_ends"] >= 1
    assert len(Processes(service).workers) == 1


def test_a_pinned_version_that_crashed_is_loaded_again_unasked(service: RunningService, client: httpx.Client) -> None:
    """No request has to come first."""
    assert client.put("/models/a/1/pin").status_code == 200
    before = Processes(service).workers
    for pid in before:
        kill(pid)
    eventually(lambda: len(Processes(service).workers) == 1 and Processes(service).workers != before, what="a new worker")
    eventually(lambda: [row["state"] for row in service.host_report()["loaded"]] == ["ready"])
