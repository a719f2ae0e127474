"""What scikit-learn's tree ensembles are made of: their trees, what those add up to, and how that becomes each method's answer.

Reads fitted attributes and calls nothing that walks a tree. What an ensemble does with the sums is taken from scikit-learn itself
where it has a function for it, so that a compiled form differs in the walking of the trees alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor

from registry import frames
from registry.flavors.compiled.forests import MOST_NODES, Tree
from registry.flavors.compiled.refusing import CantCompile

_Array = frames.type_of_array
#: Up to so many rows all leaves are looked up at once; more would take much memory.
_FEW_ROWS = 64
#: From the sums of each target, shape (rows, targets), to what a method answers.
Finish = Callable[[_Array], Any]


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Trees, how many targets they add to, how many columns they see, whether those are read as singles, and each method's last step."""

    trees: list[Tree]
    targets: int
    columns: int
    single: bool
    methods: dict[str, Finish]


def find_ensemble(estimator: Any) -> Ensemble | None:
    """Return what an estimator is made of, or None where it is no ensemble of trees. Raises CantCompile."""
    take_apart = _KINDS.get(type(estimator))
    return None if take_apart is None else take_apart(estimator)


# -- forests and single trees ----------------------------------------------------------------------------------------


def _forest_classifier(estimator: Any) -> Ensemble:
    if estimator.n_outputs_ != 1:
        raise CantCompile("a classifier of several outputs has no compiled form")
    classes, members = estimator.classes_, _members(estimator)
    if len(classes) == 2:  # noqa: PLR2004 - of two classes the second says it all
        trees, targets, proba = _adding(members, shown=1), 1, _proba_of_two(len(members))
    else:
        trees, targets, total = _finding_leaves(members, lambda tree: tree.value[:, 0, :])
        proba = _mean(total, len(members))
    methods: dict[str, Finish] = {
        "predict": lambda sums: classes.take(np.argmax(proba(sums), axis=1)),
        "predict_proba": proba,
        "predict_log_proba": lambda sums: _log(proba(sums)),
    }
    return Ensemble(trees, targets, estimator.n_features_in_, single=True, methods=methods)


def _proba_of_two(count: int) -> Finish:
    def proba(sums: _Array) -> _Array:
        both = np.empty((len(sums), 2))
        np.divide(sums[:, 0], count, out=both[:, 1])
        np.subtract(1.0, both[:, 1], out=both[:, 0])
        return both

    return proba


def _forest_regressor(estimator: Any) -> Ensemble:
    members = _members(estimator)
    if estimator.n_outputs_ == 1:
        trees, targets, predict = _adding(members, shown=0), 1, _mean(lambda sums: sums[:, 0], len(members))
    else:
        trees, targets, total = _finding_leaves(members, lambda tree: tree.value[:, :, 0])
        predict = _mean(total, len(members))
    return Ensemble(trees, targets, estimator.n_features_in_, single=True, methods={"predict": predict})


def _mean(total: Finish, count: int) -> Finish:
    return lambda sums: total(sums) / count


def _members(estimator: Any) -> list[Any]:
    members = getattr(estimator, "estimators_", None)
    return [estimator] if members is None else list(members)


def _adding(members: list[Any], *, shown: int) -> list[Tree]:
    """Return trees that add what their leaves hold of one class or output."""
    _require_few(sum(member.tree_.node_count for member in members))
    return [_tree(member.tree_, member.tree_.value[:, 0, shown], 0) for member in members]


def _finding_leaves(members: list[Any], values: Callable[[Any], _Array]) -> tuple[list[Tree], int, Finish]:
    """Return trees that say the number of the leaf that each found, and what adds up what those leaves hold, in the order of the trees.

    A leaf of the operator adds to one target alone, so that a forest of many classes would have to be walked once for each.
    """
    _require_few(sum(member.tree_.node_count for member in members))
    trees, held, count = [], [], 0
    for target, member in enumerate(members):
        is_leaf = member.tree_.children_left < 0
        trees.append(_tree(member.tree_, count + np.cumsum(is_leaf) - 1, target))
        held.append(values(member.tree_)[is_leaf])
        count += len(held[-1])
    table = np.concatenate(held)

    def total(found: _Array) -> _Array:
        leaves = found.T.astype(np.intp)
        if len(found) <= _FEW_ROWS:
            return np.asarray(table.take(leaves, axis=0).sum(axis=0))
        sums = np.zeros((len(found), table.shape[1]))
        for tree in leaves:
            sums += table.take(tree, axis=0)
        return sums

    return trees, len(members), total


def _tree(tree: Any, value: _Array, target: int) -> Tree:
    return Tree(tree.feature, tree.threshold, tree.children_left, tree.children_right, tree.missing_go_to_left, value, target)


