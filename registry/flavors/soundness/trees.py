"""Decision trees, and the ensembles that hand rows to their trees without looking at them again.

The native code follows children and reads features by index without any bound. Must cost less than loading: a forest has
hundreds of trees, so each is judged with a dozen array operations.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor
from sklearn.tree._tree import Tree

from registry.flavors.refusals import Refused
from registry.flavors.soundness.reading import FIT_AGAIN, attributes, refusal, whole_number, whole_numbers, within

RULE = "broken-tree"
_LEAF = -1
TREE_ESTIMATORS = (DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor)
_TREE_ESTIMATORS = frozenset(TREE_ESTIMATORS)


def check_tree(tree: Tree) -> None:
    """Require that every walk from the root stays inside the tree and ends in a leaf.

    Every builder of scikit-learn numbers a child after its parent, also after pruning; so a greater number proves that
    there is no circle. Raises Refused.
    """
    count, width = tree.node_count, tree.n_features
    if not 0 < count <= tree.capacity or min(width, tree.n_outputs, tree.max_n_classes) < 1:
        raise _broken(tree, "has no nodes, no features or no outputs")
    nodes = tree.__getstate__()["nodes"]
    left = nodes["left_child"]
    following = np.arange(1, count + 1)
    # As unsigned numbers, one comparison holds both ends: a negative number is a huge one.
    room = (count - following).view(np.uint64)
    sound = (left - following).view(np.uint64) < room
    sound &= (nodes["right_child"] - following).view(np.uint64) < room
    sound &= nodes["feature"].view(np.uint64) < np.uint64(width)
    sound |= left == _LEAF
    if not sound.all():
        raise _broken(tree, "has a node whose child or feature doesn't exist, or whose child comes before it")


def check_estimator(estimator: Any) -> None:
    """Require that a tree estimator measures its input by the width of its own tree. Raises Refused."""
    stored = attributes(estimator)
    if "tree_" in stored and _width_of(estimator) != whole_number(stored.get("n_features_in_")):
        raise _broken(estimator, "was fitted on another number of columns than its tree")


def check_forest(forest: Any) -> None:
    """Require that all trees of a forest take rows as wide as the forest does. Raises Refused."""
    stored = attributes(forest)
    if "estimators_" in stored:
        width = whole_number(stored.get("n_features_in_"))
        _require_width(forest, stored["estimators_"], width)


def check_isolation_forest(forest: Any) -> None:
    """Require that each tree takes rows as wide as the columns chosen for it. Raises Refused."""
    stored = attributes(forest)
    if "estimators_" not in stored:
        return
    width, taken = whole_number(stored.get("n_features_in_")), whole_number(stored.get("_max_features"))
    if width is None or taken is None:
        raise _broken(forest, "doesn't say how many columns it takes")
    if taken == width:
        _require_width(forest, stored["estimators_"], width)
        return
    trees, chosen = stored["estimators_"], stored.get("estimators_features_")
    if type(trees) is not list or type(chosen) is not list or len(trees) != len(chosen):
        raise _broken(forest, "has another number of trees than of column choices")
    for tree, columns in zip(trees, chosen, strict=True):
        plain = whole_numbers(columns)
        if plain is None or not within(plain, width) or _width_of(tree) != len(plain):
            raise _broken(forest, "has a tree that takes other columns than were chosen for it")


def check_boosting(boosting: Any) -> None:
    """Require that gradient boosting has one tree for each output and round, all as wide as its input. Raises Refused."""
    stored = attributes(boosting)
    if "estimators_" not in stored:
        return
    trees = stored["estimators_"]
    if type(trees) is not np.ndarray or trees.dtype != object or trees.ndim != 2 or trees.size == 0:  # noqa: PLR2004 - a table
        raise _broken(boosting, "doesn't keep its trees in a table of rounds and outputs")
    outputs = stored.get("n_trees_per_iteration_", trees.shape[1])
    if whole_number(outputs) != trees.shape[1]:
        raise _broken(boosting, "has another number of trees for each round than of outputs")
    _require_width(boosting, trees.ravel().tolist(), whole_number(stored.get("n_features_in_")))


def _require_width(owner: Any, trees: Any, width: int | None) -> None:
    if type(trees) is not list or width is None or any(_width_of(tree) != width for tree in trees):
        raise _broken(owner, "has a member that isn't a tree, or whose tree takes another number of columns")


def _width_of(estimator: Any) -> int:
    """Return how many columns the tree of an estimator reads, or -1 where it has none."""
    if type(estimator) not in _TREE_ESTIMATORS:
        return -1
    tree: Any = attributes(estimator).get("tree_")
    return int(tree.n_features) if type(tree) is Tree else -1


def _broken(subject: Any, found: str) -> Refused:
    return refusal(RULE, subject, f"A {{name}} {found}. {FIT_AGAIN}")
