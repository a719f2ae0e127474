"""Splines of scipy, whose native code finds the coefficients by the number of knots.

Must never let a spline bring the function that it calls on its own arrays.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.interpolate import BSpline

from registry.flavors.refusals import Refused
from registry.flavors.soundness.reading import FIT_AGAIN, attributes, numbers, refusal, whole_number

RULE = "broken-spline"
_STEEPEST = 100
#: What scipy itself puts there, found on a spline of its own.
_AS_ARRAY = attributes(BSpline(np.arange(4.0), np.ones(2), 1)).get("_asarray")


def check_spline(spline: BSpline) -> None:
    """Require sorted finite knots and a coefficient for each basis function. Raises Refused."""
    stored = attributes(spline)
    # Before scipy 1.16 they had no underscore; scipy's own loading renames them.
    knots, degree = numbers(stored.get("_t"), 1), whole_number(stored.get("k"))
    weights = stored.get("_c")
    if knots is None or knots.dtype != np.float64 or not np.isfinite(knots).all() or (knots[1:] < knots[:-1]).any():
        raise _broken(spline, "has knots that aren't sorted finite numbers")
    if degree is None or not 0 <= degree <= _STEEPEST or len(knots) < 2 * degree + 2:
        raise _broken(spline, "has too few knots for its degree")
    if type(weights) is not np.ndarray or weights.ndim == 0 or weights.dtype != np.float64 or len(weights) < len(knots) - degree - 1:
        raise _broken(spline, "has fewer coefficients than basis functions")
    if whole_number(stored.get("axis", 0)) not in range(weights.ndim):
        raise _broken(spline, "interpolates along an axis that it hasn't")
    if "_asarray" in stored:
        stored["_asarray"] = _AS_ARRAY


def _broken(subject: Any, found: str) -> Refused:
    return refusal(RULE, subject, f"A {{name}} {found}. {FIT_AGAIN}")
