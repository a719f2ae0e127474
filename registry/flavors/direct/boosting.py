"""Gradient boosting, with and without histograms: rounds of trees added to a baseline, in order.

As `_gb.py` and `_hist_gradient_boosting/gradient_boosting.py` of scikit-learn 1.9 compute it. Must never hand compiled code rows of
another width than the trees were checked for; categories stay with the estimator.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import _gb
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor

from registry.flavors.direct.form import Array, Form, Method, all_finite, classes_of, width_of
from registry.flavors.direct.joined import JoinedPredictors, fit_together, is_node_table, sum_in_order
from registry.flavors.soundness.reading import attributes, numbers, whole_number
from registry.flavors.soundness.trees import check_boosting

_Raw = Callable[[Array], Array | None]
_CONSTANT = frozenset({"prior", "most_frequent", "constant"})


def boosting_classifier(estimator: Any) -> Form | None:
    """Return the form of gradient boosting that decides; the sums of the trees' values are its scores."""
    raw, outputs = _stages(estimator)
    return None if raw is None else _classifier(estimator, raw, outputs, np.greater_equal, with_log=True)


def boosting_regressor(estimator: Any) -> Form | None:
    """Return the form of gradient boosting that answers the sums of the trees' values."""
    raw, outputs = _stages(estimator)
    width = width_of(estimator)
    if raw is None or outputs != 1 or width is None:
        return None

    def predict(rows: Array) -> Array | None:
        found = raw(rows)
        return None if found is None else found.ravel()

    return Form(width, {"predict": predict}, by_row=True)


def histogram_classifier(estimator: Any) -> Form | None:
    """Return the form of histogram gradient boosting that decides, where it has no categories."""
    rounds = _Rounds.of(estimator)
    forms = [] if rounds is None else [_classifier(estimator, way, rounds.outputs, np.greater, with_log=False) for way in rounds.ways()]
    return _of_ways([form for form in forms if form is not None])


def histogram_regressor(estimator: Any) -> Form | None:
    """Return the form of histogram gradient boosting that answers numbers, where it has no categories."""
    rounds, loss = _Rounds.of(estimator), _loss(estimator)
    if rounds is None or loss is None or rounds.outputs != 1:
        return None
    inverse = loss.link.inverse

    def predicting(raw: Callable[[Array], Array]) -> Method:
        return lambda rows: inverse(raw(rows).ravel())

    return _of_ways([Form(rounds.width, {"predict": predicting(way)}) for way in rounds.ways()])


def _of_ways(forms: list[Form]) -> Form | None:
    """Return the first form, with the first method of the others as the ways in which it is computed."""
    ways = tuple(next(iter(form.methods.items())) for form in forms[1:])
    return Form(forms[0].width, forms[0].methods, ways, missing=True, by_row=True) if forms else None


def _classifier(estimator: Any, raw: _Raw, outputs: int, above: Any, *, with_log: bool) -> Form | None:
    """Return the form of a classifier; `above` compares a single score with 0."""
    width, loss, classes = width_of(estimator), _loss(estimator), classes_of(estimator, max(outputs, 2))
    if width is None or loss is None or classes is None:
        return None
    proba_of = loss.predict_proba

    def decision(rows: Array) -> Array | None:
        found = raw(rows)
        return found if found is None or outputs > 1 else found.ravel()

    def predict(rows: Array) -> Array | None:
        found = decision(rows)
        if found is None:
            return None
        chosen: Array = classes[found.argmax(axis=1) if outputs > 1 else above(found, 0).astype(np.intp)]
        return chosen

    def proba(rows: Array) -> Array | None:
        found = decision(rows)
        return None if found is None else proba_of(found)

    def log_proba(rows: Array) -> Array | None:
        found = proba(rows)
        return None if found is None else np.log(found)

    methods: dict[str, Method] = {"decision_function": decision, "predict": predict, "predict_proba": proba}
    return Form(width, methods | ({"predict_log_proba": log_proba} if with_log else {}), by_row=True)


def _loss(estimator: Any) -> Any:
    """Return the loss whose link makes answers of scores, or None where it isn't scikit-learn's own."""
    loss = attributes(estimator).get("_loss")
    return loss if type(loss).__module__ == "sklearn._loss.loss" else None


