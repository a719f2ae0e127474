"""Who is loaded on this host: one worker per version, loaded on first use, within a memory budget.

Lives on the event loop of the host process, so its state needs no locks. It never reads an artifact itself; it
hands descriptors to locked workers, and it never ends a worker that is pinned or busy to make room for another.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

from config import Config
from registry.errors import ModelUnloadable, ModelyardError, TooLargeForBudget, UnsafeArtifact, VersionStarting
from registry.host.budget import Budget
from registry.host.checks import Checks
from registry.host.compilations import Compilations
from registry.host.forklink import ForkLink
from registry.host.laps import shown
from registry.host.memory import default_budget_bytes
from registry.host.process import CRASHED, DRAINED, ORPHANED, TIMEOUT, UNLOADED, Processes, Worker
from registry.host.slot import Slot
from registry.host.watch import Watch

log = logging.getLogger("modelyard.host")

SMALLEST_GUESS_BYTES = 4 << 20
WRITTEN_BYTES = 6 << 20  # pages of the fork server's that any worker makes its own; the watch measures each worker soon
MOST_FORM_CHARACTERS = 16
END_WAIT_SECONDS = 1.0
DRAIN_GRACE_SECONDS = 5.0


class Pool:
    """All versions of the host."""

    def __init__(self, config: Config, forks: ForkLink, artifacts: Path, sockets: Path) -> None:
        """`artifacts` is the store's folder, `sockets` a short folder for the workers' sockets."""
        self._config = config
        self._forks = forks
        self._artifacts = artifacts
        self._slots: dict[int, Slot] = {}
        self._loads_at_once = asyncio.Semaphore(max(2, os.cpu_count() or 2))
        self._processes = Processes(forks, sockets, start_seconds=config.load_timeout_seconds, on_end=self._worker_ended)
        self._budget = Budget(
            int(config.memory_budget_bytes) or default_budget_bytes(),
            wait_seconds=config.load_wait_seconds,
            workers=self._processes,
            slots=self._slots.values,
            evict=lambda slot: self._drain(slot, "evictions"),
        )
        self._compilations = Compilations(self._budget, start=self._start, seconds=config.load_timeout_seconds)
        self.checks = Checks(start=self._start, seconds=config.load_timeout_seconds)
        self.counts: Counter[str] = Counter()
        self._watch = Watch(config, self._budget, self.counts, slots=self._slots.values, drain=self._drain, reload=self._reload)

    async def watch(self) -> None:
        """Kill what hangs or grows too large, end what is idle; runs until cancelled."""
        await self._watch.run()

    def note_exit(self, number: int, status: int) -> None:
        """Take down the exit status of a worker that the fork server reaped."""
        self._processes.note_exit(number, status)

    # -- what web processes ask for ------------------------------------------------------------------------------

    async def acquire(self, version_id: int, spec: dict[str, Any] | None, wait_seconds: float, gone: int | None = None) -> dict[str, Any]:
        """Return where a version's worker listens, loading it first if need be; `gone` is the worker that was met ended.

        Answers `{"spec_needed": True}` where the host has never seen the version, or was told to forget how it is loaded.
        `recovered` says once that it loads again, after a load error. Raises ModelUnloadable, VersionStarting, VersionResting,
        TooLargeForBudget, SandboxUnavailable.
        """
        slot = self._slots.get(version_id)
        if spec is not None:
            slot = self._learn(version_id, spec)
        if slot is None or (slot.outdated and slot.worker is None and slot.loading is None):
            return {"spec_needed": True}
        worker = slot.worker
        if worker is not None and worker.number == gone:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(worker.ended.wait(), END_WAIT_SECONDS)
            worker = slot.worker
        if worker is None:
            worker = await self._wait_for_load(slot, wait_seconds)
        recovered, slot.ill = slot.ill, False
        return {"worker": worker.number, "path": str(worker.socket_path), "recovered": recovered}

    async def admit(self, path: Path, manifest: dict[str, Any]) -> dict[str, Any]:
        """Let a locked worker judge the artifact at `path`. Raises what it found, or UnsafeArtifact when it did not survive."""
        async with self._loads_at_once, self._budget.promise(_first_guess(path)):
            worker = await self._start(path)
            try:
                answer = await worker.do(self._admit_job(manifest), self._config.load_timeout_seconds)
                self.counts["admissions"] += 1
                return answer
            except EOFError:
                if worker.fate == ORPHANED:
                    raise _killed() from None
                self.counts["refusals"] += 1
                log.warning("worker %d ended while it judged an upload: %s, exit status %s", worker.number, worker.fate, worker.exit_status)
                raise _refusal(worker, self._config) from None
            finally:
                worker.kill(UNLOADED)

    async def compile(self, spec: dict[str, Any]) -> dict[str, Any]:
        """Let a locked worker make a version's compiled form and judge it; several who ask at once share one worker.

        Raises what has nothing to do with the model.
        """
        path = self._artifact_path(spec["sha256"])
        compiled = await self._compilations.make(spec, path, guess_bytes=_first_guess(path), budget_bytes=self._worker_bytes())
        self.counts["compilations"] += 1
        return compiled

    async def refresh(self, version_id: int, served: dict[str, Any]) -> bool:
        """Drain a version's worker that was told at its load something else than `served`; False where none was loaded, or none needed to."""
        slot = self._slots.get(version_id)
        if slot is None or slot.outdated or all(slot.spec.get(name) == value for name, value in served.items()):
            return False
        slot.forget_failures()
        return await self.unload(version_id)

    async def unload(self, version_id: int) -> bool:
        """Drain a version's worker, and ask how it is loaded before it is loaded again; False where none was loaded."""
        slot = self._slots.get(version_id)
        if slot is None:
            return False
        slot.outdated = True
        if slot.loading is not None:
            await asyncio.wait([slot.loading], timeout=self._config.load_wait_seconds)
        if slot.worker is None:
            return False
        await self._drain(slot, "unloads")
        return True

    def forget(self, version_id: int) -> None:
        """Drop what is remembered of a version that failed, so that the next request tries at once."""
        slot = self._slots.get(version_id)
        if slot is not None:
            slot.forget_failures()

    def pin(self, version_id: int, *, pinned: bool) -> None:
        """Keep a version loaded whatever the budget says, or no longer."""
        slot = self._slots.get(version_id)
        if slot is not None:
            slot.spec = {**slot.spec, "pinned": pinned}

    async def fate(self, number: int) -> str:
        """Return how a worker ended; `alive` when it hasn't within a second."""
        return await self._processes.fate(number)

    def report(self) -> dict[str, Any]:
        """Return what is loaded, for `GET /serving` and the metrics."""
        return {
            "budget_bytes": self._budget.limit_bytes,
            "used_bytes": self._budget.used_bytes,
            "loaded": [slot.report() for slot in self._slots.values() if slot.worker or slot.loading],
            "counts": dict(self.counts),
            "walls": self._forks.walls,
            "ready": self._forks.ready.is_set(),
        }

    # -- loading -------------------------------------------------------------------------------------------------

    def _learn(self, version_id: int, spec: dict[str, Any]) -> Slot:
        slot = self._slots.get(version_id)
        if slot is None:
            slot = self._slots[version_id] = Slot(version_id, spec)
        slot.spec, slot.outdated, slot.ill = spec, False, slot.ill or bool(spec.get("load_error"))
        return slot

    async def _wait_for_load(self, slot: Slot, wait_seconds: float) -> Worker:
        if slot.loading is None:
            slot.require_awake()
            slot.loading = asyncio.create_task(self._load(slot))
            slot.loading.add_done_callback(lambda task: self._loaded(slot, task))
        try:
            return await asyncio.wait_for(asyncio.shield(slot.loading), wait_seconds)
        except TimeoutError:
            raise VersionStarting("The version is still loading; ask again.", retry_after_seconds=2) from None

    async def _reload(self, slot: Slot) -> None:
        await self._wait_for_load(slot, self._config.load_timeout_seconds)

    def _loaded(self, slot: Slot, task: asyncio.Task[Worker]) -> None:
        slot.loading = None
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            slot.take(task.result())
            if task.result().ended.is_set():
                self._worker_ended(task.result())
        elif isinstance(error, ModelUnloadable):
            slot.note_refusal(error)
            log.warning("%s does not load: %s %s", slot, error.detail, error.log_detail or "")
        elif isinstance(error, ModelyardError):
            log.warning("%s is not loaded: %s", slot, error.detail)
        else:
            log.error("loading %s failed", slot, exc_info=error)

    async def _load(self, slot: Slot) -> Worker:
        path = self._artifact_path(slot.spec["sha256"])
        self._budget.require_possible(slot.guess_bytes)
        async with self._loads_at_once, self._budget.promise(slot.guess_bytes or _first_guess(path)):
            started = time.monotonic()
            worker = await self._processes.start(path, self._lock_order(), listening=True)
            try:
                answer = await worker.do(self._load_job(slot.spec), self._config.load_timeout_seconds)
            except EOFError:
                worker.kill(CRASHED)  # it may only have closed its end, and run on
                raise self._load_failure(slot, worker) from None
            except BaseException:
                worker.kill(UNLOADED)
                raise
        worker.form = str(answer.get("form"))[:MOST_FORM_CHARACTERS]  # it may be the model's word
        worker.bytes = WRITTEN_BYTES
        worker.estimate()
        slot.guess_bytes = worker.bytes
        try:
            await self._budget.settle(worker)
        except TooLargeForBudget:
            worker.kill(UNLOADED)
            raise
        self.counts["loads"] += 1
        log.info("loaded %s in %.1f ms (%s), %d bytes", slot, 1000 * (time.monotonic() - started), shown(answer.get("laps")), worker.bytes)
        return worker

    async def _start(self, path: Path) -> Worker:
        """Fork a locked worker over a file, which answers its one job and serves nobody."""
        return await self._processes.start(path, self._lock_order(), listening=False)

    def _load_failure(self, slot: Slot, worker: Worker) -> ModelyardError:
        """Return why a version isn't loaded whose worker ended; what was killed from outside is no fault of the model."""
        if worker.fate == ORPHANED:
            return _killed()
        slot.note_crash()
        if worker.fate == TIMEOUT:
            return ModelUnloadable("Loading took too long.", log_detail="killed at load_timeout_seconds")
        if worker.exit_status == -signal.SIGKILL:
            return _killed()
        return ModelUnloadable("Loading it ended its process.", log_detail=f"exit status {worker.exit_status}")

    def _lock_order(self) -> dict[str, Any]:
        return {"sandbox": self._config.sandbox == "on", "uid": self._config.worker_uid, "memory_bytes": self._worker_bytes()}

    def _worker_bytes(self) -> int:
        return int(self._config.worker_memory_bytes or self._budget.limit_bytes)

    def _admit_job(self, manifest: dict[str, Any]) -> dict[str, Any]:
        budget = min(int(self._config.max_artifact_bytes), self._worker_bytes())  # unpacked, it may be as large as any other
        return {"job": "admit", "manifest": manifest, "budget_bytes": budget}

    def _load_job(self, spec: dict[str, Any]) -> dict[str, Any]:
        return {
            "job": "load",
            "sha256": spec["sha256"],
            "flavor": spec["flavor"],
            "runtime": spec["runtime"],
            "golden": spec["golden"],
            "fast_golden": spec["fast_golden"],
            "signature": spec["signature"],
            "accept_skew": spec["accept_skew"],
            "budget_bytes": self._worker_bytes(),
            "joins": spec["batching"] and spec["deterministic"],
            "prediction_timeout_seconds": self._config.prediction_timeout_seconds,
        }

    def _artifact_path(self, sha256: str) -> Path:
        return self._artifacts / sha256[:2] / sha256[2:4] / sha256

    # -- ending --------------------------------------------------------------------------------------------------

    def _worker_ended(self, worker: Worker) -> None:
        """Note the end of a worker that was serving; one that was being drained has left its slot before."""
        for slot in self._slots.values():
            if slot.worker is worker:
                slot.release()
                if worker.fate != ORPHANED:
                    slot.note_crash()
                self.counts[f"ended_{worker.fate}"] += 1
                log.warning("worker %d of %s ended: %s", worker.number, slot, worker.fate)

    async def _drain(self, slot: Slot, count: str) -> None:
        """Let a worker answer what it has read, and wait until its process and memory are gone."""
        worker = slot.worker
        if worker is None:
            return
        slot.release()
        self.counts[count] += 1
        worker.drain()
        try:
            await asyncio.wait_for(worker.ended.wait(), self._config.prediction_timeout_seconds + DRAIN_GRACE_SECONDS)
        except TimeoutError:
            worker.kill(TIMEOUT)
            await worker.ended.wait()
        if worker.fate == CRASHED:
            slot.note_crash()
        log.info("unloaded %s (%s)", slot, count if worker.fate == DRAINED else worker.fate)

    async def drain_all(self) -> None:
        """Drain every worker, at the end of the host process."""
        for slot in self._slots.values():
            slot.spec = {**slot.spec, "pinned": False}
        await asyncio.gather(*(self._drain(slot, "unloads") for slot in self._slots.values() if slot.worker))


def _first_guess(path: Path) -> int:
    try:
        size = path.stat().st_size
    except OSError:
        size = 0
    return max(SMALLEST_GUESS_BYTES, size)


def _killed() -> VersionStarting:
    return VersionStarting("Its process was ended from outside; ask again.", retry_after_seconds=1)


def _refusal(worker: Worker, config: Config) -> UnsafeArtifact:
    if worker.fate == TIMEOUT:
        return UnsafeArtifact(
            f"Loading it and predicting with it took longer than {config.load_timeout_seconds:g} s.",
            members={"found": [{"rule": "too-slow"}]},
        )
    return UnsafeArtifact(
        "Loading it or predicting with it ended its process. A model may compute, and nothing else.",
        members={"found": [{"rule": "ended-its-process", "exit_status": worker.exit_status}]},
    )
