"""The compiled forms' share of the fork server's warm-up: what is lazy in their libraries is done once, before any fork.

Does nothing without the extra, and keeps no model.
"""

from __future__ import annotations

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from registry import frames
from registry.flavors.compiled.conversion import import_everything
from registry.flavors.compiled.form import PACKAGES, compile_loaded
from registry.flavors.formats import INSTALLED
from registry.flavors.sklearn import LoadedEstimator


def warm_up() -> None:
    """Import the converters, then compile and call one small model of each way."""
    if not INSTALLED.issuperset(PACKAGES):
        return
    import_everything()
    rows = np.random.default_rng(0).standard_normal((40, 3))
    classes = (rows[:, 0] > 0).astype(int)
    for estimator in (
        RandomForestClassifier(2),
        HistGradientBoostingClassifier(max_iter=2),
        make_pipeline(StandardScaler(), LogisticRegression()),
        Ridge(),
    ):
        fast = compile_loaded(LoadedEstimator(estimator.fit(rows, classes)), has_texts=False)
        fast.call("predict", frames.Matrix(rows[:2]), {})