def _require_few(nodes: int) -> None:
    if nodes > MOST_NODES:
        raise CantCompile(f"its trees have {nodes:,} nodes; at most {MOST_NODES:,} are compiled")


def _log(proba: _Array) -> _Array:
    with np.errstate(divide="ignore"):
        return np.log(proba)


# -- gradient boosting -----------------------------------------------------------------------------------------------


def _boosting(estimator: Any) -> Ensemble:
    constant = (DummyClassifier, DummyRegressor)
    if not (
        isinstance(estimator.init_, str)
        or (type(estimator.init_) in constant and estimator.init_.strategy not in ("stratified", "uniform"))
    ):
        raise CantCompile(f"it starts from an estimator of its own ({type(estimator.init_).__name__[:64]}), which has no compiled form")
    start = estimator._raw_predict_init(np.zeros((1, estimator.n_features_in_), np.float32))[0]  # noqa: SLF001 - scikit-learn's own start
    stages, rate = estimator.estimators_, estimator.learning_rate
    _require_few(sum(member.tree_.node_count for member in stages.ravel()))
    trees = [_tree(one.tree_, rate * one.tree_.value[:, 0, 0], target) for stage in stages for target, one in enumerate(stage)]
    if isinstance(estimator, GradientBoostingRegressor):
        methods: dict[str, Finish] = {"predict": lambda sums: (start + sums)[:, 0]}
    else:
        methods = _boosted_classes(estimator, start, at_zero=True)
        methods["predict_log_proba"] = lambda sums: _log(methods["predict_proba"](sums))
    return Ensemble(trees, len(start), estimator.n_features_in_, single=True, methods=methods)


def _histogram_boosting(estimator: Any) -> Ensemble:
    if getattr(estimator, "_preprocessor", None) is not None or getattr(estimator, "is_categorical_", None) is not None:
        raise CantCompile("its trees ask about categories, which have no compiled form")
    start = estimator._baseline_prediction.ravel()  # noqa: SLF001 - scikit-learn's own start
    predictors = estimator._predictors  # noqa: SLF001 - there is no public way to its trees
    _require_few(sum(len(one.nodes) for stage in predictors for one in stage))
    trees = [_histogram_tree(one.nodes, target) for stage in predictors for target, one in enumerate(stage)]
    if isinstance(estimator, HistGradientBoostingRegressor):
        inverse = estimator._loss.link.inverse  # noqa: SLF001 - as it does
        methods: dict[str, Finish] = {"predict": lambda sums: inverse((start + sums).ravel())}
    else:
        methods = _boosted_classes(estimator, start, at_zero=False)
    return Ensemble(trees, len(start), estimator.n_features_in_, single=False, methods=methods)


def _histogram_tree(nodes: _Array, target: int) -> Tree:
    is_leaf = nodes["is_leaf"].astype(bool)
    left, right = (np.where(is_leaf, -1, nodes[side].astype(np.int64)) for side in ("left", "right"))
    return Tree(
        nodes["feature_idx"].astype(np.int64), nodes["num_threshold"], left, right, nodes["missing_go_to_left"], nodes["value"], target
    )


def _boosted_classes(estimator: Any, start: _Array, *, at_zero: bool) -> dict[str, Finish]:
    """Return a classifier's methods; `at_zero` tells whether a score of exactly 0 means the second class."""
    classes, loss = estimator.classes_, estimator._loss  # noqa: SLF001 - as it does

    def chosen(sums: _Array) -> _Array:
        scores = start + sums
        if scores.shape[1] > 1:
            return np.asarray(np.argmax(scores, axis=1))
        return np.asarray(scores[:, 0] >= 0 if at_zero else scores[:, 0] > 0, np.intp)

    return {
        "predict": lambda sums: classes.take(chosen(sums)),
        "predict_proba": lambda sums: loss.predict_proba(start + sums),
        "decision_function": lambda sums: start + sums if sums.shape[1] > 1 else start + sums[:, 0],
    }


_KINDS: dict[type, Callable[[Any], Ensemble]] = {
    **dict.fromkeys((RandomForestClassifier, ExtraTreesClassifier, DecisionTreeClassifier, ExtraTreeClassifier), _forest_classifier),
    **dict.fromkeys((RandomForestRegressor, ExtraTreesRegressor, DecisionTreeRegressor, ExtraTreeRegressor), _forest_regressor),
    **dict.fromkeys((GradientBoostingClassifier, GradientBoostingRegressor), _boosting),
    **dict.fromkeys((HistGradientBoostingClassifier, HistGradientBoostingRegressor), _histogram_boosting),
}
