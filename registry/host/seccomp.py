"""The system call wall: a seccomp filter that lets a locked worker compute and answer, and nothing else.

An allow-list, assembled by hand for x86_64 and aarch64 so that the fork server needs no library for it. What isn't
listed answers EPERM; another architecture's calls end the process. Must never gain a call that takes a path, makes a
descriptor out of nothing, or takes one from a message.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from registry.host.kernel import call_prctl

PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2

#: Field offsets of `struct seccomp_data` (linux/seccomp.h): nr, arch, instruction pointer, six arguments of 8 bytes.
NUMBER_OFFSET = 0
ARCHITECTURE_OFFSET = 4
ARGUMENTS_OFFSET = 16

#: Actions (linux/seccomp.h).
KILL = 0x8000_0000
ERRNO = 0x0005_0000
ALLOW = 0x7FFF_0000

#: Instructions of classic BPF (linux/bpf_common.h): load a word of the data, compare it with k, return k.
LOAD = 0x20
JUMP_EQUAL = 0x15
JUMP_AT_LEAST = 0x35
JUMP_ANY_BIT = 0x45
RETURN = 0x06

#: x32 calls come under x86_64's architecture with this bit set (asm/unistd.h).
X32_BIT = 0x4000_0000

FIONBIO = 0x5421
MAP_ANONYMOUS = 0x20
STANDARD_OUTPUT, STANDARD_ERROR = 1, 2

_INSTRUCTION = struct.Struct("<HBBI")  # struct sock_filter
Instruction = tuple[int, int, int, int]


class _FilterProgram(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


@dataclass(frozen=True, slots=True)
class Architecture:
    """What differs between machines: the AUDIT_ARCH constant, the call numbers, and whether x32 exists."""

    audit: int
    allowed: dict[str, int]
    checked: dict[str, int]
    clone3: int
    has_x32: bool = False


#: Machines whose filter has run on such a machine, in the kernel. That of another has been checked against the kernel's
#: headers and run by the tests' interpreter of BPF alone; there the self-test of each start is what tells whether it holds.
RUN_AT_RELEASE = frozenset({"x86_64"})

#: Numbers on x86_64 and aarch64 (asm/unistd_64.h and asm-generic/unistd.h of Linux 6.1); None where there is no such call.
#: Found by watching workers of every family admit, load, answer, run out of memory, crash and drain.
_ALLOWED = {
    # The artifact, the sockets and the selector, all of them descriptors from before the lock.
    "read": (0, 63), "lseek": (8, 62), "close": (3, 57), "recvfrom": (45, 207), "accept4": (288, 242),
    "epoll_ctl": (233, 21), "epoll_wait": (232, None), "epoll_pwait": (None, 22),  # what epoll_wait(2) calls on each
    # Memory. A big array grows by mremap.
    "munmap": (11, 215), "mremap": (25, 216), "brk": (12, 214), "madvise": (28, 233),
    # The locks of Python and OpenMP, also where nobody else holds them.
    "futex": (202, 98),
    # Only where the vDSO can't tell the time, as on some virtual machines.
    "clock_gettime": (228, 113),
    # A sleeping model harms nobody: the host's clock ends it, and its callers hear of a time-out, not of an odd error.
    "clock_nanosleep": (230, 115),
    # Seeds of random states, and Python's own.
    "getrandom": (318, 278),
    # abort(3), which signals itself, and the way back from a signal that Python handles.
    "getpid": (39, 172), "gettid": (186, 178), "rt_sigreturn": (15, 139),
    "exit_group": (231, 94),
}  # fmt: skip

#: Allowed with some arguments only; `_checks` says which.
_CHECKED = {"mmap": (9, 222), "mprotect": (10, 226), "ioctl": (16, 29), "write": (1, 64), "sendto": (44, 206), "tgkill": (234, 131)}


def _numbers(calls: Mapping[str, tuple[int | None, int | None]], machine: int) -> dict[str, int]:
    return {name: number for name, numbers in calls.items() if (number := numbers[machine]) is not None}


ARCHITECTURES = {
    "x86_64": Architecture(0xC000_003E, _numbers(_ALLOWED, 0), _numbers(_CHECKED, 0), clone3=435, has_x32=True),
    "aarch64": Architecture(0xC000_00B7, _numbers(_ALLOWED, 1), _numbers(_CHECKED, 1), clone3=435),
}


def install() -> None:
    """Put the filter on the calling thread, for good; no_new_privs must be set. Raises OSError where it can't."""
    machine = os.uname().machine
    if machine not in ARCHITECTURES:
        raise OSError(errno.ENOSYS, f"no table of system calls for {machine}")
    code = ctypes.create_string_buffer(assemble(ARCHITECTURES[machine], os.getpid()))
    program = _FilterProgram((len(code) - 1) // _INSTRUCTION.size, ctypes.addressof(code))
    call_prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(program))


