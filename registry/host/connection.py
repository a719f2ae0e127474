"""One web thread's connection to a worker: whole frames in, bytes out, and never a wait for either.

It carries one conversation at a time. Who is asked for what is no affair of it; it doesn't even parse a frame's header.
"""

from __future__ import annotations

import socket

from registry import frames

READ_BYTES = 1 << 16


class Connection:
    """Bytes that have come and bytes that are still to go out. Every method may raise OSError: it is broken then, or at its end."""

    __slots__ = ("_early", "_incoming", "_room", "_sock", "descriptor", "outgoing")

    def __init__(self, sock: socket.socket) -> None:
        """Begin with nothing under way."""
        sock.setblocking(False)
        self._sock = sock
        self._early = b""  # less than a frame's beginning
        self._incoming = bytearray()  # of the size of a frame that comes in pieces
        self._room = memoryview(b"")  # what of `_incoming` is still to come
        self.descriptor = sock.fileno()
        self.outgoing = memoryview(b"")  # a view, so that what is left of a large answer isn't copied at each turn

    @property
    def closed(self) -> bool:
        """Tell whether it was closed here."""
        return self.descriptor < 0

    def read(self) -> list[bytes | bytearray]:
        """Read once, and return the frames that are whole now. Raises OSError at its end, too."""
        try:
            if self._room:
                return self._read_more()
            data = self._sock.recv(READ_BYTES)
        except BlockingIOError:
            return []
        if not data:
            raise ConnectionResetError
        return self._cut(self._early + data)

    def send(self, frame: bytes) -> None:
        """Send what goes out at once; the rest is `outgoing`."""
        self.outgoing = memoryview(b"".join((self.outgoing, frame)) if self.outgoing else frame)
        self.flush()

    def flush(self) -> None:
        """Send more of what is still to go out."""
        try:
            sent = self._sock.send(self.outgoing)
        except BlockingIOError:
            return
        self.outgoing = self.outgoing[sent:]

    def close(self) -> None:
        """Close it; what didn't go out is lost."""
        self._sock.close()
        self.descriptor, self.outgoing = -1, memoryview(b"")

    def _read_more(self) -> list[bytes | bytearray]:
        """Read more of a frame that comes in pieces, straight to its place."""
        count = self._sock.recv_into(self._room)
        if not count:
            raise ConnectionResetError
        self._room = self._room[count:]
        if self._room:
            return []
        whole, self._incoming = self._incoming, bytearray()
        return [whole]

    def _cut(self, data: bytes) -> list[bytes | bytearray]:
        """Return the whole frames in `data`, and keep what there is of the next one."""
        whole: list[bytes | bytearray] = []
        while len(data) >= frames.LENGTHS.size:
            size = frames.LENGTH_BYTES + frames.LENGTHS.unpack_from(data)[0]
            if len(data) < size:
                self._incoming = bytearray(size)
                self._incoming[: len(data)] = data
                self._room = memoryview(self._incoming)[len(data) :]
                data = b""
            else:
                whole.append(data[:size])
                data = data[size:]
        self._early = data
        return whole
