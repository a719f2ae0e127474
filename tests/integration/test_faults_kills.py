"""SIGKILL of each process of a host: what was asked meanwhile, and that everything comes back by itself."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.misbehaving import EXTRA_NAMES, model
from tests.processes import Hammering, Processes, eventually, is_running, kill
from tests.running import RunningService, running

BODY = {"data": [[1.0, 2.0, 3.0, 4.0]]}
UNCACHED = {"Cache-Control": "no-store"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """One service with one published model for the tests of this module."""
    settings = {"web_processes": "2", "prediction_timeout_seconds": "5"}
    with running(tmp_path_factory.mktemp("kills") / "instance", measured=False, **settings, extra_names=EXTRA_NAMES) as started:
        started.publish("sum", model("raises"))
        yield started


@pytest.fixture
def processes(service: RunningService) -> Processes:
    """Return the service's processes, all of them up and one worker loaded."""
    eventually(lambda: predicts(service), what="a prediction")
    found = Processes(service)
    eventually(lambda: len(found.web) == 2 and found.workers, what="two web processes and a worker")
    return found


def predicts(service: RunningService) -> bool:
    """Tell whether the service answers an uncached prediction."""
    with service.client() as client:
        try:
            return client.post("/models/sum/1", json=BODY, headers=UNCACHED).status_code == 200
        except httpx.HTTPError:
            return False


def hammer(client: httpx.Client, count: int) -> httpx.Response:
    """Send a prediction that no cache knows."""
    return client.post("/models/sum/1", json={"data": [[float(count), 2.0, 3.0, 4.0]]}, headers=UNCACHED)


def restarts(service: RunningService, name: str) -> int:
    """Return how often the host process restarted one of its children."""
    with service.client() as client:
        wanted = f'modelyard_restarts_total{{process="{name}"}}'
        lines = client.get("/metrics").text.splitlines()
    return int(float(next(line.split()[-1] for line in lines if line.startswith(wanted))))


def test_a_killed_worker_is_replaced_at_the_next_request(service: RunningService, processes: Processes) -> None:
    """A request that comes after the kill is answered by a new worker, though its kept connection has died."""
    killed = processes.workers
    for pid in killed:
        kill(pid)
    eventually(lambda: not any(map(is_running, killed)))
    with service.client() as client:
        answers = [hammer(client, count).status_code for count in range(10)]
    assert answers == [200] * 10
    assert not set(processes.workers) & set(killed)


def test_a_killed_fork_server_takes_no_prediction_with_it(service: RunningService, processes: Processes) -> None:
    """Its workers end with it, and what they were asked goes to new ones once it is back."""
    before, workers = processes.forkserver, processes.workers
    with Hammering(service, hammer) as hammering:
        hammering.wait_for_more()
        kill(before)
        eventually(lambda: not any(map(is_running, [before, *workers])))
        eventually(lambda: processes.forkserver != before)
        hammering.wait_for_more()
    assert hammering.failed == []
    assert restarts(service, "fork server") >= 1


def test_a_fork_server_that_dies_often_lets_no_version_rest(service: RunningService, processes: Processes) -> None:
    """Its deaths are no crashes of a version, as three of a worker would be."""
    for _ in range(2):
        before = processes.forkserver
        kill(before)
        eventually(lambda before=before: not is_running(before))
        assert predicts(service)


def test_a_killed_web_process_comes_back_and_the_other_goes_on(service: RunningService, processes: Processes) -> None:
    """Only connections to it are lost."""
    before = processes.web
    kill(before[0])
    eventually(lambda: len(processes.web) == 2 and before[0] not in processes.web, what="another web process")
    assert is_running(before[1])
    eventually(lambda: predicts(service))


def test_two_web_processes_killed_at_once_come_back(service: RunningService, processes: Processes) -> None:
    """Granian gives up after two deaths in a row; the host process starts it again."""
    for pid in processes.web:
        kill(pid)
    eventually(lambda: predicts(service), 40)
    before = processes.web
    kill(before[0])
    eventually(lambda: len(processes.web) == 2 and before[0] not in processes.web, 40, what="two web processes")
    eventually(lambda: predicts(service))


def test_a_killed_granian_leaves_no_web_process_and_comes_back(service: RunningService, processes: Processes) -> None:
    """Its web processes end with it, so the port is free for its successor."""
    before, web, workers = processes.granian, processes.web, processes.workers
    kill(before)
    eventually(lambda: not any(map(is_running, [before, *web])))
    eventually(lambda: predicts(service), 40)
    assert processes.granian != before
    assert processes.workers == workers, "workers outlive the web processes"


def test_a_granian_killed_while_its_web_processes_start_leaves_none(service: RunningService, processes: Processes) -> None:
    """Also a web process that is still importing ends with its parent."""
    kill(processes.granian)
    eventually(lambda: len(processes.web) == 2, 40, what="two web processes")
    before, web = processes.granian, processes.web
    kill(before)
    eventually(lambda: not any(map(is_running, web)), what="the end of the web processes")
    eventually(lambda: predicts(service), 40)


def test_a_killed_host_process_leaves_nothing_running_and_nothing_locked(service: RunningService, processes: Processes) -> None:
    """All its processes end with it, and the next start on the same instance and port works."""
    everyone = processes.all
    assert len(everyone) >= 8, "host, fork server, two Valkeys, Granian, two web processes, worker"
    assert service.stop(9) == -9
    eventually(lambda: not any(map(is_running, everyone)), what="the end of all processes")
    service.start()
    assert predicts(service)
    assert len(service.host_report()["loaded"]) == 1