def assemble(architecture: Architecture, pid: int) -> bytes:
    """Return the filter's instructions (`struct sock_filter`, 8 bytes each) for the process `pid`."""
    program: list[Instruction] = [(LOAD, 0, 0, ARCHITECTURE_OFFSET), (JUMP_EQUAL, 1, 0, architecture.audit), _answer(KILL)]
    program.append((LOAD, 0, 0, NUMBER_OFFSET))
    if architecture.has_x32:
        program += [(JUMP_AT_LEAST, 0, 1, X32_BIT), _answer(KILL)]
    for number in architecture.allowed.values():
        program += _when_called(number, [_answer(ALLOW)])
    for name, block in _checks(pid).items():
        program += _when_called(architecture.checked[name], block)
    # ENOSYS, so that a libc falls back to clone, which it then hears is not permitted.
    program += _when_called(architecture.clone3, [_answer(ERRNO | errno.ENOSYS)])
    program.append(_refuse())
    return b"".join(_INSTRUCTION.pack(*instruction) for instruction in program)


def _checks(pid: int) -> dict[str, list[Instruction]]:
    """Return what decides, for each call that is allowed with some arguments only."""
    return {
        "mmap": _memory_without_code(),
        "mprotect": [_load_argument(2), (JUMP_ANY_BIT, 0, 1, mmap.PROT_EXEC), _refuse(), _answer(ALLOW)],
        "ioctl": _one_of(1, (FIONBIO,)),
        "write": _one_of(0, (STANDARD_OUTPUT, STANDARD_ERROR)),  # last words; answers go out by send(2)
        "sendto": _is_null(4),  # without an address it is send(2)
        "tgkill": _one_of(0, (pid,)),  # abort(3) signals its own process
    }


def _when_called(number: int, block: list[Instruction]) -> list[Instruction]:
    """Run `block`, which always returns, for this call; go on behind it for any other."""
    return [(JUMP_EQUAL, 0, len(block), number), *block]


def _one_of(argument: int, values: tuple[int, ...]) -> list[Instruction]:
    # The kernel takes these arguments as 32-bit integers, so that their upper halves mean nothing.
    block = [_load_argument(argument)]
    for value in values:
        block += [(JUMP_EQUAL, 0, 1, value), _answer(ALLOW)]
    return [*block, _refuse()]


def _memory_without_code() -> list[Instruction]:
    """Decide on mmap: never executable, and never what a descriptor holds (the artifact, the shared page)."""
    flags = _load_argument(3)
    return [_load_argument(2), (JUMP_ANY_BIT, 3, 0, mmap.PROT_EXEC), flags, (JUMP_ANY_BIT, 0, 1, MAP_ANONYMOUS), _answer(ALLOW), _refuse()]


def _is_null(argument: int) -> list[Instruction]:
    upper = _load_argument(argument, upper=True)
    return [_load_argument(argument), (JUMP_EQUAL, 0, 3, 0), upper, (JUMP_EQUAL, 0, 1, 0), _answer(ALLOW), _refuse()]


def _load_argument(argument: int, *, upper: bool = False) -> Instruction:
    return (LOAD, 0, 0, ARGUMENTS_OFFSET + 8 * argument + (4 if upper else 0))  # both machines are little-endian


def _answer(action: int) -> Instruction:
    return (RETURN, 0, 0, action)


def _refuse() -> Instruction:
    return _answer(ERRNO | errno.EPERM)
