"""Children of the test process that lock themselves as workers do, try one thing, and say how it went."""

from __future__ import annotations

import contextlib
import errno
import faulthandler
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from registry.host.kernel import PR_SET_DUMPABLE, call_prctl
from registry.host.lock import Limits, lock_worker

NOBODY = 65534
MEMORY_BYTES = 256 << 20
TIMEOUT_SECONDS = 30.0

Action = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the action returned, or the error it raised, as text; and the exit status, negative for a signal."""

    text: str
    status: int

    @property
    def refused(self) -> bool:
        """Tell whether it was answered as the walls answer."""
        return self.text in {"OSError EPERM", "PermissionError EPERM", "RuntimeError can't start new thread"}


def lock_here(memory_bytes: int = MEMORY_BYTES) -> None:
    """Lock the calling child."""
    lock_worker(Limits(memory_bytes=memory_bytes, parent_pid=os.getppid(), uid=NOBODY))


def become_ordinary() -> None:
    """Be like a process that an ordinary user started: root's change of uid would leave it undumpable."""
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    call_prctl(PR_SET_DUMPABLE, 1)


def attempt(action: Action, *, locked: bool = True, ordinary: bool = False, memory_bytes: int = MEMORY_BYTES) -> Outcome:
    """Run `action` in a child, locked or not, of root's or of an ordinary user."""
    ours, theirs = socket.socketpair()  # behind the lock a pipe can't be written to
    pid = os.fork()
    if pid == 0:
        ours.close()
        _be_child(action, theirs, locked=locked, ordinary=ordinary, memory_bytes=memory_bytes)
    theirs.close()
    try:
        text = _read_all(ours)
    finally:
        ours.close()
        status = _reap(pid)
    return Outcome(text, status)


@contextlib.contextmanager
def locked_child(*, ordinary: bool = False) -> Iterator[int]:
    """Give the pid of a locked child that waits until it is killed."""
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        try:
            if ordinary:
                become_ordinary()
            lock_here()
            theirs.sendall(b"locked")
            time.sleep(TIMEOUT_SECONDS)
        finally:
            os._exit(0)
    theirs.close()
    try:
        assert ours.recv(100) == b"locked"
        yield pid
    finally:
        ours.close()
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _be_child(action: Action, report: socket.socket, *, locked: bool, ordinary: bool, memory_bytes: int) -> None:
    faulthandler.disable()  # pytest's; no worker has its handlers of signals
    try:
        if ordinary:
            become_ordinary()
        if locked:
            lock_here(memory_bytes)
        text = str(action())
    except OSError as error:
        text = f"{type(error).__name__} {errno.errorcode.get(error.errno or 0)}"
    except BaseException as error:  # noqa: BLE001 - a child must never go on with its parent's tests
        text = f"{type(error).__name__} {error}".strip()
    report.sendall(text.encode())
    os._exit(0)


def _read_all(report: socket.socket) -> str:
    read = bytearray()
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while select.select([report], [], [], max(0.0, deadline - time.monotonic()))[0]:
        chunk = report.recv(65536)
        if not chunk:
            return read.decode()
        read += chunk
    raise TimeoutError(read.decode())


def _reap(pid: int) -> int:
    """Wait for the child's end; one that is traced, or hangs, is killed."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED)
        if done and not os.WIFSTOPPED(status):
            return os.waitstatus_to_exitcode(status)
        if done:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
