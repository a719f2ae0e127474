"""The lock of a worker, tried out in real children: what it forbids, what it leaves, and what the self-test says of it.

Each forbidden thing is also done without the lock, so that a test can't pass because the thing is impossible anyway.
"""

from __future__ import annotations

import _thread
import ctypes
import dataclasses
import errno
import fcntl
import mmap
import os
import resource
import select
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from registry.host import canaries, landlock, lock, seccomp, walls
from registry.host.canaries import FORBIDDEN, Canary
from registry.host.kernel import call_system
from registry.host.lock import Limits, LockError, lock_worker, self_test
from tests.locked import MEMORY_BYTES, NOBODY, Outcome, attempt, become_ordinary, lock_here, locked_child

IS_ROOT = os.geteuid() == 0
MACHINE = os.uname().machine
#: As whom to run: an ordinary user always, root where the tests are root.
USERS = [pytest.param(True, id="ordinary"), *([pytest.param(False, id="root")] if IS_ROOT else [])]
as_each_user = pytest.mark.parametrize("ordinary", USERS)
#: Kernels before 6.5 refuse BPF themselves to all but root.
LET_THROUGH = [
    pytest.param(canary, *user.values, id=f"{canary.__name__}-{user.id}")
    for canary in FORBIDDEN
    for user in USERS
    if canary.__name__ != "load_bpf" or user.values == (False,)
]
only_root = pytest.mark.skipif(not IS_ROOT, reason="needs root")


def become(*, ordinary: bool) -> None:
    """Become an ordinary user, where root still has to."""
    if ordinary and IS_ROOT:
        become_ordinary()


def try_out(action: Callable[[], object], *, locked: bool = True, ordinary: bool = False, memory_bytes: int = MEMORY_BYTES) -> Outcome:
    """Run `action` in a child; see `tests.locked.attempt`."""
    return attempt(action, locked=locked, ordinary=ordinary and IS_ROOT, memory_bytes=memory_bytes)


@as_each_user
@pytest.mark.parametrize("canary", FORBIDDEN, ids=lambda canary: canary.__name__)
def test_the_lock_forbids(canary: Canary, ordinary: bool) -> None:
    """Files, network, processes, threads, signals, programs, machine code: each is refused with EPERM."""
    assert try_out(canary, ordinary=ordinary).refused


@pytest.mark.parametrize(("canary", "ordinary"), LET_THROUGH)
def test_without_the_lock_the_same_gets_through(canary: Canary, ordinary: bool) -> None:
    """The canary works, or fails in a way that shows it was let through."""

    def try_below() -> str:  # a parent that may be signalled has the same uid
        become(ordinary=ordinary)
        return attempt(lambda: canaries.is_refused(canary), locked=False).text

    assert try_out(try_below, locked=False).text == ("" if canary is canaries.execute else "False")


@pytest.mark.skipif(MACHINE not in seccomp.ARCHITECTURES, reason="no table for this machine")
def test_every_call_that_is_not_listed_is_refused_by_the_kernel_itself() -> None:
    """All numbers up to 1000, made for real; none has an effect, since seccomp looks first."""
    listed = seccomp.ARCHITECTURES[MACHINE]
    known = {*listed.allowed.values(), *listed.checked.values(), listed.clone3}
    if MACHINE == "x86_64":
        known |= {335, 336}  # uretprobe and uprobe: the kernel lets them past seccomp, and ends who calls them without being probed

    def call_each() -> list[int]:
        return [number for number in range(1000) if number not in known and error_of(number) != errno.EPERM]

    assert try_out(call_each).text == "[]"


@dataclasses.dataclass(frozen=True, slots=True)
class Held:
    """Descriptors from before the lock: two sockets and a pipe with something to read, and a file."""

    ours: socket.socket
    theirs: socket.socket
    read_end: int
    write_end: int
    file: int


@pytest.fixture
def held() -> Iterator[Held]:
    """Make them."""
    ours, theirs = socket.socketpair()
    read_end, write_end = os.pipe()
    file = os.memfd_create("artifact")
    theirs.sendall(b"waiting")
    os.write(write_end, b"waiting")
    os.ftruncate(file, mmap.PAGESIZE)
    yield Held(ours, theirs, read_end, write_end, file)
    ours.close()
    theirs.close()
    for descriptor in (read_end, write_end, file):
        os.close(descriptor)


