"""Artifacts of models that misbehave, for services and tests that vouch for their classes with EXTRA_NAMES.

Without that name in MODELYARD_EXTRA_NAMES, each of them is refused for the name alone.
"""

from __future__ import annotations

import pickle
from typing import Any

from registry.flavors.unpickling import names
from tests.misbehaving_model import TRIGGER, Misbehaving, MisbehavingAtLoad

__all__ = ["EXTRA_NAMES", "TRIGGER", "model"]

CLASSES = (Misbehaving, MisbehavingAtLoad)
#: The setting with which a service lets artifacts name the classes.
EXTRA_NAMES = ",".join(f"{cls.__module__}:{cls.__qualname__}" for cls in CLASSES)


def allow_here() -> None:
    """Let artifacts name the classes in this process, as the fork server does where the setting names them."""
    for cls in CLASSES:
        names.allow_extra(cls.__module__, cls.__qualname__, cls)


def model(behaviour: str, **options: Any) -> bytes:
    """Return the pickle of a model of four columns that behaves as BODIES names it."""
    return pickle.dumps(Misbehaving(behaviour, **options), protocol=4)


def at_load(what: str, **options: Any) -> bytes:
    """Return a pickle that does what AT_LOAD names while it is loaded."""
    return pickle.dumps(MisbehavingAtLoad(what, **options), protocol=4)


def opens_file_at_load() -> bytes:
    """Return a pickle that reads a file while it is loaded."""
    return at_load("opens_file")


def starts_child_at_load() -> bytes:
    """Return a pickle that runs a program while it is loaded."""
    return at_load("starts_child")


def exits_at_load() -> bytes:
    """Return a pickle that ends the process while it is loaded."""
    return at_load("exits")


def sleeps_at_load() -> bytes:
    """Return a pickle that sleeps while it is loaded."""
    return at_load("sleeps")


def allocates_at_load() -> bytes:
    """Return a pickle that takes 10 GB while it is loaded."""
    return at_load("allocates")
