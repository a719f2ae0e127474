"""Who asks for npy or JSON gets npy where the answer is one numeric array and JSON where it isn't, through the lane and around it."""

from __future__ import annotations

import io
import json
from typing import Any

import httpx
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from tests.running import RunningService

ROWS = np.random.default_rng(0).random((40, 3))
NPY, JSON = "application/x-npy", "application/json"
BOTH = [f"{NPY}, {JSON}", f"{JSON}, {NPY}", f"{NPY}, */*", f"{NPY}, application/*;q=0.1", f"{JSON};q=0.5,{NPY}"]
NPY_ALONE = [NPY, f"{NPY}, text/csv", f"{NPY}, {JSON};q=0", f"{NPY};q=0.1, text/html, ;,"]
#: A browser's header, which the lane leaves to Flask.
WAYS: dict[str, dict[str, str]] = {"the lane": {}, "flask": {"Origin": "https://example.org"}}


@pytest.fixture(scope="module")
def service(shared_service: RunningService) -> RunningService:
    """Return a service that has a model of text classes."""
    shared_service.publish("npy-or-json", LogisticRegression().fit(ROWS, ["no", "yes"] * 20))
    return shared_service


def predict(service: RunningService, way: str, accept: str | None, method: str = "predict") -> httpx.Response:
    """Ask for two predictions."""
    body = {"data": ROWS[:2].tolist(), "method": method}
    headers = {**WAYS[way], **({} if accept is None else {"Accept": accept})}
    with service.client() as client:
        return client.post("/models/npy-or-json/1", json=body, headers=headers)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("accept", BOTH)
def test_json_is_what_is_left_where_npy_can_not_be(service: RunningService, way: str, accept: str) -> None:
    """Text classes come as JSON, probabilities as npy."""
    texts = predict(service, way, accept)
    assert (texts.status_code, texts.headers["Content-Type"]) == (200, JSON)
    assert set(texts.json()["prediction"]) <= {"no", "yes"}
    numbers = predict(service, way, accept, "predict_proba")
    assert (numbers.status_code, numbers.headers["Content-Type"]) == (200, NPY)
    assert np.load(io.BytesIO(numbers.content), allow_pickle=False).shape == (2, 2)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("accept", NPY_ALONE)
def test_npy_alone_stays_a_refusal_where_it_can_not_be(service: RunningService, way: str, accept: str) -> None:
    """406, which says what to ask for."""
    texts = predict(service, way, accept)
    assert (texts.status_code, texts.json()["type"].rpartition("/")[2]) == (406, "not-acceptable")
    assert JSON in texts.json()["detail"]
    assert predict(service, way, accept, "predict_proba").headers["Content-Type"] == NPY


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("accept", [None, "*/*", JSON, "application/*"])
def test_npy_comes_to_nobody_who_does_not_name_it(service: RunningService, way: str, accept: str | None) -> None:
    """Though anything would do."""
    answer: Any = predict(service, way, accept, "predict_proba")
    assert (answer.headers["Content-Type"], len(json.loads(answer.content)["prediction"])) == (JSON, 2)
