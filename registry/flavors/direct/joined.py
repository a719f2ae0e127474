"""All trees of an ensemble as one table of nodes, so that one compiled call walks all of them.

Each row goes in once for each tree with the tree's number in one more column; a small search tree on that column stands in front
and leads to the root of that tree. Must never hand on a table that the object check's rules for a single tree wouldn't pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.ensemble._hist_gradient_boosting._predictor import _predict_from_raw_data
from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE
from sklearn.tree._tree import Tree

from registry.flavors.direct.form import Array
from registry.flavors.soundness.trees import check_tree

#: Largest table; what it takes comes on top of the trees themselves, which stay for calls with many rows.
MOST_TABLE_BYTES = 64 << 20
#: A batch of so many bytes of one tree's rows is walked faster tree by tree: copying rows costs more then than a call.
MOST_ROWS_BYTES = 20_000
#: More rows than these are walked faster tree by tree, however narrow they are: then each tree's nodes stay in the cache.
MOST_ROWS = 96
#: Rows are laid out for all trees in pieces of about this size, which fit into a processor's cache.
PIECE_BYTES = 1 << 20
_MOST_TREES = 1 << 16
_LEAF = -1


@dataclass(frozen=True, slots=True)
class _Fields:
    """What the fields of a node are called."""

    left: str
    right: str
    feature: str
    threshold: str


_TREE = _Fields("left_child", "right_child", "feature", "threshold")
_BOOSTING = _Fields("left", "right", "feature_idx", "num_threshold")


class Walk:
    """What both kinds of table share: how rows are laid out for all trees, and how many at once."""

    def __init__(self, trees: int, width: int, dtype: type[np.floating[Any]]) -> None:
        """Prepare for rows of `width` columns and `dtype`."""
        self._trees = trees
        self._width = width
        self._dtype = dtype
        self._numbers = np.arange(trees, dtype=dtype)[:, None]
        row_bytes = (width + 1) * np.dtype(dtype).itemsize
        #: The most rows for which walking all trees at once is the faster way.
        self.most_rows = min(MOST_ROWS, MOST_ROWS_BYTES // row_bytes)
        self._piece_rows = max(1, PIECE_BYTES // (trees * row_bytes))

    def pieces(self, rows: Array) -> list[Array]:
        """Return rows cut into pieces for `lay_out`."""
        step = self._piece_rows
        return [rows] if len(rows) <= step else [rows[start : start + step] for start in range(0, len(rows), step)]

    def lay_out(self, rows: Array) -> Array:
        """Return each row once for each tree, tree by tree, with the tree's number behind it; shape (trees x rows, width + 1)."""
        if rows.shape[1] != self._width:
            raise ValueError("The rows have another number of columns than the trees.")
        wide = np.empty((self._trees, len(rows), self._width + 1), self._dtype)
        wide[:, :, :-1] = rows
        wide[:, :, -1] = self._numbers
        return wide.reshape(-1, self._width + 1)


class JoinedTrees(Walk):
    """Trees of a forest; rows are float32."""

    def __init__(self, trees: Sequence[Tree], width: int) -> None:
        """Join trees that all read `width` columns and have values of one shape. Raises Refused for trees that don't fit."""
        super().__init__(len(trees), width, np.float32)
        states = [tree.__getstate__() for tree in trees]
        counts = [state["node_count"] for state in states]
        nodes, starts = _one_table([state["nodes"][:count] for state, count in zip(states, counts, strict=True)], width, _TREE)
        shape = states[0]["values"].shape[1:]
        values = np.zeros((len(nodes), *shape))
        for state, count, start in zip(states, counts, starts, strict=True):
            values[start : start + count] = state["values"][:count]
        self._table = Tree(width + 1, np.full(shape[0], shape[1], np.intp), shape[0])
        depth = max(state["max_depth"] for state in states) + len(trees).bit_length()
        self._table.__setstate__({"max_depth": depth, "node_count": len(nodes), "nodes": nodes, "values": values})
        check_tree(self._table)

    def leaves(self, rows: Array) -> Array:
        """Return the place in the table of the leaf that each row reaches in each tree; shape (trees, rows)."""
        found: Array = self._table.apply(self.lay_out(rows))
        return found.reshape(self._trees, len(rows))

    def values(self, rows: Array) -> Array:
        """Return the values of each tree for each row; shape (trees, rows, values)."""
        found: Array = self._table.predict(self.lay_out(rows))
        return found.reshape(self._trees, len(rows), -1)


