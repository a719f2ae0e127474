"""MODELYARD_EXTRA_NAMES: an operator vouches for the classes of an installed package; nothing else ever adds a name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import Pipeline, make_pipeline

from tests.processes import Processes, eventually, kill
from tests.running import RunningService, dumped, running
from tests.winsorizer import Winsorizer

NAME = "tests.winsorizer:Winsorizer"
MISSING = "tests.nowhere:Missing"
OCTETS = {"Content-Type": "application/octet-stream"}
ROWS = [[0.1, 0.2, 0.3], [9.0, -9.0, 9.0]]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """One service whose operator vouches for the transformer, and for a class that isn't there."""
    settings = {"web_processes": "1", "extra_names": f"{NAME},{MISSING}"}
    with running(tmp_path_factory.mktemp("extra") / "instance", measured=False, **settings) as started:
        yield started


@pytest.fixture(scope="module")
def plain_service(shared_service: RunningService) -> RunningService:
    """One service without the setting."""
    return shared_service


def winsorized() -> Pipeline:
    """Return a fitted pipeline that starts with a custom transformer."""
    random = np.random.default_rng(0)
    x = random.standard_normal((60, 3))
    return make_pipeline(Winsorizer(), LinearRegression()).fit(x, x @ [1.0, 2.0, 3.0])


def publish(service: RunningService, name: str, manifest: dict[str, Any] | None = None) -> httpx.Response:
    """Upload the pipeline and return the answer."""
    files: dict[str, Any] = {"artifact": ("model.joblib", dumped(winsorized()))}
    if manifest is not None:
        files["manifest"] = (None, json.dumps(manifest), "application/json")
    with service.client() as client:
        return client.post(f"/models/{name}/versions", files=files)


def predict(service: RunningService, name: str) -> list[float]:
    """Return an uncached prediction."""
    with service.client() as client:
        answer = client.post(f"/models/{name}/1", json={"data": ROWS}, headers={"Cache-Control": "no-store"})
    assert answer.status_code == 200, answer.text
    values: list[float] = answer.json()["prediction"]
    return values


def said(service: RunningService, level: str) -> list[str]:
    """Return the events of this level that the start logged about the setting."""
    events = [str(line["event"]) for line in service.log_lines() if line["level"] == level]
    return [event for event in events if event.startswith("MODELYARD_EXTRA_NAMES")]


def test_a_custom_transformer_that_the_operator_vouches_for_is_served(service: RunningService) -> None:
    """With the values that its user gets, also by the workers of the next fork server."""
    version = service.publish("winsorized", winsorized())
    assert (version["deterministic"], version["estimator"]) == (True, "sklearn.pipeline.Pipeline")
    assert predict(service, "winsorized") == winsorized().predict(ROWS).tolist()
    processes = Processes(service)
    before = processes.forkserver
    kill(before)
    eventually(lambda: processes.forkserver != before, what="the next fork server")
    eventually(lambda: service.host_report()["extra_names"] == [NAME], what="its report")
    eventually(lambda: answers(service, "winsorized"), what="a prediction")
    assert predict(service, "winsorized") == winsorized().predict(ROWS).tolist()


def answers(service: RunningService, name: str) -> bool:
    """Tell whether a version answers yet."""
    with service.client() as client:
        return client.post(f"/models/{name}/1", json={"data": ROWS}, headers={"Cache-Control": "no-store"}).status_code == 200


def test_without_the_setting_the_class_is_refused_by_name_and_the_setting_is_told(plain_service: RunningService) -> None:
    """422: which class it was, and what an operator can do."""
    refused = publish(plain_service, "winsorized")
    problem = refused.json()
    assert (refused.status_code, problem["type"].rpartition("/")[2]) == (422, "unsafe-artifact"), refused.text
    assert problem["found"][0] == {"rule": "name-not-allowed", "name": "tests.winsorizer.Winsorizer"}
    assert "tests.winsorizer.Winsorizer" in problem["detail"]
    assert "MODELYARD_EXTRA_NAMES" in problem["detail"]
    with plain_service.client() as client:
        assert client.get("/models/winsorized").status_code == 404


@pytest.mark.parametrize("field", ["extra_names", "trusted", "MODELYARD_EXTRA_NAMES"])
def test_an_upload_can_not_add_a_name(plain_service: RunningService, field: str) -> None:
    """A manifest has no field for it."""
    refused = publish(plain_service, "winsorized", {field: [NAME]})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, f"#/{field}")


def test_a_start_says_loudly_what_artifacts_may_run(service: RunningService, plain_service: RunningService) -> None:
    """One warning with the classes, and none where there are no names."""
    (warning,) = said(service, "warning")
    assert f"artifacts may run the code of these classes: {NAME}." in warning
    assert MISSING not in warning
    assert said(plain_service, "warning") == []


def test_a_name_that_can_not_be_imported_is_an_error_of_the_start_and_the_service_runs(service: RunningService) -> None:
    """One line that says which name and why."""
    (error,) = said(service, "error")
    assert error.startswith(f"MODELYARD_EXTRA_NAMES: {MISSING}: the module tests.nowhere can't be imported here (ModuleNotFoundError")
    assert httpx.get(f"{service.url}/health/ready").status_code == 200


def test_the_report_shows_the_names_that_are_allowed(service: RunningService, plain_service: RunningService) -> None:
    """Beside the walls, and only those that were found."""
    assert service.host_report()["extra_names"] == [NAME]
    assert plain_service.host_report()["extra_names"] == []


def test_verify_loads_with_the_names_and_finds_out_what_needs_them(service: RunningService) -> None:
    """An image whose setting is missing says so before it serves."""
    service.publish("verified", winsorized())
    assert service.run("verify", "--load").returncode == 0
    done = service.run("verify", "--load", MODELYARD_EXTRA_NAMES="")
    assert done.returncode == 1
    assert "verified/1: would not serve here: " in done.stdout


def test_doctor_fails_for_a_name_that_can_not_be_imported_and_names_the_others(service: RunningService) -> None:
    """In a process of its own, as the fork server would import it."""
    done = service.run("doctor")
    assert done.returncode == 1
    (failed,) = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert failed.startswith(f"FAIL  extra names: {MISSING}: ")
    healthy = service.run("doctor", MODELYARD_EXTRA_NAMES=NAME)
    assert healthy.returncode == 0, healthy.stdout
    assert f"ok    extra names: artifacts may run the code of {NAME}" in healthy.stdout


def test_a_name_that_is_no_name_keeps_the_service_from_starting(service: RunningService) -> None:
    """A typing mistake is told before anything starts."""
    done = service.run("serve", MODELYARD_EXTRA_NAMES="tests.winsorizer.Winsorizer")
    assert done.returncode == 2
    assert "'tests.winsorizer.Winsorizer' must be a class as package.module:Class" in done.stderr
