"""Rows on which another way to compute a model's answers is held against the model itself, before it is used.

The same rows for the same model, always. Must never call the model: it only reads what it was made of.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import islice
from typing import Any

import numpy as np
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.tree._tree import Tree

from registry import frames
from registry.flavors.soundness.reading import attributes

_SEED = 20_261
#: How many rows of each kind are far from those that were shown: what overflows or saturates shows there.
_FAR_ROWS = 2
_FAR = 1_000.0
#: Of how many trees the thresholds are looked at.
_MOST_TREES = 400
_MOST_MEMBERS = 100_000
_STEPS = 5

_Array = frames.type_of_array


def trial_rows(estimator: Any, golden: frames.Inputs, count: int = 32, missing: Collection[int] = ()) -> list[frames.Inputs]:
    """Return the golden rows, `count` rows drawn around them, and `count` rows on and next to the thresholds of an estimator's trees.

    Each is of the kind and the dtypes of `golden`. Columns in `missing` (by index) have NaN, or None in a text, in some of the rows.
    """
    match golden:
        case frames.Matrix(array) if array.size and array.ndim == 2:  # noqa: PLR2004 - rows and columns
            random = np.random.default_rng(_SEED)
            drawn = _drawn(array, count, random)
            kinds = [_with_missing(drawn, missing, random)]
            if array.dtype.kind == "f" and (on := _on_thresholds(estimator, drawn, random)) is not None:
                kinds.append(_with_missing(on, missing, random))
            return [golden, *(frames.Matrix(rows) for rows in kinds)]
        case frames.Table(names, columns) if golden.rows:
            random = np.random.default_rng(_SEED)
            return [golden, frames.Table(names, tuple(_column(one, i in missing, count, random) for i, one in enumerate(columns)))]
    return [golden]


def _drawn(array: _Array, count: int, random: np.random.Generator) -> _Array:
    """Return rows over the ranges that `array` shows, half as wide again on each side, and a few far outside; shape (count, columns)."""
    if array.dtype.kind == "b":
        return random.integers(0, 2, (count, array.shape[1])).astype(bool)
    shown = np.where(np.isfinite(array), array, 0).astype(np.float64)
    low, high = shown.min(axis=0), shown.max(axis=0)
    width = np.where(high > low, high - low, np.maximum(np.abs(high), 1.0))
    rows = low - width / 2 + random.random((count, array.shape[1])) * (high - low + width)
    rows[-_FAR_ROWS:] *= _FAR
    return _as_type(rows, array.dtype)


def _as_type(rows: _Array, dtype: np.dtype[Any]) -> _Array:
    if dtype.kind == "f":
        return rows.astype(dtype)
    limits = np.iinfo(dtype)
    return np.clip(np.rint(rows), max(limits.min, -(2**62)), min(limits.max, 2**62)).astype(dtype)


def _with_missing(rows: _Array, missing: Collection[int], random: np.random.Generator) -> _Array:
    if not missing or rows.dtype.kind != "f":
        return rows
    columns = np.fromiter(missing, np.intp)
    rows[:, columns] = np.where(random.random((len(rows), len(columns))) < 1 / 4, np.nan, rows[:, columns])
    return rows


def _on_thresholds(estimator: Any, drawn: _Array, random: np.random.Generator) -> _Array | None:
    """Return the rows with each value of a column that trees ask about set to one of its thresholds, or to a neighbour of one."""
    found = [pair for pair in _splits(estimator) if len(pair[0])]
    if not found:
        return None
    chosen = found if len(found) <= _MOST_TREES else [found[int(i)] for i in random.choice(len(found), _MOST_TREES, replace=False)]
    features, thresholds = np.concatenate([pair[0] for pair in chosen]), np.concatenate([pair[1] for pair in chosen])
    fit = (features >= 0) & (features < drawn.shape[1]) & np.isfinite(thresholds)
    order = np.argsort(features[fit], kind="stable")
    features, thresholds = features[fit][order], thresholds[fit][order]
    rows = drawn.copy()
    starts = np.searchsorted(features, np.arange(drawn.shape[1] + 1))
    counts = np.diff(starts)
    asked = np.flatnonzero(counts)
    if not len(asked):
        return None
    places = starts[asked] + (random.random((len(rows), len(asked))) * counts[asked]).astype(np.intp)
    rows[:, asked] = _next_to(thresholds[places], random).astype(rows.dtype)
    return rows


def _next_to(values: _Array, random: np.random.Generator) -> _Array:
    """Return each value itself, or the next one below or above it as a float32 or a float64, at random."""
    step = random.integers(0, _STEPS, values.shape)
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    below, above = np.float32(-np.inf), np.float32(np.inf)
    choices = (
        values,
        np.nextafter(values, -np.inf),
        np.nextafter(values, np.inf),
        np.nextafter(single, below),
        np.nextafter(single, above),
    )
    picked = np.choose(step, choices)
    return np.where(np.isfinite(picked), picked, values)


def _column(values: Any, missing: bool, count: int, random: np.random.Generator) -> Any:  # noqa: FBT001 - one call
    if isinstance(values, list):
        return [None if missing and random.random() < 1 / 4 else values[int(i)] for i in random.integers(0, len(values), count)]
    rows = _drawn(np.asarray(values)[:, None], count, random)
    if values.dtype.kind == "f":  # half of the values as they were shown: a column of codes knows no others
        rows = np.where(random.random((count, 1)) < 1 / 2, random.choice(values, (count, 1)), rows)
    return _with_missing(rows, (0,) if missing else (), random)[:, 0]


def _splits(estimator: Any) -> Iterator[tuple[_Array, _Array]]:
    """Yield feature and threshold of the inner nodes of each tree that sees the estimator's input as it came."""
    for tree in islice(_trees(estimator), _MOST_MEMBERS):
        if type(tree) is Tree:
            nodes = tree.__getstate__()["nodes"][: tree.node_count]
            inner = nodes["left_child"] >= 0
            yield nodes["feature"][inner], nodes["threshold"][inner]
        elif type(tree) is TreePredictor:
            nodes = attributes(tree)["nodes"]
            inner = nodes["is_leaf"] == 0
            yield nodes["feature_idx"][inner], nodes["num_threshold"][inner]


def _trees(estimator: Any) -> Iterator[Any]:
    """Yield what may be the trees of an estimator, or of the best one that a search found; no deeper, as lists may hold each other."""
    stored = attributes(estimator)
    stored = attributes(stored["best_estimator_"]) if "best_estimator_" in stored else stored
    yield stored.get("tree_")
    for member in _flat(stored.get("estimators_")):
        yield attributes(member).get("tree_")
    yield from _flat(stored.get("_predictors"))


def _flat(many: Any) -> Iterator[Any]:
    """Yield the members of a list, of the lists in it, or of an array."""
    for one in many.ravel().tolist() if type(many) is np.ndarray else many if type(many) is list else ():
        yield from one if type(one) is list else (one,)
