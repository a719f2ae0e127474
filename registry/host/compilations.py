"""Compiled forms being made: one locked worker at a time, and one for all who ask for the same version.

Decides nothing about the form: the worker judges it, and what ended that worker is the only thing that is judged here. Lives on
the event loop of the host process.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from registry.errors import ModelyardError, VersionStarting
from registry.host.budget import Budget
from registry.host.process import ORPHANED, TIMEOUT, UNLOADED, Worker

log = logging.getLogger("modelyard.host")

#: A compilation that was killed so often is refused.
MOST_KILLED = 3
#: A form, what it is made from and what it is made of: compiling takes more than a load.
TIMES_A_LOAD = 4
#: Of a version, what its worker is told.
_TOLD = ("sha256", "flavor", "golden", "accept_skew", "signature")


class Compilations:
    """The compilations of one host."""

    def __init__(self, budget: Budget, *, start: Callable[[Path], Awaitable[Worker]], seconds: float) -> None:
        """`start` forks a locked worker over an artifact; each may take so many `seconds`."""
        self._budget = budget
        self._start = start
        self._seconds = seconds
        self._one_at_a_time = asyncio.Semaphore(1)
        self._running: dict[int, asyncio.Task[dict[str, Any]]] = {}
        self._killed: Counter[str] = Counter()

    async def make(self, spec: dict[str, Any], artifact: Path, *, guess_bytes: int, budget_bytes: int) -> dict[str, Any]:
        """Return `golden` and `report`: the one None, and the other with a reason, where there is no form.

        Raises what has nothing to do with the model: VersionStarting, SandboxUnavailable, TooLargeForBudget, ModelUnloadable without the bytes.
        """
        running = self._running.get(spec["version_id"])
        if running is None:
            job = {"job": "compile", "budget_bytes": budget_bytes, **{name: spec[name] for name in _TOLD}}
            running = asyncio.create_task(self._make(job, f"{spec['model']}/{spec['number']}", artifact, guess_bytes))
            self._running[spec["version_id"]] = running
            running.add_done_callback(lambda _: self._running.pop(spec["version_id"], None))
        return await asyncio.shield(running)

    async def _make(self, job: dict[str, Any], version: str, artifact: Path, guess_bytes: int) -> dict[str, Any]:
        async with self._one_at_a_time, self._budget.promise(TIMES_A_LOAD * guess_bytes):
            worker = await self._start(artifact)
            try:
                compiled: dict[str, Any] = (await worker.do(job, self._seconds))["compiled"]
            except ModelyardError as error:
                return _refused(error.detail)
            except EOFError:
                return self._ended(worker, version)
            finally:
                worker.kill(UNLOADED)
        return compiled

    def _ended(self, worker: Worker, version: str) -> dict[str, Any]:
        """Return the refusal for a worker that ended instead of answering; once or twice, what was killed from outside is tried again.

        The kernel kills whoever takes the last memory: a model whose compilation does that each time must not be tried for ever.
        """
        killed = worker.fate != TIMEOUT and worker.exit_status == -signal.SIGKILL
        self._killed[version] += killed
        if worker.fate == ORPHANED or (killed and self._killed[version] < MOST_KILLED):
            raise VersionStarting("Its process was ended from outside; ask again.", retry_after_seconds=1)
        log.warning("worker %d ended while it compiled %s: %s, exit status %s", worker.number, version, worker.fate, worker.exit_status)
        return _refused(f"Making it took longer than {self._seconds:g} s." if worker.fate == TIMEOUT else "Making it ended its process.")


def _refused(reason: str) -> dict[str, Any]:
    return {"golden": None, "report": {"reason": f"There is no compiled form: {reason}"}}
