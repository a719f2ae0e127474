"""PostgreSQL away, silent or gone: known predictions go on for a while, changes are refused at once, and all recovers by itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import httpx
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from tests.outside import SHARED_SECRETS, Connection, OwnPostgres, connect_to_each, own_postgres, wait_until
from tests.running import RunningService, running

pytestmark = pytest.mark.alone

ROW = {"data": [[1.0, 2.0, 3.0]]}
STALE_OK_SECONDS = 6.0


@pytest.fixture(scope="module")
def postgres() -> Iterator[OwnPostgres]:
    """Start a server that this module may stop."""
    with own_postgres() as server:
        yield server


@pytest.fixture(scope="module")
def service(postgres: OwnPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """One service on that server, with one model whose `production` points at version 1 of two."""
    folder = tmp_path_factory.mktemp("away") / "instance"
    settings = {"database_url": postgres.url, "stale_ok_seconds": str(STALE_OK_SECONDS), "log_level": "warning", **SHARED_SECRETS}
    with running(folder, **settings) as started:
        x = np.random.default_rng(0).normal(size=(50, 3))
        for factor in (1, 2):
            started.publish("sum", LinearRegression().fit(x, factor * x.sum(axis=1)), {"input_example": x[:2].tolist()})
        with started.client() as client:
            assert client.put("/models/sum/aliases/production", json={"version": 1}).status_code == 200
        yield started


@pytest.fixture(params=["silent", "gone"])
def away(request: pytest.FixtureRequest, postgres: OwnPostgres) -> tuple[Callable[[], None], Callable[[], None]]:
    """How the server goes away, and how it comes back."""
    return (postgres.freeze, postgres.thaw) if request.param == "silent" else (postgres.stop, postgres.start)


def test_while_postgresql_is_away_what_is_known_is_served_and_the_rest_is_refused_quickly(
    service: RunningService, away: tuple[Callable[[], None], Callable[[], None]]
) -> None:
    """Then even the known is refused, and once the server is back everything works again, on every web process."""
    go, come_back = away
    fresh = service.make_key("predict")  # before the requests, with which each process takes note of this change
    callers = list(connect_to_each(service, service.admin_key).values())
    for caller in callers:
        wait_until(lambda one=caller: one.send("POST", "/models/sum", ROW)[0] == 200, "the model is served")  # type: ignore[misc]
    went = time.monotonic()
    go()
    try:
        _known_goes_on(callers)
        _unknown_is_refused(service, callers, fresh)
        _changes_are_refused_quickly(callers)
        _health_says_so(service)
        assert time.monotonic() - went < STALE_OK_SECONDS + 20
        for caller in callers:
            wait_until(lambda one=caller: one.send("POST", "/models/sum", ROW)[0] == 503, "what is too old is refused")  # type: ignore[misc]
        assert time.monotonic() - went >= STALE_OK_SECONDS - 1.5
        assert httpx.get(f"{service.url}/health/live", timeout=10).status_code == 200
    finally:
        come_back()
    for caller in callers:
        wait_until(lambda one=caller: one.send("POST", "/models/sum", ROW)[0] == 200, "predictions are back")  # type: ignore[misc]
        wait_until(lambda one=caller: one.send("PUT", "/models/sum/aliases/canary", {"version": 2})[0] == 200, "changes are back")  # type: ignore[misc]
    wait_until(lambda: httpx.get(f"{service.url}/health/ready", timeout=10).json()["status"] == "up", "readiness is back")


def _known_goes_on(callers: list[Connection]) -> None:
    for _ in range(10):
        for caller in callers:
            started = time.monotonic()
            status, answer = caller.send("POST", "/models/sum", ROW)
            assert (status, answer["version"]) == (200, 1)
            assert time.monotonic() - started < 1.0


def _unknown_is_refused(service: RunningService, callers: list[Connection], fresh_key: str) -> None:
    refused = httpx.post(f"{service.url}/models/sum/1", headers={"Authorization": f"Bearer {fresh_key}"}, json=ROW, timeout=10)
    assert (refused.status_code, refused.json()["type"].rsplit("/", 1)[-1]) == (503, "registry-unavailable")
    assert {"retry-after", "x-request-id"} <= set(refused.headers)
    for path in ("/models/other/1", "/models/sum/@unheard-of"):
        started = time.monotonic()
        status, problem = callers[0].send("POST", path, ROW)
        assert (status, problem["type"].rsplit("/", 1)[-1]) == (503, "registry-unavailable")
        assert time.monotonic() - started < 10


def _changes_are_refused_quickly(callers: list[Connection]) -> None:
    for caller in callers:
        caller.send(
            "PUT", "/models/sum/aliases/production", {"version": 2}
        )  # may be the one that finds out, which takes seconds where the server is silent
        for _ in range(4):
            started = time.monotonic()
            status, problem = caller.send("PUT", "/models/sum/aliases/production", {"version": 2})
            assert (status, problem["type"].rsplit("/", 1)[-1]) == (503, "registry-unavailable")
            assert time.monotonic() - started < 5


def _health_says_so(service: RunningService) -> None:
    assert httpx.get(f"{service.url}/health/live", timeout=10).status_code == 200
    ready = httpx.get(f"{service.url}/health/ready", timeout=10).json()
    assert ready["parts"]["database"] == "down"
    refused = httpx.get(f"{service.url}/models", headers={"Authorization": f"Bearer {service.admin_key}"}, timeout=10)
    assert (refused.status_code, int(refused.headers["Retry-After"]) >= 1) == (503, True)
