"""Two versions' answers to the same rows, row by row: which values differ, and by how much at most.

Pure. Compares every value of MOST_COMPARED rows, shows fewer; two values that differ never look alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from registry.console.outputs_shown import columns_of, text_of
from registry.frames import Outputs
from registry.signature import Signature

MAX_ROWS, MAX_COLUMNS = 50, 12
#: So many rows are compared: a person looks for where two versions differ, and a page must not hold up others.
MOST_COMPARED = 5000
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Pair:
    """One value of both, as texts; None where one of them has no such column."""

    a: str | None
    b: str | None
    differs: bool


@dataclass(frozen=True, slots=True)
class Compared:
    """The first rows, and what is true of all that were compared, `row_count`, which may be the first of more.

    `largest` is None where no two numbers differ, `largest_at` tells row and column.
    """

    names: list[str]
    rows: list[list[Pair]]
    row_count: int
    more_rows: int
    differing_rows: int
    more_columns: int
    largest: float | None
    largest_at: tuple[int, str] | None


def compare_answers(a: Outputs, of_a: Signature, b: Outputs, of_b: Signature, method: str) -> Compared:
    """Return how the answers of two versions to the same rows compare."""
    all_rows = max(a.rows, b.rows)
    count = min(all_rows, MOST_COMPARED)
    before, after = dict(columns_of(a.take(0, count), method, of_a)), dict(columns_of(b.take(0, count), method, of_b))
    names = list(dict.fromkeys([*before, *after]))
    absent: list[Any] = [_ABSENT] * count
    largest, at, differing = None, None, set()
    for name in names:
        for row, (one, other) in enumerate(zip(before.get(name, absent), after.get(name, absent), strict=False)):
            if _same(one, other):
                continue
            differing.add(row)
            distance = _distance(one, other)
            if distance is not None and (largest is None or distance > largest):
                largest, at = distance, (row + 1, name)
    shown = names[:MAX_COLUMNS]
    rows = [[_pair(before.get(name, absent)[row], after.get(name, absent)[row]) for name in shown] for row in range(min(count, MAX_ROWS))]
    return Compared(shown, rows, count, all_rows - count, len(differing), len(names) - len(shown), largest, at)


def _pair(one: Any, other: Any) -> Pair:
    differs = not _same(one, other)
    texts = [None if value is _ABSENT else text_of(value) for value in (one, other)]
    if differs and texts[0] == texts[1]:
        texts = [repr(one), repr(other)]
    return Pair(texts[0], texts[1], differs)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    both_nan = isinstance(one, float) and isinstance(other, float) and one != one and other != other  # noqa: PLR0124 - NaN
    return both_nan or bool(one == other and isinstance(one, str) == isinstance(other, str))


def _distance(one: Any, other: Any) -> float | None:
    """Return how far apart two numbers are, or the values of two lists at most."""
    if isinstance(one, Sequence) and isinstance(other, Sequence) and not isinstance(one, str) and not isinstance(other, str):
        return max((found for pair in zip(one, other, strict=False) if (found := _distance(*pair)) is not None), default=None)
    if not all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in (one, other)):
        return None
    apart = abs(float(one) - float(other))
    return None if apart != apart else apart  # noqa: PLR0124 - NaN
