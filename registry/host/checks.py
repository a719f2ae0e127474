"""Checks of uploads that haven't come: a fresh locked worker for each, with nothing to read, one at a time.

Judges nothing itself, and hands what was announced on unread. A check takes neither the place nor the memory of a load, and never
has a version unloaded.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from registry.errors import ServerBusy, VersionStarting
from registry.host.process import UNLOADED, Worker

#: In place of an artifact.
NOTHING = Path(os.devnull)
#: So many checks wait for each other; each takes some ten milliseconds.
MOST_WAITING = 32


class Checks:
    """The checks of one host."""

    def __init__(self, *, start: Callable[[Path], Awaitable[Worker]], seconds: float) -> None:
        """`start` forks a locked worker over a file; each check may take so many `seconds`."""
        self._start = start
        self._seconds = seconds
        self._one_at_a_time = asyncio.Semaphore(1)
        self._under_way = 0

    async def check(self, told: dict[str, Any]) -> None:
        """Raise what an upload that is as `told` would be refused for; ServerBusy, VersionStarting and SandboxUnavailable where nobody can say."""
        if self._under_way > MOST_WAITING:
            raise ServerBusy("Too many uploads are being checked.", retry_after_seconds=1)
        self._under_way += 1
        try:
            async with self._one_at_a_time:
                await self._ask(told)
        finally:
            self._under_way -= 1

    async def _ask(self, told: dict[str, Any]) -> None:
        worker = await self._start(NOTHING)
        try:
            await worker.do({"job": "check", "told": told}, self._seconds)
        except EOFError:  # nothing that it was told can be the reason
            raise VersionStarting("The process that checks ended early; ask again.", retry_after_seconds=1) from None
        finally:
            worker.kill(UNLOADED)
