"""The unpickler for untrusted joblib files and pickles: builds what the table of names allows, and calls nothing else.

An own virtual machine, since a subclass of Python's controls names alone. It must never import, call or change anything
because an artifact says so; see SECURITY.md.
"""

from __future__ import annotations

from registry.flavors.unpickling.machine import Unpickled, load
from registry.flavors.unpickling.source import Damaged

__all__ = ["Damaged", "Unpickled", "load"]
