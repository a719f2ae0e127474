"""A request body that can't hold a thread for ever: bytes must keep coming, fast enough on average, and end.

The server's own read has no timeout, so a thread of our own reads and the request's thread waits for it. An ended
connection looks like a complete body there, so what came is compared with what was announced.

Granian (2.8) waits for the body with the GIL held when a request ends while a thread is still in `read`: the whole process
would stand still until the client goes on. So whoever answers early waits in `Response.close`, after the answer is out and
with the GIL free, until the reading has ended; `release` does that. It costs a thread for as long as the client holds its
connection, which is why so few may be reading, of one key and altogether.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import BinaryIO

from registry.errors import NoUploadSlot, TooManyUploads, UploadIncomplete, UploadTimeout

CHUNK_BYTES = 16 * 1024
BUFFERED_CHUNKS = 16
RETRY_AFTER_SECONDS = 30.0
#: Longest that one body may take, however steadily it comes: the largest artifact at 100 kB a second.
LONGEST_SECONDS = 6 * 3600.0


class Readers:
    """Who is reading in this process, stalled clients of answered requests included. Safe to use from many threads."""

    def __init__(self, most: int, most_per_key: int) -> None:
        """Allow `most` at once, and `most_per_key` of one key."""
        self._most = most
        self._most_per_key = most_per_key
        self._by_key: Counter[str] = Counter()
        self._lock = threading.Lock()

    def enter(self, key_id: str) -> None:
        """Count a reader. Raises TooManyUploads, NoUploadSlot."""
        with self._lock:
            if self._by_key[key_id] >= self._most_per_key:
                raise TooManyUploads("Too many bodies of this key are still under way or stalled.", retry_after_seconds=RETRY_AFTER_SECONDS)
            if self._by_key.total() >= self._most:
                raise NoUploadSlot("Too many bodies are still under way or stalled.", retry_after_seconds=RETRY_AFTER_SECONDS)
            self._by_key[key_id] += 1

    def leave(self, key_id: str) -> None:
        """Count one reader less."""
        with self._lock:
            self._by_key[key_id] -= 1
            if not self._by_key[key_id]:
                del self._by_key[key_id]


class TimedBody:
    """Reads one body in chunks. Raises UploadTimeout and UploadIncomplete while it is iterated."""

    def __init__(
        self,
        stream: BinaryIO,
        announced_bytes: int | None,
        *,
        readers: Readers,
        key_id: str,
        stall_seconds: float,
        min_bytes_per_second: int,
        longest_seconds: float = LONGEST_SECONDS,
    ) -> None:
        """Read nothing yet: a request that is refused first must not leave a thread behind."""
        self._stream = stream
        self.announced_bytes = announced_bytes
        self._readers = readers
        self._key_id = key_id
        self._stall = stall_seconds
        self._rate = min_bytes_per_second
        self._longest = longest_seconds
        self._chunks: queue.Queue[bytes | None] = queue.Queue(BUFFERED_CHUNKS)
        self._given_up = threading.Event()
        self._left = threading.Event()
        self._left.set()

    @property
    def is_read(self) -> bool:
        """Tell whether nobody is in the server's `read` any more."""
        return self._left.is_set()

    def release(self) -> None:
        """Wait until the reading has ended: the client has sent more, or has gone."""
        self._given_up.set()
        self._left.wait()

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
        """Start the reading thread. Raises TooManyUploads, NoUploadSlot while too many stalled bodies still hold one each."""
        self._readers.enter(self._key_id)
        self._left.clear()
        threading.Thread(target=self._read, daemon=True, name="body").start()

    def _next(self) -> bytes | None:
        try:
            return self._chunks.get(timeout=self._stall)
        except queue.Empty:
            raise UploadTimeout(f"Nothing came for {self._stall:g} s.") from None

    def _require_rate(self, came: int, seconds: float) -> None:
        if seconds > self._stall and came < self._rate * seconds:
            raise UploadTimeout(f"{came / seconds:.0f} bytes a second came on average; at least {self._rate} are needed.")
        if seconds > self._longest:
            raise UploadTimeout(f"It isn't complete after {self._longest:g} s.")

    def _read(self) -> None:
        try:
            while not self._given_up.is_set():
                chunk = self._stream.read(CHUNK_BYTES)
                if not chunk:
                    self._left.set()
                self._hand_over(chunk or None)
                if not chunk:
                    return
        except OSError:
            self._hand_over(None)
        finally:
            self._left.set()
            self._readers.leave(self._key_id)

    def _hand_over(self, chunk: bytes | None) -> None:
        while not self._given_up.is_set():
            try:
                self._chunks.put(chunk, timeout=1)
            except queue.Full:
                continue
            return
