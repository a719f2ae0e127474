"""Sparse matrices of scipy, whose native code takes every index on trust.

Looks at the stored attributes by hand; scipy's own check is a method, which would run before they are known to be arrays.
Must never take a form's word for being sorted: those notes are thrown away, and scipy looks again.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from registry.flavors.refusals import Refused
from registry.flavors.soundness.reading import FIT_AGAIN, attributes, refusal, whole_number, whole_numbers, within

RULE = "broken-sparse-matrix"
_NUMBERS = "biufc"
_INDEX_TYPES = (np.dtype(np.int32), np.dtype(np.int64))
_NOTES = ("_has_sorted_indices", "_has_canonical_format")
_Array = np.ndarray[Any, np.dtype[Any]]


def check_rows(matrix: Any) -> None:
    """Require that a matrix compressed by rows points at nothing outside itself. Raises Refused."""
    shape = _shape(matrix)
    _check_compressed(matrix, *((1, shape[0]) if len(shape) == 1 else shape))


def check_columns(matrix: Any) -> None:
    """Require that a matrix compressed by columns points at nothing outside itself. Raises Refused."""
    shape = _shape(matrix, 2)
    _check_compressed(matrix, shape[1], shape[0])


def check_blocks(matrix: Any) -> None:
    """Require that a matrix of blocks points at nothing outside itself. Raises Refused."""
    shape, data = _shape(matrix, 2), _data(matrix, 3)
    height, width = data.shape[1:]
    if min(height, width) < 1 or shape[0] % height or shape[1] % width:
        raise _broken(matrix, "has blocks that don't fill it")
    _check_compressed(matrix, shape[0] // height, shape[1] // width, dimensions=3)


def check_coordinates(matrix: Any) -> None:
    """Require that a matrix of coordinates points at nothing outside itself. Raises Refused."""
    shape, data, stored = _shape(matrix), _data(matrix, 1), attributes(matrix)
    # Before scipy 1.13 the coordinates were two attributes.
    coordinates = stored.get("coords", (stored.get("row"), stored.get("col")))
    if type(coordinates) is not tuple or len(coordinates) != len(shape):
        raise _broken(matrix, "has another number of coordinates than of dimensions")
    for indices, end in zip(coordinates, shape, strict=True):
        plain = whole_numbers(indices)
        if plain is None or plain.dtype not in _INDEX_TYPES or len(plain) != len(data) or not within(plain, end):
            raise _broken(matrix, "has a coordinate outside itself")
    stored["has_canonical_format"] = False


def check_diagonals(matrix: Any) -> None:
    """Require that a matrix of diagonals has each once, and data for each. Raises Refused."""
    (rows, columns), data, offsets = _shape(matrix, 2), _data(matrix, 2), whole_numbers(attributes(matrix).get("offsets"))
    if offsets is None or len(offsets) != len(data) or len(np.unique(offsets)) != len(offsets):
        raise _broken(matrix, "has diagonals that don't fit its data")
    if offsets.size and not (-rows <= int(offsets.min()) and int(offsets.max()) <= columns):
        raise _broken(matrix, "has a diagonal outside itself")


def refuse_slow_form(matrix: Any) -> None:
    """Refuse the two forms that are made for building a matrix, not for keeping one. Raises Refused."""
    raise refusal(
        "unsupported-sparse-matrix",
        matrix,
        "The model keeps a {name}, a form made for building a matrix step by step. Convert it with .tocsr() before fitting.",
    )


def _check_compressed(matrix: Any, lines: int, end: int, *, dimensions: int = 1) -> None:
    stored, data = attributes(matrix), _data(matrix, dimensions)
    starts, indices = whole_numbers(stored.get("indptr")), whole_numbers(stored.get("indices"))
    if starts is None or indices is None or starts.dtype != indices.dtype or starts.dtype not in _INDEX_TYPES:
        raise _broken(matrix, "has indices that aren't integers")
    if len(starts) != lines + 1 or len(indices) != len(data) or starts[0] != 0 or starts[-1] > len(indices):
        raise _broken(matrix, "has indices that don't fit its data or its shape")
    if (starts[1:] < starts[:-1]).any() or not within(indices, end):
        raise _broken(matrix, "has an index outside itself")
    # SciPy sorts and shortens these in place, so they may be nobody else's.
    stored["indptr"], stored["indices"] = starts.copy(), indices.copy()
    for note in _NOTES:
        stored.pop(note, None)


def _shape(matrix: Any, dimensions: int | None = None) -> tuple[int, ...]:
    shape = attributes(matrix).get("_shape")
    if type(shape) is not tuple or len(shape) not in ({1, 2} if dimensions is None else {dimensions}):
        raise _broken(matrix, "has no shape")
    sides = [whole_number(side) for side in shape]
    if any(side is None or not 0 <= side < 2**31 for side in sides) or math.prod(shape) >= 2**62:
        raise _broken(matrix, "has a shape that isn't one")
    return shape


def _data(matrix: Any, dimensions: int) -> _Array:
    data = attributes(matrix).get("data")
    if type(data) is not np.ndarray or data.ndim != dimensions or data.dtype.kind not in _NUMBERS:
        raise _broken(matrix, "has data that aren't numbers")
    return data


def _broken(subject: Any, found: str) -> Refused:
    return refusal(RULE, subject, f"A {{name}} {found}. {FIT_AGAIN}")
