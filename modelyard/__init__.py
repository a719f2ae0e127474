"""Modelyard's client: publish a model, predict with it by URL, point an alias at it, roll back.

Names are resolved on first use, because the server reads the version here: importing this must never load an HTTP client.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelyard import errors
    from modelyard.client import About, Client
    from modelyard.errors import ConnectionFailed, ModelyardError, Problem
    from modelyard.records import Alias, ApiKey, Event, Model, Move, Prediction, Version

__all__ = [
    "About",
    "Alias",
    "ApiKey",
    "Client",
    "ConnectionFailed",
    "Event",
    "Model",
    "ModelyardError",
    "Move",
    "Prediction",
    "Problem",
    "Version",
    "errors",
]
#: The one place of the version: both distributions, the server and the tests of the changelog read it here.
__version__ = "0.1.0"

_HOMES = {"About": "client", "Client": "client", "ModelyardError": "errors", "ConnectionFailed": "errors", "Problem": "errors"}


if not TYPE_CHECKING:  # a type checker would take any name for one that is there

    def __getattr__(name: str) -> Any:
        if name == "errors":
            return importlib.import_module("modelyard.errors")
        if name in __all__:
            return getattr(importlib.import_module(f"modelyard.{_HOMES.get(name, 'records')}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
