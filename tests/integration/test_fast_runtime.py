"""The runtime `fast`, end to end: chosen, made after the 201 in a locked worker, verified, served, taken back, refused in so many words."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Binarizer, StandardScaler

from tests.outside import wait_until
from tests.running import RunningService, running

X, Y = load_iris(return_X_y=True)
ROWS = X[::10].tolist()
UNCACHED = {"Cache-Control": "no-store"}
FOREST = RandomForestClassifier(20, random_state=0).fit(X, Y)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """Start one service for this module."""
    with running(tmp_path_factory.mktemp("fast") / "instance", measured=False) as service:
        yield service


@pytest.fixture
def client(service: RunningService) -> Iterator[httpx.Client]:
    """Return an administrator's client."""
    with service.client() as client:
        yield client


def _made(client: httpx.Client, path: str) -> dict[str, Any]:
    """Return a version once its compiled form is no longer pending."""
    found: dict[str, Any] = {}

    def decided() -> bool:
        found.update(client.get(path).json())
        return found["fast"] != "pending"

    wait_until(decided, f"{path} is decided")
    return found


def _ask(client: httpx.Client, path: str, method: str = "predict") -> tuple[str, list[Any]]:
    answer = client.post(path, json={"data": ROWS, "method": method}, headers=UNCACHED)
    assert answer.status_code == 200, answer.text
    return answer.json()["runtime"], answer.json()["prediction"]


@pytest.mark.parametrize(
    ("name", "estimator", "exact_methods"),
    [
        ("forest", FOREST, []),
        ("histogram", HistGradientBoostingClassifier(max_iter=10).fit(X, Y), []),
        ("pipeline", make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y), ["predict_log_proba", "decision_function"]),
    ],
)
def test_a_fast_version_is_served_exactly_until_its_form_is_verified(
    service: RunningService, client: httpx.Client, name: str, estimator: Any, exact_methods: list[str]
) -> None:
    """Then the answers name `fast`, labels are the estimator's and numbers within the stated tolerance; what the form lacks stays exact."""
    published = service.publish(name, estimator, {"runtime": "fast", "input_example": ROWS})
    assert (published["runtime"], published["fast"], published["fast_report"]) == ("fast", "pending", None)
    assert _ask(client, f"/models/{name}/1")[1] == estimator.predict(ROWS).tolist()
    version = _made(client, f"/models/{name}/1")
    report = version["fast_report"]
    assert (report["reason"], version["fast"], report["exact_methods"]) == (None, "ready", exact_methods)
    assert report["worst"] <= report["tolerance"] == 1e-6
    assert report["rows"] > len(ROWS)
    wait_until(lambda: _ask(client, f"/models/{name}/1")[0] == "fast", "its compiled form serves")
    for method in version["methods"]:
        runtime, values = _ask(client, f"/models/{name}/1", method)
        assert runtime == ("exact" if method in exact_methods else "fast"), method
        if method != "predict_log_proba":  # of a probability of 0, which JSON has no number for
            np.testing.assert_allclose(values, getattr(estimator, method)(ROWS), rtol=1e-6, atol=1e-6)
    kinds = [event["kind"] for event in client.get("/events", params={"model": name}).json()["items"]]
    assert "version.compiled" in kinds
    [row] = [row for row in service.host_report()["loaded"] if row["model"] == name]
    assert row["runtime"] == "fast"


def test_exact_serves_again_at_once_when_it_is_chosen(client: httpx.Client) -> None:
    """And fast is back without being made again, since its form was verified already."""
    for runtime in ("exact", "fast"):
        changed = client.patch("/models/forest/1", json={"runtime": runtime})
        assert (changed.json()["runtime"], changed.json()["fast"]) == (runtime, "ready")
        assert _ask(client, "/models/forest/1") == (runtime, FOREST.predict(ROWS).tolist())
    assert len(client.get("/events", params={"model": "forest", "kind": "version.compiled"}).json()["items"]) == 1


def test_an_alias_moves_to_a_fast_version_and_back(service: RunningService, client: httpx.Client) -> None:
    """A rollback changes the version, and with it the runtime."""
    service.publish("forest", FOREST, {"runtime": "exact", "input_example": ROWS})
    for number in (2, 1):
        assert client.put("/models/forest/aliases/production", json={"version": number}).status_code == 200
    assert _ask(client, "/models/forest")[0] == "fast"
    assert client.post("/models/forest/rollback", json={}).json()["to"] == 2
    assert _ask(client, "/models/forest")[0] == "exact"


def test_a_form_that_would_differ_is_refused_with_the_figure(service: RunningService, client: httpx.Client) -> None:
    """The version goes on as it was, says why, and may be tried again."""
    above = make_pipeline(Binarizer(threshold=1.1), LogisticRegression()).fit(X, Y)  # the conversion knows 1.1 as a single alone
    service.publish("above", above, {"runtime": "fast", "input_example": [[5.0, 3.0, 4.0, 1.1]]})
    for _ in range(2):
        version = _made(client, "/models/above/1")
        assert (version["runtime"], version["fast"]) == ("fast", "refused")
        assert "gave another label on " in version["fast_report"]["reason"]
        assert version["fast_report"]["worst"] > 1e-6
        assert _ask(client, "/models/above/1") == ("exact", above.predict(ROWS).tolist())
        assert client.patch("/models/above/1", json={"runtime": "fast"}).json()["fast"] == "pending"


def test_a_model_may_have_fast_as_its_own_runtime(service: RunningService, client: httpx.Client) -> None:
    """Its next versions are compiled unless their manifest says otherwise."""
    service.publish("default", FOREST, {"input_example": ROWS})
    assert client.patch("/models/default", json={"runtime": "fast"}).json()["runtime"] == "fast"
    assert client.get("/models/default").json()["runtime"] == "fast"
    assert service.publish("default", FOREST, {"input_example": ROWS})["runtime"] == "fast"
    assert _made(client, "/models/default/2")["fast"] == "ready"
    assert service.publish("default", FOREST, {"runtime": "exact", "input_example": ROWS})["runtime"] == "exact"


def test_what_the_runtime_can_be_is_said_when_it_isnt_that(client: httpx.Client) -> None:
    """For a version and for a model."""
    for path in ("/models/default", "/models/default/1"):
        answer = client.patch(path, json={"runtime": "quick"})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "#/runtime")


def test_a_restarted_service_replays_the_compiled_forms_own_golden_predictions(service: RunningService, client: httpx.Client) -> None:
    """Also `verify --load`, in a worker of its own; and what was pending when the service died is made."""
    assert service.stop(signal.SIGKILL) == -signal.SIGKILL
    with contextlib.closing(sqlite3.connect(service.instance / "modelyard.db")) as connection, connection:
        connection.execute("UPDATE versions SET runtime = 'fast', fast = 'pending' WHERE number = 3")
    service.start(wait=False)
    verified = service.run("verify", "--load")
    assert (verified.returncode, "load and replay equal here" in verified.stdout) == (0, True), verified.stdout
    service.wait_until_ready()
    assert _ask(client, "/models/forest/1") == ("fast", FOREST.predict(ROWS).tolist())
    assert _made(client, "/models/default/3")["fast"] == "ready"
