"""What a direct form is, and how the attributes are read that it is made of.

Reads `__dict__` alone and takes exact types alone, as the object check does. Must never keep what isn't a plain array of the size
that the compiled code will be told.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from registry import frames
from registry.flavors.anatomy import MAX_COLUMNS
from registry.flavors.soundness.reading import attributes, whole_number

Array = frames.type_of_array
Answer = Array | list[Array]
#: Takes rows of the form's width, at least one; returns None where it isn't sure.
Method = Callable[[Array], Answer | None]
Methods = Mapping[str, Method]

_CLASS_KINDS = "biufUO"


@dataclass(frozen=True, slots=True)
class Form:
    """The methods of an estimator that can be computed directly, on rows of `width` columns.

    `ways` are one of the methods computed in each of the ways between which `methods` choose by the number of rows. `missing` tells that
    NaN is taken; `by_row` that the estimator computes each row by itself, so that what it answers to one is a part of what it answers to many.
    """

    width: int
    methods: Methods
    ways: tuple[tuple[str, Method], ...] = ()
    missing: bool = False
    by_row: bool = False


def width_of(estimator: Any) -> int | None:
    """Return how many columns an estimator was fitted on, or None where it doesn't say."""
    width = whole_number(attributes(estimator).get("n_features_in_"))
    return width if width is not None and 0 < width <= MAX_COLUMNS else None


def classes_of(estimator: Any, count: int) -> Array | None:
    """Return the `count` classes of a classifier of one target, or None where they aren't so many in a plain array."""
    classes = attributes(estimator).get("classes_")
    plain = type(classes) is np.ndarray and classes.shape == (count,) and classes.dtype.kind in _CLASS_KINDS
    return classes if plain else None


def all_finite(rows: Array) -> bool:
    """Tell whether there is no infinity and no NaN in the rows."""
    # The product of the rows with themselves is finite only if each value is, and takes a third of the time of asking for each.
    return rows.dtype.kind != "f" or math.isfinite(np.vdot(rows, rows)) or bool(np.isfinite(rows).all())


def none_infinite(rows: Array) -> bool:
    """Tell whether there is no infinity in the rows; NaN may be."""
    return all_finite(rows) or not bool(np.isinf(rows).any())
