"""Values that stay good until a change of what they are about.

A value carries the generation that was read before its query, and counts only while nothing newer changed one of its
subjects: so a slow query can't bring back the old. It knows nothing of models, keys or SQL.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

CAPACITY = 20_000

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Memory(Generic[K, V]):
    """A bounded dictionary of such values. Look-ups take no lock; whoever writes holds the directory's."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        """Keep at most `capacity` values."""
        self._capacity = capacity
        self._entries: dict[K, tuple[V, int]] = {}
        self._changed: dict[Hashable, int] = {}
        self._floor = -1

    def find(self, key: K, *subjects: Hashable) -> V | None:
        """Return what is remembered, unless one of its subjects changed since."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        value, generation = entry
        for subject in subjects:
            if generation < self._changed.get(subject, self._floor):
                return None
        return value

    def find_stale(self, key: K) -> V | None:
        """Return what was remembered last, changed or not: for when nothing newer can be asked for."""
        entry = self._entries.get(key)
        return None if entry is None else entry[0]

    def remember(self, key: K, value: V, generation: int) -> None:
        """Keep a value as of a generation, unless what is there is newer. The oldest make room for it."""
        known = self._entries.get(key)
        if known is not None and known[1] > generation:
            return
        if known is None and len(self._entries) >= self._capacity:
            for old in list(self._entries)[: max(1, self._capacity // 4)]:
                del self._entries[old]
        self._entries[key] = (value, generation)

    def note_change(self, subject: Hashable, generation: int) -> None:
        """Let nothing about `subject` count that is older than `generation`."""
        if len(self._changed) >= self._capacity:
            self._floor = max(generation, *self._changed.values())
            self._changed.clear()
        self._changed[subject] = max(generation, self._changed.get(subject, self._floor))

    def drop(self, key: K) -> None:
        """Forget one value, so that it isn't found as a stale one either."""
        self._entries.pop(key, None)

    def drop_all(self, belongs: Callable[[K], bool]) -> None:
        """Forget every value whose key belongs to what is gone."""
        for key in [key for key in self._entries if belongs(key)]:
            del self._entries[key]

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._changed.clear()
        self._floor = -1
