"""The seccomp filter as a program, run here for both architectures by an interpreter of its few instructions."""

from __future__ import annotations

import errno
import re
import struct
from pathlib import Path

import pytest

from registry.host.seccomp import (
    ALLOW,
    ARCHITECTURES,
    ERRNO,
    FIONBIO,
    JUMP_ANY_BIT,
    JUMP_AT_LEAST,
    JUMP_EQUAL,
    KILL,
    LOAD,
    MAP_ANONYMOUS,
    RETURN,
    RUN_AT_RELEASE,
    X32_BIT,
    Architecture,
    assemble,
)

PID = 4321
REFUSED = ERRNO | errno.EPERM
MOST_CALLS = 600
TIOCSTI, TCGETS, FIOCLEX, FIONCLEX = 0x5412, 0x5401, 0x5451, 0x5450
MOST_ALLOWED = 30
MAP_SHARED, MAP_PRIVATE, MAP_FIXED = 1, 2, 16
#: What epoll_wait(3) calls on each machine; aarch64 has the newer call alone.
SAME = {"epoll_wait": "epoll_pwait"}
PROGRAMS = {each.audit: list(struct.iter_unpack("<HBBI", assemble(each, PID))) for each in ARCHITECTURES.values()}
#: Allowed once, when joblib itself loaded behind the lock; no worker makes them any more.
TAKEN_OUT = (
    "readv", "writev", "recvmsg", "sendmsg", "shutdown", "poll", "ppoll", "select", "pselect6", "rt_sigprocmask", "restart_syscall",
    "exit", "gettimeofday", "time", "nanosleep", "sched_yield", "sched_getaffinity", "fcntl",
)  # fmt: skip
HEADERS = {
    "x86_64": (Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), r"#define __NR_(\w+) (\d+)"),
    "aarch64": (Path("/usr/include/asm-generic/unistd.h"), r"#define __NR(?:3264)?_(\w+) (\d+)"),
}


@pytest.fixture(params=sorted(ARCHITECTURES))
def architecture(request: pytest.FixtureRequest) -> Architecture:
    """Give each architecture in turn."""
    return ARCHITECTURES[request.param]


def decide(architecture: Architecture, number: int, *arguments: int, audit: int | None = None) -> int:
    """Run the filter on one call, as the kernel would, and return its action."""
    padded = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    data = struct.pack("<IIQ6Q", number, architecture.audit if audit is None else audit, 0, *padded)
    program = PROGRAMS[architecture.audit]
    at, loaded = 0, 0
    while True:
        code, if_true, if_false, k = program[at]
        at += 1
        if code == RETURN:
            return int(k)
        if code == LOAD:
            (loaded,) = struct.unpack_from("<I", data, k)
            continue
        met = {JUMP_EQUAL: loaded == k, JUMP_AT_LEAST: loaded >= k, JUMP_ANY_BIT: bool(loaded & k)}[code]
        at += if_true if met else if_false


def _known_numbers(machine: str) -> dict[str, int]:
    """Return the calls of the kernel's headers, none where they aren't installed."""
    path, pattern = HEADERS[machine]
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return {name: int(number) for name, number in re.findall(pattern, text)}


def test_exactly_the_listed_calls_are_allowed(architecture: Architecture) -> None:
    """Every other number answers EPERM, but clone3 ENOSYS, after which a libc tries clone."""
    special = {*architecture.checked.values(), architecture.clone3}
    allowed = {number for number in range(MOST_CALLS) if number not in special and decide(architecture, number) == ALLOW}
    assert allowed == set(architecture.allowed.values())
    refused = set(range(MOST_CALLS)) - allowed - special
    assert {decide(architecture, number) for number in refused} == {REFUSED}
    assert decide(architecture, architecture.clone3) == ERRNO | errno.ENOSYS


def test_no_name_or_number_is_listed_twice(architecture: Architecture) -> None:
    """A number under two names would be a slip in the table."""
    numbers = [*architecture.allowed.values(), *architecture.checked.values(), architecture.clone3]
    assert len(numbers) == len(set(numbers))
    assert set(architecture.checked) == {"mmap", "mprotect", "ioctl", "write", "sendto", "tgkill"}


def test_at_most_thirty_calls_are_allowed(architecture: Architecture) -> None:
    """Each more is a part of the kernel that a model can reach."""
    assert len(architecture.allowed) + len(architecture.checked) <= MOST_ALLOWED


def test_both_machines_allow_the_same_calls() -> None:
    """What holds here in the kernel then holds there as far as the numbers are right."""
    x86_64, aarch64 = ARCHITECTURES["x86_64"], ARCHITECTURES["aarch64"]
    assert {SAME.get(name, name) for name in x86_64.allowed} == set(aarch64.allowed)
    assert set(x86_64.checked) == set(aarch64.checked)


