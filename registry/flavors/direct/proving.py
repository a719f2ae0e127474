"""The proof that a direct form may be used: the same bits as the estimator's, for each method, on trial rows.

Made anew at each load, since another machine or library may round otherwise. Must never let a form pass that was only tried in part:
one method that differs, or can't be compared, and the estimator computes all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from registry import frames
from registry.flavors import anatomy
from registry.flavors.direct.calling import DirectForm
from registry.flavors.direct.form import Answer, Array, Form, Method, Methods
from registry.flavors.direct.table import form_of
from registry.flavors.trial_rows import trial_rows

#: How many of the golden rows are tried.
MOST_GOLDEN_ROWS = 256

_PIECE_ROWS = 24
Ask = Callable[[str, Array], Any]


def proven_form(estimator: Any, golden: frames.Inputs, ask: Ask, *, by_column: bool) -> DirectForm | None:
    """Return an estimator's direct form once it is proven, or None where it has none or isn't.

    `ask(method, rows)` returns what the estimator's own method answers, or raises; `golden` are rows of the dtype that it will be given.
    """
    if not isinstance(golden, frames.Matrix) or not golden.rows:
        return None
    form = form_of(estimator)
    if form is None or golden.array.shape[1:] != (form.width,):
        return None
    methods = {name: method for name, method in form.methods.items() if callable(anatomy.read(estimator, name))}
    shown = frames.Matrix(golden.array[:MOST_GOLDEN_ROWS])
    kept = DirectForm(methods, form.width, golden.array.dtype, by_column)
    try:
        rows = np.concatenate([one.array for one in trial_rows(estimator, shown, missing=range(form.width) if form.missing else ())])  # type: ignore[union-attr]
        return kept if methods and _holds(form, kept, rows, ask) else None
    except Exception:  # noqa: BLE001 - the estimator refuses the rows, or holds what no row can be made of: nothing can be compared
        return None


def _holds(form: Form, kept: DirectForm, rows: Array, ask: Ask) -> bool:
    whole = {name: ask(name, rows) for name in kept.methods}
    ways = [*kept.methods.items(), *((name, way) for name, way in form.ways if name in whole)]
    if not all(same_bits(_computed(name, way, kept, rows), whole[name]) for name, way in ways):
        return False
    for name, count in _few(kept.methods):
        expected = _first(whole[name], count) if form.by_row else ask(name, rows[:count])
        if not same_bits(kept.answer(name, rows[:count]), expected):
            return False
    first = next(iter(whole))
    return not form.by_row or same_bits(_in_pieces(first, kept, rows), whole[first])


def _computed(name: str, way: Method, kept: DirectForm, rows: Array) -> Answer | None:
    return DirectForm({name: way}, kept.width, kept.dtype, kept.by_column).answer(name, rows)


def _few(methods: Methods) -> Iterator[tuple[str, int]]:
    """Yield each method with one row, and one of them with two."""
    yield from ((name, 1) for name in methods)
    yield next(iter(methods)), 2


def _first(answer: Any, count: int) -> Any:
    return answer[:count] if isinstance(answer, np.ndarray) else [part[:count] for part in answer]


def _in_pieces(name: str, kept: DirectForm, rows: Array) -> Answer | None:
    """Return the answers to a few rows at a time as one: as requests come, and as few as are walked through all trees at once."""
    pieces = [kept.answer(name, rows[start : start + _PIECE_ROWS]) for start in range(0, len(rows), _PIECE_ROWS)]
    arrays = [piece for piece in pieces if isinstance(piece, np.ndarray)]
    return np.concatenate(arrays) if len(arrays) == len(pieces) else None


def same_bits(one: Answer | None, other: Any) -> bool:
    """Tell whether two answers are of the same types, shapes and bytes; objects must be equal and of one class."""
    if isinstance(one, list) or isinstance(other, list):
        return type(one) is type(other) and len(one) == len(other) and all(map(same_bits, one, other))  # type: ignore[arg-type]
    if type(one) is not np.ndarray or type(other) is not np.ndarray or one.dtype != other.dtype or one.shape != other.shape:
        return False
    if one.dtype.kind != "O":
        return one.tobytes() == other.tobytes()
    pairs = zip(one.ravel().tolist(), other.ravel().tolist(), strict=True)
    return all(a is b or (type(a) is type(b) and bool(a == b)) for a, b in pairs)
