"""The models that every contender serves, the rows that they are asked for, and what they answer by themselves.

All is seeded, so each run and each contender has the same models and rows. Rows are rounded to four decimals, as data is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.datasets import load_iris, make_classification
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

SINGLE_ROWS = 100
BULK_ROWS = 1_000
BULK_BODIES = 4
SEED = 20
SINGLE = ("row-1", "row-8", "row-64")


@dataclass(frozen=True)
class Model:
    """A model of the benchmark: its name, its words in tables, how it is fitted, and the loads it is asked under."""

    name: str
    title: str
    fit: Callable[[], tuple[Any, np.ndarray]]
    loads: tuple[str, ...]

    @cached_property
    def fitted(self) -> tuple[Any, np.ndarray]:
        """Return the fitted estimator and the rows that requests are made of, float64[rows, columns]."""
        estimator, rows = self.fit()
        return estimator, np.round(rows, 4)

    def write(self, folder: Path) -> Path:
        """Write the joblib file that every contender loads."""
        path = folder / f"{self.name}.joblib"
        joblib.dump(self.fitted[0], path)
        return path

    def single_rows(self) -> list[list[float]]:
        """Return the rows that are sent one by one."""
        return [[float(value) for value in row] for row in self.fitted[1][:SINGLE_ROWS]]

    def bulks(self) -> list[list[list[float]]]:
        """Return the bodies' rows of many-row requests."""
        rows = self.fitted[1]
        starts = [index * BULK_ROWS for index in range(BULK_BODIES)]
        return [[[float(value) for value in row] for row in rows[start : start + BULK_ROWS]] for start in starts]

    def answers(self, rows: list[list[float]]) -> list[int]:
        """Return what the estimator itself predicts."""
        return [int(label) for label in self.fitted[0].predict(np.array(rows))]


def _iris() -> tuple[Any, np.ndarray]:
    rows, classes = load_iris(return_X_y=True)
    shuffled = np.random.default_rng(SEED).permutation(len(rows))
    return LogisticRegression(max_iter=1_000).fit(rows, classes), rows[shuffled]


def _synthetic() -> tuple[np.ndarray, np.ndarray]:
    rows, classes = make_classification(n_samples=BULK_ROWS * BULK_BODIES, n_features=20, n_informative=8, n_classes=3, random_state=SEED)
    return np.round(rows, 4), classes


def _linear() -> tuple[Any, np.ndarray]:
    rows, classes = _synthetic()
    return LogisticRegression(max_iter=1_000).fit(rows, classes), rows


def _forest() -> tuple[Any, np.ndarray]:
    rows, classes = _synthetic()
    return RandomForestClassifier(100, random_state=SEED).fit(rows, classes), rows


def _boosting() -> tuple[Any, np.ndarray]:
    rows, classes = _synthetic()
    return HistGradientBoostingClassifier(max_iter=100, random_state=SEED).fit(rows, classes), rows


MODELS = {
    model.name: model
    for model in (
        Model("iris", "logistic regression on iris (4 columns)", _iris, (*SINGLE, "hits")),
        Model("linear", "logistic regression, 20 columns", _linear, ("bulk",)),
        Model("forest", "random forest of 100 trees, 20 columns", _forest, (*SINGLE, "bulk")),
        Model("boosting", "histogram gradient boosting of 100 iterations, 20 columns", _boosting, (*SINGLE, "bulk")),
    )
}
