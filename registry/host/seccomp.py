"""The system call wall: a seccomp filter that lets a locked worker compute and answer, and nothing else.

An allow-list, assembled by hand for x86_64 and aarch64 so that the fork server needs no library for it. What isn't
listed answers EPERM; another architecture's calls end the process. Must never gain a call that takes a path.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import struct
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

FIONBIO, FIONCLEX, FIOCLEX = 0x5421, 0x5450, 0x5451
F_GETFD, F_SETFD, F_GETFL, F_SETFL = 1, 2, 3, 4

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


#: Source: asm/unistd_64.h and asm-generic/unistd.h of Linux 6.1. aarch64 has neither poll, select nor epoll_wait:
#: its libc uses the newer calls. gettimeofday, clock_gettime and time only come here where the vDSO can't answer.
ARCHITECTURES = {
    "x86_64": Architecture(
        audit=0xC000_003E,
        allowed={
            "read": 0, "write": 1, "readv": 19, "writev": 20, "lseek": 8, "close": 3,
            "recvfrom": 45, "recvmsg": 47, "sendmsg": 46, "accept4": 288, "shutdown": 48,
            "poll": 7, "ppoll": 271, "select": 23, "pselect6": 270, "epoll_wait": 232, "epoll_pwait": 281, "epoll_ctl": 233,
            "munmap": 11, "mremap": 25, "brk": 12, "madvise": 28, "futex": 202,
            "rt_sigreturn": 15, "rt_sigprocmask": 14, "restart_syscall": 219, "exit": 60, "exit_group": 231,
            "clock_gettime": 228, "gettimeofday": 96, "time": 201, "clock_nanosleep": 230, "nanosleep": 35,
            "getrandom": 318, "sched_yield": 24, "sched_getaffinity": 204, "getpid": 39, "gettid": 186,
        },
        checked={"mmap": 9, "mprotect": 10, "ioctl": 16, "fcntl": 72, "sendto": 44, "tgkill": 234},
        clone3=435,
        has_x32=True,
    ),
    "aarch64": Architecture(
        audit=0xC000_00B7,
        allowed={
            "read": 63, "write": 64, "readv": 65, "writev": 66, "lseek": 62, "close": 57,
            "recvfrom": 207, "recvmsg": 212, "sendmsg": 211, "accept4": 242, "shutdown": 210,
            "ppoll": 73, "pselect6": 72, "epoll_pwait": 22, "epoll_ctl": 21,
            "munmap": 215, "mremap": 216, "brk": 214, "madvise": 233, "futex": 98,
            "rt_sigreturn": 139, "rt_sigprocmask": 135, "restart_syscall": 128, "exit": 93, "exit_group": 94,
            "clock_gettime": 113, "gettimeofday": 169, "clock_nanosleep": 115, "nanosleep": 101,
            "getrandom": 278, "sched_yield": 124, "sched_getaffinity": 123, "getpid": 172, "gettid": 178,
        },
        checked={"mmap": 222, "mprotect": 226, "ioctl": 29, "fcntl": 25, "sendto": 206, "tgkill": 131},
        clone3=435,
    ),
}  # fmt: skip


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
    never_executable = _without_bit(2, mmap.PROT_EXEC)
    return {
        "mmap": never_executable,
        "mprotect": never_executable,
        "ioctl": _one_of(1, (FIONBIO, FIONCLEX, FIOCLEX)),
        "fcntl": _one_of(1, (F_GETFD, F_SETFD, F_GETFL, F_SETFL)),
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


def _without_bit(argument: int, bit: int) -> list[Instruction]:
    return [_load_argument(argument), (JUMP_ANY_BIT, 0, 1, bit), _refuse(), _answer(ALLOW)]


def _is_null(argument: int) -> list[Instruction]:
    upper = _load_argument(argument, upper=True)
    return [_load_argument(argument), (JUMP_EQUAL, 0, 3, 0), upper, (JUMP_EQUAL, 0, 1, 0), _answer(ALLOW), _refuse()]


def _load_argument(argument: int, *, upper: bool = False) -> Instruction:
    return (LOAD, 0, 0, ARGUMENTS_OFFSET + 8 * argument + (4 if upper else 0))  # both machines are little-endian


def _answer(action: int) -> Instruction:
    return (RETURN, 0, 0, action)


def _refuse() -> Instruction:
    return _answer(ERRNO | errno.EPERM)
