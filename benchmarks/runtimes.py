"""What the runtimes save of processor time, beside the estimators themselves in the same run.

    .venv/bin/python benchmarks/runtimes.py [--rounds 7]

For each kind of model and for 1, 8 and 1,000 rows of `predict`: how many times less time than the estimator called as it is `exact`
(its direct form) and `fast` (its compiled form, with the extra `fast`) take, medians of interleaved rounds; and what the proof of the
direct form takes at a load, in milliseconds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from registry import frames
from registry.flavors.compiled.form import compile_loaded
from registry.flavors.quiet import quieten_for_good
from registry.flavors.sklearn import LoadedEstimator

ROW_COUNTS = (1, 8, 1_000)
SECONDS_A_ROUND = 0.02


def models() -> dict[str, tuple[Any, np.ndarray]]:
    """Return fitted models and rows for each."""
    iris, kinds = load_iris(return_X_y=True)
    cancer, classes = load_breast_cancer(return_X_y=True)
    diabetes, numbers = load_diabetes(return_X_y=True)
    return {
        "logistic regression": (LogisticRegression(max_iter=500).fit(iris, kinds), iris),
        "scaled logistic regression": (make_pipeline(StandardScaler(), LogisticRegression()).fit(cancer, classes), cancer),
        "ridge": (Ridge().fit(diabetes, numbers), diabetes),
        "tree": (DecisionTreeClassifier(random_state=0).fit(cancer, classes), cancer),
        "forest of 100": (RandomForestClassifier(100, random_state=0).fit(cancer, classes), cancer),
        "forest regressor of 100": (RandomForestRegressor(100, random_state=0).fit(diabetes, numbers), diabetes),
        "isolation forest of 100": (IsolationForest(random_state=0).fit(cancer), cancer),
        "gradient boosting of 100": (GradientBoostingClassifier(random_state=0).fit(cancer, classes), cancer),
        "histogram boosting of 100": (HistGradientBoostingClassifier(random_state=0).fit(cancer, classes), cancer),
        "histogram boosting of 100 x 3": (HistGradientBoostingClassifier(random_state=0).fit(iris, kinds), iris),
        "histogram regressor of 100": (HistGradientBoostingRegressor(random_state=0).fit(diabetes, numbers), diabetes),
    }


def timed(work: Callable[[], Any], seconds: float) -> float:
    """Return the microseconds of processor time that a call takes, over as many calls as fit into `seconds`."""
    started = time.process_time()
    calls = 0
    while time.process_time() - started < seconds or not calls:
        work()
        calls += 1
    return 1e6 * (time.process_time() - started) / calls


def compare(estimator: Any, rows: np.ndarray, rounds: int) -> str:
    """Return the figures of one model as cells of a table: `exact / fast`."""
    plain, exact = LoadedEstimator(estimator), LoadedEstimator(estimator)
    golden = frames.Matrix(rows[:5].copy())
    proof = statistics.median(timed(lambda: exact.find_form(golden), 0) for _ in range(rounds))
    forms = [plain, exact, compiled_of(estimator)]
    cells = [exact.form, f"{proof / 1000:.1f}"]
    for count in ROW_COUNTS:
        inputs = frames.Matrix(np.resize(rows, (count, rows.shape[1])).copy())
        calls = [partial(one.call, "predict", inputs, {}) for one in forms if one is not None]
        turns = [[timed(call, SECONDS_A_ROUND) for call in calls] for _ in range(rounds)]
        own, *others = (statistics.median(column) for column in zip(*turns, strict=True))
        cells.append(" / ".join([*(f"{own / ours:.1f}" for ours in others), *["-"] * (len(forms) - len(calls))]))
    return " | ".join(cells)


def compiled_of(estimator: Any) -> Any:
    """Return an estimator's compiled form, or None where it has none or the extra isn't installed."""
    try:
        return compile_loaded(LoadedEstimator(estimator), has_texts=False)
    except Exception as error:  # noqa: BLE001 - the table says so by a dash
        print(f"no compiled form of {type(estimator).__name__}: {error}", file=sys.stderr)
        return None


def main() -> None:
    """Print a row for each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    quieten_for_good()
    print("| model | form of `exact` | proof (ms) | " + " | ".join(f"{count:,} rows" for count in ROW_COUNTS) + " |")
    print("|---|---|---|" + "---|" * len(ROW_COUNTS))
    for name, (estimator, rows) in models().items():
        print(f"| {name} | {compare(estimator, rows, rounds)} |", flush=True)


if __name__ == "__main__":
    main()
