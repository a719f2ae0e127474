"""The version that the site documents."""

from __future__ import annotations

from modelyard import __version__


def version(_docname: str) -> str:
    """Return the version in a sentence."""
    return f"This is the documentation of version {__version__}."
