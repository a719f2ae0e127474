"""skops and ONNX files over HTTP, and behind the whole lock: published, served, refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.fixture_models import case_of, dump, rows_of
from tests.other_formats import HOSTILE_ONNX, HOSTILE_SKOPS, onnx_of, skops_of
from tests.running import RunningService, running

ROOT = Path(__file__).resolve().parents[2]
OCTETS = {"Content-Type": "application/octet-stream"}
ENVIRONMENT = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}

#: Judges each file that comes, in an installation in which some packages can't be found.
WITHOUT = """
import sys, json, io
from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder
hidden = set(sys.argv[1].split(","))
class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in hidden else PathFinder.find_spec(name, path, target)
sys.meta_path[:] = [BuiltinImporter, FrozenImporter, Without]
from registry import flavors
from registry.errors import ModelUnloadable, UnknownFormat
from tests.locked import attempt
flavors.warm_up()
def judge(data):
    try:
        return flavors.admit(io.BytesIO(data), {}, 1 << 30).flavor
    except UnknownFormat as error:
        return error.detail
files = {name: bytes.fromhex(data) for name, data in json.load(sys.stdin).items()}
found = {name: attempt(lambda: judge(data), memory_bytes=1 << 30).text for name, data in files.items()}
for name in hidden & {"skops"}:
    try:
        flavors.open_flavor(name).load(io.BytesIO(files.get(name, b"")), 1 << 30)
    except ModelUnloadable as error:
        assert "needs the extra `skops`" in error.detail, error.detail
assert not hidden & {name.partition(".")[0] for name in sys.modules}
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """One service."""
    with running(
        tmp_path_factory.mktemp("formats") / "instance", measured=False, worker_memory_bytes="1GiB", min_free_bytes="0"
    ) as started:
        yield started


@pytest.fixture(scope="module")
def client(service: RunningService) -> Iterator[httpx.Client]:
    """Give the admin's client."""
    with service.client() as made:
        yield made


def post(client: httpx.Client, model: str, data: bytes) -> httpx.Response:
    """Publish bytes, with nothing that says what they are."""
    return client.post(f"/models/{model}/versions", content=data, headers=OCTETS)


def predict(client: httpx.Client, model: str, rows: list[Any], method: str = "predict") -> list[Any]:
    """Return the predictions of a model's first version."""
    answer = client.post(f"/models/{model}/1", json={"instances" if isinstance(rows[0], dict) else "data": rows, "method": method})
    assert answer.status_code == 200, answer.text
    predictions: list[Any] = answer.json()["prediction"]
    return predictions


@pytest.mark.parametrize("name", ["iris", "mixed_frame", "text", "parallel_forest"])
def test_a_skops_file_is_published_and_answers_as_its_joblib_file(service: RunningService, client: httpx.Client, name: str) -> None:
    """The same predictions, number by number."""
    case, slug = case_of(name), name.replace("_", "-")
    rows = rows_of(case.held_out)[:20]
    published = service.publish(f"skops-{slug}", skops_of(case.estimator), {"input_example": rows})
    assert published["flavor"] == "skops"
    service.publish(f"joblib-{slug}", dump(case.estimator), {"input_example": rows})
    assert predict(client, f"skops-{slug}", rows) == predict(client, f"joblib-{slug}", rows)


def test_an_onnx_file_is_published_and_predicts(client: httpx.Client) -> None:
    """Labels and probabilities, in a locked worker that holds onnxruntime."""
    case = case_of("iris")
    published = post(client, "onnx-iris", onnx_of("iris"))
    assert published.status_code == 201, published.text
    assert (published.json()["flavor"], published.json()["estimator"]) == ("onnx", "onnx.skl2onnx")
    rows = rows_of(case.held_out)
    assert predict(client, "onnx-iris", rows) == case.estimator.predict(case.held_out).tolist()
    given = predict(client, "onnx-iris", rows, "predict_proba")
    assert np.allclose(given, case.estimator.predict_proba(case.held_out), atol=1e-5)


def test_an_onnx_file_of_mixed_columns_predicts(client: httpx.Client) -> None:
    """Columns by name, of numbers, texts and bools."""
    assert post(client, "onnx-mixed", onnx_of("mixed_frame")).status_code == 201
    rows = [row for row in rows_of(case_of("mixed_frame").held_out) if row["job"] is not None and row["age"] is not None][:10]
    assert set(predict(client, "onnx-mixed", rows)) <= {"yes", "no"}


@pytest.mark.parametrize(
    ("kind", "rule"),
    [
        ("weights in another file", "reads-files"),
        ("an endless loop", "operator-not-allowed"),
        ("os.system", "name-not-allowed"),
        ("a schema of zeros", "decompression-bomb"),
        ("a vectorizer that opens files", "reads-files"),
    ],
)
def test_a_hostile_file_is_refused_with_what_was_found(client: httpx.Client, kind: str, rule: str) -> None:
    """422 with the rule; and the next good upload goes through."""
    make, _ = {**HOSTILE_ONNX, **HOSTILE_SKOPS}[kind]
    answer = post(client, "refused", make())
    assert answer.status_code == 422, answer.text
    assert answer.json()["type"].endswith("/unsafe-artifact")
    assert [one["rule"] for one in answer.json()["found"]] == [rule]
    assert client.get("/models/refused").status_code == 404


def test_an_archive_that_skops_did_not_write_is_of_no_known_format(client: httpx.Client) -> None:
    """415, as before."""
    answer = post(client, "refused", skops_of({"a": 1}).replace(b"schema.json", b"weight.json"))
    assert answer.status_code == 415, answer.text
    assert "zip archive" in answer.json()["detail"]


def test_a_server_without_an_extra_names_it() -> None:
    """Behind the lock, and says how its operator installs it; joblib files go on, and the other extra too; what was published before says so."""
    files = {
        "skops": skops_of(case_of("iris").estimator),
        "onnx": onnx_of("iris"),
        "lz4": b"\x04\x22\x4d\x18" + b"\0" * 40,
        "sklearn": dump(case_of("iris").estimator),
    }
    found = judged_without("skops,onnxruntime,lz4", files)
    assert found.pop("sklearn") == "sklearn"
    for extra, detail in found.items():
        assert f"needs the extra `{extra}`" in detail
        assert f"make serve EXTRAS={extra}." in detail
    assert judged_without("skops", {name: files[name] for name in ("onnx", "sklearn")}) == {"onnx": "onnx", "sklearn": "sklearn"}


def judged_without(packages: str, files: dict[str, bytes]) -> dict[str, str]:
    """Return what a Python without some packages says of files: the flavor, or why the format isn't known."""
    command = [sys.executable, "-c", WITHOUT, packages]
    sent = json.dumps({name: data.hex() for name, data in files.items()})
    done = subprocess.run(command, input=sent, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


def test_every_file_is_judged_behind_the_whole_lock() -> None:
    """Good ones are admitted, loaded and replayed, hostile ones refused, none ends its worker; and the warm-up leaves one thread."""
    command = [sys.executable, "-m", "tests.locked_formats"]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, check=False, timeout=110)
    assert done.returncode == 0, done.stderr.decode()
    results = json.loads(done.stdout)
    assert results["threads"] == 1
    assert {title: text for title, text in results["good"].items() if text != "ok"} == {}
    expected = {title: words for title, (_, words) in {**HOSTILE_ONNX, **HOSTILE_SKOPS}.items()}
    assert results["hostile"].keys() == expected.keys()
    assert {title: text for title, text in results["hostile"].items() if expected[title] not in text} == {}
