"""A model made with another scikit-learn, over REST: published, served, shown, refused, accepted later, and found before an upgrade."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import sklearn
from sklearn.dummy import DummyClassifier

from tests.fixture_models import case_of
from tests.running import RunningService, dumped, running
from tests.unit.test_skew import OTHER_MAJOR, OTHER_MINOR, made_with

ROWS = {"data": [[5.1, 3.5, 1.4, 0.2]]}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """Run one service for all."""
    with running(tmp_path_factory.mktemp("skew") / "instance", measured=False, web_processes="1") as started:
        yield started


def upload(service: RunningService, name: str, artifact: bytes, **manifest: Any) -> httpx.Response:
    """Publish bytes."""
    files: dict[str, Any] = {"artifact": ("model.joblib", artifact), "manifest": (None, json.dumps(manifest), "application/json")}
    with service.client() as client:
        return client.post(f"/models/{name}/versions", files=files)


def undecided() -> DummyClassifier:
    """Return a model that answers differently each time, so that it can't have golden predictions."""
    return DummyClassifier(strategy="uniform").fit([[0.0] * 4, [1.0] * 4], [0, 1])


def test_another_minor_is_served_and_shown(service: RunningService) -> None:
    """The version names what it was made with and what it was published under."""
    response = upload(service, "minor", made_with(OTHER_MINOR, case_of("iris").estimator))
    assert response.status_code == 201, response.text
    assert response.json()["skew"] == {"scikit-learn": {"recorded": OTHER_MINOR, "published_under": sklearn.__version__}}
    with service.client() as client:
        assert client.post("/models/minor/1", json=ROWS).status_code == 200
        assert client.get("/models/minor/1").json()["skew"] is not None


def test_the_running_version_has_no_skew(service: RunningService) -> None:
    """Null, and nothing recorded."""
    version = service.publish("same", case_of("iris").estimator)
    assert version["skew"] is None
    assert "recorded" not in version["environment"]


def test_another_major_is_refused_with_advice(service: RunningService) -> None:
    """And nothing is kept."""
    response = upload(service, "major", made_with(OTHER_MAJOR, case_of("iris").estimator), accept_skew=True)
    assert (response.status_code, response.json()["type"].rpartition("/")[2]) == (422, "version-skew")
    assert "Fit and dump it with" in response.json()["detail"]
    assert response.json()["recorded"] == {"scikit-learn": OTHER_MAJOR}
    with service.client() as client:
        assert client.get("/models/major").status_code == 404


def test_another_minor_without_golden_predictions_needs_the_publishers_word(service: RunningService) -> None:
    """The refusal names the field, and with it the upload is taken."""
    artifact = made_with(OTHER_MINOR, undecided())
    refused = upload(service, "undecided", artifact)
    assert (refused.status_code, refused.json()["type"].rpartition("/")[2]) == (422, "version-skew")
    assert "accept_skew" in refused.json()["detail"]
    accepted = upload(service, "undecided", artifact, accept_skew=True)
    assert accepted.status_code == 201, accepted.text
    assert (accepted.json()["golden"], accepted.json()["accept_skew"]) == (None, True)
    with service.client() as client:
        assert client.post("/models/undecided/1", json=ROWS).status_code == 200


def test_what_an_upgrade_left_unservable_is_accepted_by_a_patch(service: RunningService) -> None:
    """Taken back, the version says why it doesn't load; accepted, it serves at once."""
    upload(service, "later", made_with(OTHER_MINOR, undecided()), accept_skew=True)
    with service.client() as client:
        assert client.patch("/models/later/1", json={"accept_skew": False}).status_code == 200
        failed = client.post("/models/later/1", json=ROWS)
        assert (failed.status_code, failed.json()["type"].rpartition("/")[2]) == (500, "model-unloadable")
        assert "accept_skew" in client.get("/models/later/1").json()["load_error"]
        assert client.patch("/models/later/1", json={"accept_skew": True}).status_code == 200
        assert client.post("/models/later/1", json=ROWS).status_code == 200
        assert client.get("/models/later/1").json()["load_error"] is None


def test_verify_load_lists_what_would_not_serve_in_this_image(service: RunningService) -> None:
    """Before an upgrade, in the new image: whose golden predictions are missing or differ."""
    service.publish("fine", case_of("iris").estimator)
    upload(service, "lonely", made_with(OTHER_MINOR, undecided()), accept_skew=True)
    service.publish("changed", dumped(case_of("diabetes").estimator))
    with sqlite3.connect(service.instance / "modelyard.db") as database:
        database.execute("UPDATE versions SET accept_skew = 0 WHERE model_id = (SELECT id FROM models WHERE name = 'lonely')")
        (golden,) = database.execute(
            "SELECT golden FROM versions JOIN models ON models.id = model_id WHERE models.name = 'changed'"
        ).fetchone()
        at = len(golden) - 1  # the last byte of the last answer's exponent
        database.execute(
            "UPDATE versions SET golden = ? WHERE model_id = (SELECT id FROM models WHERE name = 'changed')",
            (golden[:at] + bytes([golden[at] ^ 0x80]),),
        )
    done = service.run("verify", "--load")
    assert done.returncode == 1
    lines = [line for line in done.stdout.splitlines() if "would not serve here" in line]
    assert [line.partition(":")[0] for line in lines] == ["lonely/1", "changed/1"]
    assert "without golden predictions" in lines[0]
    assert "golden predictions differ" in lines[1]
