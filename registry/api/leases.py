"""How a process takes a key's tokens in blocks, so that most requests are counted without asking anyone.

Arithmetic and bookkeeping only: no storage, no Flask. A token is used once, and never outside the window it was granted in;
what isn't used soon goes back. A block is no larger than what was used in the last tenth of a second.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import length_hint
from typing import NamedTuple

from limits import RateLimitItem

#: For so long a block may be used, and a refusal is believed, before the shared count is asked again.
LEASE_SECONDS = 0.5
#: A block is at most one part of so many of what the limit has left: twice as many as there are busy processes, commonly.
PARTS_OF_THE_REST = 8
#: Limits up to here are counted one by one, since a few tokens held elsewhere would be much of them.
LARGEST_COUNTED_SINGLY = 100
#: A process that counts fewer in a tenth of a second takes one token at a time: asking costs it next to nothing.
FEWEST_IN_A_SLICE = 8
SLICE_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Standing:
    """How a key stands with its tightest limit after a request: allowed, left, and seconds until its window ends."""

    limit: int
    remaining: int
    reset_seconds: int


class Wish(NamedTuple):
    """What is asked of the shared count of one limit: so many tokens beside the one that is needed, for so many that go back.

    `seconds` is the length of a window; `window` names the one that the `unused` tokens are of.
    """

    key: str
    limit: int
    seconds: int
    wanted: int
    unused: int
    window: int


class Grant(NamedTuple):
    """The shared count's answer: tokens granted, tokens taken by all processes together, the window's name, and seconds until it ends."""

    granted: int
    taken: int
    window: int
    seconds_left: float


class Lease:
    """A block of tokens of one window. It never changes, except that its tokens are used up, each by one thread alone.

    `tokens` gives what the limit has left after each of them. Times are those of `time.monotonic`.
    """

    __slots__ = ("ends", "granted", "left", "limit", "tokens", "usable_until", "window")

    def __init__(self, limit: int, grant: Grant, asked_at: float) -> None:
        """Count the window's seconds from before the asking: the lease ends before the window does, never after."""
        self.limit = limit
        self.granted = grant.granted
        self.left = max(0, limit - grant.taken)
        self.window = grant.window
        self.ends = asked_at + grant.seconds_left
        self.usable_until = min(self.ends, asked_at + LEASE_SECONDS)
        # An iterator's next step is taken by one thread alone, which costs less than a lock.
        self.tokens = iter(range(self.left + grant.granted - 1, self.left - 1, -1))

    def is_used_up(self, now: float) -> bool:
        """Tell whether the limit is known to have nothing left for anyone."""
        return now < self.usable_until and self.left == 0 and self.unused() == 0

    def unused(self) -> int:
        """Return how many tokens are left in this process."""
        return length_hint(self.tokens)

    def standing(self, remaining: int, now: float) -> Standing:
        """Return what a caller is told; `remaining` is negative for one who is refused."""
        return Standing(self.limit, remaining, max(1, int(self.ends - now + 0.999)))


class Share:
    """One process's part of one limit of a key. Only `lease` is read without the lock of its account."""

    __slots__ = ("_in_last_slice", "_slice_began", "_used", "item", "key", "lease", "limit", "seconds")

    def __init__(self, item: RateLimitItem, key: str) -> None:
        """Start with nothing; `key` names the limit's count in the storage."""
        self.item = item
        self.key = key
        self.limit = int(item.amount)
        self.seconds = int(item.get_expiry())
        self.lease = Lease(self.limit, Grant(0, 0, 0, 0.0), -math.inf)
        self._slice_began = -math.inf
        self._used = self._in_last_slice = 0

    def is_empty(self, now: float) -> bool:
        """Tell whether the next request has to ask."""
        lease = self.lease
        return now >= lease.usable_until or lease.unused() == 0

    def holds_any(self, now: float) -> bool:
        """Tell whether tokens lie here, usable or not, whose window goes on."""
        return now < self.lease.ends and self.lease.unused() > 0

    def has_stale(self, now: float) -> bool:
        """Tell whether tokens lie here that can't be used any more, but by others, in the same window."""
        return self.lease.usable_until <= now and self.holds_any(now)

    def wish(self, now: float) -> Wish:
        """Empty the lease and return what to ask for: as many as were used in the last slice, and those unused taken back."""
        lease = self.lease
        unused = len(list(lease.tokens))  # each token goes here or to a thread that was faster
        lately = self._used_lately(now, lease.granted - unused)
        wanted = lately if self.limit > LARGEST_COUNTED_SINGLY and lately >= FEWEST_IN_A_SLICE else 0
        return Wish(self.key, self.limit, self.seconds, wanted, unused, lease.window)

    def give_back(self) -> Wish:
        """Empty the lease and return the wish that only takes its tokens back."""
        lease = self.lease
        unused = len(list(lease.tokens))
        lease.granted -= unused
        return Wish(self.key, self.limit, self.seconds, 0, unused, lease.window)

    def receive(self, grant: Grant, asked_at: float) -> tuple[int, Lease]:
        """Put a block in the place of the last one; return what is left after its first token, which is the caller's: -1 for none."""
        lease = Lease(self.limit, grant, asked_at)
        remaining = next(lease.tokens, -1)
        self.lease = lease
        return remaining, lease

    def _used_lately(self, now: float, used: int) -> int:
        """Return what was used in the last slice, or in this one where that is more already."""
        self._used += used
        seconds = now - self._slice_began
        if seconds < SLICE_SECONDS:
            return max(self._used, self._in_last_slice)
        self._in_last_slice = int(self._used * SLICE_SECONDS / seconds)
        self._used, self._slice_began = 0, now
        return self._in_last_slice


class Account:
    """The shares of one key, and the order among threads that find one empty: one asks, for all that wait."""

    __slots__ = ("_gate", "_waiting", "lock", "shares", "texts")

    def __init__(self, texts: tuple[str, ...], shares: tuple[Share, ...]) -> None:
        """`texts` are the limits as the key has them, `shares` the same, the shortest window first."""
        self.texts = texts
        self.shares = shares
        #: Held while the shared count is asked.
        self.lock = threading.Lock()
        self._gate = threading.Lock()
        self._waiting = 0

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """Wait for the lock, counted among those who wait."""
        with self._gate:
            self._waiting += 1
        try:
            with self.lock:
                yield
        finally:
            with self._gate:
                self._waiting -= 1

    def needed(self) -> int:
        """Return how many tokens would be used at once: one for each thread that waits."""
        return max(1, self._waiting)
