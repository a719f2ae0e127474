"""Golden predictions: what a version answered when it was admitted, replayed at every load.

Two answers count as the same within TOLERANCE of their column's scale; labels must be identical.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from registry import frames
from registry.errors import ModelUnloadable, ModelyardError
from registry.flavors.contract import Loaded
from registry.signature.golden import decode_golden

TOLERANCE = 1e-9
_SHOWN_CHARACTERS = 60


def replay(loaded: Loaded, golden: bytes) -> None:
    """Predict the golden rows again. Raises ModelUnloadable naming method, row, column and both values of the first difference."""
    inputs, expected = decode_golden(golden)
    for method, outputs in expected.items():
        try:
            now = loaded.call(method, inputs, {})
        except ModelyardError as error:
            text = f"The method {method} failed on the golden rows."
            raise ModelUnloadable(text, log_detail=error.log_detail or error.detail) from error
        if (difference := find_difference(outputs, now)) is not None:
            text = f"The golden predictions differ: {method}, {difference}."
            raise ModelUnloadable(text, log_detail=text)


def answers_row_by_row(loaded: Loaded, golden: bytes) -> bool:
    """Tell whether the golden rows get the same answers each by itself and in two halves: else no call may be joined or cut.

    Raises ModelUnloadable. Where a row's answer depends on the rows beside it (non-negative matrix factorisation), joining would show
    one caller's rows in another's answer.
    """
    inputs, expected = decode_golden(golden)
    middle = inputs.rows // 2
    for start, stop in ((0, middle), (middle, inputs.rows)) if middle else ():
        part = frames.take_rows(inputs, start, stop)
        for method, outputs in expected.items():
            try:
                now = loaded.call(method, part, {})
            except ModelyardError:
                return False
            if find_difference(outputs.take(start, stop), now) is not None:
                return False
    return True


def find_difference(golden: frames.Outputs, now: frames.Outputs) -> str | None:
    """Return where two outputs first differ and both values, or None where they are the same."""
    if len(golden.parts) != len(now.parts) or golden.multi != now.multi:
        return f"{len(golden.parts)} parts were recorded, {len(now.parts)} came"
    for index, (one, other) in enumerate(zip(golden.parts, now.parts, strict=True)):
        found = _array_difference(one, other) if isinstance(one, np.ndarray) else _list_difference(one, other)
        if found is not None:
            return f"output {index}, {found}" if golden.multi else found
    return None


def _array_difference(golden: frames.type_of_array, now: frames.OutputPart) -> str | None:
    if not isinstance(now, np.ndarray) or now.shape != golden.shape:
        return f"the shape {golden.shape} was recorded, {np.shape(now)} came"
    different = golden != now
    if golden.dtype.kind == "f" or now.dtype.kind == "f":
        with np.errstate(invalid="ignore", over="ignore"):
            close = np.abs(golden - now) <= TOLERANCE * _scale(golden)
            different &= ~(close | (np.isnan(golden) & np.isnan(now)))
    places = np.argwhere(different)
    if not len(places):
        return None
    where = tuple(int(place) for place in places[0])
    column = f", column {', '.join(map(str, where[1:]))}" if len(where) > 1 else ""
    return f"row {where[0]}{column}: {golden[where].item()!r} was recorded, {now[where].item()!r} came"


def _scale(golden: frames.type_of_array) -> frames.type_of_array:
    """Return the largest finite size in each column; 1 where all are zero."""
    sizes = np.abs(np.where(np.isfinite(golden), golden, 0).astype(np.float64)).max(axis=0, initial=0.0)
    return np.asarray(np.where(sizes > 0, sizes, 1.0))


def _list_difference(golden: list[Any], now: frames.OutputPart) -> str | None:
    came = now.tolist() if isinstance(now, np.ndarray) else now
    if len(golden) != len(came):
        return f"{len(golden)} rows were recorded, {len(came)} came"
    for row, (one, other) in enumerate(zip(golden, came, strict=True)):
        if not _same(one, other):
            return f"row {row}: {_shown(one)} was recorded, {_shown(other)} came"
    return None


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(_same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (math.isnan(one) and math.isnan(other)) or abs(one - other) <= TOLERANCE * (abs(one) or 1.0)
    return type(one) is type(other) and bool(one == other)


def _shown(value: Any) -> str:
    return repr(value)[:_SHOWN_CHARACTERS]