#: What a worker could do once, and needs no more.
TAKEN_OUT: dict[str, Callable[[Held], object]] = {
    "map a file": lambda held: mmap.mmap(held.file, mmap.PAGESIZE, mmap.MAP_PRIVATE, mmap.PROT_READ),
    "write to a pipe": lambda held: os.write(held.write_end, b"x"),
    "gather what is written": lambda held: os.writev(held.write_end, [b"x"]),
    "scatter what is read": lambda held: os.readv(held.read_end, [bytearray(1)]),
    "send a descriptor": lambda held: socket.send_fds(held.ours, [b"x"], [held.file]),
    "receive a descriptor": lambda held: socket.recv_fds(held.ours, 1, 1),
    "shut a socket down": lambda held: held.ours.shutdown(socket.SHUT_RDWR),
    "poll": lambda held: poll_for(held.read_end),
    "select": lambda held: select.select([held.read_end], [], [], 0),
    "duplicate a descriptor": lambda held: fcntl.fcntl(held.file, fcntl.F_DUPFD, 0),
    "read the flags of a descriptor": lambda held: fcntl.fcntl(held.file, fcntl.F_GETFL),
    "let a descriptor be inherited": lambda held: os.set_inheritable(held.file, True),
    "block a signal": lambda _: signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM]),
    "ask for the cores": lambda _: os.sched_getaffinity(0),
    "yield": lambda _: os.sched_yield(),
}


def poll_for(descriptor: int) -> list[tuple[int, int]]:
    """Ask by poll(2) whether there is something to read."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return poll.poll(0)


@as_each_user
@pytest.mark.parametrize("what", sorted(TAKEN_OUT))
def test_what_no_worker_does_any_more_is_refused(what: str, ordinary: bool, held: Held) -> None:
    """And it works without the lock."""

    def do() -> str:
        TAKEN_OUT[what](held)
        return "done"

    assert try_out(do, ordinary=ordinary).refused
    assert try_out(do, locked=False, ordinary=ordinary).text == "done"


def error_of(number: int) -> int | None:
    """Return the error of a system call without arguments."""
    try:
        call_system(number, 0, 0, 0, 0, 0, 0)
    except OSError as error:
        return error.errno
    return None


@pytest.mark.skipif(MACHINE != "x86_64", reason="x32 belongs to x86_64")
def test_an_x32_call_ends_the_process() -> None:
    """Getpid under x32's number is killed with SIGSYS."""
    assert try_out(lambda: call_system(seccomp.X32_BIT | 39)).status == -signal.SIGSYS


@pytest.mark.skipif(MACHINE != "x86_64", reason="i386 belongs to x86_64")
def test_an_i386_call_ends_the_process() -> None:
    """`int 0x80` reaches another table of calls; a process that could make machine code before the lock is killed."""
    code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")  # mov eax, 20 (getpid); int 0x80; ret
    call = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
    if try_out(call, locked=False).status != 0:
        pytest.skip("this kernel takes no i386 calls")
    assert try_out(call).status == -signal.SIGSYS


@as_each_user
def test_too_much_memory_is_an_error_and_no_crash(ordinary: bool) -> None:
    """Ten gigabytes raise MemoryError, after which the worker goes on; half of the budget is there."""

    def allocate() -> str:
        try:
            bytes(10 << 30)
        except MemoryError:
            return f"refused, then {len(bytearray(MEMORY_BYTES // 2)) >> 20} MiB"
        return "allocated"

    assert try_out(allocate, ordinary=ordinary).text == "refused, then 128 MiB"
    assert try_out(lambda: mmap.mmap(-1, MEMORY_BYTES).close(), locked=False).text == "None"


