"""Moves of an alias while requests go on over every web process: none fails, none lies, none waits."""

from __future__ import annotations

import random
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from tests.outside import Connection, connect_to_each, wait_until, web_processes
from tests.running import RunningService, running

pytestmark = pytest.mark.alone

ALIAS = "/models/sum/aliases/production"
MOVES = 50


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """One service with three versions of a model; version N predicts N times the sum."""
    with running(tmp_path_factory.mktemp("switch") / "instance", measured=False, log_level="warning") as started:
        x = np.random.default_rng(0).normal(size=(50, 3))
        for factor in (1, 2, 3):
            started.publish("sum", LinearRegression().fit(x, factor * x.sum(axis=1)), {"input_example": x[:2].tolist()})
        yield started


@pytest.fixture
def admin(service: RunningService) -> Iterator[Connection]:
    """Return a connection for moves, with the alias of the model at version 1 and nothing to go back to."""
    connection = Connection(service, service.admin_key)
    connection.send("DELETE", ALIAS)
    assert connection.send("PUT", ALIAS, {"version": 1})[0] == 200
    yield connection
    connection.close()


@dataclass(frozen=True)
class Request:
    """One prediction as its caller saw it."""

    started: float
    ended: float
    status: int
    version: int


@dataclass(frozen=True)
class Standing:
    """A time in which the alias may have pointed at a version: from before the move there was sent until the next one was answered."""

    version: int
    first: float
    last: float = float("inf")


class Load:
    """Callers that predict over every web process until they are stopped."""

    def __init__(self, service: RunningService, per_process: int) -> None:
        """Connect `per_process` callers to each web process."""
        connections = [connection for _ in range(per_process) for connection in connect_to_each(service, service.admin_key).values()]
        self.requests: list[Request] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._call, args=(connection, seed)) for seed, connection in enumerate(connections)]

    def __enter__(self) -> Self:
        """Begin, and wait until the callers are served."""
        for thread in self._threads:
            thread.start()
        wait_until(lambda: len(self.requests) > 200, "the callers are served")
        self.requests.clear()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _call(self, connection: Connection, seed: int) -> None:
        values = random.Random(seed)
        while not self._stop.is_set():
            row = [values.random(), values.random(), values.random()]
            started = time.monotonic()
            status, answer = connection.send("POST", "/models/sum/@production", {"data": [row]})
            ended = time.monotonic()
            version = answer.get("version", 0)
            right = status == 200 and abs(answer["prediction"][0] - version * sum(row)) < 1e-9
            self.requests.append(Request(started, ended, status if right else -status, version))
        connection.close()


def _move(admin: Connection, standings: list[Standing], method: str, path: str, body: dict[str, int] | None, version: int) -> None:
    sent = time.monotonic()
    status, answer = admin.send(method, path, body)
    assert (status, answer.get("to", answer.get("version"))) == (200, version), answer
    before = standings.pop()
    standings += [Standing(before.version, before.first, time.monotonic()), Standing(version, sent)]


