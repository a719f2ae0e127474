"""Fitted estimators of every kind that the server must take, on data that ships with scikit-learn.

Each builder returns a `Case`: the estimator, and held-out rows in the form that its own user would give it.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import joblib
import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.ensemble import HistGradientBoostingClassifier, IsolationForest, RandomForestClassifier, RandomForestRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import SVC


@dataclass(frozen=True, slots=True)
class Case:
    """A fitted estimator and held-out input for it: an array, a data frame or a list of texts."""

    estimator: Any
    held_out: Any


def dump(estimator: Any, compress: int | str = 0) -> bytes:
    """Return the joblib file of an estimator."""
    buffer = io.BytesIO()
    joblib.dump(estimator, buffer, compress=compress)
    return buffer.getvalue()


def iris() -> Case:
    """Return a logistic regression on arrays, with integer classes."""
    x, rest, y, _ = _split(load_iris())
    return Case(LogisticRegression(max_iter=500).fit(x, y), rest)


def iris_frame() -> Case:
    """Return a pipeline fitted on a data frame of numbers, with text classes."""
    data = load_iris(as_frame=True)
    x, rest, y, _ = train_test_split(data.data, data.target_names[data.target], random_state=0)
    return Case(make_pipeline(StandardScaler(), SVC()).fit(x, y), rest)


def breast_cancer() -> Case:
    """Return a scaled logistic regression on 30 columns."""
    x, rest, y, _ = _split(load_breast_cancer())
    return Case(make_pipeline(StandardScaler(), LogisticRegression()).fit(x, y), rest)


def diabetes() -> Case:
    """Return a ridge regression."""
    x, rest, y, _ = _split(load_diabetes())
    return Case(Ridge().fit(x, y), rest)


def people(rows: int = 200) -> tuple[pd.DataFrame, Any]:
    """Return a data frame of mixed columns with missing values, and text labels."""
    random = np.random.default_rng(7)
    job = random.choice(np.array(["chef", "nurse", "pilot", None], dtype=object), rows)
    age = np.where(random.random(rows) < 0.1, np.nan, random.integers(18, 80, rows))
    city = random.choice(["Bonn", "Oslo"], rows)
    frame = pd.DataFrame({"age": age, "job": pd.Series(job, dtype="str"), "city": city, "member": random.random(rows) < 0.5})
    return frame, np.where(np.nan_to_num(age, nan=40) + 10 * frame["member"] > 45, "yes", "no")


def mixed_frame() -> Case:
    """Return a column transformer over numbers, texts and bools, with missing values in the first two."""
    frame, labels = people()
    columns = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), ["age"]),
        (OneHotEncoder(handle_unknown="ignore"), ["job"]),
        (OrdinalEncoder(), ["city"]),
        remainder="passthrough",
    )
    return Case(make_pipeline(columns, LogisticRegression(max_iter=500)).fit(frame[:150], labels[:150]), frame[150:])


def object_frame() -> Case:
    """Return the same with text columns of objects in which None stands for missing, as older pandas made them."""
    frame, labels = people()
    frame["job"] = pd.Series([None if pd.isna(value) else value for value in frame["job"]], dtype=object)
    columns = make_column_transformer(
        (SimpleImputer(), ["age"]),
        (make_pipeline(SimpleImputer(missing_values=None, strategy="most_frequent"), OneHotEncoder()), ["job"]),
        (OneHotEncoder(), ["city", "member"]),
    )
    return Case(make_pipeline(columns, RandomForestClassifier(10, random_state=0)).fit(frame[:150], labels[:150]), frame[150:])


def text() -> Case:
    """Return a text pipeline."""
    good, bad = ["a fine good film", "lovely: good and fine", "good fun"], ["a bad dull film", "dull, bad, sad", "sad and bad"]
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(good + bad, ["pos"] * 3 + ["neg"] * 3)
    return Case(model, ["a fine film", 'bad: "dull"', ""])


def multi_regressor() -> Case:
    """Return a regressor of two targets."""
    x, rest, y, _ = _split(load_diabetes())
    return Case(RandomForestRegressor(5, random_state=0).fit(x, np.column_stack([y, -y])), rest)


def multi_classifier() -> Case:
    """Return a classifier of two targets, whose predict_proba is a list of arrays."""
    x, rest, y, _ = _split(load_iris())
    return Case(MultiOutputClassifier(LogisticRegression(max_iter=500)).fit(x, np.column_stack([y, y > 0])), rest)


def kmeans() -> Case:
    """Return a clusterer that predicts."""
    x, rest, _, _ = _split(load_iris())
    return Case(KMeans(3, n_init=1, random_state=0).fit(x), rest)


def isolation_forest() -> Case:
    """Return an outlier detector."""
    x, rest, _, _ = _split(load_iris())
    return Case(IsolationForest(n_estimators=10, random_state=0, n_jobs=-1).fit(x), rest)


def hist_gradient_boosting() -> Case:
    """Return histogram gradient boosting, which takes missing values, on a frame with a categorical column."""
    frame, labels = people()
    frame = frame[["age", "city"]].assign(city=frame["city"].astype("category"))
    model = HistGradientBoostingClassifier(max_iter=5, categorical_features="from_dtype")
    return Case(model.fit(frame[:150], labels[:150]), frame[150:])


def parallel_forest() -> Case:
    """Return a forest that wants every core."""
    x, rest, y, _ = _split(load_breast_cancer())
    return Case(RandomForestClassifier(10, n_jobs=-1, random_state=0).fit(x, y), rest)


def grid_search() -> Case:
    """Return a fitted search."""
    x, rest, y, _ = _split(load_iris())
    return Case(GridSearchCV(LogisticRegression(max_iter=500), {"C": [0.5, 1.0]}, cv=2, n_jobs=1).fit(x, y), rest)


def gaussian_process() -> Case:
    """Return a Gaussian process."""
    x, rest, y, _ = _split(load_diabetes())
    return Case(GaussianProcessRegressor(optimizer=None).fit(x[:60], y[:60]), rest)


def object_array() -> Case:
    """Return a model fitted on an array of texts and numbers without column names."""
    frame, labels = people()
    values = frame[["city", "job"]].to_numpy(dtype=object, na_value=None)
    return Case(make_pipeline(OneHotEncoder(), LogisticRegression()).fit(values[:150], labels[:150]), values[150:])


CASES: dict[str, Callable[[], Case]] = {
    builder.__name__: builder
    for builder in (
        iris,
        iris_frame,
        breast_cancer,
        diabetes,
        mixed_frame,
        object_frame,
        text,
        multi_regressor,
        multi_classifier,
        kmeans,
        isolation_forest,
        hist_gradient_boosting,
        parallel_forest,
        grid_search,
        gaussian_process,
        object_array,
    )
}


def case_of(name: str) -> Case:
    """Return a copy of the case of that name; it is fitted once a process."""
    case: Case = pickle.loads(_fitted(name))
    return case


@cache
def _fitted(name: str) -> bytes:
    return pickle.dumps(CASES[name]())


def rows_of(held_out: Any) -> list[Any]:
    """Return held-out input as the `data` or `instances` of a JSON body, null for missing."""
    if isinstance(held_out, list):
        return held_out
    if isinstance(held_out, pd.DataFrame):
        records = held_out.astype(object).to_dict(orient="records")
        return [{name: _plain(value) for name, value in record.items()} for record in records]
    return [[_plain(value) for value in row] for row in held_out.tolist()]


def _plain(value: Any) -> Any:
    return None if pd.isna(value) else value


def _split(data: Any) -> Any:
    return train_test_split(data.data, data.target, random_state=0)
