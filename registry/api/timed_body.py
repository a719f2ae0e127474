"""A request body that can't hold a thread for ever: bytes must keep coming, and fast enough on average.

The server's own read has no timeout, so a thread of our own reads and the request's thread waits for it. An ended
connection looks like a complete body there, so what came is compared with what was announced.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from typing import BinaryIO

from registry.errors import NoUploadSlot, UploadIncomplete, UploadTimeout

CHUNK_BYTES = 16 * 1024
BUFFERED_CHUNKS = 16
MOST_READING = 96


class TimedBody:
    """Reads one body in chunks. Raises UploadTimeout and UploadIncomplete while it is iterated."""

    _reading = 0
    _count_lock = threading.Lock()

    def __init__(self, stream: BinaryIO, announced_bytes: int | None, *, stall_seconds: float, min_bytes_per_second: int) -> None:
        """Read nothing yet: a request that is refused first must not leave a thread behind."""
        self._stream = stream
        self.announced_bytes = announced_bytes
        self._stall = stall_seconds
        self._rate = min_bytes_per_second
        self._chunks: queue.Queue[bytes | None] = queue.Queue(BUFFERED_CHUNKS)
        self._given_up = threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        """Yield chunks of up to CHUNK_BYTES until the body is complete. Only once."""
        self._begin()
        began, came = time.monotonic(), 0
        try:
            while chunk := self._next():
                came += len(chunk)
                yield chunk
                self._require_rate(came, time.monotonic() - began)
        finally:
            self._given_up.set()
        if self.announced_bytes is not None and came != self.announced_bytes:
            raise UploadIncomplete(f"{came} bytes came where Content-Length announced {self.announced_bytes}.")

    def _begin(self) -> None:
        """Start the reading thread. Raises NoUploadSlot while too many stalled bodies still hold one each."""
        with TimedBody._count_lock:
            if TimedBody._reading >= MOST_READING:
                raise NoUploadSlot("Too many stalled bodies still hold their connections.", retry_after_seconds=30)
            TimedBody._reading += 1
        threading.Thread(target=self._read, daemon=True, name="body").start()

    def _next(self) -> bytes | None:
        try:
            return self._chunks.get(timeout=self._stall)
        except queue.Empty:
            raise UploadTimeout(f"Nothing came for {self._stall:g} s.") from None

    def _require_rate(self, came: int, seconds: float) -> None:
        if seconds > self._stall and came < self._rate * seconds:
            raise UploadTimeout(f"{came / seconds:.0f} bytes a second came on average; at least {self._rate} are needed.")

    def _read(self) -> None:
        try:
            while not self._given_up.is_set():
                chunk = self._stream.read(CHUNK_BYTES)
                self._hand_over(chunk or None)
                if not chunk:
                    return
        except OSError:
            self._hand_over(None)
        finally:
            with TimedBody._count_lock:
                TimedBody._reading -= 1

    def _hand_over(self, chunk: bytes | None) -> None:
        while not self._given_up.is_set():
            try:
                self._chunks.put(chunk, timeout=1)
            except queue.Full:
                continue
            return