def _stages(estimator: Any) -> tuple[_Raw | None, int]:
    """Return what computes the scores by one call for all trees, and how many there are for a row."""
    stored, width = attributes(estimator), width_of(estimator)
    trees, rate = stored.get("estimators_"), stored.get("learning_rate")
    if type(trees) is not np.ndarray or width is None or not isinstance(rate, (int, float)) or not _starts_constant(stored):
        return None, 0
    check_boosting(estimator)
    start = estimator._raw_predict_init(np.zeros((1, width), np.float32))  # noqa: SLF001 - the same for every row
    outputs = trees.shape[1]
    if numbers(start, 2) is None or start.dtype != np.float64 or start.shape != (1, outputs):
        return None, 0

    def raw(rows: Array) -> Array | None:
        single = rows.astype(np.float32, order="C")
        if not all_finite(single) or single.shape[1] != width:
            return None
        found = np.repeat(start, len(single), axis=0)
        _gb.predict_stages(trees, single, rate, found)
        return found

    return raw, outputs


def _starts_constant(stored: dict[str, Any]) -> bool:
    """Tell whether every row starts from the same scores."""
    init = stored.get("init_")
    if type(init) is DummyClassifier:
        return attributes(init).get("strategy") in _CONSTANT
    return type(init) is DummyRegressor or (type(init) is str and init == "zero")


class _Rounds:
    """The trees of histogram gradient boosting, round by round, and what they are added to."""

    def __init__(self, rounds: list[list[TreePredictor]], baseline: Array, width: int, mapper: Any) -> None:
        """Join the trees. Raises ValueError where they are too large."""
        trees = [tree for trees in rounds for tree in trees]
        tables = [attributes(tree)["nodes"] for tree in trees]
        if not all(is_node_table(table) for table in tables) or not fit_together([len(t) for t in tables], tables[0].itemsize):
            raise ValueError("The trees can't be joined.")
        self.width = width
        self.outputs = baseline.shape[1]
        self._rounds = rounds
        self._baseline = baseline
        self._joined = JoinedPredictors(tables, width)
        self._sets, self._places = mapper.make_known_categories_bitsets()

    @classmethod
    def of(cls, estimator: Any) -> _Rounds | None:
        """Return the rounds of an estimator without categories, each with a tree for each output, or None."""
        stored, width = attributes(estimator), width_of(estimator)
        rounds, baseline = stored.get("_predictors"), numbers(stored.get("_baseline_prediction"), 2)
        if width is None or baseline is None or stored.get("_preprocessor") is not None or type(rounds) is not list or not rounds:
            return None
        mapper = stored.get("_bin_mapper")
        outputs = whole_number(stored.get("n_trees_per_iteration_"))
        if baseline.dtype != np.float64 or baseline.shape != (1, outputs) or attributes(mapper)["is_categorical_"].any():
            return None
        if any(len(trees) != outputs for trees in rounds) or any(_has_categories(tree) for trees in rounds for tree in trees):
            return None
        return cls(rounds, baseline, width, mapper)

    def ways(self) -> list[Callable[[Array], Array]]:
        """Return what computes the scores in the faster of two ways, then each way by itself."""
        return [self._raw, self._at_once, self._by_tree]

    def _raw(self, rows: Array) -> Array:
        return self._by_tree(rows) if len(rows) > self._joined.most_rows else self._at_once(rows)

    def _at_once(self, rows: Array) -> Array:
        pieces = self._joined.pieces(rows)
        found = [self._piece(piece) for piece in pieces]
        return found[0].T if len(found) == 1 else np.concatenate(found, axis=1).T

    def _piece(self, rows: Array) -> Array:
        parts = np.empty((len(self._rounds) + 1, self.outputs, len(rows)))
        parts[0] = self._baseline.T
        self._joined.values(rows, parts[1:].reshape(-1))
        return sum_in_order(parts)

    def _by_tree(self, rows: Array) -> Array:
        rows = rows.astype(np.float64, copy=False)
        raw = np.zeros((len(rows), self.outputs), order="F")
        raw += self._baseline
        for trees in self._rounds:
            for output, tree in enumerate(trees):
                raw[:, output] += tree.predict(rows, self._sets, self._places, 1)
        return raw


def _has_categories(tree: Any) -> bool:
    return type(tree) is not TreePredictor or bool(attributes(tree)["nodes"]["is_categorical"].any())
