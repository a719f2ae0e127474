"""What must not happen while a file is loaded and tried: any reach outside, and any change of what all models share.

Python itself reports what code does, by audit events: every one that isn't known to be harmless counts as an escape.
"""

from __future__ import annotations

import sys
import types
from typing import Any

import numpy as np

from registry.flavors.unpickling import names
from registry.flavors.unpickling.tokens import Name, New

#: Events that say nothing about the world outside the interpreter.
HARMLESS = frozenset({
    "builtins.id",  # the machine asks for identities
    "object.__getattr__",  # inspect and warnings look at functions and frames
    "sys._getframe",  # warnings look for whom to blame
    "array.__new__",  # a typed array of numbers, as vectorizers use it
    "cpython.PyInterpreterState_Clear",
})  # fmt: skip
#: What libraries keep for themselves, and what tells no model from another.
CACHES = frozenset({
    "__warningregistry__",  # which warnings were given before
    "__builtins__",  # the interpreter's own
    "_upcast_memo",  # scipy.sparse: the common type of two types, by both
})  # fmt: skip
_MOST_TEXT = 200


class Oracle:
    """Notes audit events while it is `watching`; can't be taken away again, so a child of its own has one."""

    def __init__(self) -> None:
        """Begin to listen, and not yet to note."""
        self.watching = False
        self.events: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.watching and event not in HARMLESS:
            self.watching = False  # describing the arguments may raise events of its own
            self.events.append(f"{event}{arguments!r:.{_MOST_TEXT}}")
            self.watching = True

    def take(self) -> list[str]:
        """Return the events noted since the last time."""
        events, self.events = self.events, []
        return events


class Shared:
    """A picture of everything that is shared between models of one process: classes, functions, modules."""

    def __init__(self) -> None:
        """Take the picture."""
        self._things = dict(_things())
        self._pictures = {name: _picture(vars(thing)) for name, thing in self._things.items()}
        self._modules = frozenset(sys.modules)

    def changes(self) -> list[str]:
        """Return what is different now."""
        found = [f"import of {name}" for name in sys.modules.keys() - self._modules]
        for name, thing in self._things.items():
            now, before = _picture(vars(thing)), self._pictures[name]
            found += [f"{name}.{key}" for key in now.keys() | before.keys() if now.get(key) != before.get(key)]
        return sorted(found)


def _things() -> Any:
    for pair, token in names.TABLE.items():
        if type(token) is New:
            yield ".".join(pair), token.cls
        elif isinstance(token, types.FunctionType):
            yield ".".join(pair), token
        if not isinstance(token, Name) and isinstance(token, type):
            yield ".".join(pair), token
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in ("numpy", "sklearn", "scipy", "joblib", "registry") and isinstance(module, types.ModuleType):
            yield f"module {name}", module


def _picture(members: Any) -> dict[str, Any]:
    return {key: _seen(value, 3) for key, value in list(members.items()) if key not in CACHES}


def _seen(value: Any, depth: int) -> Any:
    """Return what would differ if a value were exchanged or filled; caches that modules keep for themselves have other types."""
    if depth and type(value) is dict:
        return id(value), tuple((key if type(key) is str else id(key), _seen(one, depth - 1)) for key, one in value.items())
    if depth and type(value) in (list, tuple, set):
        return id(value), tuple(_seen(one, depth - 1) for one in value)
    if type(value) is np.ndarray and not value.dtype.hasobject:
        return id(value), hash(value.tobytes())
    if isinstance(value, types.FunctionType):
        return id(value), id(value.__code__), id(value.__defaults__), id(value.__kwdefaults__)
    return id(value)
