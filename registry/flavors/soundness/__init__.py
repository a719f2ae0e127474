"""The object check: what loads and is well-typed may still hurt when it predicts.

Runs behind the lock after the unpickler and before any method of the model is called. Must never call the model's code or
raise anything but Refused: every attribute was chosen by whoever wrote the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from registry.flavors.refusals import Refused
from registry.flavors.soundness.boundary import stand_guard
from registry.flavors.soundness.callables import check_attributes
from registry.flavors.soundness.reading import FIT_AGAIN, refusal
from registry.flavors.soundness.settling import settle
from registry.flavors.soundness.table import CHECKS, OWN_FUNCTIONS, Check

__all__ = ["require_sound"]

stand_guard()


def require_sound(created: Sequence[Any]) -> None:
    """Judge every object that a stream created, and settle each for a worker. Raises Refused for the first that would hurt."""
    for subject in created:
        kind: type = type(subject)
        for check in _checks_of(kind):
            _run(check, subject)


@lru_cache(maxsize=1024)
def _checks_of(kind: type) -> tuple[Check, ...]:
    checks = [CHECKS[kind]] if kind in CHECKS else []
    if kind.__module__.startswith("sklearn."):
        checks += [settle] if kind in OWN_FUNCTIONS else [check_attributes, settle]
    return tuple(checks)


def _run(check: Check, subject: Any) -> None:
    try:
        check(subject)
    except Refused:
        raise
    except Exception as error:  # an attribute of a kind that no check thought of
        raise refusal("broken-object", subject, f"A {{name}} has an attribute of the wrong kind. {FIT_AGAIN}") from error
