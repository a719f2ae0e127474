"""The lock of a worker: the order of its walls, and the test that each of them stands on this machine.

Called in a fresh child of the fork server, before it has read a byte of an artifact. No layer alone is enough; what
can't be put up raises, and a worker never runs half locked. This limits the damage of a malicious model; it is no
virtual-machine boundary.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, NoReturn

from registry.host import canaries, landlock, seccomp, walls
from registry.host.canaries import Canary
from registry.host.walls import Limits, LockError

__all__ = ["Limits", "LockError", "WallReport", "enter", "lock_worker", "self_test"]

SELF_TEST_BYTES = 64 << 20
_LANDLOCK_NETWORK, _LANDLOCK_SIGNALS = 4, 6


@dataclass(frozen=True, slots=True)
class WallReport:
    """Which walls stand: seccomp, Landlock's ABI, the uid that workers drop to (None unless root), limits; and what got through.

    `filter_tested` says that this start's self-test put this machine's seccomp filter up and tried it; `filter_run_at_release`
    that the filter for such machines had run before it was published, which for the other machine's it had not.
    """

    seccomp: bool
    landlock: int | None
    uid: int | None
    rlimits: bool
    failures: tuple[str, ...] = ()
    architecture: str = ""
    filter_tested: bool = False
    filter_run_at_release: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return it as it travels to the host process."""
        return asdict(self)


def enter(order: dict[str, Any], parent_pid: int) -> None:
    """Lock this process as the host process ordered (`sandbox`, `uid`, `memory_bytes`). Raises LockError, OSError."""
    limits = Limits(memory_bytes=order["memory_bytes"], parent_pid=parent_pid, uid=order["uid"])
    if order["sandbox"]:
        lock_worker(limits)
        return
    walls.set_name(limits.name)
    walls.raise_oom_score()
    walls.tie_to_parent(parent_pid)


def lock_worker(limits: Limits) -> None:
    """Put up every wall around this process, for good. Raises LockError or OSError when one that must stand doesn't.

    Landlock alone may be missing; `self_test` says so. Descriptors that must not come along are the caller's to close.
    """
    status = walls.read_status()
    if status.threads != 1:  # the filters hold for the calling thread alone
        raise LockError("a process with threads can't be locked")
    version = landlock.find_version()
    walls.set_name(limits.name)
    walls.raise_oom_score()
    if os.geteuid() == 0:
        walls.drop_privileges(limits.uid)
    walls.tie_to_parent(limits.parent_pid)
    walls.limit_resources(limits, status.size_bytes)
    walls.forbid_new_privileges()
    if version is not None:
        os.close(landlock.install(version))
    seccomp.install()


def self_test(*, uid: int, timeout_seconds: float = 20.0) -> WallReport:
    """Try each wall alone, then all together, in forked children that do what is forbidden.

    Call it from a process with one thread. A wall that fails is named in `failures`, with what got through it.
    """
    limits = Limits(memory_bytes=SELF_TEST_BYTES, parent_pid=os.getpid(), uid=uid)
    version = landlock.find_version()
    is_root = os.geteuid() == 0
    tried = {
        "seccomp": _try(_seccomp_alone, canaries.FORBIDDEN, timeout_seconds),
        "rlimits": _try(lambda: _limits_alone(limits), _for_limits(is_root=is_root), timeout_seconds),
        "landlock": _try(lambda: _landlock_alone(version or 0), _for_landlock(version), timeout_seconds),
        "uid": _try(lambda: walls.drop_privileges(uid), (canaries.become_root, canaries.signal_parent) if is_root else (), timeout_seconds),
        "together": _try(lambda: lock_worker(limits), (canaries.allocate_too_much, *canaries.FORBIDDEN), timeout_seconds, answers=True),
    }
    whole, machine = not tried["together"], os.uname().machine
    return WallReport(
        seccomp=whole and not tried["seccomp"],
        landlock=version if whole and not tried["landlock"] else None,
        uid=uid if is_root and whole and not tried["uid"] else None,
        rlimits=whole and not tried["rlimits"],
        failures=tuple(f"{wall}: {name}" for wall, names in tried.items() for name in names),
        architecture=machine,
        filter_tested=whole and not tried["seccomp"],
        filter_run_at_release=machine in seccomp.RUN_AT_RELEASE,
    )


