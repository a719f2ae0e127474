"""A sparkline: a few counts as the points of an SVG line, and what they say in words.

Pure. The drawing is for a glance; whoever can't see it must learn the same from the words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 100, 28
#: Room above and below, so that the stroke isn't cut off.
_MARGIN = 2


@dataclass(frozen=True, slots=True)
class Sparkline:
    """The points of the line and of the area under it, and a text that says what they show."""

    line: str
    area: str
    text: str
    is_flat: bool
    width: int = WIDTH
    height: int = HEIGHT


def sparkline(counts: Sequence[int], *, period: str, step: str) -> Sparkline:
    """Draw counts, oldest first; `period` is what they cover ("24 hours"), `step` what each covers ("15 minutes")."""
    highest = max(counts, default=0)
    points = [f"{_x(number, len(counts))},{_y(count, highest)}" for number, count in enumerate(counts)]
    bottom = HEIGHT - _MARGIN
    area = " ".join([f"0,{bottom}", *points, f"{WIDTH},{bottom}"])
    if highest:
        text = f"requests in the last {period}: {sum(counts):,} in all, at most {highest:,} in {step}"
    else:
        text = f"no requests in the last {period}"
    return Sparkline(" ".join(points), area, text, is_flat=not highest)


def _x(number: int, count: int) -> str:
    return f"{WIDTH * number / max(1, count - 1):.1f}".removesuffix(".0")


def _y(count: int, highest: int) -> str:
    room = HEIGHT - 2 * _MARGIN
    return f"{HEIGHT - _MARGIN - room * count / max(1, highest):.1f}".removesuffix(".0")
