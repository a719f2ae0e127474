"""The surroundings in which a model computes: one thread, and no warning, whatever it does.

A worker puts them up once, for good; everywhere else they are put up around each call and taken down again.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import joblib
import numpy as np

_SILENT = ("ignore", None, Warning, None, 0)
_for_good: list[Any] = []


def quieten_for_good() -> None:
    """Let this whole process compute in one thread and without warnings, until it ends."""
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    _for_good.append(joblib.parallel_config(backend="sequential"))


def quietly(work: Callable[..., Any], *arguments: Any) -> Any:
    """Return `work(*arguments)`; its warnings neither write nor, where they are errors, raise."""
    if _for_good and warnings.filters and warnings.filters[0] == _SILENT:
        return work(*arguments)
    with warnings.catch_warnings(), joblib.parallel_config(backend="sequential"), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return work(*arguments)
