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

from registry.host.kernel import call_system

#: More than a self-test's worker may have, and little enough that any machine would promise it.
TOO_MANY_BYTES = 256 << 20
CLOSED_PORT = ("127.0.0.1", 9)
PTRACE = {"x86_64": 101, "aarch64": 117}

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


def trace() -> None:
    """Call ptrace(2), here to be traced."""
    call_system(PTRACE[os.uname().machine], 0, 0, 0, 0)


def execute() -> None:
    """Run a program. To be tried last: getting through ends the process."""
    os.execv("/bin/true", ["true"])  # noqa: S606 - to be refused


Canary = Callable[[], None]

#: Refused by seccomp alone, and by all walls together.
FORBIDDEN: tuple[Canary, ...] = (
    read_file, write_file, list_folder, stat_path, grow_file, bind_tcp, connect_tcp, send_udp, open_unix_socket,
    fork_process, start_thread, signal_parent, set_user, map_executable, trace, execute,
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
