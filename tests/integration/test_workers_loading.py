"""Loading: once per version, different versions side by side, bounded waits, and drains that cost no request."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.asking import loaded, pid_of
from tests.misbehaving import EXTRA_NAMES, TRIGGER, model
from tests.processes import Hammering, Processes, eventually, in_background
from tests.running import RunningService, running
from tests.slow_models import differing, sleeping, sleeping_at_load

GOOD = {"data": [[1.0, 2.0, 3.0, 4.0]]}
BAD = {"data": [[TRIGGER, 2.0, 3.0, 4.0]]}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """One service for the tests of this module."""
    settings = {"web_processes": "2", "cache": "off", "load_wait_seconds": "2.5", "max_waiting_per_version": "64"}
    with running(tmp_path_factory.mktemp("loading") / "instance", measured=False, **settings, extra_names=EXTRA_NAMES) as started:
        yield started


def stampede(service: RunningService, name: str, threads: int) -> list[httpx.Response]:
    """Send so many predictions at once, each over a connection of its own."""
    with service.client(limits=httpx.Limits(max_connections=threads)) as client, ThreadPoolExecutor(threads) as pool:
        sent = [pool.submit(client.post, f"/models/{name}/1", json=GOOD) for _ in range(threads)]
        return [one.result() for one in sent]


def test_a_stampede_on_a_version_loads_it_once(service: RunningService) -> None:
    """Sixty-four requests over both web processes wait for one load."""
    service.publish("stampede", sleeping_at_load(1))
    loads = service.host_report()["counts"].get("loads", 0)
    assert [answer.status_code for answer in stampede(service, "stampede", 64)] == [200] * 64
    assert service.host_report()["counts"]["loads"] == loads + 1
    assert len([row for row in loaded(service) if row["model"] == "stampede"]) == 1


def test_different_versions_load_side_by_side(service: RunningService) -> None:
    """Both are seen loading at the same moment."""
    for name in ("left", "right"):
        service.publish(name, sleeping_at_load(1.5, marker=ord(name[0])))
    with in_background(lambda: stampede(service, "left", 1)) as left, in_background(lambda: stampede(service, "right", 1)) as right:
        eventually(
            lambda: {row["model"] for row in loaded(service) if row["state"] == "loading"} == {"left", "right"}, what="two loads at once"
        )
    assert [answer.status_code for answer in left[0] + right[0]] == [200, 200]


def test_only_so_many_wait_for_a_load(service: RunningService) -> None:
    """The others get 503 version-busy with Retry-After at once; those who wait are answered."""
    service.publish("crowded", sleeping_at_load(1.5))
    answers = stampede(service, "crowded", 150)
    assert {answer.status_code for answer in answers} == {200, 503}
    refused = [answer for answer in answers if answer.status_code == 503]
    assert len(refused) >= 20
    assert {answer.json()["type"].rpartition("/")[2] for answer in refused} == {"version-busy"}
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)


def test_nobody_waits_for_a_load_longer_than_the_deadline(service: RunningService) -> None:
    """503 version-starting with Retry-After while it goes on loading; then it answers."""
    service.publish("slow-load", sleeping_at_load(4))
    (answer,) = stampede(service, "slow-load", 1)
    assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (503, "version-starting")
    assert int(answer.headers["Retry-After"]) >= 1
    eventually(lambda: stampede(service, "slow-load", 1)[0].status_code == 200, what="the load")


def test_a_version_that_is_unloaded_again_and_again_fails_no_request(service: RunningService) -> None:
    """A request that meets the closing socket goes to the new worker."""
    service.publish("hammered", model("raises"))
    pids = set()
    with (
        service.client() as admin,
        Hammering(service, lambda client, _: client.post("/models/hammered/1", json=GOOD), threads=6) as hammering,
    ):
        for _ in range(25):
            hammering.wait_for_more(10)
            pids.add(pid_of(service, "hammered"))
            assert admin.post("/models/hammered/1/unload", json={}).status_code == 200
        hammering.wait_for_more(10)
    assert hammering.failed == []
    assert len(pids - {None}) >= 20


def test_a_drain_lets_the_request_under_way_finish(service: RunningService) -> None:
    """An unload waits for the answer, and the next request goes to another worker."""
    service.publish("draining", sleeping(1))
    stampede(service, "draining", 1)
    before = pid_of(service, "draining")
    headers = {"Authorization": f"Bearer {service.admin_key}"}
    with in_background(lambda: httpx.post(f"{service.url}/models/draining/1", json=BAD, headers=headers, timeout=30)) as under_way:
        eventually(lambda: any(row["waiting"] for row in loaded(service)), what="the request at the worker")
        with service.client() as client:
            assert client.post("/models/draining/1/unload", json={}).json()["was_loaded"]
    assert [answer.status_code for answer in under_way] == [200]
    assert stampede(service, "draining", 1)[0].status_code == 200
    assert pid_of(service, "draining") not in {None, before}


def test_a_version_that_is_deleted_stops_serving(service: RunningService) -> None:
    """Its worker ends, also when the deletion met it loading; restored, it serves again."""
    service.publish("deleted", sleeping_at_load(1))
    with service.client() as client:
        with in_background(lambda: stampede(service, "deleted", 1)):
            eventually(lambda: any(row["model"] == "deleted" for row in loaded(service)), what="its load")
            assert client.delete("/models/deleted/1").status_code == 200
        eventually(lambda: pid_of(service, "deleted") is None, what="the end of its worker")
        assert client.post("/models/deleted/1", json=GOOD).status_code == 410
        assert client.post("/models/deleted/1/restore", json={}).status_code == 200
        assert client.post("/models/deleted/1", json=GOOD).status_code == 200


def test_a_load_whose_golden_predictions_differ_is_refused_and_noted(service: RunningService) -> None:
    """500 model-unloadable; which output differed stands on the version and in the log, and no alias moves to it."""
    service.publish("differs", differing())
    with service.client() as client:
        answer = client.post("/models/differs/1", json=GOOD)
        assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (500, "model-unloadable")
        assert "The golden predictions differ: predict, row 0" in client.get("/models/differs/1").json()["load_error"]
        assert client.put("/models/differs/aliases/production", json={"version": 1}).status_code == 409
    assert any("The golden predictions differ" in str(line.get("event")) for line in service.log_lines())


def test_web_processes_and_the_host_process_hold_no_model_library(service: RunningService) -> None:
    """What parses models is mapped into the fork server and its workers alone."""
    processes = Processes(service)

    def libraries(pid: int) -> set[str]:
        maps = Path(f"/proc/{pid}/maps").read_text()
        return {name for name in ("sklearn", "scipy", "pandas") if f"/{name}/" in maps}

    assert "sklearn" in libraries(processes.forkserver)
    assert [libraries(pid) for pid in (processes.host, processes.granian, *processes.web)] == [set()] * (2 + len(processes.web))


def test_a_version_is_not_idle_before_it_ever_answered(service: RunningService) -> None:
    """What is loaded stays loaded, however long it takes after the load to see whether its rows may be joined."""
    rows = [[TRIGGER, float(number), 3.0, 4.0] for number in range(10)]
    service.publish("fresh", sleeping(0.02), {"input_example": rows})  # each golden row is replayed by itself: a fifth of a second
    ended = service.host_report()["counts"].get("idle_ends", 0)
    with service.client() as client:
        for _ in range(3):
            assert client.post("/models/fresh/1/load").status_code == 200
            assert client.post("/models/fresh/1", json=GOOD).status_code == 200
            client.post("/models/fresh/1/unload")
    assert service.host_report()["counts"].get("idle_ends", 0) == ended
