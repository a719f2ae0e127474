"""The memory budget over all workers of a host: room is made before a load by draining what was used least recently.

Never drains a pinned worker, a busy one, or one so new that nobody had time to ask it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable

from registry.errors import TooLargeForBudget
from registry.host.process import Worker
from registry.host.slot import Slot

NEWCOMER_SECONDS = 1.0
LOOK_AGAIN_SECONDS = 0.02


class Budget:
    """Who holds how much, and who goes first."""

    def __init__(
        self,
        limit_bytes: int,
        *,
        wait_seconds: float,
        workers: Iterable[Worker],
        slots: Callable[[], Collection[Slot]],
        evict: Callable[[Slot], Awaitable[None]],
    ) -> None:
        """`evict` drains a slot's worker and returns when its memory is back."""
        self.limit_bytes = limit_bytes
        self._wait_seconds = wait_seconds
        self._workers = workers
        self._slots = slots
        self._evict = evict
        self._promised_bytes = 0
        self._lock = asyncio.Lock()

    @property
    def used_bytes(self) -> int:
        """Return what the workers were last measured to hold."""
        return sum(worker.bytes for worker in self._workers)

    @contextlib.asynccontextmanager
    async def promise(self, needed_bytes: int) -> AsyncIterator[None]:
        """Hold room for a load under way. A mere guess over the whole budget asks for all of it. Raises TooLargeForBudget."""
        needed = min(needed_bytes, self.limit_bytes)
        await self._make_room(needed, None)
        try:
            yield
        finally:
            self._promised_bytes -= needed

    async def settle(self, worker: Worker) -> None:
        """Make room for what a fresh load turned out to hold. Raises TooLargeForBudget."""
        self.require_possible(worker.bytes)
        await self._make_room(0, worker)

    def require_possible(self, known_bytes: int) -> None:
        """Raise TooLargeForBudget for what is known to need more than there is."""
        if known_bytes > self.limit_bytes:
            raise TooLargeForBudget(
                f"The version needs {known_bytes >> 20} MiB of memory; all versions of this host together may have {self.limit_bytes >> 20} MiB.",
                retry_after_seconds=60,
            )

    def find_excess(self) -> Slot | None:
        """Return the slot to be drained when workers grew past the budget while they predicted, or None.

        A worker that is being drained has left its slot, and isn't counted: its memory comes back without another victim.
        """
        serving_bytes = sum(slot.worker.bytes for slot in self._slots() if slot.worker is not None)
        return self._least_recently_used(None) if serving_bytes > self.limit_bytes else None

    async def _make_room(self, needed_bytes: int, keep: Worker | None) -> None:
        """Drain until the bytes fit, and promise them."""
        deadline = time.monotonic() + self._wait_seconds
        async with self._lock:
            while self.used_bytes + self._promised_bytes + needed_bytes > self.limit_bytes:
                victim = self._least_recently_used(keep)
                if victim is not None:
                    await self._evict(victim)
                elif time.monotonic() > deadline:
                    raise TooLargeForBudget("Pinned and busy versions hold the memory budget of this host.", retry_after_seconds=5)
                else:
                    await asyncio.sleep(LOOK_AGAIN_SECONDS)
            self._promised_bytes += needed_bytes

    def _least_recently_used(self, keep: Worker | None) -> Slot | None:
        idle = [
            (slot.worker.activity.last_used_ns, slot)
            for slot in self._slots()
            if slot.worker is not None and slot.worker is not keep and not slot.pinned and _may_go(slot.worker)
        ]
        return min(idle, key=lambda pair: pair[0])[1] if idle else None


def _may_go(worker: Worker) -> bool:
    activity = worker.activity
    is_newcomer = activity.requests == 0 and time.monotonic() - worker.started_at < NEWCOMER_SECONDS
    return activity.busy_since_ns == 0 and not is_newcomer
