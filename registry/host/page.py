"""The small memory page that a worker shares with the host process: what it does right now, without a message.

The worker writes, the host reads; the host trusts it only for eviction order, time limits and figures, since a
hostile model could write nonsense there and would hurt none but itself.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from typing import NamedTuple

_LAYOUT = struct.Struct("<QQQQQ")
PAGE_BYTES = 4096


class Activity(NamedTuple):
    """What a worker reported last. Times are CLOCK_MONOTONIC nanoseconds, 0 where there is none."""

    busy_since_ns: int
    last_used_ns: int
    requests: int
    calls: int
    waiting: int


class Page:
    """One worker's page, over an inherited memory descriptor."""

    def __init__(self, descriptor: int) -> None:
        """Map the page; the descriptor may be closed afterwards."""
        self._map = mmap.mmap(descriptor, PAGE_BYTES)

    @staticmethod
    def create() -> int:
        """Return the descriptor of a new, zeroed page."""
        descriptor = os.memfd_create("modelyard-worker-page", os.MFD_CLOEXEC)
        os.ftruncate(descriptor, PAGE_BYTES)
        return descriptor

    def read(self) -> Activity:
        """Return the latest activity; a torn read can only be off by one request."""
        return Activity(*_LAYOUT.unpack_from(self._map))

    def write(self, activity: Activity) -> None:
        """Replace the activity."""
        _LAYOUT.pack_into(self._map, 0, *activity)

    def close(self) -> None:
        """Unmap the page."""
        self._map.close()


def now_ns() -> int:
    """Return the clock of the page, shared by all processes of a host."""
    return time.monotonic_ns()
