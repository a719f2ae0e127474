"""Values of an estimator's parameters as short texts, much as Python writes them.

Must never call a text method of a class that isn't Python's or NumPy's own, and never walk further than the text that it gives is long.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from registry.flavors import anatomy

#: So many parameters of one estimator are looked at.
MAX_PARAMETERS = 200

_MAX_DEPTH = 12
_MAX_BITS = 1024
_MAX_ARRAY = 16
_WIDTH = 88
_STEP = 4
_BRACKETS = ((list, "[", "]"), (set, "{", "}"), (frozenset, "frozenset({", "})"))


class _Full(Exception):
    """The text has as many characters as it may."""


def short(value: Any, most: int = 200) -> str:
    """Return a text of at most `most` characters; it ends in an ellipsis where the value's is longer."""
    text, whole = _flat(value, most)
    return text if whole else text[: most - 1] + "…"


def plain(text: Any, most: int = 200) -> str:
    """Return a name with nothing in it that can't be shown or sent, cut to `most` characters."""
    if not isinstance(text, str):
        return short(text, most)
    cut = str.__getitem__(text, slice(0, most))
    return cut if cut.isprintable() else repr(cut)[1:-1][:most]


def parameters_of(owner: Any) -> dict[str, Any]:
    """Return the parameters that an estimator was made with, by name; what an older one lacks is left out."""
    try:
        told = owner.get_params(deep=False)
    except Exception:  # noqa: BLE001 - one from before a parameter came lacks the attribute
        told = {name: vars(owner)[name] for name in _defaults(owner) if name in vars(owner)}
    return {name: told[name] for name in list(told)[:MAX_PARAMETERS] if isinstance(name, str)}


def changed_of(owner: Any, parameters: Mapping[str, Any]) -> list[str]:
    """Return the names of those parameters that aren't as the class has them by default."""
    defaults = _defaults(owner)
    return [name for name, value in parameters.items() if name not in defaults or not _same(value, defaults[name])]


def text_of(estimator: Any, most: int) -> str:
    """Return how to write an estimator in Python, with the parameters that were changed, a line each where it is long."""
    layout = _Layout(most)
    try:
        layout.write("", estimator, 0, "")
    except _Full:
        layout.lines.append("…")
    return "\n".join(layout.lines)[:most]


def _same(value: Any, default: Any) -> bool:
    if value is default:
        return True
    if isinstance(value, (int, float)) and isinstance(default, (int, float)) and value == default:
        return True  # loading silences estimators with a verbose of 0 where it was False
    one, other = _flat(value, 200, deep=False), _flat(default, 200, deep=False)
    return one == other and one[1]


def _defaults(owner: Any) -> dict[str, Any]:
    """Return what the class's own constructor says; nothing of a parameter without a default."""
    try:
        told = inspect.signature(type(owner).__init__).parameters
    except (TypeError, ValueError):
        return {}
    return {name: one.default for name, one in told.items() if one.default is not inspect.Parameter.empty}


def _flat(value: Any, most: int, *, deep: bool = True) -> tuple[str, bool]:
    """Return a text in one line, and whether it is whole; unless `deep`, one with an estimator in it never is."""
    writer = _Writer(most, deep=deep)
    try:
        writer.write(value, _MAX_DEPTH)
    except _Full:
        return "".join(writer.parts)[:most], False
    return "".join(writer.parts), True