def test_a_filter_that_never_ran_in_a_kernel_says_so() -> None:
    """The table for aarch64 has been run by this file's interpreter alone."""
    assert set(ARCHITECTURES) - RUN_AT_RELEASE == {"aarch64"}


@pytest.mark.parametrize("name", TAKEN_OUT)
def test_a_call_that_only_a_free_process_needs_is_refused(architecture: Architecture, name: str) -> None:
    """Waiting by other means than epoll, other ways to send, shared descriptors, signals' masks: with any arguments."""
    known = _known_numbers(next(machine for machine, each in ARCHITECTURES.items() if each is architecture))
    if name in known:  # aarch64 never had some of them
        assert decide(architecture, known[name]) == REFUSED
    assert name not in architecture.allowed


@pytest.mark.parametrize("machine", sorted(ARCHITECTURES))
def test_the_numbers_are_those_of_the_kernel_headers(machine: str) -> None:
    """Where the headers are installed, each name has its number there."""
    known = _known_numbers(machine)
    if not known:
        pytest.skip("the kernel's headers aren't installed here")
    architecture = ARCHITECTURES[machine]
    listed = {**architecture.allowed, **architecture.checked, "clone3": architecture.clone3}
    assert listed == {name: known[name] for name in listed}


def test_another_architecture_ends_the_process(architecture: Architecture) -> None:
    """Under i386, read has open's number or the like: its calls mustn't be looked up in this table."""
    i386 = 0x4000_0003
    assert {decide(architecture, number, audit=i386) for number in range(MOST_CALLS)} == {KILL}


def test_x32_calls_end_the_process() -> None:
    """They come under x86_64's own architecture, with a bit set in the number."""
    x86_64 = ARCHITECTURES["x86_64"]
    assert {decide(x86_64, X32_BIT | number) for number in range(MOST_CALLS)} == {KILL}
    assert decide(x86_64, 0xFFFF_FFFF) == KILL


@pytest.mark.parametrize("name", ["mmap", "mprotect"])
def test_no_memory_becomes_executable(architecture: Architecture, name: str) -> None:
    """Every combination of protection bits, and of bits that the kernel would ignore."""
    for protection in [*range(16), 0x1_0000_0003]:
        expected = REFUSED if protection & 4 else ALLOW
        assert decide(architecture, architecture.checked[name], 0, 4096, protection, MAP_ANONYMOUS | MAP_PRIVATE) == expected


def test_no_descriptor_is_mapped(architecture: Architecture) -> None:
    """Memory comes from nothing: never from a file, whatever the other flags are."""
    for others in (MAP_SHARED, MAP_PRIVATE, MAP_FIXED | MAP_PRIVATE, 0x1_0000_0000):
        assert decide(architecture, architecture.checked["mmap"], 0, 4096, 1, others, 3) == REFUSED
        assert decide(architecture, architecture.checked["mmap"], 0, 4096, 1, others | MAP_ANONYMOUS, 3) == ALLOW


def test_a_descriptor_can_be_made_non_blocking_and_no_more(architecture: Architecture) -> None:
    """A terminal could be typed into by ioctl; duplicating and owning descriptors stays out."""
    ioctl = architecture.checked["ioctl"]
    assert decide(architecture, ioctl, 3, FIONBIO) == ALLOW
    assert {decide(architecture, ioctl, 3, request) for request in (0, TCGETS, TIOCSTI, FIOCLEX, FIONCLEX, 1 << 32 | TIOCSTI)} == {REFUSED}


def test_only_the_standard_outputs_are_written_to(architecture: Architecture) -> None:
    """For last words; sockets are sent to, and the artifact and the shared page stay as they are."""
    write = architecture.checked["write"]
    assert [descriptor for descriptor in range(5000) if decide(architecture, write, descriptor) == ALLOW] == [1, 2]
    assert decide(architecture, write, 0xFFFF_FFFF) == REFUSED


def test_data_is_sent_without_an_address_only(architecture: Architecture) -> None:
    """An address, in either half of the pointer, could be anyone's."""
    sendto = architecture.checked["sendto"]
    assert decide(architecture, sendto, 3, 0x7000, 10, 0, 0) == ALLOW
    assert decide(architecture, sendto, 3, 0x7000, 10, 0, 0x1000, 16) == REFUSED
    assert decide(architecture, sendto, 3, 0x7000, 10, 0, 0x1000_0000_0000, 16) == REFUSED


def test_only_its_own_process_can_be_signalled(architecture: Architecture) -> None:
    """For abort; any other process is refused."""
    tgkill = architecture.checked["tgkill"]
    assert decide(architecture, tgkill, PID, PID, 6) == ALLOW
    assert {decide(architecture, tgkill, pid, PID, 6) for pid in (0, 1, PID - 1, PID + 1, 0xFFFF_FFFF)} == {REFUSED}
