"""Decision trees and forests: one float32 array, walked through all trees at once, or tree by tree where there are many rows.

The trees' values are added in the order of the trees and divided as `ensemble/_forest.py` of scikit-learn 1.9 does. Must never give
compiled code a row that isn't as wide as each tree says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.ensemble._iforest import _average_path_length
from sklearn.tree._tree import Tree

from registry.flavors.direct.form import Array, Form, Method, Methods, all_finite, classes_of, none_infinite, width_of
from registry.flavors.direct.joined import JoinedTrees, fit_together, sum_in_order
from registry.flavors.soundness.reading import attributes, numbers, whole_number
from registry.flavors.soundness.trees import TREE_ESTIMATORS

_NODE_BYTES = 64
_VALUE_BYTES = 8
_Total = Callable[[Array], Array]


def tree_classifier(estimator: Any) -> Form | None:
    """Return the form of a single tree that decides by the shares of classes in a leaf."""
    trees = _trees_of([estimator], width_of(estimator))
    classes = None if trees is None else _classes(estimator, trees[0])
    if trees is None or classes is None:
        return None
    takes, missing = _checked(estimator)
    return Form(trees[0].n_features, _voting(trees[0].predict, classes, takes), missing=missing, by_row=True)


def tree_regressor(estimator: Any) -> Form | None:
    """Return the form of a single tree that answers the value of a leaf."""
    trees = _trees_of([estimator], width_of(estimator))
    if trees is None or trees[0].n_outputs != 1 or trees[0].max_n_classes != 1:
        return None
    takes, missing = _checked(estimator)
    tree = trees[0]

    def predict(rows: Array) -> Array | None:
        single = takes(rows)
        return None if single is None else tree.predict(single)[:, 0]

    return Form(tree.n_features, {"predict": predict}, missing=missing, by_row=True)


def forest_classifier(estimator: Any) -> Form | None:
    """Return the form of a forest that decides by the mean of its trees' shares."""
    trees = _trees_of(attributes(estimator).get("estimators_"), width_of(estimator))
    classes = None if trees is None else _classes(estimator, trees[0])
    if trees is None or classes is None:
        return None
    takes, missing = _checked(attributes(estimator)["estimators_"][0])
    means = _Means(trees)
    ways = tuple(("predict_proba", _voting(way, classes, takes)["predict_proba"]) for way in means.ways())
    return Form(trees[0].n_features, _voting(means, classes, takes), ways, missing=missing, by_row=True)


def forest_regressor(estimator: Any) -> Form | None:
    """Return the form of a forest that answers the mean of its trees' values."""
    trees = _trees_of(attributes(estimator).get("estimators_"), width_of(estimator))
    if trees is None or trees[0].max_n_classes != 1:
        return None
    takes, missing = _checked(attributes(estimator)["estimators_"][0])
    means, outputs = _Means(trees), trees[0].n_outputs

    def predicting(mean: _Total) -> Method:
        def predict(rows: Array) -> Array | None:
            single = takes(rows)
            if single is None:
                return None
            found = mean(single)
            return found if outputs > 1 else found[:, 0]

        return predict

    ways = tuple(("predict", predicting(way)) for way in means.ways())
    return Form(trees[0].n_features, {"predict": predicting(means)}, ways, missing=missing, by_row=True)


def isolation_forest(estimator: Any) -> Form | None:
    """Return the form of an isolation forest whose trees see all columns: the mean length of a row's paths, scaled.

    Formula of Liu, Ting and Zhou (2008) as `ensemble/_iforest.py` of scikit-learn 1.9 computes it.
    """
    stored = attributes(estimator)
    trees, offset = _trees_of(stored.get("estimators_"), width_of(estimator)), stored.get("offset_")
    samples = whole_number(stored.get("_max_samples"))
    if trees is None or samples is None or not isinstance(offset, float):
        return None
    if whole_number(stored.get("_max_features")) != trees[0].n_features or not _joinable(trees):
        return None
    lengths = _Lengths(trees, stored["_decision_path_lengths"], stored["_average_path_length_per_tree"])
    denominator = len(trees) * _average_path_length([samples])
    if not denominator.all():
        return None

    def score(rows: Array) -> Array | None:
        with np.errstate(over="ignore"):
            single = rows.astype(np.float32)
        return -(2 ** (-np.divide(lengths(single), denominator))) if none_infinite(single) else None

    def decision(rows: Array) -> Array | None:
        found = score(rows)
        return None if found is None else found - offset

    def predict(rows: Array) -> Array | None:
        found = decision(rows)
        return None if found is None else np.where(found < 0, -1, 1)

    methods: dict[str, Method] = {"score_samples": score, "decision_function": decision, "predict": predict}
    return Form(trees[0].n_features, methods, missing=True, by_row=True)


