"""Pipelines of simple numeric steps before an estimator that has a form, and searches that wrap one.

As `preprocessing/_data.py` and `impute/_base.py` of scikit-learn 1.9 compute them, in the same memory order. Must never pass on an
infinity that a step would refuse.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

from registry.flavors.direct.form import Array, Form, Method, none_infinite, width_of
from registry.flavors.soundness.reading import attributes, numbers

_Step = Callable[[Array], Array | None]
_IMPUTED = frozenset({"mean", "median", "constant"})


def searched(estimator: Any, form_of: Callable[[Any], Form | None]) -> Form | None:
    """Return the form of the best estimator that a search found."""
    return form_of(attributes(estimator).get("best_estimator_"))


def pipeline(estimator: Pipeline, form_of: Callable[[Any], Form | None]) -> Form | None:
    """Return the form of a pipeline's last step behind its other steps, or None where one of them has none."""
    stored = attributes(estimator)
    members = stored.get("steps")
    if type(members) is not list or any(type(pair) is not tuple or len(pair) != 2 for pair in members):  # noqa: PLR2004 - name, step
        return None
    if stored.get("_sklearn_output_config") is not None or not members:
        return None
    before = [step for _, step in members[:-1] if step is not None and step != "passthrough"]
    final = form_of(members[-1][1])
    steps = [_step(step) for step in before]
    if final is None or any(step is None or width_of(one) != final.width for step, one in zip(steps, before, strict=True)):
        return None
    found: list[_Step] = [step for step in steps if step is not None]
    missing = final.missing or any(type(step) is SimpleImputer for step in before)
    methods = {name: _behind(found, method) for name, method in final.methods.items()}
    ways = tuple((name, _behind(found, way)) for name, way in final.ways)
    return Form(final.width, methods, ways, missing=missing, by_row=final.by_row)


def _behind(steps: list[_Step], method: Method) -> Method:
    def work(rows: Array) -> Any:
        for step in steps:
            stepped = step(rows)
            if stepped is None:
                return None
            rows = stepped
        return method(rows)

    return work


def _step(step: Any) -> _Step | None:
    """Return what a step does to rows, or None where it does more than is known here."""
    stored = attributes(step)
    width = width_of(step)
    if width is None or stored.get("_sklearn_output_config") is not None:
        return None
    maker = _STEPS.get(type(step))
    return None if maker is None else maker(stored, width)


def _standard(stored: dict[str, Any], width: int) -> _Step | None:
    return _shift_and_divide(_wanted(stored, "with_mean", "mean_", width), _wanted(stored, "with_std", "scale_", width))


def _robust(stored: dict[str, Any], width: int) -> _Step | None:
    return _shift_and_divide(_wanted(stored, "with_centering", "center_", width), _wanted(stored, "with_scaling", "scale_", width))


def _largest(stored: dict[str, Any], width: int) -> _Step | None:
    return None if stored.get("clip") is not False else _shift_and_divide((), _wanted(stored, "", "scale_", width))


def _wanted(stored: dict[str, Any], switch: str, name: str, width: int) -> tuple[Array, ...] | None:
    """Return the numbers of a step as one member, none where its switch is off; None where they aren't as fitting makes them."""
    if switch and stored.get(switch) not in (True, False):
        return None
    if switch and not stored[switch]:
        return ()
    values = numbers(stored.get(name), 1)
    return (values,) if values is not None and values.shape == (width,) and values.dtype == np.float64 else None


def _shift_and_divide(shift: tuple[Array, ...] | None, scale: tuple[Array, ...] | None) -> _Step | None:
    if shift is None or scale is None:
        return None

    def step(rows: Array) -> Array | None:
        own = _own(rows)
        if own is None:
            return None
        for values in shift:
            own -= values
        for values in scale:
            own /= values
        return own

    return step


def _ranged(stored: dict[str, Any], width: int) -> _Step | None:
    scale, lowest = _wanted(stored, "", "scale_", width), _wanted(stored, "", "min_", width)
    if scale is None or lowest is None or stored.get("clip") is not False:
        return None

    def step(rows: Array) -> Array | None:
        own = _own(rows)
        if own is None:
            return None
        own *= scale[0]
        own += lowest[0]
        return own

    return step


def _imputed(stored: dict[str, Any], width: int) -> _Step | None:
    found, missing = _wanted(stored, "", "statistics_", width), stored.get("missing_values")
    plain = stored.get("strategy") in _IMPUTED and stored.get("add_indicator") is False and stored.get("_fit_dtype") == np.float64
    if found is None or not plain or not isinstance(missing, float) or missing == missing or np.isnan(found[0]).any():  # noqa: PLR0124 - NaN
        return None
    values = found[0]

    def step(rows: Array) -> Array | None:
        if rows.dtype != np.float64 or not none_infinite(rows):
            return None
        own = rows.copy(order="K")
        np.copyto(own, values, where=np.isnan(own))
        return own

    return step


def _own(rows: Array) -> Array | None:
    """Return a copy as float64 in the same memory order, or None for rows that a scaler may refuse or keep as another type."""
    if rows.dtype.itemsize != np.dtype(np.float64).itemsize and rows.dtype.kind == "f":
        return None
    return rows.astype(np.float64, order="K") if none_infinite(rows) else None


_STEPS: dict[type, Callable[[dict[str, Any], int], _Step | None]] = {
    StandardScaler: _standard,
    RobustScaler: _robust,
    MaxAbsScaler: _largest,
    MinMaxScaler: _ranged,
    SimpleImputer: _imputed,
}