class JoinedPredictors(Walk):
    """Trees of histogram gradient boosting without categories; rows are float64."""

    def __init__(self, tables: Sequence[Array], width: int) -> None:
        """Join tables of nodes that all read `width` columns and passed the object check."""
        super().__init__(len(tables), width, np.float64)
        self._nodes, _ = _one_table(tables, width, _BOOSTING)
        self._no_sets = np.zeros((0, 8), np.uint32)
        self._no_places = np.zeros(width + 1, np.uint32)

    def values(self, rows: Array, out: Array) -> None:
        """Write the value of each tree for each row to `out`: one dimension, contiguous, tree by tree."""
        wide = self.lay_out(rows)
        if out.shape != (len(wide),):
            raise ValueError("There must be room for a value of each tree for each row.")
        _predict_from_raw_data(self._nodes, wide, self._no_sets, self._no_sets, self._no_places, 1, out)


def fit_together(counts: Sequence[int], node_bytes: int) -> bool:
    """Tell whether trees of so many nodes, of `node_bytes` each, may be joined: not too many, not too large."""
    return 0 < len(counts) <= _MOST_TREES and (sum(counts) + len(counts)) * node_bytes <= MOST_TABLE_BYTES


def sum_in_order(parts: Array) -> Array:
    """Return `((0 + parts[0]) + parts[1]) + ...`: each sum rounded before the next is made, as a loop over trees does it."""
    flat = parts.reshape(len(parts), -1)
    if flat.shape[1] == 1:  # `reduce` would add a single column in pairs
        total = np.add.accumulate(flat, axis=0)[-1]
        total += 0.0  # a sum that starts from 0 is never -0
    else:
        total = np.add.reduce(flat, axis=0, initial=0.0)
    summed: Array = total.reshape(parts.shape[1:])
    return summed


def _one_table(tables: Sequence[Array], width: int, fields: _Fields) -> tuple[Array, list[int]]:
    """Return all nodes in one table behind the search tree, and where the root of each tree stands."""
    search = _search_nodes(len(tables))
    sizes = np.array([len(table) for table in tables])
    starts = len(search) + np.cumsum(sizes) - sizes
    nodes = np.zeros(len(search) + int(sizes.sum()), tables[0].dtype)
    for table, start in zip(tables, starts.tolist(), strict=True):
        nodes[start : start + len(table)] = table
    body, shift = nodes[len(search) :], np.repeat(starts, sizes)
    inner = body["is_leaf"] == 0 if fields is _BOOSTING else body[fields.left] != _LEAF
    for name in (fields.left, fields.right):
        body[name] += np.where(inner, shift, 0).astype(body.dtype[name])
    if search:
        front = nodes[: len(search)]
        left, right, threshold = (np.array(column) for column in zip(*search, strict=True))
        front[fields.left] = np.where(left < 0, starts[~left], left)
        front[fields.right] = np.where(right < 0, starts[~right], right)
        front[fields.feature] = width
        front[fields.threshold] = threshold
    return nodes, starts.tolist()


def _search_nodes(count: int) -> list[tuple[int, int, float]]:
    """Return the nodes of a balanced search tree over 0 to `count` - 1: left, right, threshold; `~i` stands for tree i."""
    nodes: list[tuple[int, int, float]] = []

    def build(low: int, high: int) -> int:
        if high - low == 1:
            return ~low
        place, middle = len(nodes), (low + high) // 2
        nodes.append((0, 0, middle - 0.5))
        nodes[place] = (build(low, middle), build(middle, high), middle - 0.5)
        return place

    build(0, count)
    return nodes


def is_node_table(table: Any) -> bool:
    """Tell whether a value is a table of nodes of histogram gradient boosting."""
    return type(table) is np.ndarray and table.dtype == PREDICTOR_RECORD_DTYPE and table.ndim == 1 and table.size > 0
