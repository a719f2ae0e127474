"""The answers asked for most often, in this web process's own memory: what needs no round trip at all.

Bounded by bytes and by time; keyed by content like the cache in Redis, so that a move or a roll-back can't make it wrong.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable
from typing import NamedTuple

from registry.serving.answer import Answer

#: What an entry costs besides its bytes: the key's tuple, the entry, their headers and the dictionary's share, in CPython 3.11 on 64 bits.
OVERHEAD_BYTES = 500


class _Entry(NamedTuple):
    answer: Answer
    size_bytes: int
    ends: float


class Hottest:
    """Two generations of entries. Look-ups take no lock and may be made from many threads.

    What is asked for is young; when the young hold half of the bytes they become the old, and the old that nobody asked for
    meanwhile are gone. So the least recently used go first, roughly, and no look-up has to reorder anything.
    """

    def __init__(self, most_bytes: int, ttl_seconds: float) -> None:
        """Hold up to `most_bytes`; none at 0."""
        self._half = most_bytes // 2
        self._ttl = ttl_seconds
        self._young: dict[Hashable, _Entry] = {}
        self._old: dict[Hashable, _Entry] = {}
        self._young_bytes = 0
        self._lock = threading.Lock()

    def get(self, key: Hashable) -> Answer | None:
        """Return the answer kept under `key`, or None."""
        entry = self._young.get(key)
        if entry is None:
            entry = self._old.get(key)
            if entry is None:
                return None
            self._keep(key, entry)
        if entry.ends < time.monotonic():
            return None
        return entry.answer

    def put(self, key: Hashable, key_bytes: int, answer: Answer) -> None:
        """Keep an answer whose key holds `key_bytes`; one over an eighth of the room isn't kept."""
        size = key_bytes + len(answer.outputs) + OVERHEAD_BYTES
        if size <= self._half // 4:
            self._keep(key, _Entry(answer, size, time.monotonic() + self._ttl))

    def _keep(self, key: Hashable, entry: _Entry) -> None:
        with self._lock:
            known = self._young.get(key)
            self._young_bytes += entry.size_bytes - (known.size_bytes if known is not None else 0)
            self._young[key] = entry
            if self._young_bytes > self._half:
                self._old, self._young, self._young_bytes = self._young, {}, 0
