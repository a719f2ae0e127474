"""Which columns may have missing values: found out by asking the model.

A group of columns at once, halved where the model refuses, and at most MAX_CALLS calls.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from registry import frames
from registry.errors import ModelyardError
from registry.signature import Column, Signature

MAX_CALLS = 64

Predict = Callable[[frames.Inputs], frames.Outputs]


def probe_missing(signature: Signature, row: frames.Inputs, predict: Predict) -> tuple[Column, ...]:
    """Return the columns with `missing` set where `predict` takes `row` (one or more rows) with that value left out."""
    asked = [i for i, c in enumerate(signature.columns) if not c.missing and c.type in ("float64", "string")]
    if signature.container == "texts" or not asked:
        return signature.columns
    allowed = _probe(asked, row, predict)
    return tuple(replace(column, missing=True) if index in allowed else column for index, column in enumerate(signature.columns))


def _probe(asked: list[int], row: frames.Inputs, predict: Predict) -> set[int]:
    allowed: set[int] = set()
    groups = [asked]
    for _ in range(MAX_CALLS):
        if not groups:
            break
        group = groups.pop(0)
        if _accepts(group, row, predict):
            allowed.update(group)
        elif len(group) > 1:
            half = len(group) // 2
            groups += [group[:half], group[half:]]
    return allowed


def _accepts(group: list[int], row: frames.Inputs, predict: Predict) -> bool:
    try:
        outputs = predict(without(row, group))
    except ModelyardError:
        return False
    return not any(isinstance(part, np.ndarray) and part.dtype.kind == "f" and np.isnan(part).any() for part in outputs.parts)


def without(inputs: frames.Inputs, group: list[int]) -> frames.Inputs:
    """Return the first row of `inputs` with the values of the columns in `group` missing."""
    match inputs:
        case frames.Matrix(array):
            one = np.array(array[:1], np.float64)
            one[:, group] = np.nan
            return frames.Matrix(one)
        case frames.Table(names, columns):
            chosen: Any = tuple(_missing(v) if i in group else v[:1] for i, v in enumerate(columns))
            return frames.Table(names, chosen)
        case frames.Texts():
            return inputs


def _missing(values: Any) -> Any:
    return [None] if isinstance(values, list) else np.array([np.nan])
