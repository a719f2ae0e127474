"""The answers asked for most often, in this web process's own memory: what needs no round trip at all.

Bounded by bytes and by time; keyed by content like the cache in Redis, so that a move or a roll-back can't make it wrong.
"""

from __future__ import annotations

import threading
import time

from registry.serving.answer import Answer

#: What an entry costs besides its bytes: two bytes objects, a tuple, two numbers and the dictionary's share, in CPython 3.11 on 64 bits.
OVERHEAD_BYTES = 400

#: Outputs, runtime, size and the end of its time: a plain tuple, which the garbage collector lets go of as it holds no container.
_Entry = tuple[bytes, str, int, float]


class Hottest:
    """Two generations of entries. Look-ups take no lock and may be made from many threads.

    What is asked for is young; when the young hold half of the bytes they become the old, and the old that nobody asked for
    meanwhile are gone. So the least recently used go first, roughly, and no look-up has to reorder anything.
    """

    def __init__(self, most_bytes: int, ttl_seconds: float) -> None:
        """Hold up to `most_bytes`; none at 0."""
        self._half = most_bytes // 2
        self._ttl = ttl_seconds
        self._young: dict[bytes, _Entry] = {}
        self._old: dict[bytes, _Entry] = {}
        self._young_bytes = 0
        self._lock = threading.Lock()

    def get(self, key: bytes) -> Answer | None:
        """Return the answer kept under `key`, or None."""
        entry = self._young.get(key)
        if entry is None:
            entry = self._old.get(key)
            if entry is None:
                return None
            if entry[3] >= time.monotonic():
                self._keep(key, entry)
        outputs, runtime, _, ends = entry
        return Answer(outputs, runtime) if ends >= time.monotonic() else None

    def put(self, key: bytes, answer: Answer) -> None:
        """Keep an answer; one that takes over an eighth of the room isn't kept."""
        size = len(key) + len(answer.outputs) + OVERHEAD_BYTES
        if size <= self._half // 4:
            self._keep(key, (answer.outputs, answer.runtime, size, time.monotonic() + self._ttl))

    def _keep(self, key: bytes, entry: _Entry) -> None:
        with self._lock:
            known = self._young.get(key)
            self._young_bytes += entry[2] - (known[2] if known is not None else 0)
            self._young[key] = entry
            if self._young_bytes > self._half:
                self._old, self._young, self._young_bytes = self._young, {}, 0