class _Writer:
    """Writes one value piece by piece until there is no room; every piece takes some, so the work is bounded too."""

    def __init__(self, most: int, *, deep: bool) -> None:
        self.parts: list[str] = []
        self._left = most
        self._deep = deep

    def write(self, value: Any, depth: int) -> None:
        if depth == 0:
            self._add("…")
        elif isinstance(value, np.ndarray):
            self._write_array(value, depth)
        elif (brackets := _brackets(value)) is not None:
            self._write_many(*brackets, depth)
        elif isinstance(value, dict):
            self._write_mapping(value, depth)
        elif _is_estimator(value):
            self._write_estimator(value, depth)
        else:
            self._add(_scalar(value, self._left))

    def _add(self, text: str) -> None:
        self.parts.append(text)
        self._left -= len(text)
        if self._left < 0:
            raise _Full

    def _write_many(self, opening: str, values: Iterable[Any], closing: str, depth: int) -> None:
        self._add(opening)
        for index, value in enumerate(values):
            if index:
                self._add(", ")
            self.write(value, depth - 1)
        self._add(closing)

    def _write_mapping(self, value: dict[Any, Any], depth: int) -> None:
        self._add("{")
        for index, (key, one) in enumerate(dict.items(value)):
            if index:
                self._add(", ")
            self.write(key, depth - 1)
            self._add(": ")
            self.write(one, depth - 1)
        self._add("}")

    def _write_array(self, array: np.ndarray[Any, Any], depth: int) -> None:
        if array.size > _MAX_ARRAY:
            self._add(f"array of {' by '.join(map(str, array.shape))}, {array.dtype.kind}{array.dtype.itemsize}")
            return
        self._add("array(")
        self.write(array.tolist(), depth - 1)
        self._add(")")

    def _write_estimator(self, estimator: Any, depth: int) -> None:
        if not self._deep:
            raise _Full
        parameters = parameters_of(estimator)
        self._add(f"{type(estimator).__name__}(")
        for index, name in enumerate(changed_of(estimator, parameters) if depth > 1 else ()):
            self._add(f"{', ' if index else ''}{plain(name, 64)}=")
            self.write(parameters[name], depth - 1)
        self._add(")")


class _Layout:
    """Writes an estimator over several lines, as deep as its parts lie in each other."""

    def __init__(self, most: int) -> None:
        self.lines: list[str] = []
        self._left = most

    def write(self, prefix: str, value: Any, indent: int, suffix: str) -> None:
        text, whole = _flat(value, max(1, _WIDTH - indent - len(prefix) - len(suffix)))
        brackets = _brackets(value)
        if whole or indent >= _STEP * _MAX_DEPTH or not (brackets or _is_estimator(value)):
            self._add(indent, prefix + (text if whole else short(value)) + suffix)
            return
        opening, parts, closing = _opened(value) if brackets is None else (brackets[0], (("", one) for one in brackets[1]), brackets[2])
        self._add(indent, prefix + opening)
        for name, one in parts:
            self.write(name, one, indent + _STEP, ",")
        self._add(indent, closing + suffix)

    def _add(self, indent: int, text: str) -> None:
        self.lines.append(" " * indent + text)
        self._left -= len(self.lines[-1]) + 1
        if self._left < 0:
            raise _Full


def _opened(estimator: Any) -> tuple[str, Iterable[tuple[str, Any]], str]:
    parameters = parameters_of(estimator)
    changed = [(f"{plain(name, 64)}=", parameters[name]) for name in changed_of(estimator, parameters)]
    return f"{type(estimator).__name__}(", changed, ")"


def _brackets(value: Any) -> tuple[str, Iterable[Any], str] | None:
    """Return what opens a container, what is in it, and what closes it; None for anything else."""
    if isinstance(value, tuple):
        return "(", tuple.__iter__(value), ",)" if tuple.__len__(value) == 1 else ")"
    for kind, opening, closing in _BRACKETS:
        if isinstance(value, kind):
            return opening, kind.__iter__(value), closing  # type: ignore[arg-type]
    return None


def _is_estimator(value: Any) -> bool:
    """Tell whether it has parameters: estimators, and kernels, which are written as they are."""
    return not isinstance(value, type) and callable(anatomy.read(value, "get_params"))


def _scalar(value: Any, room: int) -> str:
    if value is None or isinstance(value, bool):
        return repr(value)
    if isinstance(value, str):
        return str.__repr__(str.__getitem__(value, slice(0, room + 1)))
    if isinstance(value, bytes):
        return bytes.__repr__(bytes.__getitem__(value, slice(0, room + 1)))
    if isinstance(value, int):
        return int.__repr__(value) if int.bit_length(value) <= _MAX_BITS else f"an integer of {int.bit_length(value)} bits"
    if isinstance(value, float):
        return float.__repr__(value)
    if isinstance(value, np.generic):
        item = value.item()
        return type(value).__name__ if isinstance(item, np.generic) else _scalar(item, room)
    if isinstance(value, functools.partial):
        return f"partial({_named(value.func)}, …)"
    return _named(value)


def _named(value: Any) -> str:
    """Return a class's or function's own name, else the name of its class and that there is more."""
    if isinstance(value, type):
        return plain(value.__name__)
    name = anatomy.read(value, "__name__")
    return plain(name) if isinstance(name, str) else f"{plain(type(value).__name__)}(…)"
