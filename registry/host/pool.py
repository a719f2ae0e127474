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
import socket
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from config import Config
from registry import frames
from registry.errors import (
    ModelUnloadable,
    ModelyardError,
    TooLargeForBudget,
    UnsafeArtifact,
    VersionResting,
    VersionStarting,
    from_wire,
)
from registry.host.forklink import ForkLink
from registry.host.memory import default_budget_bytes, private_bytes
from registry.host.page import Page, now_ns

log = logging.getLogger("modelyard.host")

CRASHES_BEFORE_REST = 3
CRASH_MEMORY_SECONDS = 60.0
LONGEST_REST_SECONDS = 60.0
REFUSED_LOAD_REST_SECONDS = 5.0
REMEMBERED_FATES = 1000
FIRST_GUESS_FACTOR = 2
SMALLEST_GUESS_BYTES = 4 << 20


@dataclass(eq=False)
class Worker:
    """One worker process: loading, ready, draining or ended."""

    number: int
    pid: int
    pidfd: int
    socket_path: Path | None
    page: Page
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    exit_status: int | None = None
    fate: str = "crashed"
    bytes: int = 0
    started_at: float = field(default_factory=time.monotonic)

    def kill(self, fate: str) -> None:
        """End it now; its requests get the error that belongs to `fate`."""
        self.fate = fate
        with contextlib.suppress(ProcessLookupError, OSError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)


@dataclass(eq=False)
class Slot:
    """What the host knows of one version: how to load it, its worker, and how often it failed."""

    spec: dict[str, Any]
    worker: Worker | None = None
    loading: asyncio.Task[Worker] | None = None
    guess_bytes: int = 0
    loads: int = 0
    crashes: list[float] = field(default_factory=list)
    refused: ModelyardError | None = None
    rest_until: float = 0.0
    served_before: int = 0

    @property
    def pinned(self) -> bool:
        """Tell whether it must stay loaded."""
        return bool(self.spec["pinned"])


