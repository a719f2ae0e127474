"""Worker processes as the host process sees them: started through the fork server, given one job, watched until they end.

Which version a worker holds, and whether it was worth its memory, is the pool's affair. Nothing here reads an artifact;
its descriptor goes to the locked worker.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from registry import frames
from registry.errors import ModelUnloadable, from_wire
from registry.host.forklink import ForkLink
from registry.host.memory import anonymous_bytes, private_bytes
from registry.host.page import Activity, Page, now_ns

MAX_ANSWER_BYTES = 64 << 20  # an admission with its golden predictions; a hostile model could announce anything
REMEMBERED_FATES = 1000
STATUS_WAIT_SECONDS = 1.0

#: How a worker ended. What it did not answer was certainly not computed after DRAINED, and is no fault of the model after ORPHANED.
DRAINED, ORPHANED, CRASHED, TIMEOUT, MEMORY, UNLOADED = "drained", "orphaned", "crashed", "timeout", "memory", "unloaded"


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
    reaped: asyncio.Event = field(default_factory=asyncio.Event)
    exit_status: int | None = None
    fate: str = CRASHED
    bytes: int = 0
    form: str = ""
    anonymous_bytes: int = 0
    measured_calls: int = -1
    measured_at: float = 0.0
    started_at: float = field(default_factory=time.monotonic)
    last: Activity = field(default=Activity(0, 0, 0, 0, 0))

    @property
    def activity(self) -> Activity:
        """Return what it reported last, also after its end."""
        return self.last if self.ended.is_set() else self.page.read()

    def estimate(self) -> None:
        """Let `bytes` follow how its memory grew since it was looked at last. Pages that it made its own by writing to them don't show."""
        now = anonymous_bytes(self.pid)
        if now is not None:
            self.bytes = max(0, self.bytes + now - self.anonymous_bytes)
            self.anonymous_bytes = now

    def measure(self) -> None:
        """Find out exactly what ending it would give back, which takes the kernel 10 ms or more."""
        self.measured_calls, self.measured_at = self.activity.calls, time.monotonic()
        self.anonymous_bytes = anonymous_bytes(self.pid) or self.anonymous_bytes
        self.bytes = private_bytes(self.pid) or self.bytes

    def kill(self, fate: str) -> None:
        """End it now; its requests get the error that belongs to `fate`."""
        if not self.ended.is_set():
            self.fate = fate
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def drain(self) -> None:
        """Ask it to answer what it has read, and to end; nobody finds its socket any more."""
        self.fate = DRAINED
        if self.socket_path is not None:
            self.socket_path.unlink(missing_ok=True)
        with contextlib.suppress(ConnectionError):
            self.writer.write(frames.encode_frame({"drain": True}))

    async def do(self, job: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Give it its job and return the answer. Raises what it found, EOFError when it ended instead or was ended after `seconds`."""
        try:
            self.writer.write(frames.encode_frame(job))
            async with asyncio.timeout(seconds):
                await self.writer.drain()
                header, _ = frames.decode_frame(await frames.read_frame(self.reader, MAX_ANSWER_BYTES))
        except (TimeoutError, frames.FrameError) as error:
            self.kill(TIMEOUT if isinstance(error, TimeoutError) else CRASHED)
            await self._known()
            raise EOFError from None
        except (asyncio.IncompleteReadError, ConnectionError):
            await self._known()
            raise EOFError from None
        if "error" in header:
            raise from_wire(header)
        return header

    async def _known(self) -> None:
        """Wait until it is known that and how it ended."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(self.ended.wait(), self.reaped.wait()), STATUS_WAIT_SECONDS)


class Processes:
    """All worker processes of the host that run."""

    def __init__(self, forks: ForkLink, sockets: Path, *, start_seconds: float, on_end: Callable[[Worker], None]) -> None:
        """`sockets` is a short folder for the workers' sockets; `on_end` hears once of each worker that is gone."""
        self._forks = forks
        self._sockets = sockets
        self._start_seconds = start_seconds
        self._on_end = on_end
        self._running: dict[int, Worker] = {}
        self._unreaped: dict[int, Worker] = {}
        self._fates: dict[int, str] = {}
        self._next_number = 1

    def __iter__(self) -> Iterator[Worker]:
        """Iterate over the workers that run."""
        return iter(self._running.values())

    async def start(self, artifact: Path, lock_order: dict[str, Any], *, listening: bool) -> Worker:
        """Fork a locked worker over an artifact. Raises ModelUnloadable without one, VersionStarting, SandboxUnavailable."""
        number = self._next_number
        self._next_number += 1
        socket_path = self._sockets / f"w{number}.sock" if listening else None
        with contextlib.ExitStack() as failed:
            ours, page, pid, pidfd = await self._fork(number, artifact, socket_path, lock_order, failed)
            reader, writer = await asyncio.open_unix_connection(sock=ours, limit=frames.MAX_FRAME_BYTES)
            failed.pop_all()
        worker = Worker(number, pid, pidfd, socket_path, page, reader, writer, anonymous_bytes=anonymous_bytes(pid) or 0)
        self._running[number] = self._unreaped[number] = worker
        asyncio.get_running_loop().add_reader(pidfd, self._ended, worker)
        return worker

    async def fate(self, number: int) -> str:
        """Return how a worker ended, or `alive` when it hasn't within a second."""
        worker = self._running.get(number)
        if worker is None:
            return self._fates.get(number, CRASHED)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(worker.ended.wait(), STATUS_WAIT_SECONDS)
        return worker.fate if worker.ended.is_set() else "alive"

    def note_exit(self, number: int, status: int) -> None:
        """Take down the exit status that the fork server reaped."""
        worker = self._unreaped.pop(number, None)
        if worker is not None:
            worker.exit_status = status
            worker.reaped.set()

    async def _fork(
        self, number: int, artifact: Path, socket_path: Path | None, lock_order: dict[str, Any], failed: contextlib.ExitStack
    ) -> tuple[socket.socket, Page, int, int]:
        """Open what the worker inherits and fork it; `failed` undoes what stays open here."""
        began_ns = now_ns()
        ours, theirs = socket.socketpair()
        failed.callback(ours.close)
        with contextlib.ExitStack() as handed_over:
            handed_over.callback(theirs.close)
            page_fd = Page.create()
            handed_over.callback(os.close, page_fd)
            artifact_fd = _open_artifact(artifact)
            handed_over.callback(os.close, artifact_fd)
            descriptors = [artifact_fd, theirs.fileno(), page_fd]
            if socket_path is not None:
                failed.callback(socket_path.unlink, missing_ok=True)
                listener = _listen(socket_path)
                handed_over.callback(listener.close)
                descriptors.append(listener.fileno())
            pid, pidfd = await self._forks.fork(number, {"lock": lock_order, "began_ns": began_ns}, descriptors, self._start_seconds)
            failed.callback(os.close, pidfd)
            return ours, Page(page_fd), pid, pidfd

    def _ended(self, worker: Worker) -> None:
        """Run once per worker, when its pidfd says that the process is gone."""
        asyncio.get_running_loop().remove_reader(worker.pidfd)
        os.close(worker.pidfd)
        worker.last = worker.page.read()
        worker.page.close()
        worker.ended.set()
        worker.writer.close()
        if worker.socket_path is not None:
            worker.socket_path.unlink(missing_ok=True)
        if not self._forks.alive:
            worker.fate = ORPHANED
            self._unreaped.pop(worker.number, None)
            worker.reaped.set()
        elif worker.fate == DRAINED and worker.last.busy_since_ns:
            worker.fate = CRASHED  # it was to answer first, and did not come to it
        self._running.pop(worker.number, None)
        self._fates[worker.number] = worker.fate
        while len(self._fates) > REMEMBERED_FATES:
            self._fates.pop(next(iter(self._fates)))
        self._on_end(worker)


def _open_artifact(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise ModelUnloadable("The artifact's bytes are missing on this host.", log_detail=f"{path}: {error.strerror}") from None


def _listen(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        path.chmod(0o600)
        listener.listen(512)
    except BaseException:
        listener.close()
        raise
    return listener
