"""A body that is read under a time limit, and how many may be read at once."""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import BinaryIO

import pytest

from registry.api.timed_body import BUFFERED_CHUNKS, CHUNK_BYTES, Readers, TimedBody
from registry.errors import NoUploadSlot, TooManyUploads, UploadIncomplete, UploadTimeout


@pytest.fixture
def pipe() -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """Both ends of a pipe: what is read blocks until something is written or the writer closes."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", buffering=0) as reader, os.fdopen(writing, "wb", buffering=0) as writer:
        yield reader, writer


def _body(stream: BinaryIO, announced: int | None = None, readers: Readers | None = None, stall: float = 0.2, rate: int = 0) -> TimedBody:
    return TimedBody(stream, announced, readers=readers or Readers(8, 8), key_id="a", stall_seconds=stall, min_bytes_per_second=rate)


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, 5 * BUFFERED_CHUNKS * CHUNK_BYTES])
def test_every_byte_comes_in_order(size: int) -> None:
    """Whatever the size, announced or not."""
    content = os.urandom(size)
    for announced in (None, size):
        body = _body(io.BytesIO(content), announced)
        assert b"".join(body) == content
        body.release()
        assert body.is_read


@pytest.mark.parametrize("announced", [9, 11])
def test_another_length_than_announced_is_incomplete(announced: int) -> None:
    """Too few bytes are what an aborted upload looks like; too many can't be what was meant."""
    with pytest.raises(UploadIncomplete, match=f"10 bytes came where Content-Length announced {announced}"):
        list(_body(io.BytesIO(b"x" * 10), announced))


def test_a_connection_that_breaks_is_incomplete() -> None:
    """An error of the server's stream ends the body like a close."""

    class Broken(io.BytesIO):
        def read(self, _size: int | None = -1) -> bytes:
            raise OSError("gone")

    with pytest.raises(UploadIncomplete):
        list(_body(Broken(), 10))


def test_a_stall_ends_the_reading_and_release_waits_for_the_reader(pipe: tuple[BinaryIO, BinaryIO]) -> None:
    """The one who answers goes on at once; the thread in `read` is waited for only when the answer is out."""
    reader, writer = pipe
    readers = Readers(1, 1)
    body = _body(reader, 10, readers)
    writer.write(b"x")
    with pytest.raises(UploadTimeout, match=r"Nothing came for 0\.2 s"):
        list(body)
    assert not body.is_read
    with pytest.raises(TooManyUploads):
        list(_body(io.BytesIO(b"x"), readers=readers))
    releasing = threading.Thread(target=body.release)
    releasing.start()
    releasing.join(0.1)
    assert releasing.is_alive()
    writer.close()
    releasing.join(10)
    assert body.is_read
    _poll(lambda: list(_try(readers)) == [b"x"])


def test_a_rate_under_the_lowest_ends_it_once_it_is_older_than_the_stall_time(pipe: tuple[BinaryIO, BinaryIO]) -> None:
    """A byte now and then is no upload."""
    reader, writer = pipe
    stop = threading.Event()

    def trickle() -> None:
        while not stop.wait(0.05):
            writer.write(b"x")

    thread = threading.Thread(target=trickle)
    thread.start()
    try:
        with pytest.raises(UploadTimeout, match="at least 1000 are needed"):
            list(_body(reader, rate=1000))
    finally:
        stop.set()
        thread.join()
        writer.close()


def test_one_key_and_all_together_have_only_so_many_readers() -> None:
    """The bound of a key is 429, that of the process 503; who leaves makes room."""
    readers = Readers(3, 2)
    for key in ("a", "a", "b"):
        readers.enter(key)
    with pytest.raises(TooManyUploads):
        readers.enter("a")
    with pytest.raises(NoUploadSlot):
        readers.enter("c")
    readers.leave("a")
    readers.enter("c")


def test_a_body_that_is_never_read_starts_no_thread() -> None:
    """A request that is refused for its headers leaves nothing behind."""
    before = threading.active_count()
    bodies = [_body(io.BytesIO(b"x")) for _ in range(20)]
    assert threading.active_count() == before
    for body in bodies:
        body.release()


def _try(readers: Readers) -> list[bytes]:
    try:
        return list(_body(io.BytesIO(b"x"), readers=readers))
    except TooManyUploads:
        return []


def _poll(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)
