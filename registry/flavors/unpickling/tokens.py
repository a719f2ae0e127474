"""What the machine holds in place of things that aren't finished, or that an artifact may only name.

All inert: without a method that a model or a container could call. Must never hold anything callable where a model could reach it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from registry.flavors.unpickling.machine import Reading

#: Makes a value of a tuple of arguments, which it checks.
Make = Callable[["Reading", tuple[Any, ...]], Any]
#: Gives a created object its state, which it checks.
Restore = Callable[["Reading", Any, Any], None]
#: Makes the finished value of a state, which it checks.
Finish = Callable[["Reading", Any], Any]


class Name:
    """Root of the tokens that stand for a name of the table."""

    __slots__ = ("module", "qualname")

    def __init__(self, module: str, qualname: str) -> None:
        """Remember the name, for messages."""
        self.module = module
        self.qualname = qualname

    def __str__(self) -> str:
        """Return the dotted name."""
        return f"{self.module}.{self.qualname}"


class Call(Name):
    """A name that REDUCE may call: only ever through our own constructor."""

    __slots__ = ("make",)

    def __init__(self, module: str, qualname: str, make: Make) -> None:
        """Call by `make`."""
        super().__init__(module, qualname)
        self.make = make


class New(Name):
    """A class that NEWOBJ may make an empty object of."""

    __slots__ = ("cls", "restore")

    def __init__(self, module: str, qualname: str, cls: type, restore: Restore) -> None:
        """Make objects of `cls`, whose state `restore` sets."""
        super().__init__(module, qualname)
        self.cls = cls
        self.restore = restore


class Argument(Name):
    """A class that only our own constructors understand, as one of their arguments."""

    __slots__ = ("cls",)

    def __init__(self, module: str, qualname: str, cls: type) -> None:
        """Stand for `cls`."""
        super().__init__(module, qualname)
        self.cls = cls


class Pending:
    """A value that is made of its state: an array, a dtype. `keys` are its places in the memo until then."""

    __slots__ = ("finish", "keys")

    def __init__(self, finish: Finish) -> None:
        """Finish by `finish`."""
        self.finish = finish
        self.keys: list[int] = []
