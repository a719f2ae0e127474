"""Generators of random numbers, whose native code trusts a stored position in its own buffer.

Must never draw a number: that would change the model.
"""

from __future__ import annotations

from typing import Any

from registry.flavors.refusals import Refused
from registry.flavors.soundness.reading import FIT_AGAIN, refusal, whole_number

RULE = "broken-random-state"
_TWISTER_WORDS = 624
_PHILOX_WORDS = 4


def check_source(source: Any) -> None:
    """Require that the position of a bit generator lies in its buffer. Raises Refused."""
    state = source.state
    name = state.get("bit_generator")
    if name == "MT19937":
        place, end = whole_number(state["state"].get("pos")), _TWISTER_WORDS
    elif name == "Philox":
        place, end = whole_number(state.get("buffer_pos")), _PHILOX_WORDS
    else:
        return
    if place is None or not 0 <= place <= end:
        raise _broken(source, "stands outside its own buffer")


def check_state(state: Any) -> None:
    """Require the same of what a RandomState or Generator draws from. Raises Refused."""
    check_source(getattr(state, "_bit_generator"))  # noqa: B009 - a private name of numpy, the same in both classes


def _broken(subject: Any, found: str) -> Refused:
    return refusal(RULE, subject, f"A {{name}} {found}. {FIT_AGAIN}")
