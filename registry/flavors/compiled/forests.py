"""Trees written as one ONNX file: the operator TreeEnsemble of `ai.onnx.ml` 5, with every number a double.

Written here since skl2onnx writes trees in single precision, and takes a second for what takes 30 ms. A row goes left where its
value is at most the threshold, as in scikit-learn; a missing one goes where the node says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from registry import frames

MOST_NODES = 2_000_000
#: What TreeEnsemble came with.
_OPSET, _IR_VERSION, _SUM = 5, 10, 1

_Array = frames.type_of_array


@dataclass(frozen=True, slots=True)
class Tree:
    """One tree: for each node its feature, threshold, children (-1 in a leaf), where a missing value goes, and what a leaf adds to `target`."""

    feature: _Array
    threshold: _Array
    left: _Array
    right: _Array
    missing_left: _Array
    value: _Array
    target: int = 0


@dataclass(slots=True)
class _Part:
    """One tree's share of the operator's attributes."""

    inner: dict[str, _Array]
    leaf_values: _Array
    target: int


def forest_file(trees: Sequence[Tree], targets: int, columns: int) -> bytes:
    """Return an ONNX file that adds up what the trees say: double `X` (rows, columns) to double `Y` (rows, targets)."""
    from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415  # optional extra

    node = helper.make_node("TreeEnsemble", ["X"], ["Y"], domain="ai.onnx.ml", n_targets=targets, aggregate_function=_SUM, post_transform=0)
    for name, values in _attributes(trees).items():
        if name in {"nodes_splits", "nodes_modes", "leaf_weights"}:
            node.attribute.append(helper.make_attribute(name, numpy_helper.from_array(values)))
        else:  # the library's own function would look at each of a million numbers
            attribute = node.attribute.add(name=name, type=7)
            attribute.ints.extend(values.tolist())
    shapes = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, [None, count]) for name, count in (("X", columns), ("Y", targets))]
    graph = helper.make_graph([node], "forest", shapes[:1], shapes[1:])
    opsets = [helper.make_opsetid("ai.onnx.ml", _OPSET)]
    written: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION).SerializeToString()
    return written


def _attributes(trees: Sequence[Tree]) -> dict[str, _Array]:
    """Return the operator's attributes: inner nodes and leaves are numbered apart, tree after tree."""
    parts, roots, nodes, leaves = [], [], 0, 0
    for tree in trees:
        part = _part(tree, nodes, leaves)
        roots.append(nodes)
        nodes += len(part.inner["nodes_splits"])
        leaves += len(part.leaf_values)
        parts.append(part)
    gathered = {name: np.concatenate([part.inner[name] for part in parts]) for name in parts[0].inner}
    return {
        "tree_roots": np.array(roots),
        **gathered,
        "nodes_modes": np.zeros(nodes, np.uint8),
        "leaf_targetids": np.concatenate([np.full(len(part.leaf_values), part.target) for part in parts]),
        "leaf_weights": np.concatenate([part.leaf_values for part in parts]),
    }


def _part(tree: Tree, first_node: int, first_leaf: int) -> _Part:
    is_leaf = tree.left < 0
    if is_leaf[0]:  # a tree that asks nothing: the operator wants a node, whose both sides are its leaf
        return _Part(_asks_nothing(first_leaf), np.asarray(tree.value[:1], np.float64), tree.target)
    numbers = np.where(is_leaf, first_leaf + np.cumsum(is_leaf) - 1, first_node + np.cumsum(~is_leaf) - 1)
    left, right = tree.left[~is_leaf], tree.right[~is_leaf]
    inner = {
        "nodes_featureids": tree.feature[~is_leaf],
        "nodes_splits": np.asarray(tree.threshold[~is_leaf], np.float64),
        "nodes_truenodeids": numbers[left],
        "nodes_trueleafs": is_leaf[left].astype(np.int64),
        "nodes_falsenodeids": numbers[right],
        "nodes_falseleafs": is_leaf[right].astype(np.int64),
        "nodes_missing_value_tracks_true": tree.missing_left[~is_leaf].astype(np.int64),
    }
    return _Part(inner, np.asarray(tree.value[is_leaf], np.float64), tree.target)


def _asks_nothing(leaf: int) -> dict[str, Any]:
    values: dict[str, Any] = dict.fromkeys(("nodes_trueleafs", "nodes_falseleafs"), np.ones(1, np.int64))
    values |= dict.fromkeys(("nodes_truenodeids", "nodes_falsenodeids"), np.array([leaf]))
    values |= dict.fromkeys(("nodes_featureids", "nodes_missing_value_tracks_true"), np.zeros(1, np.int64))
    return {**values, "nodes_splits": np.zeros(1)}
