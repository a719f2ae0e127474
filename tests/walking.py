"""Every object that a model is made of, for tests of what judges such objects: the model's own, those in it, and so on.

Written for tests without the unpickler, which lists what it creates by itself. Must end for objects that lead back to themselves.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

_LEAVES = (str, bytes, int, float, complex, type(None), type, np.generic, np.dtype)


def objects_of(model: Any) -> list[Any]:
    """Return what `model` is made of, inner objects before the outer ones."""
    found: list[Any] = []
    _walk(model, found, set())
    return found


def _walk(one: Any, found: list[Any], seen: set[int]) -> None:
    if isinstance(one, _LEAVES) or id(one) in seen:
        return
    seen.add(id(one))
    for inner in _inside(one):
        _walk(inner, found, seen)
    found.append(one)


def _inside(one: Any) -> list[Any]:
    if isinstance(one, dict):
        return [*one.keys(), *one.values()]
    if isinstance(one, list | tuple | set | frozenset):
        return list(one)
    if isinstance(one, np.ndarray):
        return one.ravel().tolist() if one.dtype == object else []
    if type(one).__module__.startswith(("sklearn.", "scipy.")):
        return list(getattr(one, "__dict__", {}).values())
    return []


def named(value: object) -> str:
    """Return a test's id for a parameter: its text without addresses, which differ from process to process."""
    return re.sub(r" at 0x[0-9A-Fa-f]+", "", str(value))
