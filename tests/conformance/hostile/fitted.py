"""Small fitted models, and ways to alter what is deep inside of them, for files that hurt only when they predict."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import joblib
import numpy as np
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

ROWS = np.random.default_rng(0).standard_normal((60, 3))
CLASSES = (ROWS[:, 0] + ROWS[:, 1] > 0).astype(int)
TEXTS = [f"word{number % 7} other{number % 3}" for number in range(40)]


class Stated:
    """Pickles as `function(*arguments)` with `state`, whatever the real object would say of it."""

    def __init__(self, real: Any, change: Callable[[Any], Any] | None = None, **state: Any) -> None:
        """Take the real object's own pickle and change its state."""
        self.function, self.arguments, self.state = real.__reduce__()[:3]
        if state:
            self.state = {**self.state, **state}
        if change is not None:
            self.state = change(self.state) or self.state

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what stands in the file."""
        return self.function, self.arguments, self.state


def dumped(model: Any) -> bytes:
    """Return the joblib file of a model."""
    buffer = io.BytesIO()
    joblib.dump(model, buffer)
    return buffer.getvalue()


def tree_state(**changes: Any) -> Callable[[Any], Any]:
    """Return a change of a tree's state: fields of its nodes by name, set at node 0 or as a whole array."""

    def change(state: dict[str, Any]) -> dict[str, Any]:
        nodes = state["nodes"].copy()
        for field, value in changes.items():
            nodes[field][0] = value
        return {**state, "nodes": nodes}

    return change


def tree(change: Callable[[Any], Any] | None = None, **state: Any) -> Any:
    """Return a decision tree whose node table was changed."""
    model = DecisionTreeClassifier(max_depth=3, random_state=0).fit(ROWS, CLASSES)
    model.tree_ = Stated(model.tree_, change, **state)
    return model


def in_members(ensemble: Any, change: Callable[[Any], Any]) -> Any:
    """Return an ensemble whose first tree was changed."""
    ensemble.fit(ROWS, CLASSES)
    member = np.asarray(ensemble.estimators_, dtype=object).ravel()[0]
    member.tree_ = Stated(member.tree_, change)
    return ensemble


def histogram_boosting(**changes: Any) -> Any:
    """Return histogram gradient boosting with changed fields of the first node of each tree."""
    model = HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=5, random_state=0).fit(ROWS, CLASSES)
    for predictors in model._predictors:
        for predictor in predictors:
            for field, value in changes.items():
                predictor.nodes[field][0] = value
    return model


def categorical_boosting() -> Any:
    """Return histogram gradient boosting that splits on categories."""
    rows = np.column_stack([np.arange(60) % 5, ROWS[:, 1]])
    model = HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=2, categorical_features=[0], random_state=0)
    return model.fit(rows, (rows[:, 0] % 2).astype(int))


def gradient_boosting(width: int) -> Any:
    """Return gradient boosting with `width` trees a step where one belongs."""
    model = GradientBoostingClassifier(n_estimators=2, random_state=0).fit(ROWS, CLASSES)
    model.estimators_ = np.repeat(model.estimators_, width, axis=1)
    return model


def neighbours(algorithm: str, change: Callable[[list[Any]], None]) -> Any:
    """Return nearest neighbours whose tree's state was changed."""
    model = KNeighborsClassifier(algorithm=algorithm, leaf_size=5).fit(ROWS, CLASSES)

    def changed(state: tuple[Any, ...]) -> tuple[Any, ...]:
        parts = [part.copy() if isinstance(part, np.ndarray) else part for part in map(_owned, state)]
        change(parts)
        return tuple(parts)

    model._tree = Stated(model._tree, changed)
    return model


def attributes(model: Any, **state: Any) -> Any:
    """Return the model, fitted on numbers where it isn't yet, with some attributes set."""
    if not hasattr(model, "n_features_in_") and not isinstance(model, Pipeline):
        model.fit(ROWS, CLASSES)
    for key, value in state.items():
        model.__dict__[key] = value
    return model


def support_vectors(**state: Any) -> Any:
    """Return a support vector classifier with some attributes set."""
    return attributes(SVC(), **state)


def text_pipeline(**state: Any) -> Any:
    """Return a text pipeline whose vectorizer has some attributes set."""
    model = make_pipeline(CountVectorizer(), MultinomialNB()).fit(TEXTS, [0, 1] * 20)
    model[0].__dict__.update(state)
    return model


def before_a_classifier(step: Any, **state: Any) -> Any:
    """Return a pipeline of a transformer, with some attributes set after the fit, and a logistic regression."""
    model = make_pipeline(step, LogisticRegression()).fit(np.abs(ROWS), CLASSES)
    model[0].__dict__.update(state)
    return model


def _owned(part: Any) -> Any:
    return np.asarray(part) if isinstance(part, memoryview) or hasattr(part, "base") else part
