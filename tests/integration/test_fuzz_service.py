"""Mutated files uploaded to a running service: each is published or refused by a problem, and the service goes on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import httpx
import pytest

from tests import fixture_models
from tests.fuzzing.mutations import Mutator
from tests.fuzzing.seeds import good_files
from tests.running import RunningService, running

UPLOADS = 200
OCTETS = {"Content-Type": "application/octet-stream"}
ROW = {"data": [[5.1, 3.5, 1.4, 0.2]]}

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """One service, with one model that goes on."""
    with running(tmp_path_factory.mktemp("fuzzed") / "instance", measured=False, min_free_bytes="0") as started:
        started.publish("goes-on", fixture_models.iris().estimator)
        yield started


@pytest.fixture(scope="module")
def answers(service: RunningService) -> list[tuple[str, httpx.Response]]:
    """Upload all mutants, one after another, and return what came back for each."""
    mutator = Mutator(good_files(), seed=3)
    with service.client() as client:
        return [
            (label, client.post("/models/mutants/versions", content=data, headers=OCTETS))
            for label, data in (mutator.mutant() for _ in range(UPLOADS))
        ]


def test_each_mutant_is_published_or_refused_by_a_problem(answers: list[tuple[str, httpx.Response]]) -> None:
    """Nothing else comes back: no failure of the server, and no refusal without a reason."""
    assert len(answers) == UPLOADS
    for label, answer in answers:
        if answer.status_code == 201:
            continue
        assert 400 <= answer.status_code < 500, (label, answer.text)
        assert answer.headers["Content-Type"] == "application/problem+json", label
        problem = answer.json()
        assert problem["status"] == answer.status_code
        assert problem["detail"]
        if problem["type"].endswith("/unsafe-artifact"):
            assert problem["found"][0]["rule"], (label, problem)
    counts = Counter(answer.status_code for _, answer in answers)
    assert counts[201] > UPLOADS // 10, counts
    assert counts[422] > UPLOADS // 4, counts


def test_the_service_goes_on_after_all_mutants(service: RunningService, answers: list[tuple[str, httpx.Response]]) -> None:
    """It is ready, predicts as before, takes the next good file, and logged no error of its own."""
    with service.client() as client:
        ready = client.get("/health/ready").json()
        assert ready["parts"]["workers"] == "up"
        assert client.post("/models/goes-on/1", json=ROW, headers={"Cache-Control": "no-store"}).status_code == 200
    assert service.publish("next", fixture_models.iris().estimator)["version"] == 1
    assert not [line for line in service.log_lines() if line.get("level") in {"error", "critical"}]
