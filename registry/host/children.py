"""Starting and ending the host process's own children (fork server, Granian, Valkey).

Each child is exec'd in a process group of its own and dies with the host process, whatever ends that. Only the
host process's single thread may start children: the death signal belongs to the thread that forked.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger("modelyard.host")

LONGEST_BACKOFF_SECONDS = 10.0
STEADY_SECONDS = 10.0
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> None:
    """Ask the kernel to kill the calling process when its parent ends."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


@dataclass(eq=False)
class Child:
    """One supervised process: how to start it, and when it was last restarted."""

    name: str
    start: Callable[[], subprocess.Popen[bytes]]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    restarts: int = 0
    backoff_seconds: float = 0.0
    retry_at: float = 0.0

    def ensure(self) -> bool:
        """Start it again when it has ended and the back-off is over; tell whether it was started. Raises what `start` raises."""
        now = time.monotonic()
        if self.process is not None and self.retry_at == 0.0:
            if self.process.poll() is None:
                return False
            kill_group(self.process)  # what it left behind would hold its port
            self._back_off(steady=now - self.started_at > STEADY_SECONDS)
            log.warning("%s ended with status %s; restarting in %.2f s", self.name, self.process.returncode, self.backoff_seconds)
        if now < self.retry_at:
            return False
        try:
            process = self.start()
        except BaseException:
            self._back_off(steady=False)
            raise
        self.restarts += self.process is not None
        self.process, self.started_at, self.retry_at = process, now, 0.0
        return True

    def _back_off(self, *, steady: bool) -> None:
        self.backoff_seconds = 0.0 if steady else min(LONGEST_BACKOFF_SECONDS, max(0.25, 2 * self.backoff_seconds))
        self.retry_at = time.monotonic() + self.backoff_seconds


def start_child(
    command: Sequence[str], *, environment: dict[str, str], folder: Path, keep: Sequence[int] = (), log: int | None = None
) -> subprocess.Popen[bytes]:
    """Exec `command` in a process group of its own; `keep` are descriptors that it inherits, `log` takes its output."""
    return subprocess.Popen(  # noqa: S603 - our own command lines, no shell
        list(command),
        env=environment,
        cwd=folder,
        pass_fds=tuple(keep),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        process_group=0,
        preexec_fn=die_with_parent,  # noqa: PLW1509 - the host process has one thread
    )


def end_child(child: subprocess.Popen[bytes] | None, seconds: float) -> None:
    """Send SIGTERM, wait up to `seconds`, then SIGKILL whatever is left of its process group."""
    if child is None:
        return
    if child.poll() is None:
        child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(seconds)
    kill_group(child)
    child.wait()


def kill_group(child: subprocess.Popen[bytes]) -> None:
    """SIGKILL whatever is left of a child's process group; its number can't be another's while it has members."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def reap_strangers(known: set[int]) -> None:
    """Reap orphans that were handed to us as process 1 of a container."""
    if os.getpid() != 1:
        return
    while True:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if found is None or found.si_pid in known:
            return
        os.waitpid(found.si_pid, os.WNOHANG)


def wait_for_file(path: Path, child: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait until `path` exists; False when the child ended or the time is over first."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and child.poll() is None:
        if path.exists():
            return True
        time.sleep(0.01)
    return path.exists() and child.poll() is None
