"""The main job over REST: publish, predict, point, roll back, against a real service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from tests.running import RunningService, dumped


@pytest.fixture(scope="module")
def service(shared_service: RunningService) -> RunningService:
    """Return a service that other modules use as well."""
    return shared_service


@pytest.fixture(scope="module")
def client(service: RunningService) -> Iterator[httpx.Client]:
    """Give the admin's client."""
    with service.client() as made:
        yield made


@pytest.fixture(scope="module")
def iris(service: RunningService) -> list[LogisticRegression]:
    """Three published versions of one model."""
    x, y = load_iris(return_X_y=True)
    models = [LogisticRegression(C=strength, max_iter=2000).fit(x, y) for strength in (1.0, 0.1, 0.01)]
    for number, model in enumerate(models, start=1):
        version = service.publish("iris", model, {"input_example": x[:5].tolist(), "metrics": {"c": model.C}})
        assert (version["version"], version["status"], version["golden"]) == (number, "ready", {"rows": 5, "from": "example"})
    return models


def test_predictions_equal_the_estimator_bit_for_bit(client: httpx.Client, iris: list[LogisticRegression]) -> None:
    """What comes over REST is what the estimator says, to the last bit."""
    rows = load_iris().data[::7] + 0.01
    for number, model in enumerate(iris, start=1):
        answer = client.post(f"/models/iris/{number}", json={"data": rows.tolist(), "method": "predict_proba"})
        assert answer.status_code == 200, answer.text
        assert np.array(answer.json()["prediction"]).tobytes() == model.predict_proba(rows).tobytes()
        assert (answer.json()["version"], answer.json()["classes"]) == (number, [0, 1, 2])


def test_a_repeated_prediction_comes_from_the_cache(client: httpx.Client, iris: list[LogisticRegression]) -> None:
    """The second identical request is a hit, and Cache-Control skips the look-up."""
    body = {"data": [[4.25, 3.5, 1.4, 0.2]]}
    states = [client.post("/models/iris/1", json=body).headers["X-Cache"] for _ in range(2)]
    bypass = client.post("/models/iris/1", json=body, headers={"Cache-Control": "no-cache"}).headers["X-Cache"]
    assert (states, bypass) == (["miss", "hit"], "bypass")


def test_roll_back_points_the_alias_at_its_previous_version(client: httpx.Client, iris: list[LogisticRegression]) -> None:
    """PUT pushes, rollback pops, and doing it again goes one further back."""
    body = {"data": [[5.1, 3.5, 1.4, 0.2]]}
    for number in (1, 2, 3):
        assert client.put("/models/iris/aliases/production", json={"version": number, "reason": f"to {number}"}).status_code == 200
        assert client.post("/models/iris", json=body).json()["version"] == number
    for number in (2, 1):
        moved = client.post("/models/iris/rollback", json={"reason": "worse"})
        assert (moved.status_code, moved.json()["to"]) == (200, number)
        assert client.post("/models/iris/@production", json=body).json()["version"] == number
    assert client.post("/models/iris/rollback").json()["type"].endswith("/nothing-to-roll-back-to")
    history = client.get("/models/iris/aliases/production/history").json()["items"]
    assert [(move["kind"], move["from"], move["to"]) for move in history] == [
        ("rollback", 2, 1), ("rollback", 3, 2), ("point", 2, 3), ("point", 1, 2), ("point", None, 1),
    ]  # fmt: skip


def test_the_artifact_comes_back_as_it_was_uploaded(client: httpx.Client, iris: list[LogisticRegression]) -> None:
    """Bytes, digest, range and etag of a download."""
    version = client.get("/models/iris/2").json()
    whole = client.get("/models/iris/2/artifact")
    assert whole.content == dumped(iris[1])
    assert whole.headers["ETag"] == f'"{version["artifact"]["sha256"]}"'
    part = client.get("/models/iris/2/artifact", headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole.content[10:20])


def test_every_write_leaves_an_event(client: httpx.Client, iris: list[LogisticRegression], tmp_path: Path) -> None:
    """The audit trail names what was done."""
    kinds = {event["kind"] for event in client.get("/events?model=iris&limit=1000").json()["items"]}
    assert {"model.created", "version.published"} <= kinds
