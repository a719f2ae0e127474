"""Runs in a Python of its own, as the fork server does: warm up, then load and call each model in a locked child.

Prints one JSON object: for each case "ok", or what went wrong; for "load" cases the model comes from an inherited descriptor.
"""

from __future__ import annotations

import io
import json
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

import joblib
import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.ensemble import HistGradientBoostingClassifier, IsolationForest, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC

from registry import flavors
from tests.locked import attempt

MEMORY_BYTES = 1 << 30
TEXTS = ["a good film", "a bad film", "good, very good", "bad, so bad"] * 10


def numeric_cases() -> dict[str, tuple[Any, Any]]:
    """Fit models on numbers; each with rows to predict."""
    rows, classes = load_breast_cancer(return_X_y=True)
    other_rows, targets = load_diabetes(return_X_y=True)
    return {
        "logistic regression": (make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, classes), rows[:50]),
        "forest of 100": (RandomForestClassifier(100, random_state=0).fit(rows, classes), rows[:50]),
        "histogram gradient boosting": (HistGradientBoostingClassifier(max_iter=20, random_state=0).fit(rows, classes), rows[:50]),
        "nearest neighbours": (KNeighborsClassifier().fit(rows, classes), rows[:50]),
        "support vectors": (SVC(random_state=0).fit(rows, classes), rows[:50]),
        "ridge": (Ridge().fit(other_rows, targets), other_rows[:50]),
        "k-means": (KMeans(3, n_init=1, random_state=0).fit(rows), rows[:50]),
        "isolation forest": (IsolationForest(n_estimators=20, random_state=0).fit(rows), rows[:50]),
        "perceptron": (MLPClassifier((8,), max_iter=20, random_state=0).fit(rows, classes), rows[:50]),
    }


def other_cases() -> dict[str, tuple[Any, Any]]:
    """Fit models on texts and on a data frame of mixed columns."""
    frame = pd.DataFrame({"age": [20.0, 30.0, np.nan, 50.0] * 10, "city": ["Oslo", "Rome", "Oslo", None] * 10, "paid": [True, False] * 20})
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["age", "paid"]),
            ("texts", OneHotEncoder(handle_unknown="ignore"), ["city"]),
        ]
    )
    labels = ["yes", "no"] * 20
    return {
        "text pipeline": (make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(TEXTS, labels), TEXTS),
        "data frame pipeline": (make_pipeline(columns, LogisticRegression()).fit(frame, labels), frame),
    }


def loaded_and_called(stored: bytes, rows: Any, expected: Any) -> Callable[[], str]:
    """Return what a locked child does: load from memory and from a descriptor, predict, and compare bit for bit."""
    descriptor = os.memfd_create("artifact")
    os.write(descriptor, stored)
    os.lseek(descriptor, 0, os.SEEK_SET)
    stream = os.fdopen(descriptor, "rb")

    def job() -> str:
        from_memory = joblib.load(io.BytesIO(stored)).predict(rows)
        from_descriptor = joblib.load(stream).predict(rows)
        same = np.array_equal(from_memory, expected) and np.array_equal(from_descriptor, expected)
        return "ok" if same else "the outputs differ"

    return job


def main() -> None:
    """Try every case as root, where this is root, and as an ordinary user."""
    warnings.simplefilter("ignore")
    flavors.warm_up()
    results = {}
    for name, (model, rows) in {**numeric_cases(), **other_cases()}.items():
        for compress in (0, 3):
            buffer = io.BytesIO()
            joblib.dump(model, buffer, compress=compress)
            for ordinary in (False, True) if os.geteuid() == 0 else (False,):
                job = loaded_and_called(buffer.getvalue(), rows, model.predict(rows))
                outcome = attempt(job, ordinary=ordinary, memory_bytes=MEMORY_BYTES)
                results[f"{name}, compress={compress}, ordinary={ordinary}"] = outcome.text or f"status {outcome.status}"
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
