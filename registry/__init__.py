"""Modelyard: a registry of model versions and the service that answers predictions with them.

`create_app` is resolved on first use, because the fork server and its workers import this package too and must
never load Flask, a database driver or a secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelyard import __version__

if TYPE_CHECKING:
    from registry.app import create_app

__all__ = ["__version__", "create_app"]


def __getattr__(name: str) -> Any:
    if name == "create_app":
        from registry.app import create_app  # the one lazy import: see the module's docstring

        return create_app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
