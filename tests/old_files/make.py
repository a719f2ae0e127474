"""Writes the files of this folder; run by hand, in an environment with the versions that it should show (see README.md).

    python make.py joblib        one file of each kind for the installed joblib
    python make.py compressions  one file in each compression of the installed joblib
    python make.py sklearn       one file of each estimator for the installed scikit-learn

Works with every version named in README.md, so it may use nothing that only newer ones have.
"""

from __future__ import annotations

import json
import math
import pickle
import platform
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import sklearn
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

HERE = Path(__file__).parent
COMPRESSIONS = ("zlib", "gzip", "bz2", "xz", "lzma", "lz4")
NUMBERS = np.random.RandomState(0).standard_normal((40, 3))
CLASSES = np.where(NUMBERS[:, 0] + NUMBERS[:, 1] > 0, "yes", "no")
TEXTS = ["the cat sat", "a dog barked", "stocks fell", "markets rose"] * 5


def main(what: str) -> None:
    """Write the files of one kind."""
    {"joblib": write_for_joblib, "compressions": write_compressions, "sklearn": write_for_sklearn}[what]()


def write_for_joblib() -> None:
    """Write one pipeline, uncompressed and compressed, into the folder of this joblib."""
    folder = folder_for("joblib", joblib)
    estimator, rows = mixed()
    joblib.dump(estimator, folder / "pipeline.joblib")
    joblib.dump(estimator, folder / "pipeline-zlib.joblib", compress=("zlib", 9))
    record(folder / "pipeline.json", estimator, rows)


def write_compressions() -> None:
    """Write one pipeline in each compression."""
    folder = folder_for("compressions-joblib", joblib)
    estimator, rows = mixed()
    for name in COMPRESSIONS:
        joblib.dump(estimator, folder / f"pipeline-{name}.joblib", compress=(name, 3))
    record(folder / "pipeline.json", estimator, rows)


def write_for_sklearn() -> None:
    """Write four estimators as joblib files, and one of them as a plain pickle, into the folder of this scikit-learn."""
    folder = folder_for("sklearn", sklearn)
    for name, (estimator, rows) in estimators().items():
        joblib.dump(estimator, folder / f"{name}.joblib", compress=3 if name != "logistic" else 0)
        record(folder / f"{name}.json", estimator, rows)
    (folder / "logistic.pkl").write_bytes(pickle.dumps(estimators()["logistic"][0], protocol=4))


def folder_for(kind: str, module: Any) -> Path:
    """Return the folder of the installed version, made where it isn't there."""
    folder = HERE / f"{kind}-{module.__version__}"
    folder.mkdir(exist_ok=True)
    return folder


def mixed() -> tuple[Any, Any]:
    """Return a pipeline with text categories (an array of objects) and arrays in both orders, and rows for it."""
    rows = np.column_stack([np.array(["Bonn", "Oslo", "Rome", "Oslo"] * 10, dtype=object), NUMBERS])
    columns = ColumnTransformer([("city", OneHotEncoder(handle_unknown="ignore"), [0]), ("numbers", PCA(2), [1, 2, 3])])
    last = GradientBoostingClassifier(n_estimators=2, max_depth=2, random_state=0)
    estimator = make_pipeline(columns, last).fit(rows, CLASSES)
    reduced = estimator[0].named_transformers_["numbers"]
    reduced.components_ = np.asfortranarray(reduced.components_)
    return estimator, rows[:6]


def estimators() -> dict[str, tuple[Any, Any]]:
    """Return the fitted estimators by name, each with rows for it."""
    small = {"max_iter": 2, "max_leaf_nodes": 4, "min_samples_leaf": 5, "random_state": 0}
    holes = np.where(NUMBERS > 1, np.nan, NUMBERS)
    return {
        "logistic": (make_pipeline(StandardScaler(), LogisticRegression()).fit(NUMBERS, CLASSES), NUMBERS[:6]),
        "forest": (RandomForestClassifier(3, max_depth=3, random_state=0).fit(NUMBERS, CLASSES), NUMBERS[:6]),
        "histogram": (HistGradientBoostingClassifier(**small).fit(holes, CLASSES), holes[:6]),
        "texts": (make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(TEXTS, ["a", "a", "b", "b"] * 5), TEXTS[:4]),
    }


def record(path: Path, estimator: Any, rows: Any) -> None:
    """Write rows, what the estimator answers to them here, and the versions here."""
    said = {
        "made_with": {
            "python": platform.python_version(),
            "joblib": joblib.__version__,
            "numpy": np.__version__,
            "scikit-learn": sklearn.__version__,
        },
        "dtype": "text" if isinstance(rows, list) else rows.dtype.name,
        "rows": [
            row if isinstance(row, str) else [None if isinstance(x, float) and math.isnan(x) else x for x in row] for row in listed(rows)
        ],
        "predict": listed(estimator.predict(rows)),
        "predict_proba": listed(estimator.predict_proba(rows)),
    }
    path.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")


def listed(values: Any) -> Any:
    """Return an array as nested lists."""
    return values if isinstance(values, list) else values.tolist()


if __name__ == "__main__":
    main(sys.argv[1])