class _Means:
    """The mean of the trees' values for rows of float32, in the faster of two ways; shape (rows, values)."""

    def __init__(self, trees: list[Tree]) -> None:
        """Join the trees where they aren't too large."""
        self._trees = trees
        self._size = int(trees[0].n_outputs * trees[0].max_n_classes)
        self._joined = JoinedTrees(trees, trees[0].n_features) if _joinable(trees) else None

    def __call__(self, rows: Array) -> Array:
        """Return the means."""
        joined = self._joined
        return self._by_tree(rows) if joined is None or len(rows) > joined.most_rows else self._at_once(joined, rows)

    def ways(self) -> list[_Total]:
        """Return each way by itself."""
        joined = self._joined
        return [self._by_tree] if joined is None else [self._by_tree, lambda rows: self._at_once(joined, rows)]

    def _at_once(self, joined: JoinedTrees, rows: Array) -> Array:
        sums = [sum_in_order(joined.values(piece)) for piece in joined.pieces(rows)]
        total = sums[0] if len(sums) == 1 else np.concatenate(sums)
        total /= len(self._trees)
        return total

    def _by_tree(self, rows: Array) -> Array:
        total = np.zeros((len(rows), self._size))
        for tree in self._trees:
            total += tree.predict(rows).reshape(total.shape)
        total /= len(self._trees)
        return total


class _Lengths:
    """The sum of the lengths of a row's paths through all trees of an isolation forest; shape (rows,)."""

    def __init__(self, trees: list[Tree], paths: Any, rests: Any) -> None:
        """Keep for each node what the estimator adds for it: its depth, and what a leaf of many samples stands for."""
        self._joined = JoinedTrees(trees, trees[0].n_features)
        counts = [tree.node_count for tree in trees]
        search = len(trees) - 1
        self._of_node = np.zeros(search + sum(counts))
        end = search
        for count, path, rest in zip(counts, paths, rests, strict=True):
            plain, other = numbers(path, 1), numbers(rest, 1)
            if plain is None or other is None or plain.shape != (count,) or other.shape != (count,):
                raise ValueError("A tree has another number of nodes than of path lengths.")
            self._of_node[end : end + count] = plain + other - 1.0
            end += count

    def __call__(self, rows: Array) -> Array:
        """Return the sums for rows of float32."""
        sums = [sum_in_order(self._of_node.take(self._joined.leaves(piece))) for piece in self._joined.pieces(rows)]
        return sums[0] if len(sums) == 1 else np.concatenate(sums)


def _trees_of(estimators: Any, width: int | None) -> list[Tree] | None:
    """Return the trees of exact tree estimators that all read `width` columns and have values of one shape, or None."""
    if type(estimators) is not list or not estimators or width is None:
        return None
    trees: list[Any] = [attributes(one).get("tree_") if type(one) in TREE_ESTIMATORS else None for one in estimators]
    if any(type(tree) is not Tree for tree in trees):
        return None
    shapes = {(tree.n_features, tree.n_outputs, tree.max_n_classes) for tree in trees}
    return trees if len(shapes) == 1 and trees[0].n_features == width else None


def _joinable(trees: list[Tree]) -> bool:
    node_bytes = _NODE_BYTES + _VALUE_BYTES * int(trees[0].n_outputs * trees[0].max_n_classes)
    return fit_together([tree.node_count for tree in trees], node_bytes)


def _classes(estimator: Any, tree: Tree) -> Array | None:
    """Return the classes of a classifier of one target, as many as its trees have values."""
    count = whole_number(attributes(estimator).get("n_classes_"))
    return None if count is None or tree.n_outputs != 1 or count != tree.max_n_classes else classes_of(estimator, count)


def _checked(estimator: Any) -> tuple[Callable[[Array], Array | None], bool]:
    """Return what makes float32 of rows, or None where a tree estimator might refuse them; and whether it takes NaN."""
    missing = bool(estimator._support_missing_values(np.zeros((1, 1))))  # noqa: SLF001 - what its own check asks
    fit = none_infinite if missing else all_finite

    def takes(rows: Array) -> Array | None:
        single = rows.astype(np.float32, order="C")
        return single if fit(single) else None

    return takes, missing


def _voting(mean: _Total, classes: Array, takes: Callable[[Array], Array | None]) -> Methods:
    def proba(rows: Array) -> Array | None:
        single = takes(rows)
        return None if single is None else mean(single)

    def predict(rows: Array) -> Array | None:
        found = proba(rows)
        return None if found is None else classes.take(found.argmax(axis=1))

    def log_proba(rows: Array) -> Array | None:
        found = proba(rows)
        return None if found is None else np.log(found)

    return {"predict": predict, "predict_proba": proba, "predict_log_proba": log_proba}
