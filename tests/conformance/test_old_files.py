"""Files that other versions of joblib and scikit-learn wrote, against our loader in a process of its own.

Another joblib must make no difference. Another scikit-learn may be refused or fail in an ordinary way, and must never
crash the interpreter or answer other than it did where the file was made.
"""

from __future__ import annotations

import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.opening_old_files import record_of

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tests/old_files"
ARTIFACTS = sorted(path for path in FOLDER.glob("*/*") if path.suffix != ".json")
BY_JOBLIB = [path for path in ARTIFACTS if "joblib" in path.parent.name]
BY_SKLEARN = [path for path in ARTIFACTS if path.parent.name.startswith("sklearn-")]
LARGEST_BYTES = 2**20


def name_of(path: Path) -> str:
    """Return how an artifact is called in a test's name."""
    return path.relative_to(FOLDER).as_posix()


@cache
def all_opened() -> tuple[dict[str, dict[str, Any]], str]:
    """Open all files in one process; return what became of each, and how the process ended."""
    child = [sys.executable, "-m", "tests.opening_old_files", *map(str, ARTIFACTS)]
    done = subprocess.run(child, cwd=ROOT, capture_output=True, text=True, check=False, timeout=100)
    results = {result.pop("path"): result for result in map(json.loads, done.stdout.splitlines())}
    return results, f"the process ended with {done.returncode} after {len(results)} of {len(ARTIFACTS)} files: {done.stderr[-2000:]}"


def opened(path: Path) -> dict[str, Any]:
    """Return what became of a file. Fails where the process crashed at it, or at one before it."""
    results, end = all_opened()
    assert str(path) in results, end
    return results[str(path)]


def require_recorded_answers(result: dict[str, Any], record: dict[str, Any]) -> None:
    """Hold answers to those noted where the file was made; the last bits may differ between processors."""
    assert result["predict"] == record["predict"]
    assert result["predict_proba"] == [pytest.approx(row, rel=1e-9, abs=1e-12) for row in record["predict_proba"]]


@pytest.mark.parametrize("path", BY_JOBLIB, ids=name_of)
def test_a_file_of_another_joblib_answers_as_it_did_there(path: Path) -> None:
    """Every joblib from 1.0 on, and every compression, gives the estimator that was dumped."""
    result, record = opened(path), record_of(path)
    assert result["outcome"] == "answers", result
    require_recorded_answers(result, record)
    assert result["recorded"] == {"scikit-learn": record["made_with"]["scikit-learn"], "numpy": record["made_with"]["numpy"].split(".")[0]}


@pytest.mark.parametrize("path", BY_SKLEARN, ids=name_of)
def test_a_file_of_another_scikit_learn_answers_as_it_did_there_or_is_refused(path: Path) -> None:
    """No crash, no answer that differs; a refusal says in words what to do."""
    result = opened(path)
    if result["outcome"] == "answers":
        require_recorded_answers(result, record_of(path))
    elif result["outcome"] == "refused":
        assert result["rule"]
        assert result["text"].endswith(".")
    else:
        assert result["outcome"] == "fails"


@pytest.mark.parametrize("path", BY_SKLEARN, ids=name_of)
def test_the_versions_in_a_file_are_found(path: Path) -> None:
    """Whatever loads says the scikit-learn that wrote it, and NumPy's major version where an array of objects or a scalar tells it."""
    result, made_with = opened(path), record_of(path)["made_with"]
    if result["outcome"] != "refused":
        assert result["recorded"]["scikit-learn"] == made_with["scikit-learn"]
        assert result["recorded"].get("numpy", made_with["numpy"][0]) == made_with["numpy"][0]
    if path.stem == "logistic":
        assert "numpy" in result["recorded"]


def test_a_linear_model_and_a_text_model_of_every_scikit_learn_since_1_2_load() -> None:
    """Their form hasn't changed, so that a refusal of one would be a fault of the loader."""
    outcomes = {name_of(path): opened(path)["outcome"] for path in BY_SKLEARN if path.stem in {"logistic", "texts"}}
    assert {name: outcome for name, outcome in outcomes.items() if outcome != "answers"} == {}


def test_the_files_are_all_there_and_small() -> None:
    """Seven joblibs in two forms, six compressions, seven scikit-learns in five files each; a megabyte at most."""
    assert (len(BY_JOBLIB), len(BY_SKLEARN)) == (7 * 2 + 6, 7 * 5)
    assert sum(path.stat().st_size for path in FOLDER.rglob("*")) < LARGEST_BYTES
