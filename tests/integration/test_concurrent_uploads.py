"""Two hundred uploads to one model over eight threads: every number once, on either database."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from tests.outside import SHARED_SECRETS, own_postgres
from tests.running import RunningService, dumped, running

UPLOADS = 200
THREADS = 8


@pytest.fixture(params=["sqlite", "postgresql"])
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """Start a service on each database, in which one key may have eight uploads under way."""
    folder = tmp_path_factory.mktemp("uploads") / "instance"
    settings = {"uploads_per_key": str(THREADS), "log_level": "warning"}
    if request.param == "sqlite":
        with running(folder, measured=False, **settings) as started:
            yield started
        return
    with own_postgres() as postgres, running(folder, measured=False, database_url=postgres.url, **settings, **SHARED_SECRETS) as started:
        yield started


def test_two_hundred_uploads_over_eight_threads_give_one_to_two_hundred(service: RunningService) -> None:
    """Without a gap or a double, and each event says so too."""
    artifact = dumped(LinearRegression().fit(np.eye(2), [1.0, 2.0]))
    headers = {"Content-Type": "application/octet-stream"}

    with service.client() as client, ThreadPoolExecutor(THREADS) as threads:
        answers = list(threads.map(lambda _: client.post("/models/busy/versions", content=artifact, headers=headers), range(UPLOADS)))
        assert {answer.status_code for answer in answers} == {201}, next(answer.text for answer in answers if answer.status_code != 201)
        assert sorted(answer.json()["version"] for answer in answers) == list(range(1, UPLOADS + 1))
        listed = client.get("/models/busy/versions", params={"limit": 1000}).json()["items"]
        assert [version["version"] for version in listed] == list(range(UPLOADS, 0, -1))
        events = client.get("/events", params={"model": "busy", "kind": "version.published", "limit": 1000}).json()["items"]
        assert sorted(event["version"] for event in events) == list(range(1, UPLOADS + 1))
