"""Two hosts on one PostgreSQL, one Valkey and one folder of artifacts: what is changed on one is seen on the other."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from tests.outside import SHARED_SECRETS, Connection, OwnValkey, connect_to_each, own_postgres, wait_until
from tests.running import RunningService

pytestmark = pytest.mark.alone

ROW = {"data": [[1.0, 2.0, 3.0]]}
#: So that a worker of the asked host computes, and not the cache that both share.
UNCACHED = {"Cache-Control": "no-store"}


class Pair:
    """Two hosts of one service, and the Valkey between them."""

    def __init__(self, first: RunningService, second: RunningService, valkey: OwnValkey) -> None:
        """Take them over."""
        self.first, self.second, self.valkey = first, second, valkey

    def publish(self, name: str, *factors: int) -> None:
        """Publish versions of a model on the first host; each predicts its factor times the sum."""
        x = np.random.default_rng(0).normal(size=(50, 3))
        for factor in factors:
            self.first.publish(name, LinearRegression().fit(x, factor * x.sum(axis=1)), {"input_example": x[:2].tolist()})

    def admin(self, host: RunningService) -> Connection:
        """Return an administrator's connection to a host."""
        return Connection(host, self.first.admin_key)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Start everything once for this module."""
    folder = tmp_path_factory.mktemp("hosts")
    valkey = OwnValkey(folder).start()
    with own_postgres() as postgres:
        settings = {
            "database_url": postgres.url,
            "redis_url": valkey.url,
            "artifacts_path": str(folder / "artifacts"),
            "log_level": "warning",
            **SHARED_SECRETS,
        }
        hosts = [RunningService(folder / name, **settings) for name in ("first", "second")]
        try:
            for host in hosts:
                host.start()  # one after the other: the first makes the admin key
            yield Pair(hosts[0], hosts[1], valkey)
        finally:
            for host in hosts:
                if host.process is not None:
                    host.stop()
            valkey.stop()


@pytest.fixture(params=["announced", "polled"])
def told(request: pytest.FixtureRequest, pair: Pair) -> Iterator[str]:
    """How hosts hear of each other: over Valkey, or by asking each second while it is away."""
    if request.param == "polled":
        pair.valkey.stop()
    yield request.param
    if request.param == "polled":
        pair.valkey.start()


def test_a_key_revoked_on_one_host_stops_there_at_once_and_on_the_other_within_a_second(pair: Pair, told: str) -> None:
    """On every web process of both hosts; a second and some for the poll of a busy machine."""
    pair.publish("keys", 1)
    key = pair.first.make_key("predict", "admin")
    key_id = key.split("_")[1]
    here, there = connect_to_each(pair.first, key), connect_to_each(pair.second, key)
    for connection in (*here.values(), *there.values()):
        assert connection.send("POST", "/models/keys/1", ROW)[0] == 200
    assert pair.admin(pair.first).send("DELETE", f"/keys/{key_id}")[0] == 200
    for connection in here.values():
        assert connection.send("POST", "/models/keys/1", ROW)[0] == 401
    for connection in there.values():
        seconds = wait_until(lambda one=connection: one.send("POST", "/models/keys/1", ROW)[0] == 401, "the key stops on the other host")  # type: ignore[misc]
        assert seconds < (1.5 if told == "announced" else 2.0)


def test_a_version_published_on_one_host_is_predictable_on_the_other_at_once(pair: Pair) -> None:
    """Through each of its web processes, and `@latest` follows within a second."""
    pair.publish("published", 1)
    there = connect_to_each(pair.second, pair.first.admin_key)
    for connection in there.values():
        assert connection.send("POST", "/models/published/1", ROW)[1]["prediction"] == [pytest.approx(6.0)]
        assert connection.send("POST", "/models/published/@latest", ROW)[1]["version"] == 1
    pair.publish("published", 2)
    for connection in there.values():
        assert connection.send("POST", "/models/published/2", ROW)[1]["prediction"] == [pytest.approx(12.0)]
        seconds = wait_until(
            lambda one=connection: one.send("POST", "/models/published/@latest", ROW)[1]["version"] == 2, "@latest follows"
        )  # type: ignore[misc]
        assert seconds < 2.0


def test_a_move_on_one_host_takes_effect_on_the_other_without_a_failed_or_waiting_request(pair: Pair, told: str) -> None:
    """The target is loaded there first; meanwhile the old one answers, also where the model was just published into."""
    name = f"moved-{told}"
    pair.publish(name, 1)
    admin = pair.admin(pair.first)
    assert admin.send("PUT", f"/models/{name}/aliases/production", {"version": 1})[0] == 200
    callers = list(connect_to_each(pair.second, pair.first.admin_key).values())
    for connection in callers:
        wait_until(lambda one=connection: one.send("POST", f"/models/{name}", ROW, **UNCACHED)[0] == 200, "the alias is known")  # type: ignore[misc]
    answers: list[tuple[float, float, int, int]] = []
    over = threading.Event()

    def call(connection: Connection) -> None:
        while not over.is_set():
            started = time.monotonic()
            status, answer = connection.send("POST", f"/models/{name}", ROW, **UNCACHED)
            answers.append((started, time.monotonic(), status, answer.get("version", 0)))

    with ThreadPoolExecutor(len(callers)) as threads:
        for connection in callers:
            threads.submit(call, connection)
        try:
            pair.publish(name, 2)
            assert admin.send("PUT", f"/models/{name}/aliases/production", {"version": 2})[0] == 200
            moved = time.monotonic()
            wait_until(lambda: {version for *_, version in answers[-20:]} == {2}, "the other host serves the new target")
        finally:
            over.set()
    assert {status for _, _, status, _ in answers} == {200}
    assert max(ended - started for started, ended, *_ in answers) < 1.0
    assert max(started for started, _, _, version in answers if version == 1) < moved + 5.0
    loaded = [row["version"] for row in _report(pair)["loaded"] if row["model"] == name]
    assert sorted(loaded) == [1, 2]


def test_limits_are_counted_over_both_hosts_together(pair: Pair) -> None:
    """A key of twenty a minute gets twenty answers, wherever it asks."""
    pair.publish("limited", 1)
    key = pair.first.make_key("predict", limits=["20/minute"])
    callers = [*connect_to_each(pair.first, key).values(), *connect_to_each(pair.second, key).values()]
    time.sleep(max(0.0, 5 - (60 - time.time() % 60)))  # not over the end of a window
    statuses = [callers[number % 4].send("POST", "/models/limited/1", ROW)[0] for number in range(28)]
    assert statuses == [200] * 20 + [429] * 8


def _report(pair: Pair) -> dict[str, list[dict[str, object]]]:
    status, report = pair.admin(pair.second).send("GET", "/serving")
    assert status == 200
    return dict(report)


def test_a_compiled_form_made_on_one_host_serves_on_the_other_as_well(pair: Pair) -> None:
    """Where the version is loaded already, no request fails; taking it back is heard in the same way."""
    pair.publish("compiled", 1)
    key = pair.first.admin_key
    clients = [client for host in (pair.first, pair.second) for client in connect_to_each(host, key).values()]

    def runtimes() -> set[str]:
        answers = [client.send("POST", "/models/compiled/1", ROW, **UNCACHED) for client in clients]
        assert [status for status, _ in answers] == [200] * len(clients)
        return {answer["runtime"] for _, answer in answers}

    assert runtimes() == {"exact"}
    for runtime in ("fast", "exact"):
        assert pair.admin(pair.first).send("PATCH", "/models/compiled/1", {"runtime": runtime})[0] == 200
        wait_until(lambda runtime=runtime: runtimes() == {runtime}, f"both hosts serve it {runtime}")
    assert len(pair.admin(pair.first).send("GET", "/events?model=compiled&kind=version.compiled")[1]["items"]) == 1
