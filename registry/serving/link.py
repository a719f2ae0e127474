"""Frames over UNIX sockets, one conversation at a time per connection, connections kept for the next one.

Used towards the host process and towards workers; says exactly whether a question was never heard, or heard and not answered.
"""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct
from collections import deque
from typing import Any

from registry import frames

KEPT_CONNECTIONS = 64
#: `struct timeval` of socket(7)'s SO_RCVTIMEO: seconds and microseconds, each a C long on the 64-bit Linux that this runs on.
_TIMEVAL = struct.Struct("ll")
#: A frame of so many bytes fits into a socket's buffer. It is sent without letting go of the interpreter, which takes less time than
#: getting it back among other threads would, only to let go of it again for the answer.
MOST_AT_ONCE_BYTES = 32 * 1024
_AT_ONCE = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
_send_keeping_gil = ctypes.PyDLL(None).send
_send_keeping_gil.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int]
_send_keeping_gil.restype = ctypes.c_ssize_t


class NotHeard(Exception):
    """Nobody listens there, or ended before it had read the whole question: nothing came of it."""


class NotAnswered(Exception):
    """The other side read the question and ended before it answered."""


class NoAnswerInTime(Exception):
    """The other side is still silent when the time is over."""


class _Connection:
    """One connection, with the time limit that the kernel keeps for it: a read that waits is one system call."""

    __slots__ = ("sock", "timeout_seconds")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.timeout_seconds = 0.0

    def limit(self, timeout_seconds: float) -> None:
        """Let each send and receive wait so long. Python's own timeout would ask `poll` before each of them."""
        if timeout_seconds != self.timeout_seconds:
            timeval = _TIMEVAL.pack(*divmod(int(timeout_seconds * 1e6), 1_000_000))
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)
            self.timeout_seconds = timeout_seconds


class Link:
    """A pool of connections to one UNIX socket. Safe to use from many threads."""

    def __init__(self, path: str) -> None:
        """Connect on first use."""
        self.path = path
        self._idle: deque[_Connection] = deque(maxlen=KEPT_CONNECTIONS)

    def ask(self, frame: bytes, timeout_seconds: float) -> tuple[dict[str, Any], memoryview]:
        """Send one frame and return the answer's header and body. Raises NotHeard, NotAnswered, NoAnswerInTime."""
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._connect()
        try:
            connection.limit(timeout_seconds)
            _send(connection.sock, frame)
            answer = frames.decode_frame(_read_payload(connection.sock))
        except BlockingIOError:  # what a socket says whose time limit the kernel keeps
            connection.sock.close()
            raise NoAnswerInTime from None
        except (NotHeard, ConnectionResetError):  # reset: closed over there with bytes of ours unread
            connection.sock.close()
            raise NotHeard from None
        except (OSError, frames.FrameError):
            connection.sock.close()
            raise NotAnswered from None
        except BaseException:
            connection.sock.close()
            raise
        self._idle.append(connection)
        return answer

    def close(self) -> None:
        """Close the idle connections."""
        with contextlib.suppress(IndexError):  # another thread may close them, too
            while True:
                self._idle.pop().sock.close()

    def _connect(self) -> _Connection:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(self.path)
        except OSError:
            sock.close()
            raise NotHeard from None
        return _Connection(sock)


def _send(connection: socket.socket, frame: bytes) -> None:
    sent = _send_keeping_gil(connection.fileno(), frame, len(frame), _AT_ONCE) if len(frame) <= MOST_AT_ONCE_BYTES else 0
    if sent == len(frame):
        return
    try:
        connection.sendall(memoryview(frame)[max(sent, 0) :])
    except BlockingIOError:
        raise
    except OSError:
        raise NotHeard from None


def _read_payload(connection: socket.socket) -> bytes | bytearray:
    data = connection.recv(65536)
    if not data:
        raise ConnectionError
    while len(data) < frames.LENGTH_BYTES:
        data += _more(connection, 65536)
    length = 4 + int.from_bytes(data[:4], "little")
    if len(data) == length:
        return data[4:]
    whole = bytearray(data)
    while len(whole) < length:
        whole += _more(connection, min(length - len(whole), 1 << 20))
    return whole[4:]


def _more(connection: socket.socket, count: int) -> bytes:
    chunk = connection.recv(count)
    if not chunk:
        raise ConnectionError
    return chunk
