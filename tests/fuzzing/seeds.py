"""Small good files of many families: what the fuzzer mutates. Small, so that a random byte is likely to mean something.

Made in a child, since fitting imports and warms what a real fork server doesn't have.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import joblib
import numpy as np
import pandas as pd
from joblib.numpy_pickle import NumpyPickler
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import Birch, KMeans
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import MultinomialNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, KBinsDiscretizer, OneHotEncoder, OrdinalEncoder, SplineTransformer, StandardScaler
from sklearn.svm import SVC, SVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

ROWS = 20
#: A file without a memo: each value in it stands for itself, and may be exchanged for another.
LOOSE = "loose"


def good_files() -> dict[str, bytes]:
    """Return the pool, by name; the first word of a name is the family, the second how it is written."""
    return _in_child(_written)


def models_of() -> list[Any]:
    """Return the fitted models themselves, read back in this process."""
    return [pickle.loads(one) for one in _in_child(_pickled).values()]


def _in_child(make: Callable[[], dict[str, bytes]]) -> dict[str, bytes]:
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        with os.fdopen(sending, "wb") as stream:
            pickle.dump(make(), stream)
        os._exit(0)
    os.close(sending)
    with os.fdopen(receiving, "rb") as stream:
        files: dict[str, bytes] = pickle.load(stream)
    os.waitpid(child, 0)
    return files


def _pickled() -> dict[str, bytes]:
    return {name: pickle.dumps(model) for name, model in _models().items()}


def _written() -> dict[str, bytes]:
    models = _models()
    files = {}
    writers = tuple(_WRITERS.items())
    for index, (name, model) in enumerate(models.items()):
        for step in (0, 3):  # two ways of writing each
            form, write = writers[(index + step) % len(writers)]
            files[f"{name} {form}"] = write(model)
        files[f"{name} joblib"] = _joblib(model, 0)
        with contextlib.suppress(ValueError, RecursionError):
            files[f"{name} {LOOSE}"] = _loose(model)
    return files


def _loose(model: Any) -> bytes:
    stream = io.BytesIO()
    pickler = NumpyPickler(stream)
    pickler.fast = True
    pickler.dump(model)
    return stream.getvalue()


def _joblib(model: Any, compress: Any) -> bytes:
    stream = io.BytesIO()
    joblib.dump(model, stream, compress=compress)
    return stream.getvalue()


_WRITERS: dict[str, Callable[[Any], bytes]] = {
    "pickle2": lambda model: pickle.dumps(model, 2),
    "pickle3": lambda model: pickle.dumps(model, 3),
    "pickle4": lambda model: pickle.dumps(model, 4),
    "pickle5": lambda model: pickle.dumps(model, 5),
    "zlib": lambda model: _joblib(model, "zlib"),
    "gzip": lambda model: gzip.compress(_joblib(model, 0), mtime=0),
    "bz2": lambda model: _joblib(model, "bz2"),
    "xz": lambda model: _joblib(model, "xz"),
    "lzma": lambda model: _joblib(model, "lzma"),
}


def _models() -> dict[str, Any]:
    warnings.simplefilter("ignore")
    np.random.seed(7)  # noqa: NPY002 - what estimators draw from by default, so that the pool is always the same
    random = np.random.default_rng(7)
    x = random.standard_normal((ROWS, 3)).round(1)
    y = (x[:, 0] > 0).astype(int)
    three = np.arange(ROWS) % 3
    found = {name: model.fit(x, y) for name, model in _of_numbers().items()}
    found["boosting3"] = GradientBoostingClassifier(n_estimators=1, max_depth=2).fit(x, three)
    found["kmeans"] = KMeans(2, n_init=1).fit(x)
    found["birch"] = Birch(n_clusters=2, threshold=2).fit(x)
    found["isolation"] = IsolationForest(n_estimators=1, max_samples=6).fit(x)
    found["isotonic"] = IsotonicRegression(out_of_bounds="clip").fit(x[:, 0], y)
    found["multi"] = MultiOutputClassifier(LogisticRegression()).fit(x, np.column_stack([y, 1 - y]))
    found["objects"] = LogisticRegression().fit(x, np.where(y, "yes", "no").astype(object))
    found["text"] = make_pipeline(TfidfVectorizer(), MultinomialNB()).fit([f"word{i % 4} other{i % 3}" for i in range(ROWS)], y)
    found["sparse"] = SVC().fit(_sparse(x), y)
    found["frame"] = _of_a_frame().fit(pd.DataFrame({"number": x[:, 0], "letter": np.where(y, "a", "b"), "flag": x[:, 1] > 0}), y)
    found["categories"] = HistGradientBoostingRegressor(
        max_iter=1, max_leaf_nodes=3, max_bins=4, categorical_features=[0], early_stopping=False
    ).fit(np.column_stack([three, x[:, 1]]), y)
    return found


def _of_numbers() -> dict[str, Any]:
    return {
        "logistic": LogisticRegression(),
        "sgd": SGDClassifier(max_iter=5, random_state=np.random.RandomState(1)),
        "tree": DecisionTreeClassifier(max_depth=3),
        "forest": RandomForestClassifier(2, max_depth=2),
        "histogram": HistGradientBoostingClassifier(max_iter=2, max_leaf_nodes=3, max_bins=4, early_stopping=False),
        "kd": KNeighborsClassifier(2, algorithm="kd_tree", leaf_size=4),
        "ball": KNeighborsRegressor(2, algorithm="ball_tree", leaf_size=4, metric="minkowski", p=3),
        "brute": KNeighborsClassifier(2, algorithm="brute"),
        "svc": SVC(probability=False),
        "svr": SVR(),
        "calibrated": CalibratedClassifierCV(DecisionTreeClassifier(max_depth=2), cv=2, method="isotonic"),
        "process": GaussianProcessRegressor(),
        "network": MLPClassifier((2,), max_iter=2),
        "spline": make_pipeline(SplineTransformer(n_knots=3), Ridge()),
        "functions": make_pipeline(FunctionTransformer(np.arctan), StandardScaler(), DecisionTreeRegressor(max_depth=2)),
        "bins": make_pipeline(KBinsDiscretizer(2, quantile_method="averaged_inverted_cdf"), LogisticRegression()),
    }


def _sparse(x: Any) -> Any:
    return OneHotEncoder(sparse_output=True, handle_unknown="ignore").fit_transform(x.round())


def _of_a_frame() -> Any:
    parts = make_column_transformer((StandardScaler(), ["number"]), (OneHotEncoder(), ["letter"]), (OrdinalEncoder(), ["flag"]))
    return make_pipeline(parts, LogisticRegression())
