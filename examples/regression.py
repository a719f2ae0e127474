"""Foresee the progression of diabetes: two versions, their errors with intervals, and a switch only where the new one is better.

Cells for a notebook or an editor that knows `# %%`; it also runs as a script. Needs scikit-learn, pandas and a service that
`modelyard login`, or MODELYARD_URL and MODELYARD_KEY, have named.
"""

# %% 442 patients, ten measurements each, a third held back
from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.datasets import load_diabetes
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import train_test_split

from modelyard import Client

NAME = "diabetes"
DRAWS = 2000
data = load_diabetes(as_frame=True, scaled=False)
X, y = pd.DataFrame(dict(data.data.items())), data.target  # column by column in memory, as from a file: sums are bit for bit alike
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=1 / 3, random_state=7)

# %% A boosted one first, then a line: each is published with its mean absolute error and what nine of ten draws leave between
rng = np.random.default_rng(7)
draws = rng.integers(len(y_test), size=(DRAWS, len(y_test)))  # the held-back patients, drawn again and again with replacement


def interval(errors: np.ndarray) -> tuple[float, float]:
    """Return the range that holds nine tenths of the means over the draws."""
    low, high = np.quantile(errors[draws].mean(axis=1), [0.05, 0.95])
    return round(float(low), 2), round(float(high), 2)


yard = Client()
estimators = [HistGradientBoostingRegressor(random_state=7), RidgeCV(alphas=np.logspace(-3, 3, 13))]
versions, errors = [], []
for estimator in estimators:
    estimator.fit(X_train, y_train)
    missed = np.abs(estimator.predict(X_test) - y_test.to_numpy())
    low, high = interval(missed)
    metrics = {"mae": round(float(missed.mean()), 2), "mae_low": low, "mae_high": high}
    version = yard.publish(estimator, NAME, example=X_train[:5], metrics=metrics)
    versions.append(version)
    errors.append(missed)
    print(f"{version.selector}: {version.estimator.rpartition('.')[2]}, mean error {metrics['mae']}, 90 % within {low} to {high}")

# %% The same draws for both, so that their difference has an interval of its own
older, newer = versions
yard.point(NAME, "production", older.version, reason="first")
low, high = interval(errors[1] - errors[0])
print(f"version {newer.version} misses by {low} to {high} more than version {older.version}")
if high < 0:
    yard.point(NAME, "production", newer.version, reason=f"mean error lower by {-high} to {-low}", expected=older.version)
else:
    print("which doesn't show that it is better: production stays")
print(f"production is version {yard.alias(NAME).version}")

# %% What is served is what was fitted, to the last bit
for version, estimator in zip(versions, estimators, strict=True):
    assert yard.predict(version.selector, X_test).tobytes() == estimator.predict(X_test).tobytes()
print("The served predictions equal the estimators' own, bit for bit.")
