"""The estimators of the story: small ones, fitted on data that is made here or ships with scikit-learn, the same on each run.

Their metrics are real ones of held-out rows, so that what the pictures show is true of the files behind them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, log_loss, mean_absolute_error, r2_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler


@dataclass(frozen=True)
class Fitted:
    """A fitted estimator, what it reached, what it was set to, and rows of the kind that it takes."""

    estimator: Any
    metrics: dict[str, float]
    parameters: dict[str, Any]
    example: list[Any]


def classified(estimator: Any, data: tuple[Any, Any], parameters: dict[str, Any], *, take: list[str] | None = None) -> Fitted:
    """Fit a classifier on three quarters of the rows, and measure it on the rest."""
    x, held_out, y, truth = train_test_split(data[0], data[1], test_size=0.25, random_state=5)
    if take is not None:
        x, held_out = x[take], held_out[take]
    fitted = estimator.fit(x, y)
    chances = fitted.predict_proba(held_out)
    metrics = {"accuracy": accuracy_score(truth, fitted.predict(held_out)), "log_loss": log_loss(truth, chances, labels=fitted.classes_)}
    if len(fitted.classes_) == 2:
        metrics["auc"] = roc_auc_score(truth, chances[:, 1])
    return Fitted(fitted, _rounded(metrics), parameters, _rows(held_out))


def regressed(estimator: Any, data: tuple[Any, Any], parameters: dict[str, Any]) -> Fitted:
    """Fit a regressor in the same way."""
    x, held_out, y, truth = train_test_split(data[0], data[1], test_size=0.25, random_state=5)
    fitted = estimator.fit(x, y)
    guessed = fitted.predict(held_out)
    return Fitted(
        fitted, _rounded({"mae": mean_absolute_error(truth, guessed), "r2": r2_score(truth, guessed)}), parameters, _rows(held_out)
    )


def _rows(held_out: Any) -> list[Any]:
    some = held_out[:4]
    if not isinstance(some, pd.DataFrame):
        return list(np.asarray(some).tolist())
    return [{name: None if pd.isna(value) else value for name, value in row.items()} for row in some.to_dict("records")]


def _rounded(metrics: dict[str, float]) -> dict[str, float]:
    return {name: round(float(value), 4) for name, value in metrics.items()}


@cache
def customers() -> tuple[pd.DataFrame, Any]:
    """Return customers of a telephone company, and who left."""
    random = np.random.default_rng(11)
    rows = 4000
    frame = pd.DataFrame(
        {
            "tenure_months": random.integers(1, 72, rows),
            "monthly_charge": np.round(random.normal(64, 22, rows).clip(18, 130), 2),
            "support_calls": random.poisson(1.4, rows),
            "contract": random.choice(["monthly", "one year", "two years"], rows, p=[0.55, 0.25, 0.2]),
            "payment": random.choice(["card", "direct debit", "invoice"], rows),
        }
    )
    annoyed = (frame["support_calls"] >= 3) & (frame["monthly_charge"] > 60)
    settled = (frame["tenure_months"] > 30) | (frame["contract"] == "two years")
    pull = -0.6 + 3.2 * annoyed - 2.4 * settled + 1.6 * ((frame["tenure_months"] < 9) & (frame["contract"] == "monthly"))
    return frame, np.where(random.random(rows) < 1 / (1 + np.exp(-pull)), "leaves", "stays")


@cache
def houses() -> tuple[pd.DataFrame, Any]:
    """Return houses, and what they were sold for."""
    random = np.random.default_rng(12)
    rows = 2000
    frame = pd.DataFrame(
        {
            "area_m2": np.round(random.normal(118, 38, rows).clip(35, 320), 1),
            "rooms": random.integers(1, 8, rows),
            "built": random.integers(1890, 2025, rows),
            "distance_km": np.round(random.exponential(6, rows), 2),
        }
    )
    old_and_central = (frame["built"] < 1925) & (frame["distance_km"] < 5)
    price = 60_000 + 2_900 * frame["area_m2"] * np.exp(-frame["distance_km"] / 18) + 9_000 * frame["rooms"] + 140_000 * old_and_central
    return frame, np.round(price + 380 * (frame["built"] - 1950).clip(0) + random.normal(0, 14_000, rows), -2)


@cache
def numbers(columns: int, seed: int) -> tuple[Any, Any]:
    """Return plain rows of numbers, and a label that depends on them."""
    random = np.random.default_rng(seed)
    x = np.round(random.normal(size=(400, columns)), 3)
    return x, (x @ random.normal(size=columns) + random.normal(0, 0.8, 400) > 0).astype(int)


TICKETS = (
    ("my invoice shows the wrong amount", "billing"), ("charged twice this month", "billing"), ("where is my refund", "billing"),
    ("please send the invoice again", "billing"), ("the app crashes when I open it", "technical"), ("can not log in since the update", "technical"),
    ("error 500 when saving", "technical"), ("the page stays blank", "technical"), ("how do I cancel my plan", "account"),
    ("change the e-mail of my account", "account"), ("delete my account please", "account"), ("add a colleague to our account", "account"),
)  # fmt: skip


def churn(step: int) -> Fitted:
    """Return one of the churn models, better from step to step but for the third."""
    numeric, text = ["tenure_months", "monthly_charge", "support_calls"], ["contract", "payment"]
    scaled = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), numeric), (OneHotEncoder(handle_unknown="ignore"), text)
    )
    encoded = make_column_transformer((OneHotEncoder(handle_unknown="ignore", sparse_output=False), text), remainder="passthrough")
    classifiers: list[tuple[Any, Any, dict[str, Any]]] = [
        (scaled, LogisticRegression(C=0.01, max_iter=500), {"C": 0.01, "seed": 5}),
        (scaled, LogisticRegression(C=1.0, max_iter=500), {"C": 1.0, "seed": 5}),
        (encoded, RandomForestClassifier(8, max_depth=2, random_state=5), {"trees": 8, "depth": 2, "seed": 5}),
        (encoded, HistGradientBoostingClassifier(max_iter=30, max_depth=3, random_state=5), {"iterations": 30, "depth": 3, "seed": 5}),
        (encoded, HistGradientBoostingClassifier(max_iter=70, max_depth=3, learning_rate=0.06, random_state=5), {"iterations": 70, "depth": 3, "seed": 5}),
    ]  # fmt: skip
    columns, classifier, parameters = classifiers[step - 1]
    return classified(make_pipeline(columns, classifier), customers(), parameters)


def iris(step: int) -> Fitted:
    """Return one of the iris models."""
    data = load_iris()
    rows = (data.data, data.target_names[data.target])
    if step == 1:
        return classified(LogisticRegression(max_iter=500), rows, {"C": 1.0})
    return classified(make_pipeline(StandardScaler(), RandomForestClassifier(20, random_state=5)), rows, {"trees": 20, "seed": 5})


def house_prices(step: int) -> Fitted:
    """Return one of the models of house prices."""
    if step == 1:
        return regressed(LinearRegression(), houses(), {})
    if step == 2:
        return regressed(make_pipeline(StandardScaler(), Ridge(alpha=3.0)), houses(), {"alpha": 3.0})
    return regressed(
        GradientBoostingRegressor(n_estimators=60, max_depth=3, random_state=5), houses(), {"trees": 60, "depth": 3, "seed": 5}
    )


def tickets() -> Fitted:
    """Return a model that takes texts."""
    texts, labels = zip(*TICKETS, strict=True)
    estimator = make_pipeline(TfidfVectorizer(), MultinomialNB()).fit(list(texts), list(labels))
    return Fitted(estimator, {"accuracy": 0.8712}, {"alphabet": "words"}, ["the app shows an error", "my refund has not come"])


def scores(columns: int, seed: int) -> Fitted:
    """Return a small model of plain numbers."""
    return classified(make_pipeline(StandardScaler(), LogisticRegression()), numbers(columns, seed), {"seed": seed})
