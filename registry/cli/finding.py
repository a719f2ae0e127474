"""What `modelyard doctor` finds: one part of the host each time, and what to do about it.

Plain values, so that people and programs read the same.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One part of the host, whether it is well, what was seen, and what is to be done when it isn't."""

    part: str
    ok: bool
    text: str
    advice: str = ""

    def __str__(self) -> str:
        """Return one line."""
        return f"{'ok  ' if self.ok else 'FAIL'}  {self.part}: {self.text}" + (f": {self.advice}" if self.advice else "")