def _seccomp_alone() -> None:
    walls.forbid_new_privileges()
    seccomp.install()


def _limits_alone(limits: Limits) -> None:
    walls.limit_resources(limits, walls.read_status().size_bytes)


def _landlock_alone(version: int) -> None:
    walls.forbid_new_privileges()
    os.close(landlock.install(version))


def _for_limits(*, is_root: bool) -> tuple[Canary, ...]:
    always: tuple[Canary, ...] = (canaries.allocate_too_much, canaries.grow_file)
    return always if is_root else (*always, canaries.fork_process)


def _for_landlock(version: int | None) -> tuple[Canary, ...]:
    if version is None:
        return ()
    chosen: list[Canary] = [canaries.read_file, canaries.write_file, canaries.list_folder]
    if version >= _LANDLOCK_NETWORK:
        chosen += [canaries.bind_tcp, canaries.connect_tcp]
    if version >= _LANDLOCK_SIGNALS:
        chosen.append(canaries.signal_parent)
    return tuple(chosen)


def _try(put_up: Callable[[], None], chosen: tuple[Canary, ...], timeout_seconds: float, *, answers: bool = False) -> list[str]:
    """Fork, put up a wall, try the canaries; return the names of those that got through, or why the wall couldn't be put up.

    With `answers`, the child must also be able to do what a worker needs, which fails under the name "answer".
    """
    expected = [canary.__name__ for canary in chosen] + (["answer"] if answers else [])
    if not expected:
        return []
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        _be_tried(put_up, chosen, theirs, answers=answers)
    theirs.close()
    try:
        lines = _read_until(ours, time.monotonic() + timeout_seconds).splitlines()
    finally:
        ours.close()
        _end(pid)
    errors = [line.removeprefix("!") for line in lines if line.startswith("!")]
    return errors or [name for name in expected if name not in lines]


def _be_tried(put_up: Callable[[], None], chosen: tuple[Canary, ...], report: socket.socket, *, answers: bool) -> NoReturn:
    """Be the child of `_try`: send the name of each refused canary to `report`."""
    try:
        pair, waiting = socket.socketpair(), select.epoll()
        _put_up_or_say(put_up, report)
        if answers and _can_answer(*pair, waiting):
            report.sendall(b"answer\n")
        for canary in chosen:
            if canaries.is_refused(canary):
                report.sendall(canary.__name__.encode() + b"\n")
    finally:
        os._exit(0)


def _put_up_or_say(put_up: Callable[[], None], report: socket.socket) -> None:
    try:
        put_up()
    except Exception as error:
        report.sendall(f"!{type(error).__name__}: {error}\n".encode())
        raise


def _can_answer(ours: socket.socket, theirs: socket.socket, waiting: select.epoll) -> bool:
    """Do what every worker does: allocate, draw random bytes, stop blocking, send, wait, receive."""
    try:
        theirs.setblocking(False)
        waiting.register(theirs, select.EPOLLIN)
        ours.sendall(os.urandom(16) + bytes(1 << 16))
        return bool(waiting.poll(1.0)) and len(theirs.recv(16)) == 16  # noqa: PLR2004 - what was sent
    except OSError:
        return False


def _read_until(report: socket.socket, deadline: float) -> str:
    """Return what comes until the other end is closed, or the deadline."""
    read = bytearray()
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([report], [], [], left)[0]:
            break
        chunk = report.recv(4096)
        if not chunk:
            break
        read += chunk
    return read.decode()


def _end(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    while not _has_ended(os.waitpid(pid, 0)[1]):  # a child that got through to ptrace may report a stop first
        pass


def _has_ended(status: int) -> bool:
    return os.WIFEXITED(status) or os.WIFSIGNALED(status)
