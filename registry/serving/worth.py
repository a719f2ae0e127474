"""Whether the cache in Redis pays for a version: what a look-up costs against what it saves.

Keeps figures of this process alone and decides nothing else. A wrong guess costs time, never a wrong answer.
"""

from __future__ import annotations

import time
import zlib
from dataclasses import dataclass

#: So many look-ups of a version are made before its figures count, and so many are remembered: older ones count half.
FIRST_LOOKUPS = 32
REMEMBERED_LOOKUPS = 1024
#: One input in so many is looked up and filled although it doesn't pay, so that a change is noticed. They are chosen by content,
#: so that an input which comes back is chosen again: chosen at random, hardly any would ever be found.
SAMPLED = 128
SAMPLED_PREFIX_BYTES = 1024
#: Weight of the newest figure in a running mean.
WEIGHT = 0.05


@dataclass(slots=True)
class Figures:
    """Of one version: look-ups in Redis, how many were hits, and the seconds that computing took on average."""

    lookups: int = 0
    hits: int = 0
    compute_seconds: float = 0.0

    @property
    def hit_rate(self) -> float:
        """Return the share of look-ups that were hits."""
        return self.hits / self.lookups if self.lookups else 0.0


class Worth:
    """The figures of all versions. Safe to use from many threads: a lost update changes a mean a little."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._figures: dict[int, Figures] = {}
        self._ask_seconds = 0.0

    def pays(self, version_id: int, inputs: bytes) -> bool:
        """Tell whether these inputs are to be looked up, and filled, in Redis.

        A look-up pays where `hit rate x time to compute` is more than a look-up takes, and the filling of those that missed.
        """
        figures = self._figures.get(version_id)
        if figures is None or figures.lookups < FIRST_LOOKUPS or not figures.compute_seconds:
            return True
        saved = figures.hit_rate * figures.compute_seconds
        if saved > self._ask_seconds * (2.0 - figures.hit_rate):
            return True
        return zlib.crc32(inputs[:SAMPLED_PREFIX_BYTES], len(inputs)) % SAMPLED == 0

    def note_lookup(self, version_id: int, started: float, *, hit: bool) -> None:
        """Take down one look-up that began at `started` (time.perf_counter)."""
        self._ask_seconds = _mean(self._ask_seconds, time.perf_counter() - started)
        figures = self._of(version_id)
        if figures.lookups >= REMEMBERED_LOOKUPS:
            figures.lookups, figures.hits = figures.lookups // 2, figures.hits // 2
        figures.lookups += 1
        figures.hits += hit

    def note_computed(self, version_id: int, started: float) -> None:
        """Take down one computation that began at `started`."""
        figures = self._of(version_id)
        figures.compute_seconds = _mean(figures.compute_seconds, time.perf_counter() - started)

    def _of(self, version_id: int) -> Figures:
        figures = self._figures.get(version_id)
        if figures is None:
            figures = self._figures[version_id] = Figures()
        return figures


def _mean(mean: float, newest: float) -> float:
    return mean + WEIGHT * (newest - mean) if mean else newest
