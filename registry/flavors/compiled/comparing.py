"""A compiled form held against the estimator: labels must be identical, numbers within TOLERANCE of their column's scale.

Says how far they are apart at worst, whether or not that is near enough. Calls both, and changes neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from registry import frames
from registry.errors import ModelyardError
from registry.flavors.compiled.refusing import CantCompile
from registry.flavors.contract import Loaded

TOLERANCE = 1e-6
#: The scale of a column: this share of its values is no larger. A few rows far outside must not make it coarse.
_SHARE = 0.9

_Array = frames.type_of_array


@dataclass(slots=True)
class Comparison:
    """How far two answers are apart: the largest distance in units of the scale, and how many labels differ."""

    worst: float = 0.0
    labels: int = 0
    rows: int = 0

    @property
    def passed(self) -> bool:
        """Tell whether every label is the same, and every number near enough."""
        return not self.labels and self.worst <= TOLERANCE


def compare(exact: Loaded, fast: Loaded, method: str, trials: Sequence[frames.Inputs]) -> Comparison:
    """Ask both for each of the trial rows. Raises CantCompile where shapes differ, or where the form fails and the estimator doesn't."""
    pairs = [pair for inputs in trials if (pair := _ask(exact, fast, method, inputs)) is not None]
    if not pairs:
        raise CantCompile(f"{method} failed on every row that it was to be tried on")
    found = Comparison(rows=sum(one.rows for one, _ in pairs))
    for index in range(len(pairs[0][0].parts)):
        _compare_part([(one.parts[index], other.parts[index]) for one, other in pairs], method, found)
    return found


def _ask(exact: Loaded, fast: Loaded, method: str, inputs: frames.Inputs) -> tuple[frames.Outputs, frames.Outputs] | None:
    try:
        expected = exact.call(method, inputs, {})
    except ModelyardError:
        return None  # made-up rows may be such as the model refuses
    try:
        came = fast.call(method, inputs, {})
    except ModelyardError as error:
        raise CantCompile(f"{method} failed on rows that the estimator answers", detail=error.log_detail) from error
    if (len(came.parts), came.multi) != (len(expected.parts), expected.multi):
        raise CantCompile(f"{method} answered in another form")
    return expected, came


def _compare_part(pairs: list[tuple[frames.OutputPart, frames.OutputPart]], method: str, found: Comparison) -> None:
    for one, other in pairs:
        if isinstance(one, np.ndarray) != isinstance(other, np.ndarray) or np.shape(one) != np.shape(other):
            raise CantCompile(f"{method} answered in another form")
    if any(not isinstance(one, np.ndarray) for one, _ in pairs):
        found.labels += sum(a != b for one, other in pairs for a, b in zip(one, other, strict=True))
        return
    expected, came = (np.concatenate([pair[side] for pair in pairs]) for side in (0, 1))
    if expected.dtype.kind != came.dtype.kind:
        raise CantCompile(f"{method} answered in another type")
    if expected.dtype.kind != "f":
        found.labels += int((expected != came).reshape(len(expected), -1).any(axis=1).sum())
        return
    found.worst = max(found.worst, _distance(expected, came))


def _distance(expected: _Array, came: _Array) -> float:
    """Return the largest distance, each in units of its column's scale, or of the value itself where that is larger; inf for NaN and NaN alone."""
    with np.errstate(invalid="ignore", over="ignore"):
        sizes = np.abs(np.where(np.isfinite(expected), expected, 0.0).astype(np.float64))
        scale = np.quantile(sizes, _SHARE, axis=0)
        scale = np.where(scale > 0, scale, sizes.max(axis=0, initial=0.0))
        units = np.maximum(np.where(scale > 0, scale, 1.0), sizes)
        apart = np.abs(expected - came) / units
    same = (expected == came) | (np.isnan(expected) & np.isnan(came))
    apart = np.where(same, 0.0, np.where(np.isnan(apart), np.inf, apart))
    return float(apart.max(initial=0.0))
