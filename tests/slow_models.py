"""Artifacts of models that take their time, or memory; a service that is given them starts with `misbehaving.EXTRA_NAMES`."""

from __future__ import annotations

from tests.misbehaving import at_load, model


def sleeping(seconds: float) -> bytes:
    """Return a model of four columns that sleeps so long before it answers rows that start with TRIGGER."""
    return model("sums_later", seconds=seconds)


def sleeping_at_load(seconds: float, marker: float = 0.0) -> bytes:
    """Return a model of four columns that sleeps while it is loaded; `marker` makes its bytes differ from others."""
    return at_load("loads_later", behaviour="sums_later", seconds=seconds, marker=marker)


def holding(mebibytes: int, seconds: float = 0, marker: float = 0.0) -> bytes:
    """Return a model of four columns that holds so much memory, in an artifact of a few hundred bytes, and sleeps at TRIGGER."""
    return at_load("holds", behaviour="sums_later", mebibytes=mebibytes, seconds=seconds, marker=marker)


def differing() -> bytes:
    """Return a model of four columns that answers the same as long as it is loaded, and something else each time it is."""
    return at_load("draws")


def growing(mebibytes: int) -> bytes:
    """Return a model of four columns that keeps so much more memory with each row that starts with TRIGGER."""
    return model("grows", mebibytes=mebibytes)