@as_each_user
def test_limits_are_set_and_cannot_be_raised(ordinary: bool) -> None:
    """The kernel shows each of them for the locked process, hard and soft alike."""
    with locked_child(ordinary=ordinary and IS_ROOT) as pid:
        text = Path(f"/proc/{pid}/limits").read_text(encoding="utf-8")
    rows = {line[:26].strip(): line[26:].split()[:2] for line in text.splitlines()[1:]}
    assert rows["Max file size"] == ["0", "0"]
    assert rows["Max core file size"] == ["1", "1"]
    assert rows["Max processes"] == ["0", "0"]
    assert rows["Max open files"] == [str(min(4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))] * 2
    soft, hard = rows["Max address space"]
    assert MEMORY_BYTES < int(soft) == int(hard)
    raised = try_out(lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)), ordinary=ordinary)
    assert raised.refused or raised.text == "ValueError not allowed to raise maximum limit"


@as_each_user
def test_the_kernel_shows_every_wall_of_a_locked_process(ordinary: bool) -> None:
    """One thread, nobody's ids, no group, no capability, no_new_privs, a filter; a name, and first in line when memory runs out."""
    with locked_child(ordinary=ordinary and IS_ROOT) as pid:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
        oom_score = Path(f"/proc/{pid}/oom_score_adj").read_text(encoding="utf-8")
    status = {name: value.split() for name, value in (line.split(":", 1) for line in lines)}
    assert (status["Name"], status["Threads"]) == (["modelyard-model"], ["1"])
    assert (status["NoNewPrivs"], status["Seccomp"], status["Seccomp_filters"]) == (["1"], ["2"], ["1"])
    if IS_ROOT:
        assert status["Uid"] == status["Gid"] == [str(NOBODY)] * 4
        assert status["Groups"] == []
        assert {int(status[name][0], 16) for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")} == {0}
    assert int(oom_score) == walls.OOM_SCORE


@only_root
def test_root_cannot_be_had_back_once_the_uid_is_dropped() -> None:
    """Of this wall alone, without seccomp; and root itself could become anything."""

    def drop_then_return() -> None:
        walls.drop_privileges(NOBODY)
        canaries.become_root()

    assert try_out(drop_then_return, locked=False).refused
    assert try_out(canaries.become_root, locked=False).text == "None"


@as_each_user
def test_landlock_alone_stops_files_and_tcp(ordinary: bool) -> None:
    """The second wall stands without the first."""
    version = landlock.find_version()
    if version is None:
        pytest.skip("this kernel has no Landlock")

    def wall_then_try() -> list[str]:
        walls.forbid_new_privileges()
        os.close(landlock.install(version))
        tried = [canaries.read_file, canaries.write_file, canaries.list_folder]
        tried += [canaries.connect_tcp, canaries.bind_tcp] if version >= 4 else []
        return [canary.__name__ for canary in tried if not canaries.is_refused(canary)]

    assert try_out(wall_then_try, locked=False, ordinary=ordinary).text == "[]"


@as_each_user
def test_the_host_can_measure_a_locked_worker(ordinary: bool) -> None:
    """Root reads the memory of a worker with another uid; an ordinary host reads one that shares its uid."""

    def measure() -> str:
        become(ordinary=ordinary)
        with locked_child() as pid:
            return str("Pss:" in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8"))

    assert try_out(measure, locked=False).text == "True"


@only_root
def test_others_with_a_workers_uid_cannot_look_into_it() -> None:
    """Dropping the uid leaves a worker undumpable: its memory is closed even to processes of the same uid."""

    def look() -> str:
        with locked_child() as pid:
            become_ordinary()
            try:
                return Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")
            except PermissionError:
                os._exit(42)  # the child is root's to kill: it dies with this process

    assert try_out(look, locked=False).status == 42


@as_each_user
def test_a_worker_dies_with_its_parent(ordinary: bool) -> None:
    """SIGKILL reaches it also where the uid was dropped, which clears such a wish made before."""
    ours, theirs = socket.socketpair()
    parent = os.fork()
    if parent == 0:
        become(ordinary=ordinary)
        if os.fork() == 0:
            lock_here()
            theirs.sendall(b"locked")
            time.sleep(60)
            os._exit(0)
        time.sleep(60)
        os._exit(0)
    theirs.close()
    assert ours.recv(100) == b"locked"
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    began = time.monotonic()
    assert ours.recv(100) == b""  # the last holder of the other end is gone
    assert time.monotonic() - began < 5
    ours.close()


def test_a_worker_whose_parent_is_gone_already_does_not_start() -> None:
    """Its parent may have died between fork and lock."""
    limits = Limits(memory_bytes=MEMORY_BYTES, parent_pid=1 if os.getpid() != 1 else 2, uid=NOBODY)
    assert try_out(lambda: lock_worker(limits), locked=False).text == "LockError the parent is gone"


def test_a_process_with_threads_is_not_locked() -> None:
    """The filter would hold for one of them only."""

    def lock_with_a_thread() -> None:
        _thread.start_new_thread(time.sleep, (60,))
        lock_here()

    assert try_out(lock_with_a_thread, locked=False).text == "LockError a process with threads can't be locked"


@as_each_user
def test_a_locked_worker_serves_an_inherited_socket(ordinary: bool, tmp_path: Path) -> None:
    """Accept, epoll, read, write, and see the other side close: all with descriptors made before the lock."""
    path = str(tmp_path / "s")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen()
    pid = os.fork()
    if pid == 0:
        try:
            selector = selectors.DefaultSelector()
            become(ordinary=ordinary)
            lock_here()
            serve_once(listener, selector)
        finally:
            os._exit(0)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(20)
        client.connect(path)
        message = os.urandom(1 << 20)
        client.sendall(message)
        client.shutdown(socket.SHUT_WR)
        answer = bytearray()
        while chunk := client.recv(1 << 20):
            answer += chunk
    listener.close()
    assert bytes(answer) == message[::-1]
    assert os.waitpid(pid, 0)[1] == 0


def serve_once(listener: socket.socket, selector: selectors.BaseSelector) -> None:
    """Take one connection as a worker does and answer what came, backwards."""
    listener.setblocking(False)
    selector.register(listener, selectors.EVENT_READ)
    assert selector.select(20)
    connection, _ = listener.accept()
    connection.setblocking(False)
    selector.register(connection, selectors.EVENT_READ)
    selector.unregister(listener)
    read = bytearray()
    while selector.select(20):
        chunk = connection.recv(1 << 18)
        if not chunk:
            break
        read += chunk
    connection.setblocking(True)
    connection.sendall(read[::-1])
    connection.close()


def test_an_abort_in_native_code_ends_a_locked_worker_at_once() -> None:
    """As libraries do on an internal error: by SIGABRT, not by a hang."""
    assert try_out(os.abort).status == -signal.SIGABRT


@as_each_user
def test_locking_takes_about_a_millisecond(ordinary: bool) -> None:
    """The median of twenty; the bound allows for a busy machine."""

    def measure() -> float:
        began = time.perf_counter()
        lock_here()
        return time.perf_counter() - began

    seconds = sorted(float(try_out(measure, locked=False, ordinary=ordinary).text) for _ in range(20))
    print(f"lock: median {seconds[10] * 1e3:.2f} ms, worst {seconds[-1] * 1e3:.2f} ms")
    assert seconds[10] < 0.02


def test_the_order_of_the_host_process_locks_or_leaves_open() -> None:
    """With the sandbox off there are no walls, but the name, and the death with the parent, stay."""

    def enter(*, sandbox: bool) -> str:
        lock.enter({"sandbox": sandbox, "uid": NOBODY, "memory_bytes": MEMORY_BYTES}, os.getppid())
        return Path("/proc/self/comm").read_text(encoding="utf-8").strip()

    assert try_out(lambda: enter(sandbox=False), locked=False).text == "modelyard-model"
    assert try_out(lambda: enter(sandbox=True), locked=False).refused


@as_each_user
def test_the_self_test_finds_every_wall_standing(ordinary: bool) -> None:
    """On a machine that has them all; the uid is dropped by root only."""

    def report() -> str:
        become(ordinary=ordinary)
        return str(self_test(uid=NOBODY).as_dict())

    expected = {"seccomp": True, "landlock": landlock.find_version(), "uid": None if ordinary else NOBODY, "rlimits": True, "failures": ()}
    expected |= {"architecture": MACHINE, "filter_tested": True, "filter_run_at_release": MACHINE in seccomp.RUN_AT_RELEASE}
    assert try_out(report, locked=False).text == str(expected)


def test_the_self_test_is_done_before_anyone_waits_for_it() -> None:
    """Of a small process here: some forty canaries, twice, in well under a second."""
    began = time.perf_counter()
    assert self_test(uid=NOBODY).failures == ()
    assert time.perf_counter() - began < 1


def test_the_self_test_says_that_a_filter_never_ran_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine whose filter was published untried; that it was tried at this start is said apart."""
    monkeypatch.setattr(seccomp, "RUN_AT_RELEASE", frozenset[str]())
    report = self_test(uid=NOBODY)
    assert (report.seccomp, report.filter_tested, report.filter_run_at_release) == (True, True, False)


def test_the_self_test_names_a_seccomp_that_cannot_be_put_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that forbids it: nothing may run."""

    def refuse() -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(seccomp, "install", refuse)
    report = self_test(uid=NOBODY)
    assert not report.seccomp
    assert "seccomp: OSError: [Errno 22] Invalid argument" in report.failures


@pytest.mark.skipif(MACHINE not in seccomp.ARCHITECTURES, reason="no table for this machine")
def test_the_self_test_names_what_gets_through_a_hole(monkeypatch: pytest.MonkeyPatch) -> None:
    """A filter that let socket(2) through would stand, and be found out."""
    whole = seccomp.ARCHITECTURES[MACHINE]
    number = {"x86_64": 41, "aarch64": 198}[MACHINE]
    holed = dataclasses.replace(whole, allowed={**whole.allowed, "socket": number})
    monkeypatch.setitem(seccomp.ARCHITECTURES, MACHINE, holed)
    report = self_test(uid=NOBODY)
    assert not report.seccomp
    assert "together: open_unix_socket" in report.failures


@pytest.mark.skipif(MACHINE not in seccomp.ARCHITECTURES, reason="no table for this machine")
def test_the_self_test_finds_a_filter_that_is_too_tight(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that couldn't answer is found at the start, not at the first request."""
    whole = seccomp.ARCHITECTURES[MACHINE]
    tight = dataclasses.replace(whole, allowed={name: number for name, number in whole.allowed.items() if name != "recvfrom"})
    monkeypatch.setitem(seccomp.ARCHITECTURES, MACHINE, tight)
    report = self_test(uid=NOBODY)
    assert (report.seccomp, report.failures) == (False, ("together: answer",))


def test_without_landlock_the_other_walls_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    """An older kernel: the report says None, nothing else fails, and a worker still locks."""
    monkeypatch.setattr(landlock, "find_version", lambda: None)
    report = self_test(uid=NOBODY)
    assert (report.seccomp, report.landlock, report.rlimits, report.failures) == (True, None, True, ())
    assert try_out(canaries.read_file).refused


def test_a_limit_that_does_not_hold_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """If memory weren't limited, the self-test's allocation would get through."""
    monkeypatch.setattr(walls, "limit_resources", lambda *_: None)
    report = self_test(uid=NOBODY)
    assert not report.rlimits
    assert "rlimits: allocate_too_much" in report.failures


def test_a_machine_without_a_table_cannot_be_locked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its calls have other numbers, so that no filter of ours would mean anything."""
    monkeypatch.setattr(seccomp, "ARCHITECTURES", {})
    assert try_out(lock_here, locked=False).text == "OSError ENOSYS"


def test_a_self_test_that_hangs_ends_and_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a strange kernel does, the fork server starts in time, with the walls reported missing."""
    monkeypatch.setattr(seccomp, "install", lambda: time.sleep(60))
    began = time.monotonic()
    report = self_test(uid=NOBODY, timeout_seconds=0.3)
    assert not report.seccomp
    assert time.monotonic() - began < 10


def test_a_lock_error_is_no_domain_error() -> None:
    """It means a host that can't run models, and is reported by the self-test before anyone asks for one."""
    assert issubclass(LockError, RuntimeError)
