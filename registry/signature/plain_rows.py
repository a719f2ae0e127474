"""Typed inputs turned back into what a caller would write: rows of plain JSON values in the order of the signature's columns.

Pure. What they give is read to the same inputs again, but for numbers that JSON doesn't have, which become null.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from registry import frames


def plain_rows(inputs: frames.Inputs, most: int | None = None, most_columns: int | None = None) -> list[list[Any]]:
    """Return the first `most` rows (all by default), each a list of numbers, true, false, texts and null; of each, the first `most_columns`."""
    rows = inputs.rows if most is None else min(most, inputs.rows)
    match frames.take_rows(inputs, 0, rows):
        case frames.Matrix(array):
            return [[_plain(value) for value in row] for row in array[:, :most_columns].tolist()]
        case frames.Texts(values):
            return [[value] for value in values]
        case frames.Table(_, columns):
            return [list(row) for row in zip(*(_column(values) for values in columns[:most_columns]), strict=True)]


def _column(values: frames.type_of_array | Sequence[str | None]) -> list[Any]:
    return [_plain(value) for value in (values.tolist() if isinstance(values, np.ndarray) else values)]


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
