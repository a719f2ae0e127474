"""Equality of what estimators answer, down to the last bit: type, dtype, shape and bytes; a NaN equals a NaN.

Closer than any tolerance, so that a loader which rounds, reorders or swaps an array is found. It must never raise for
values that it doesn't know: those are compared by `==`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

LEARNED_KINDS = (np.ndarray, np.generic, int, float, str)


def same(left: Any, right: Any) -> bool:
    """Tell whether two answers are equal in type and in every bit."""
    if type(left) is not type(right):
        return False
    if isinstance(left, np.ndarray):
        return _same_arrays(left, right)
    if sparse.issparse(left):
        return left.format == right.format and left.dtype == right.dtype and _same_arrays(left.toarray(), right.toarray())
    if isinstance(left, pd.DataFrame | pd.Series):
        return bool(left.equals(right)) and same(list(left.axes), list(right.axes))
    if isinstance(left, pd.Index):
        return bool(left.equals(right))
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    return bool(left == right or (left != left and right != right))  # noqa: PLR0124 - a NaN differs from itself


def learned(estimator: Any) -> dict[str, Any]:
    """Return the plain values and arrays that fitting left on an estimator, by attribute."""
    return {
        name: value
        for name, value in sorted(vars(estimator).items())
        if name.endswith("_") and isinstance(value, LEARNED_KINDS) and not getattr(value, "dtype", np.dtype(int)).hasobject
    }


def _same_arrays(left: np.ndarray[Any, Any], right: np.ndarray[Any, Any]) -> bool:
    if left.dtype != right.dtype or left.shape != right.shape:
        return False
    if left.dtype.hasobject:
        return same(left.tolist(), right.tolist())
    if left.tobytes() == right.tobytes():
        return True
    if left.dtype.kind not in "fc":
        return False
    missing = np.isnan(left)
    return bool((missing == np.isnan(right)).all() and left[~missing].tobytes() == right[~missing].tobytes())
