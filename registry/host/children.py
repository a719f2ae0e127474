"""Starting and ending the host process's own children (fork server, Granian, Valkey).

Each child is exec'd in a process group of its own and dies with the host process, whatever ends that. Only the
host process's single thread may start children: the death signal belongs to the thread that forked.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> None:
    """Ask the kernel to kill the calling process when its parent ends."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


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
    """Send SIGTERM, wait up to `seconds`, then SIGKILL the process group."""
    if child is None:
        return
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            kill_group(child)
    child.wait()


def kill_group(child: subprocess.Popen[bytes]) -> None:
    """SIGKILL a child's whole process group."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        child.kill()


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
