"""How the object check reads objects whose attributes somebody else chose.

Reads `__dict__` alone, so no property and no other code of a model runs. Must never trust a type: whatever isn't exactly
what scikit-learn itself writes is answered with None, and the caller refuses it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from registry.flavors.anatomy import public_name
from registry.flavors.refusals import Refused

#: What to do about a state that no fitting makes.
FIT_AGAIN = "No fitting makes such a state: fit the model again and publish the file that joblib.dump writes."
_NUMBERS = "biuf"
_WHOLE_NUMBERS = "iu"


def attributes(subject: Any) -> dict[str, Any]:
    """Return the attributes of an object as they are stored; none where it stores none."""
    found = getattr(subject, "__dict__", None)
    return found if type(found) is dict else {}


def refusal(rule: str, subject: Any, text: str) -> Refused:
    """Return the refusal of an object, with the name by which its publisher knows its class."""
    name = public_name(type(subject))
    return Refused(rule, text.format(name=name), estimator=name)


def whole_number(value: Any) -> int | None:
    """Return an integer, or None where the value is anything else; a bool is none."""
    return int(value) if type(value) is int or isinstance(value, np.integer) else None


def numbers(value: Any, dimensions: int) -> np.ndarray[Any, np.dtype[Any]] | None:
    """Return a plain array of numbers of that many dimensions, or None where the value is anything else."""
    plain = type(value) is np.ndarray and value.ndim == dimensions and value.dtype.kind in _NUMBERS
    return value if plain else None


def whole_numbers(value: Any, dimensions: int = 1) -> np.ndarray[Any, np.dtype[Any]] | None:
    """Return a plain array of integers of that many dimensions, or None where the value is anything else."""
    plain = numbers(value, dimensions)
    return plain if plain is not None and plain.dtype.kind in _WHOLE_NUMBERS else None


def within(values: np.ndarray[Any, np.dtype[Any]], end: int) -> bool:
    """Tell whether all of these integers are indices of `end` places."""
    return values.size == 0 or (int(values.min()) >= 0 and int(values.max()) < end)
