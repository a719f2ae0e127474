"""Computations under way in this process, so that identical requests compute once.

An answer or an error is handed to those who wait for it and kept for nobody: that is the cache's part.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable

from registry.serving.answer import Answer


class Computing:
    """What is under way, by content. Safe to use from many threads."""

    def __init__(self) -> None:
        """Start with nothing under way."""
        self._lock = threading.Lock()
        self._under_way: dict[Hashable, Flight] = {}

    def join(self, key: Hashable) -> tuple[Flight, bool]:
        """Return the flight of `key`, and whether the caller leads it (and so must compute and `land` it)."""
        with self._lock:
            flight = self._under_way.get(key)
            if flight is None:
                flight = self._under_way[key] = Flight()
                return flight, True
            if flight.landed is None:
                flight.landed = threading.Event()
            return flight, False

    def land(self, key: Hashable, answer: Answer | None, error: BaseException | None = None) -> None:
        """Give everyone who waits the answer, or the error."""
        with self._lock:
            flight = self._under_way.pop(key)
        flight.answer, flight.error = answer, error
        if flight.landed is not None:
            flight.landed.set()


class Flight:
    """One computation that others may wait for; `landed` is made for the first who does."""

    __slots__ = ("answer", "error", "landed")

    def __init__(self) -> None:
        """Nothing is known yet."""
        self.landed: threading.Event | None = None
        self.answer: Answer | None = None
        self.error: BaseException | None = None

    def result(self) -> Answer:
        """Wait for the leader and return its answer, or raise its error."""
        assert self.landed is not None  # noqa: S101 - whoever doesn't lead has made it
        self.landed.wait()
        if self.error is not None:
            raise self.error
        assert self.answer is not None  # noqa: S101 - landed without an error
        return self.answer
