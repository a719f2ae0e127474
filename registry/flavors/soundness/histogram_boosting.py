"""Histogram gradient boosting: its node tables, its sets of categories and its bin mapper.

The native code follows children, features and rows of the category sets by index without any bound.
Must never leave it to the width that the data happen to have; `boundary.py` compares that at each call.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.ensemble._hist_gradient_boosting.binning import _BinMapper
from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor

from registry.flavors.refusals import Refused
from registry.flavors.soundness.reading import FIT_AGAIN, attributes, refusal, whole_number, whole_numbers, within

RULE = "broken-tree"
_WORDS = 8
_Array = np.ndarray[Any, np.dtype[Any]]


def check_boosting(boosting: Any) -> None:
    """Require that every walk through a tree ends in a leaf, and reads columns and categories that there are. Raises Refused.

    All trees are judged together: there may be thousands, of a few nodes each.
    """
    stored = attributes(boosting)
    if "_predictors" not in stored:
        return
    if stored.get("_in_fit", False) is not False:
        raise _broken(boosting, "says that it is still being fitted")
    width, mapper = whole_number(stored.get("n_features_in_")), stored.get("_bin_mapper")
    categorical = whole_numbers(attributes(mapper).get("is_categorical_"))
    if type(mapper) is not _BinMapper or categorical is None or categorical.size != width:
        raise _broken(boosting, "has a bin mapper for another number of columns")
    rounds = stored["_predictors"]
    if type(rounds) is not list or any(type(trees) is not list for trees in rounds):
        raise _broken(boosting, "doesn't keep its trees in lists of rounds")
    trees = [tree for trees in rounds for tree in trees]
    if trees:
        _check_nodes(boosting, trees, categorical)


def _check_nodes(boosting: Any, trees: list[Any], categorical: _Array) -> None:
    tables = [_nodes_of(boosting, tree) for tree in trees]
    sizes = np.array([len(table) for table in tables])
    # Not `concatenate`: it works out the common type of two tables anew for each, which takes longer than all the rest.
    all_nodes = np.empty(sizes.sum(), PREDICTOR_RECORD_DTYPE)
    for table, end in zip(tables, np.cumsum(sizes).tolist(), strict=True):
        all_nodes[end - len(table) : end] = table
    chosen = all_nodes["is_leaf"] == 0
    nodes, size = all_nodes[chosen], np.repeat(sizes, sizes)[chosen]
    following = (np.arange(1, len(all_nodes) + 1) - np.repeat(np.cumsum(sizes) - sizes, sizes))[chosen]
    for child in (nodes["left"], nodes["right"]):
        if ((child < following) | (child >= size)).any():
            raise _broken(boosting, "has a node whose child doesn't exist, or comes before it")
    if not within(nodes["feature_idx"], categorical.size):
        raise _broken(boosting, "has a node that reads a column which doesn't exist")
    compares = nodes["is_categorical"] != 0
    if not categorical[nodes["feature_idx"][compares]].all():
        raise _broken(boosting, "has a node that compares categories in a column without any")
    for name in ("raw_left_cat_bitsets", "binned_left_cat_bitsets"):
        sets = np.repeat([_count_sets(boosting, tree, name) for tree in trees], sizes)[chosen]
        if (nodes["bitset_idx"][compares] >= sets[compares]).any():
            raise _broken(boosting, "has a node whose set of categories doesn't exist")


def _nodes_of(boosting: Any, tree: Any) -> _Array:
    nodes = attributes(tree).get("nodes")
    if type(tree) is not TreePredictor or type(nodes) is not np.ndarray or nodes.dtype != PREDICTOR_RECORD_DTYPE:
        raise _broken(boosting, "has a member that isn't a tree")
    if nodes.ndim != 1 or nodes.size == 0:
        raise _broken(boosting, "has a tree without nodes")
    return nodes


def _count_sets(boosting: Any, tree: Any, name: str) -> int:
    sets = whole_numbers(attributes(tree).get(name), 2)
    if sets is None or sets.shape[1] != _WORDS:
        raise _broken(boosting, "has a tree without sets of categories")
    return len(sets)


def _broken(subject: Any, found: str) -> Refused:
    return refusal(RULE, subject, f"A {{name}} {found}. {FIT_AGAIN}")
