"""Linear models: one product of rows and coefficients, one sum, and what makes classes or probabilities of it.

The operations, their operands' memory order and their order are those of scikit-learn 1.9 (`linear_model/_base.py`,
`_logistic.py`, `discriminant_analysis.py`). Must never convert rows to another type than the estimator would.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import expit

from registry.flavors.direct.form import Array, Form, Method, all_finite, classes_of, width_of
from registry.flavors.soundness.reading import attributes, numbers

_Scores = Callable[[Array], Array | None]
_BINARY = 2


def regressor(estimator: Any) -> Form | None:
    """Return the form of a regressor that answers its scores."""
    return _predicting(estimator, lambda scores: scores)


def flat_regressor(estimator: Any) -> Form | None:
    """Return the form of a regressor that answers its scores in one dimension."""
    return _predicting(estimator, lambda scores: scores.ravel())


def classifier(estimator: Any) -> Form | None:
    """Return the form of a classifier that decides by its scores."""
    found = _scores_and_classes(estimator)
    return None if found is None else Form(found[2], _deciding(found[0], found[1]))


def logistic(estimator: Any) -> Form | None:
    """Return the form of logistic regression: softmax of the scores, for two classes the logistic function."""
    found = _scores_and_classes(estimator)
    if found is None:
        return None
    scores, classes, width = found
    proba = _one_against_rest(scores) if len(classes) <= _BINARY else _softmax(scores)
    return Form(width, {**_deciding(scores, classes), "predict_proba": proba, "predict_log_proba": _log(proba)})


def stochastic(estimator: Any) -> Form | None:
    """Return the form of a classifier fitted by stochastic gradient descent; only the logistic loss has probabilities here."""
    found = _scores_and_classes(estimator)
    if found is None:
        return None
    scores, classes, width = found
    methods = _deciding(scores, classes)
    if attributes(estimator).get("loss") == "log_loss":
        proba = _one_against_rest(scores)
        methods |= {"predict_proba": proba, "predict_log_proba": _log(proba)}
    return Form(width, methods)


def discriminant(estimator: Any) -> Form | None:
    """Return the form of linear discriminant analysis, but for `transform`."""
    found = _scores_and_classes(estimator)
    if found is None:
        return None
    scores, classes, width = found
    proba = _one_against_rest(scores) if len(classes) == _BINARY else _softmax(scores)
    return Form(width, {**_deciding(scores, classes), "predict_proba": proba, "predict_log_proba": _log_above_zero(proba)})


def _predicting(estimator: Any, shape: Callable[[Array], Array]) -> Form | None:
    width, scores = width_of(estimator), _scores(estimator)
    if width is None or scores is None:
        return None

    def predict(rows: Array) -> Array | None:
        found = scores(rows)
        return None if found is None else shape(found)

    return Form(width, {"predict": predict})


def _scores(estimator: Any) -> _Scores | None:
    """Return what computes `rows @ coef_.T + intercept_`, or None where these aren't plain numbers of fitting sizes."""
    stored = attributes(estimator)
    coef, intercept = stored.get("coef_"), stored.get("intercept_")
    if (plain := _coefficients(coef)) is None or plain.shape[-1] != width_of(estimator):
        return None
    outputs = 1 if plain.ndim == 1 else len(plain)
    bias = numbers(intercept, 1)
    if not (type(intercept) is float or isinstance(intercept, np.floating) or (bias is not None and bias.shape in ((1,), (outputs,)))):
        return None
    columns = plain.T

    def scores(rows: Array) -> Array | None:
        return rows @ columns + intercept if all_finite(rows) else None

    return scores


def _coefficients(coef: Any) -> Array | None:
    for dimensions in (1, 2):
        plain = numbers(coef, dimensions)
        if plain is not None and plain.dtype.kind == "f" and plain.size:
            return plain
    return None


def _scores_and_classes(estimator: Any) -> tuple[_Scores, Array, int] | None:
    """Return what computes the scores in one dimension where there is one for each row, the classes, and the width."""
    width, raw = width_of(estimator), _scores(estimator)
    coef = numbers(attributes(estimator).get("coef_"), 2)
    if width is None or raw is None or coef is None:
        return None
    classes = classes_of(estimator, max(len(coef), _BINARY))
    if classes is None:
        return None
    if len(coef) > 1:
        return raw, classes, width

    def flat(rows: Array) -> Array | None:
        found = raw(rows)
        return None if found is None else found.reshape(-1)

    return flat, classes, width


def _deciding(scores: _Scores, classes: Array) -> dict[str, Method]:
    def predict(rows: Array) -> Array | None:
        found = scores(rows)
        if found is None:
            return None
        return classes.take((found > 0).view(np.int8) if found.ndim == 1 else found.argmax(axis=1))

    return {"decision_function": scores, "predict": predict}


def _one_against_rest(scores: _Scores) -> Method:
    def proba(rows: Array) -> Array | None:
        found = scores(rows)
        if found is None:
            return None
        found = expit(found, out=found)
        if found.ndim > 1:
            return _shares(found)
        both = np.empty((len(found), 2), found.dtype)
        both[:, 1] = found
        np.subtract(1, found, out=both[:, 0])
        return both

    return proba


def _shares(proba: Array) -> Array | None:
    total = proba.sum(axis=1)
    if not total.all():  # none of the classes: the estimator has a rule for that
        return None
    proba /= total.reshape(-1, 1)
    return proba


def _softmax(scores: _Scores) -> Method:
    def proba(rows: Array) -> Array | None:
        found = scores(rows)
        if found is None or found.ndim == 1:
            return None
        found -= found.max(axis=1, keepdims=True)
        np.exp(found, out=found)
        found /= found.sum(axis=1, keepdims=True)
        return found

    return proba


def _log(proba: Method) -> Method:
    def log_proba(rows: Array) -> Any:
        found = proba(rows)
        return None if found is None else np.log(found)

    return log_proba


def _log_above_zero(proba: Method) -> Method:
    def log_proba(rows: Array) -> Any:
        found: Any = proba(rows)
        if found is None:
            return None
        found[found == 0.0] += np.finfo(found.dtype).smallest_normal
        return np.log(found)

    return log_proba
