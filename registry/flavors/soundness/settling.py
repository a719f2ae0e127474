"""Settles a loaded object for a worker with one thread, no files and no printing.

Changes how prediction runs, never what it answers: settings of parallel work, caches and chatter, and random numbers that
only fitting draws.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.impute._iterative import IterativeImputer

from registry.flavors.soundness.reading import attributes

_SETTLED: dict[str, Any] = {"n_jobs": None, "memory": None, "verbose": 0, "_n_threads": 1, "n_threads": 1}
_RANDOM = ("random_state", "_random_state", "random_state_", "_rng", "rng_", "_feature_subsample_rng")
_SOURCES = (np.random.RandomState, np.random.Generator, np.random.BitGenerator)


def settle(subject: Any) -> None:
    """Set what an object has of these to the value that holds here."""
    stored = attributes(subject)
    for name, value in _SETTLED.items():
        if name in stored:
            stored[name] = value
    if type(subject) is IterativeImputer and stored.get("sample_posterior") is not False:
        return  # draws its imputations when it transforms
    for name in _RANDOM:
        if isinstance(stored.get(name), _SOURCES):
            stored[name] = None
