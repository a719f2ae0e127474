"""The walls of a worker apart from seccomp and Landlock: uid, limits, the tie to its parent, what the kernel shows of it.

Each function puts up one wall in the calling process, for good, and raises when it doesn't stand. The order is in
`lock.py`. Nothing here may take a wall down.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from registry.host.kernel import PR_SET_DUMPABLE, PR_SET_NAME, PR_SET_NO_NEW_PRIVS, PR_SET_PDEATHSIG, call_prctl

OOM_SCORE = 900


class LockError(RuntimeError):
    """A wall doesn't stand, so nothing may run in this process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How a worker is locked. `uid` counts only where the process is root; `memory_bytes` comes on top of its present size."""

    memory_bytes: int
    parent_pid: int
    uid: int
    descriptors: int = 4096
    name: str = "modelyard-model"


@dataclass(frozen=True, slots=True)
class Status:
    """What /proc says of this process: its address space in bytes and its number of threads."""

    size_bytes: int
    threads: int


def read_status() -> Status:
    """Read it; impossible behind the walls."""
    # As bytes: naming an encoding could import its codec, which a dropped uid may be unable to read.
    lines = Path("/proc/self/status").read_bytes().splitlines()
    fields = dict(line.split(b":", 1) for line in lines)
    return Status(int(fields[b"VmSize"].split()[0]) * 1024, int(fields[b"Threads"]))


def set_name(name: str) -> None:
    """Set what `ps` and `top` call this process: its first 15 bytes."""
    text = bytearray(name.encode()[:15] + b"\0")
    call_prctl(PR_SET_NAME, _address_of(text))


def raise_oom_score() -> None:
    """Have the kernel end workers first when memory runs out. A wish, no wall: a read-only /proc is no reason to refuse."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_bytes(b"%d" % OOM_SCORE)


def drop_privileges(uid: int) -> None:
    """Become `uid` with the group of the same number and no other group, without a way back. Root only."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    if set(os.getresuid()) != {uid} or set(os.getresgid()) != {uid} or os.getgroups():
        raise LockError("the user id was not dropped")
    # Root still measures it, and others with the same uid must not look. Where the host process isn't root the worker
    # shares its uid and has to stay dumpable, or its memory couldn't be measured.
    call_prctl(PR_SET_DUMPABLE, 0)


def tie_to_parent(parent_pid: int) -> None:
    """End with the parent. To be called after any change of uid, which clears this. Raises LockError when the parent is gone already."""
    call_prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        raise LockError("the parent is gone")


def limit_resources(limits: Limits, present_bytes: int) -> None:
    """Set the limits that the kernel counts; none can be raised again."""
    _set_limit(resource.RLIMIT_AS, present_bytes + limits.memory_bytes)
    # A limit of 0 doesn't keep a dump from a program that core_pattern pipes to; of 1 the kernel makes none at all.
    _set_limit(resource.RLIMIT_CORE, 1)
    _set_limit(resource.RLIMIT_FSIZE, 0)
    _set_limit(resource.RLIMIT_NPROC, 0)  # means nothing to root
    _set_limit(resource.RLIMIT_NOFILE, limits.descriptors)


def forbid_new_privileges() -> None:
    """Set no_new_privs, which Landlock and seccomp ask for."""
    call_prctl(PR_SET_NO_NEW_PRIVS, 1)


def _set_limit(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(kind, (value, value))


def _address_of(buffer: bytearray) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))