def test_no_request_fails_lies_or_waits_while_an_alias_is_moved_fifty_times(service: RunningService, admin: Connection) -> None:
    """Each answer's version is one that the alias had between the request's start and end.

    Of two hundred requests the slowest takes less than ten medians: each move meets several, and if they waited for it, or for a load,
    more than that would be slow.
    """
    standings = [Standing(1, 0.0)]
    with Load(service, per_process=2) as load:
        for number in range(MOVES):
            target = 2 + number % 2
            _move(admin, standings, "PUT", ALIAS, {"version": target}, target)
            time.sleep(0.02)  # lets requests meet both versions; nothing depends on it
            _move(admin, standings, "POST", ALIAS + "/rollback", None, 1)
            time.sleep(0.02)
    requests = load.requests
    assert {request.status for request in requests} == {200}
    for request in requests:
        fitting = [
            one for one in standings if one.version == request.version and one.first <= request.ended and request.started <= one.last
        ]
        assert fitting, f"{request} met none of the times at which the alias had that version"
    assert {request.version for request in requests} == {1, 2, 3}
    seconds = sorted(request.ended - request.started for request in requests)
    median = statistics.median(seconds)
    slow = seconds[-(len(seconds) // 200) - 1]
    print(
        f"{len(seconds)} requests, median {1000 * median:.1f} ms, slow {1000 * slow:.1f}, slowest {[round(1000 * one, 1) for one in seconds[-8:]]} ms"
    )
    assert slow <= 10 * median


def test_the_answer_to_a_move_is_seen_by_the_very_next_request_on_every_web_process(service: RunningService, admin: Connection) -> None:
    """Whichever process moved it."""
    callers = connect_to_each(service, service.admin_key)
    for mover in callers.values():
        for number in (2, 3, 1):
            assert mover.send("PUT", ALIAS, {"version": number})[0] == 200
            assert [caller.send("POST", "/models/sum", {"data": [[1, 2, 3]]})[1]["version"] for caller in callers.values()] == [number] * 2
        for number in (3, 2):
            assert mover.send("POST", ALIAS + "/rollback")[1]["to"] == number
            assert [caller.send("POST", "/models/sum", {"data": [[1, 2, 3]]})[1]["version"] for caller in callers.values()] == [number] * 2


def _climb(admin: Connection) -> None:
    """Bring the alias to version 3 by way of 1 and 2."""
    admin.send("DELETE", ALIAS)
    for number in (1, 2, 3):
        assert admin.send("PUT", ALIAS, {"version": number})[0] == 200


def _at_once(
    service: RunningService, method: str, path: str, bodies: list[dict[str, int] | None], **headers: str
) -> list[tuple[int, dict[str, object]]]:
    """Send requests together, spread over both web processes, and return their answers."""
    callers = list(connect_to_each(service, service.admin_key).values()) + [Connection(service, service.admin_key) for _ in bodies[2:]]
    together = threading.Barrier(len(bodies))

    def send(caller: Connection, body: dict[str, int] | None) -> tuple[int, dict[str, object]]:
        together.wait()
        return caller.send(method, path, body, **headers)

    with ThreadPoolExecutor(len(bodies)) as threads:
        return list(threads.map(send, callers, bodies))


@pytest.mark.parametrize("attempt", range(4))
def test_rollbacks_with_the_same_idempotency_key_at_once_go_back_once(service: RunningService, admin: Connection, attempt: int) -> None:
    """All get the same answer, also where nothing is left to go back to once the first went."""
    _climb(admin)
    if attempt % 2:
        assert admin.send("POST", ALIAS + "/rollback")[1]["to"] == 2
    target = 1 if attempt % 2 else 2
    answers = _at_once(service, "POST", ALIAS + "/rollback", [None] * 4, **{"Idempotency-Key": f"night-{attempt}"})
    assert [status for status, _ in answers] == [200] * 4
    assert {(answer["from"], answer["to"], answer["at"]) for _, answer in answers} == {(target + 1, target, answers[0][1]["at"])}
    assert admin.send("GET", ALIAS)[1]["version"] == target


@pytest.mark.parametrize("attempt", range(4))
def test_rollbacks_at_once_without_a_key_never_lose_an_entry_of_the_stack(service: RunningService, admin: Connection, attempt: int) -> None:
    """Each either goes one further back or is told that the alias moved; as many entries are left as were not gone back to."""
    _climb(admin)
    answers = _at_once(service, "POST", ALIAS + "/rollback", [None] * 2)
    went = sorted(int(str(answer["to"])) for status, answer in answers if status == 200)
    assert {status for status, _ in answers} <= {200, 409, 412}
    assert went in ([2], [1, 2])
    assert admin.send("GET", ALIAS)[1]["version"] == went[0]
    left = 0
    while admin.send("POST", ALIAS + "/rollback")[0] == 200:
        left += 1
    assert left == 2 - len(went)


def test_of_moves_at_once_that_expect_the_same_etag_one_wins(service: RunningService, admin: Connection) -> None:
    """The others get 412 and change nothing."""
    _climb(admin)
    etag = admin.send("GET", ALIAS)[1]["etag"]
    answers = _at_once(service, "PUT", ALIAS, [{"version": 1}, {"version": 2}, {"version": 1}, {"version": 2}], **{"If-Match": f'"{etag}"'})
    assert sorted(status for status, _ in answers) == [200, 412, 412, 412]
    (won,) = [answer for status, answer in answers if status == 200]
    assert admin.send("GET", ALIAS)[1] == won
    assert admin.send("POST", ALIAS + "/rollback", **{"If-Match": f'"{etag}"'})[0] == 412
    assert admin.send("POST", ALIAS + "/rollback", **{"If-Match": f'"{won["etag"]}"'})[1]["to"] == 3


def test_a_web_process_killed_while_the_alias_moves_comes_back_with_the_right_state(service: RunningService, admin: Connection) -> None:
    """The new process serves what the last answered move said, and sees the next one at once."""
    _climb(admin)
    victim = web_processes(service)[0].pid
    callers = connect_to_each(service, service.admin_key)
    assert callers[victim].send("POST", "/models/sum", {"data": [[1, 2, 3]]})[1]["version"] == 3
    (mover,) = [caller for process, caller in callers.items() if process != victim]
    for number in (1, 2, 1, 2, 1, 2):
        if number == 1:
            with_victim = [process for process in web_processes(service) if process.pid == victim]
            for process in with_victim:
                process.send_signal(9)
        assert mover.send("PUT", ALIAS, {"version": number})[0] == 200
    wait_until(
        lambda: victim not in (pids := {process.pid for process in web_processes(service)}) and len(pids) == 2,
        "another web process is there",
    )
    callers = connect_to_each(service, service.admin_key)
    assert victim not in callers
    for caller in callers.values():
        assert caller.send("POST", "/models/sum", {"data": [[1, 2, 3]]})[1]["version"] == 2
    for number in (3, 1):
        assert mover.send("PUT", ALIAS, {"version": number})[0] == 200
        assert [caller.send("POST", "/models/sum", {"data": [[1, 2, 3]]})[1]["version"] for caller in callers.values()] == [number] * 2
