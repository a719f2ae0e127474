"""What an estimator's method returned, turned into Outputs: plain numbers and scalars, one row for each row.

Never lets an object of the model through: what isn't a number, a text or null is a failed prediction.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse

from registry import frames
from registry.errors import PredictionFailed

MAX_DENSE_BYTES = 256 * 2**20

_LARGEST_ITEM_BYTES = 8
#: What travels as it is.
_PLAIN = frozenset(map(np.dtype, ("<f8", "<f4", "<i8", "<i4", "|u1", "|i1", "|b1")))
_INT_RANGE = range(-(2**63), 2**64)


def outputs_of(answer: Any, rows: int) -> frames.Outputs:
    """Return a method's answer as Outputs. Raises PredictionFailed for a wrong number of rows, objects, or too large a sparse matrix."""
    if type(answer) is np.ndarray and answer.dtype in _PLAIN and answer.flags.c_contiguous and answer.ndim and len(answer) == rows:
        return frames.Outputs((answer,))  # nearly every answer: nothing to convert
    if isinstance(answer, (list, tuple)) and answer and all(isinstance(part, np.ndarray) and part.ndim for part in answer):
        return frames.Outputs(tuple(_part(part, rows) for part in answer), multi=True)
    return frames.Outputs((_part(answer, rows),))


def _part(answer: Any, rows: int) -> frames.OutputPart:
    array = _dense(answer)
    if array.ndim == 0 or len(array) != rows:
        raise PredictionFailed(log_detail=f"the model answered the shape {array.shape} to {rows} rows")
    if array.dtype.kind not in frames.NUMERIC_KINDS:
        return [_plain(value) for value in array.tolist()]
    if array.dtype.itemsize > _LARGEST_ITEM_BYTES:
        array = array.astype(np.float64)
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<"))


def _dense(answer: Any) -> frames.type_of_array:
    if scipy.sparse.issparse(answer):
        size = int(np.prod(answer.shape, dtype=object)) * answer.dtype.itemsize
        if size > MAX_DENSE_BYTES:
            raise PredictionFailed(log_detail=f"the sparse answer of shape {answer.shape} would take {size} bytes")
        return np.asarray(answer.toarray())
    return np.asarray(answer.to_numpy() if hasattr(answer, "to_numpy") else answer)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or type(value) in (str, float, bool):
        return value
    if type(value) is int and value in _INT_RANGE:
        return value
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(one) for one in value]
    raise PredictionFailed(log_detail=f"the model answered an object of {type(value).__name__}")
