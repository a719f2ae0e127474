"""Where the time of a load goes, lap by lap, from the host process through the fork to the worker's first answer.

For the log and the benchmark alone: nothing is decided by it.
"""

from __future__ import annotations

from registry.host.page import now_ns

NAMES = ("fork", "lock", "job", "digest", "load", "form", "replay")


class Laps:
    """Milliseconds by the name of what they were spent on, in order."""

    def __init__(self, began_ns: int) -> None:
        """Count from `began_ns`, a time of the clock that all processes of a host share."""
        self._last_ns = began_ns
        self.milliseconds: dict[str, float] = {}

    def note(self, name: str) -> None:
        """Say what the time since the last lap went into."""
        now = now_ns()
        self.milliseconds[name] = round((now - self._last_ns) / 1e6, 2)
        self._last_ns = now


def shown(laps: object) -> str:
    """Return what a worker said of its laps as text. Only known names and numbers: what it says may be the model's word."""
    known = laps if isinstance(laps, dict) else {}
    return ", ".join(f"{name} {known[name]:.1f}" for name in NAMES if isinstance(known.get(name), float))
