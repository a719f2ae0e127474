"""What a locked worker must not be able to do: each function tries one such thing.

A wall stands when every canary meant for it is refused. A canary returns when it got through, and must then have
done no harm: it is tried in a child that ends at once.
"""

from __future__ import annotations

import _thread
import errno
import mmap
import os
import socket
from collections.abc import Callable
from pathlib import Path

from registry.host.kernel import PR_GET_DUMPABLE, call_system

#: More than a self-test's worker may have, and little enough that any machine would promise it.
TOO_MANY_BYTES = 256 << 20
CLOSED_PORT = ("127.0.0.1", 9)
BAD_DESCRIPTOR = NO_FLAG_LEFT_OUT = (1 << 64) - 1

#: Calls that Python has no name for, or only a careful one: number on x86_64, on aarch64, and arguments with which a
#: kernel that lets the call through does nothing, or answers EINVAL, EFAULT, EBADF or the like.
BY_NUMBER = {
    "map_descriptor": (9, 222, (0, mmap.PAGESIZE, mmap.PROT_READ, mmap.MAP_PRIVATE, BAD_DESCRIPTOR)),
    "write_elsewhere": (1, 64, (BAD_DESCRIPTOR, 0, 0)),
    "send_descriptor": (46, 211, (BAD_DESCRIPTOR,)),
    "receive_descriptor": (47, 212, (BAD_DESCRIPTOR,)),
    "duplicate_descriptor": (32, 23, (BAD_DESCRIPTOR,)),
    "take_descriptor": (438, 438, (BAD_DESCRIPTOR,)),  # pidfd_getfd
    "make_pair": (53, 199, ()),
    "make_memory_file": (319, 279, (0, NO_FLAG_LEFT_OUT)),
    "share_memory": (29, 194, ()),  # shmget
    "read_process": (310, 270, (0, 0, 0, 0, 0, 1)),  # process_vm_readv
    "write_process": (311, 271, (0, 0, 0, 0, 0, 1)),
    "trace": (101, 117, (0,)),  # to be traced
    "open_process": (434, 434, (0,)),  # pidfd_open
    "signal_process": (424, 424, (BAD_DESCRIPTOR,)),  # pidfd_send_signal
    "clone": (56, 220, (0x800,)),  # CLONE_SIGHAND, which can't be alone
    "unshare": (272, 97, (NO_FLAG_LEFT_OUT,)),
    "set_namespace": (308, 268, (BAD_DESCRIPTOR,)),
    "mount": (165, 40, (1, 1, 1)),
    "execute_descriptor": (322, 281, (BAD_DESCRIPTOR,)),  # execveat
    "control_process": (157, 167, (PR_GET_DUMPABLE,)),  # prctl
    "set_personality": (135, 92, (0xFFFF_FFFF,)),
    "add_filter": (317, 277, (99,)),
    "use_keyring": (250, 219, (0, NO_FLAG_LEFT_OUT - 1)),
    "set_up_io_uring": (425, 425, (0, 0)),
    "catch_page_faults": (323, 282, (NO_FLAG_LEFT_OUT,)),  # userfaultfd
    "load_bpf": (321, 280, (0, 0, 1 << 20)),
    "watch_performance": (298, 241, (0, 0, 0, 0, NO_FLAG_LEFT_OUT)),
}

#: How a wall answers. Anything else, such as "connection refused", means that the call got through.
REFUSALS = frozenset({errno.EPERM, errno.EACCES, errno.EAGAIN, errno.ENOMEM, errno.EFBIG})


def read_file() -> None:
    """Open a file that everyone may read."""
    os.close(os.open("/dev/null", os.O_RDONLY))


def write_file() -> None:
    """Open a file that everyone may write."""
    os.close(os.open("/dev/null", os.O_WRONLY))


def list_folder() -> None:
    """List the root folder."""
    list(Path("/").iterdir())


def stat_path() -> None:
    """Ask whether a path exists."""
    Path("/").stat()


def grow_file() -> None:
    """Write to a file, here one in memory."""
    os.write(os.memfd_create("canary"), b"x")


def bind_tcp() -> None:
    """Listen for others over TCP."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.bind(("127.0.0.1", 0))


def connect_tcp() -> None:
    """Reach a TCP server."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.connect(CLOSED_PORT)


def send_udp() -> None:
    """Send a datagram."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"x", CLOSED_PORT)


def open_unix_socket() -> None:
    """Make a UNIX socket, as a way to the other processes of the host."""
    socket.socket(socket.AF_UNIX, socket.SOCK_STREAM).close()


def fork_process() -> None:
    """Fork."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def start_thread() -> None:
    """Start a thread."""
    _thread.start_new_thread(int, ())


def signal_parent() -> None:
    """Signal the parent, with the signal that does nothing."""
    os.kill(os.getppid(), 0)


def set_user() -> None:
    """Set the user id, here to what it is."""
    os.setuid(os.getuid())


def become_root() -> None:
    """Become root."""
    os.setresuid(0, 0, 0)


def map_executable() -> None:
    """Get memory to write machine code to."""
    mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()


def allocate_too_much() -> None:
    """Ask for more memory than the limit."""
    mmap.mmap(-1, TOO_MANY_BYTES).close()


def execute() -> None:
    """Run a program. To be tried last: getting through ends the process."""
    os.execv("/bin/true", ["true"])  # noqa: S606 - to be refused


def by_number(name: str) -> Canary:
    """Return the canary that makes one of the calls of BY_NUMBER."""

    def make_call() -> None:
        x86_64, aarch64, arguments = BY_NUMBER[name]
        number = {"x86_64": x86_64, "aarch64": aarch64}[os.uname().machine]
        call_system(number, *(*arguments, 0, 0, 0, 0, 0, 0)[:6])

    make_call.__name__ = name
    return make_call


Canary = Callable[[], None]

#: Refused by seccomp alone, and by all walls together.
FORBIDDEN: tuple[Canary, ...] = (
    read_file, write_file, list_folder, stat_path, grow_file, bind_tcp, connect_tcp, send_udp, open_unix_socket,
    fork_process, start_thread, signal_parent, set_user, map_executable, *map(by_number, BY_NUMBER), execute,
)  # fmt: skip


def is_refused(canary: Canary) -> bool:
    """Try one canary and tell whether a wall stopped it."""
    try:
        canary()
    except OSError as error:
        return error.errno in REFUSALS
    except (MemoryError, RuntimeError):  # how Python says that memory or a thread was refused
        return True
    return False
