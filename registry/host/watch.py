"""The pool's look at its workers, twenty times a second: kill what hangs or grows too large, end what is idle, reload what is pinned.

A round that fails is logged, and the next one comes: the host process must outlive any single worker.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection

from config import Config
from registry.host.budget import Budget
from registry.host.page import now_ns
from registry.host.process import MEMORY, TIMEOUT, Worker
from registry.host.slot import Slot

log = logging.getLogger("modelyard.host")

ROUND_SECONDS = 0.05
EXACT_SECONDS = 1.0


class Watch:
    """Looks after the workers of all slots."""

    def __init__(
        self,
        config: Config,
        budget: Budget,
        counts: Counter[str],
        *,
        slots: Callable[[], Collection[Slot]],
        drain: Callable[[Slot, str], Awaitable[None]],
        reload: Callable[[Slot], Awaitable[object]],
    ) -> None:
        """`drain(slot, count)` ends a worker gently and counts it under that name; `reload` loads a slot's version again."""
        self._budget = budget
        self._counts = counts
        self._slots = slots
        self._drain = drain
        self._reload = reload
        self._timeout_ns = int(config.prediction_timeout_seconds * 1e9)
        self._idle_ns = int(config.idle_seconds * 1e9)
        self._worker_bytes = config.worker_memory_bytes or budget.limit_bytes
        self._measured = 0
        self._due: Worker | None = None
        self._exact_after = 0.0
        self._tasks: set[asyncio.Future[object]] = set()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(ROUND_SECONDS)
            try:
                self.look()
            except Exception:
                log.exception("the watch over the workers stumbled")

    def look(self) -> None:
        """Do one round."""
        self._kill_hanging()
        self._measure_one()
        self._end_idle()
        self._reload_pinned()

    def _kill_hanging(self) -> None:
        for slot in self._slots():
            since = slot.worker.activity.busy_since_ns if slot.worker else 0
            if slot.worker and since and now_ns() - since > self._timeout_ns:
                self._counts["kills_timeout"] += 1
                slot.worker.kill(TIMEOUT)

    def _measure_one(self) -> None:
        """Look at one worker in turn, and once a second measure one exactly that worked since: either takes the loop's time."""
        loaded = [slot.worker for slot in self._slots() if slot.worker is not None]
        if not loaded:
            return
        self._measured = (self._measured + 1) % len(loaded)
        worker = self._find_due(loaded) or loaded[self._measured]
        worker.estimate()
        if worker.bytes > self._worker_bytes or worker is self._due:
            worker.measure()
        if worker.bytes > self._worker_bytes:
            self._counts["kills_memory"] += 1
            worker.kill(MEMORY)
        elif (excess := self._budget.find_excess()) is not None:
            self._begin(self._drain(excess, "evictions"))

    def _find_due(self, loaded: Collection[Worker]) -> Worker | None:
        """Return, once a second, which of those that worked since was measured exactly the longest time ago."""
        self._due = None
        if time.monotonic() >= self._exact_after:
            worked = [worker for worker in loaded if worker.measured_calls != worker.activity.calls]
            if worked:
                self._exact_after = time.monotonic() + EXACT_SECONDS
                self._due = min(worked, key=lambda worker: worker.measured_at)
        return self._due

    def _end_idle(self) -> None:
        if not self._idle_ns:
            return
        oldest = now_ns() - self._idle_ns
        for slot in self._slots():
            if slot.worker is None or slot.pinned:
                continue
            activity = slot.worker.activity
            if not activity.busy_since_ns and activity.last_used_ns < oldest:
                self._begin(self._drain(slot, "idle_ends"))

    def _reload_pinned(self) -> None:
        for slot in self._slots():
            if slot.pinned and slot.worker is None and slot.loading is None and not slot.outdated and not slot.rests:
                self._begin(self._reload(slot))

    def _begin(self, work: Awaitable[object]) -> None:
        """Let `work` go on by itself; what it raises was logged where it happened."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Future[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()