class Pool:
    """All workers of the host."""

    def __init__(self, config: Config, forks: ForkLink, artifacts: Path, sockets: Path) -> None:
        """`artifacts` is the store's folder, `sockets` a short folder for the workers' sockets."""
        self._config = config
        self._forks = forks
        self._artifacts = artifacts
        self._sockets = sockets
        self._slots: dict[int, Slot] = {}
        self._workers: dict[int, Worker] = {}
        self._fates: dict[int, str] = {}
        self._next_number = 1
        self._loads_at_once = asyncio.Semaphore(max(2, os.cpu_count() or 2))
        self._room = asyncio.Lock()
        self._measure_next = 0
        self.budget_bytes = config.memory_budget_bytes or default_budget_bytes()
        self.counts: Counter[str] = Counter()

    # -- what web processes ask for ------------------------------------------------------------------------------

    async def acquire(self, version_id: int, spec: dict[str, Any] | None, wait_seconds: float) -> dict[str, Any]:
        """Return where a version's worker listens, loading it first if need be.

        Answers `{"spec_needed": True}` where the host has never seen the version. Raises ModelUnloadable,
        VersionStarting, VersionResting, TooLargeForBudget, SandboxUnavailable.
        """
        slot = self._slots.get(version_id)
        if spec is not None:
            if slot is None:
                slot = self._slots[version_id] = Slot(spec)
            else:
                slot.spec = spec
        if slot is None:
            return {"spec_needed": True}
        worker = slot.worker
        if worker is None:
            worker = await self._wait_for_load(slot, wait_seconds)
        return {"worker": worker.number, "path": str(worker.socket_path)}

    async def admit(self, path: Path, manifest: dict[str, Any]) -> dict[str, Any]:
        """Let a locked worker judge the artifact at `path`. Raises what it found, or UnsafeArtifact when it did not survive."""
        async with self._loads_at_once:
            worker = await self._start_worker(path, listening=False)
            try:
                answer = await self._job(worker, {"job": "admit", "manifest": manifest})
                self.counts["admissions"] += 1
                return answer
            except EOFError:
                self.counts["refusals"] += 1
                raise _refusal(worker, self._config) from None
            finally:
                worker.kill("unloaded")

    async def unload(self, version_id: int) -> bool:
        """Drain a version's worker; False where none was loaded."""
        slot = self._slots.get(version_id)
        if slot is None or slot.worker is None:
            return False
        await self._drain(slot, "unloads")
        return True

    def forget(self, version_id: int) -> None:
        """Drop what is remembered of a version that failed, so that the next request tries at once."""
        slot = self._slots.get(version_id)
        if slot is not None:
            slot.refused, slot.rest_until, slot.crashes = None, 0.0, []

    def pin(self, version_id: int, *, pinned: bool) -> None:
        """Keep a version loaded whatever the budget says, or no longer."""
        slot = self._slots.get(version_id)
        if slot is not None:
            slot.spec = {**slot.spec, "pinned": pinned}

    async def fate(self, number: int) -> str:
        """Return how a worker ended: drained, crashed, timeout or memory; `alive` when it hasn't within a second."""
        worker = self._workers.get(number)
        if worker is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(worker.ended.wait(), 1.0)
        return self._fates.get(number, "alive" if worker is not None else "crashed")

    def report(self) -> dict[str, Any]:
        """Return what is loaded, for `GET /serving` and the metrics."""
        loaded = [self._report_slot(version_id, slot) for version_id, slot in self._slots.items() if slot.worker or slot.loading]
        return {
            "budget_bytes": self.budget_bytes,
            "used_bytes": self._used_bytes(),
            "loaded": loaded,
            "counts": dict(self.counts),
            "walls": self._forks.walls,
            "ready": self._forks.ready.is_set(),
        }

    # -- loading -------------------------------------------------------------------------------------------------

    async def _wait_for_load(self, slot: Slot, wait_seconds: float) -> Worker:
        if slot.loading is None:
            _require_awake(slot)
            slot.loading = asyncio.create_task(self._load(slot))
            slot.loading.add_done_callback(lambda task: self._loaded(slot, task))
        try:
            return await asyncio.wait_for(asyncio.shield(slot.loading), wait_seconds)
        except TimeoutError:
            raise VersionStarting("The version is still loading; ask again.", retry_after_seconds=2) from None

    def _loaded(self, slot: Slot, task: asyncio.Task[Worker]) -> None:
        slot.loading = None
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            slot.worker, slot.refused = task.result(), None
            if slot.worker.ended.is_set():
                slot.worker = None
        elif isinstance(error, ModelUnloadable):
            slot.refused = error
            slot.rest_until = time.monotonic() + REFUSED_LOAD_REST_SECONDS
        elif not isinstance(error, ModelyardError):
            log.error("loading %s/%s failed", slot.spec["model"], slot.spec["number"], exc_info=error)

    async def _load(self, slot: Slot) -> Worker:
        path = self._artifact_path(slot.spec["sha256"])
        guess = slot.guess_bytes or max(SMALLEST_GUESS_BYTES, FIRST_GUESS_FACTOR * _size_of(path))
        async with self._loads_at_once:
            await self._make_room(guess, slot)
            started = time.monotonic()
            worker = await self._start_worker(path, listening=True)
            try:
                await self._job(worker, _load_job(slot.spec))
            except EOFError:
                worker.kill(worker.fate)
                self._note_crash(slot)
                raise _load_failure(worker) from None
            except BaseException:
                worker.kill("unloaded")
                raise
            worker.bytes = slot.guess_bytes = private_bytes(worker.pid) or guess
            slot.loads += 1
            self.counts["loads"] += 1
            await self._fit(worker)
            log.info(
                "loaded %s/%s in %.0f ms, %d bytes",
                slot.spec["model"], slot.spec["number"], 1000 * (time.monotonic() - started), worker.bytes,
            )  # fmt: skip
            return worker

    async def _fit(self, worker: Worker) -> None:
        """Make room for what a fresh load turned out to need, or end it. Raises TooLargeForBudget."""
        try:
            await self._make_room(0, None, keep=worker)
        except TooLargeForBudget:
            worker.kill("unloaded")
            raise

    async def _start_worker(self, artifact: Path, *, listening: bool) -> Worker:
        number = self._next_number
        self._next_number += 1
        socket_path = self._sockets / f"w{number}.sock" if listening else None
        with contextlib.ExitStack() as handed_over:
            ours, theirs = socket.socketpair()
            handed_over.callback(theirs.close)
            page_fd = Page.create()
            handed_over.callback(os.close, page_fd)
            artifact_fd = _open_artifact(artifact)
            handed_over.callback(os.close, artifact_fd)
            descriptors = [artifact_fd, theirs.fileno(), page_fd]
            if socket_path is not None:
                listener = _listen(socket_path)
                handed_over.callback(listener.close)
                descriptors.append(listener.fileno())
            try:
                pid, pidfd = await self._forks.fork(number, {"lock": self._lock_order()}, descriptors, self._config.load_timeout_seconds)
            except BaseException:
                ours.close()
                raise
            page = Page(page_fd)
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=frames.MAX_FRAME_BYTES)
        worker = Worker(number, pid, pidfd, socket_path, page, reader, writer)
        self._workers[number] = worker
        asyncio.get_running_loop().add_reader(pidfd, self._worker_ended, worker)
        return worker

    def _lock_order(self) -> dict[str, Any]:
        limit = self._config.worker_memory_bytes or self.budget_bytes
        return {
            "sandbox": self._config.sandbox == "on",
            "uid": self._config.worker_uid,
            "memory_bytes": int(limit),
        }

    async def _job(self, worker: Worker, job: dict[str, Any]) -> dict[str, Any]:
        """Give a worker its job and return its answer. Raises what the worker found, EOFError when it ended instead."""
        try:
            worker.writer.write(frames.encode_frame(job))
            async with asyncio.timeout(self._config.load_timeout_seconds):
                await worker.writer.drain()
                length = int.from_bytes(await worker.reader.readexactly(4), "little")
                header, _ = frames.decode_frame(await worker.reader.readexactly(length))
        except TimeoutError:
            worker.kill("timeout")
            raise EOFError from None
        except (asyncio.IncompleteReadError, ConnectionError):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(worker.ended.wait(), 1.0)
            raise EOFError from None
        if "error" in header:
            raise from_wire(header)
        return header

    # -- ending --------------------------------------------------------------------------------------------------

    def _worker_ended(self, worker: Worker) -> None:
        """Run once per worker, when its pidfd says that the process is gone."""
        asyncio.get_running_loop().remove_reader(worker.pidfd)
        os.close(worker.pidfd)
        worker.ended.set()
        worker.writer.close()
        if worker.socket_path is not None:
            worker.socket_path.unlink(missing_ok=True)
        self._workers.pop(worker.number, None)
        self._fates[worker.number] = worker.fate
        while len(self._fates) > REMEMBERED_FATES:
            self._fates.pop(next(iter(self._fates)))
        for slot in self._slots.values():
            if slot.worker is worker:
                slot.worker = None
                slot.served_before += worker.page.read().requests
                self._note_crash(slot)
                self.counts[f"ended_{worker.fate}"] += 1
                log.warning("worker %d of %s/%s ended: %s", worker.number, slot.spec["model"], slot.spec["number"], worker.fate)
                if slot.pinned and slot.rest_until < time.monotonic():
                    self._reload(slot)
        worker.page.close()

    def note_exit(self, number: int, status: int) -> None:
        """Take down the exit status that the fork server reaped."""
        worker = self._workers.get(number)
        if worker is not None:
            worker.exit_status = status

    def _note_crash(self, slot: Slot) -> None:
        now = time.monotonic()
        slot.crashes = [at for at in slot.crashes if now - at < CRASH_MEMORY_SECONDS] + [now]
        excess = len(slot.crashes) - CRASHES_BEFORE_REST
        if excess >= 0:
            slot.rest_until = now + min(LONGEST_REST_SECONDS, 2.0 ** (excess + 1))

    def _reload(self, slot: Slot) -> None:
        task = asyncio.create_task(self._wait_for_load(slot, self._config.load_timeout_seconds))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _drain(self, slot: Slot, count: str) -> None:
        """Let a worker answer what it has read, and wait until its process and memory are gone."""
        worker = slot.worker
        if worker is None:
            return
        slot.worker = None
        slot.served_before += worker.page.read().requests
        worker.fate = "drained"
        self.counts[count] += 1
        if worker.socket_path is not None:
            worker.socket_path.unlink(missing_ok=True)
        with contextlib.suppress(ConnectionError):
            worker.writer.write(frames.encode_frame({"drain": True}))
        try:
            await asyncio.wait_for(worker.ended.wait(), self._config.prediction_timeout_seconds + 5)
        except TimeoutError:
            worker.kill("timeout")
            await worker.ended.wait()
        log.info("unloaded %s/%s (%s)", slot.spec["model"], slot.spec["number"], count)

    async def drain_all(self) -> None:
        """Drain every worker, at the end of the host process."""
        for slot in self._slots.values():
            slot.spec = {**slot.spec, "pinned": False}
        await asyncio.gather(*(self._drain(slot, "unloads") for slot in self._slots.values() if slot.worker))

    # -- budget --------------------------------------------------------------------------------------------------

    def _used_bytes(self) -> int:
        return sum(worker.bytes for worker in self._workers.values())

    async def _make_room(self, needed: int, slot: Slot | None, *, keep: Worker | None = None) -> None:
        """Drain least recently used workers until `needed` more bytes fit. Raises TooLargeForBudget."""
        if slot is not None and slot.guess_bytes > self.budget_bytes:
            raise _too_large(slot.guess_bytes, self.budget_bytes)
        if keep is not None and keep.bytes > self.budget_bytes:
            raise _too_large(keep.bytes, self.budget_bytes)
        deadline = time.monotonic() + self._config.load_wait_seconds
        async with self._room:
            while self._used_bytes() + min(needed, self.budget_bytes) > self.budget_bytes:
                victim = self._least_recently_used(keep)
                if victim is not None:
                    await self._drain(victim, "evictions")
                elif time.monotonic() > deadline:
                    raise TooLargeForBudget("Pinned and busy versions hold the memory budget of this host.", retry_after_seconds=5)
                else:
                    await asyncio.sleep(0.02)

    def _least_recently_used(self, keep: Worker | None) -> Slot | None:
        idle = [
            (activity.last_used_ns, slot)
            for slot in self._slots.values()
            if slot.worker is not None and slot.worker is not keep and not slot.pinned
            and (activity := slot.worker.page.read()).busy_since_ns == 0
        ]  # fmt: skip
        return min(idle, key=lambda pair: pair[0])[1] if idle else None

    # -- watching ------------------------------------------------------------------------------------------------

    async def watch(self) -> None:
        """Kill what hangs or grows too large, end what is idle; runs until cancelled."""
        while True:
            await asyncio.sleep(0.05)
            self._kill_hanging()
            self._measure()
            self._end_idle()

    def _kill_hanging(self) -> None:
        limit_ns = int(self._config.prediction_timeout_seconds * 1e9)
        for slot in self._slots.values():
            if slot.worker is None:
                continue
            since = slot.worker.page.read().busy_since_ns
            if since and now_ns() - since > limit_ns:
                self.counts["kills_timeout"] += 1
                slot.worker.kill("timeout")

    def _measure(self) -> None:
        """Measure one worker in turn: reading the figures of all at once would hold the loop."""
        loaded = [slot.worker for slot in self._slots.values() if slot.worker is not None]
        if not loaded:
            return
        self._measure_next = (self._measure_next + 1) % len(loaded)
        worker = loaded[self._measure_next]
        worker.bytes = private_bytes(worker.pid) or worker.bytes
        limit = self._config.worker_memory_bytes or self.budget_bytes
        if worker.bytes > limit:
            self.counts["kills_memory"] += 1
            worker.kill("memory")

    def _end_idle(self) -> None:
        if not self._config.idle_seconds:
            return
        oldest = now_ns() - int(self._config.idle_seconds * 1e9)
        for slot in self._slots.values():
            if slot.worker is None or slot.pinned:
                continue
            activity = slot.worker.page.read()
            if not activity.busy_since_ns and activity.last_used_ns < oldest:
                task = asyncio.create_task(self._drain(slot, "idle_ends"))
                task.add_done_callback(lambda done: done.cancelled() or done.exception())

    def _report_slot(self, version_id: int, slot: Slot) -> dict[str, Any]:
        worker = slot.worker
        activity = worker.page.read() if worker else None
        return {
            "version_id": version_id,
            "model": slot.spec["model"],
            "version": slot.spec["number"],
            "state": "ready" if worker else "loading",
            "pinned": slot.pinned,
            "pid": worker.pid if worker else None,
            "bytes": worker.bytes if worker else 0,
            "requests": slot.served_before + (activity.requests if activity else 0),
            "calls": activity.calls if activity else 0,
            "waiting": activity.waiting if activity else 0,
            "idle_seconds": round((now_ns() - activity.last_used_ns) / 1e9, 3) if activity else None,
        }

    def _artifact_path(self, sha256: str) -> Path:
        return self._artifacts / sha256[:2] / sha256[2:4] / sha256


def _load_job(spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "job": "load",
        "sha256": spec["sha256"],
        "flavor": spec["flavor"],
        "golden": spec["golden"],
        "joins": spec["batching"] and spec["deterministic"],
    }


def _require_awake(slot: Slot) -> None:
    rest = slot.rest_until - time.monotonic()
    if rest <= 0:
        return
    if slot.refused is not None:
        raise slot.refused
    raise VersionResting(
        f"Its worker ended unexpectedly {len(slot.crashes)} times; it is tried again in {rest:.0f} s.", retry_after_seconds=max(1.0, rest)
    )


def _open_artifact(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise ModelUnloadable("The artifact's bytes are missing on this host.", log_detail=f"{path}: {error.strerror}") from None


def _listen(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(512)
    return listener


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _too_large(needed: int, budget: int) -> TooLargeForBudget:
    return TooLargeForBudget(
        f"The version needs {needed >> 20} MiB of memory; all versions of this host together may have {budget >> 20} MiB.",
        retry_after_seconds=60,
    )


def _load_failure(worker: Worker) -> ModelyardError:
    if worker.fate == "timeout":
        return ModelUnloadable("Loading took too long.", log_detail="killed at load_timeout_seconds")
    return ModelUnloadable("Loading it ended its process.", log_detail=f"exit status {worker.exit_status}")


def _refusal(worker: Worker, config: Config) -> UnsafeArtifact:
    if worker.fate == "timeout":
        return UnsafeArtifact(
            f"Loading it and predicting with it took longer than {config.load_timeout_seconds:g} s.",
            members={"found": [{"rule": "too-slow"}]},
        )
    return UnsafeArtifact(
        "Loading it or predicting with it ended its process. A model may compute, and nothing else.",
        members={"found": [{"rule": "ended-its-process", "exit_status": worker.exit_status}]},
    )
