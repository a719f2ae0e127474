"""Reading a whole body of a predict or control request, so that slow senders can't hold all threads.

A small body of announced size is read at once, by so many threads of one key and of all keys at most. A large one, or one that
doesn't say its size, takes one of the process's compute slots, of which one key holds half at most, and is read under a time limit.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

from flask import Flask, Response, current_app, g, request

from registry.api.timed_body import Readers, TimedBody
from registry.errors import BodyTooLarge, BodyTooSlow, MalformedBody, RateLimited, ServerBusy, UploadIncomplete, UploadTimeout
from registry.wiring import services

SMALL_BYTES = 256 * 1024
SLOT_WAIT_SECONDS = 5.0
RETRY_AFTER_SECONDS = 1.0

_SMALL = "modelyard-small-bodies"
_LARGE = "modelyard-large-bodies"
_READERS = "modelyard-readers"
_ENDED_EARLY = "The body ended before as many bytes came as Content-Length announced."


class Shares:
    """How many of something are held in this process just now, by each key and altogether. Safe to use from many threads."""

    def __init__(self, most: int, altogether: int) -> None:
        """Let each key hold up to `most`, and all keys up to `altogether`."""
        self._most = most
        self._altogether = altogether
        self._held: dict[str, int] = {}
        self._total = 0
        self._lock = threading.Lock()

    def enter(self, key_id: str) -> None:
        """Hold one more. Raises ServerBusy or RateLimited, at once, where as many are held as may be."""
        with self._lock:
            held = self._held.get(key_id, 0)
            if self._total < self._altogether and held < self._most:
                self._held[key_id] = held + 1
                self._total += 1
                return
        if held >= self._most:
            raise RateLimited(
                f"{held} requests of this key already send their bodies; wait for them.", retry_after_seconds=RETRY_AFTER_SECONDS
            )
        raise ServerBusy("Too many requests are still sending their bodies.", retry_after_seconds=RETRY_AFTER_SECONDS)

    def leave(self, key_id: str) -> None:
        """Give one back."""
        with self._lock:
            self._total -= 1
            left = self._held[key_id] - 1
            if left:
                self._held[key_id] = left
            else:
                del self._held[key_id]

    @contextmanager
    def take(self, key_id: str) -> Iterator[None]:
        """Hold one while the block runs. Raises as `enter` does."""
        self.enter(key_id)
        try:
            yield
        finally:
            self.leave(key_id)


class SmallBodies:
    """The reading of small bodies of announced size. Safe to use from many threads."""

    def __init__(self, web_threads: int) -> None:
        """Let each key read with half of the threads, and all keys with five eighths: the others are kept for requests without a body."""
        self._shares = Shares(web_threads // 2, max(1, web_threads * 5 // 8))

    def read(self, key_id: str, stream: BinaryIO, announced: int) -> bytes:
        """Return the body. Raises RateLimited and ServerBusy before it read anything, MalformedBody for fewer bytes than announced."""
        if not announced:
            return b""
        self._shares.enter(key_id)
        try:
            body = stream.read(announced)
        finally:
            self._shares.leave(key_id)
        if len(body) < announced:
            raise MalformedBody(_ENDED_EARLY)
        return body


def register(app: Flask, *, web_threads: int, compute_slots: int) -> None:
    """Give each key half of the threads for small bodies, and half of the compute slots for large ones."""
    app.extensions[_SMALL] = SmallBodies(web_threads)
    app.extensions[_LARGE] = Shares(max(1, compute_slots // 2), compute_slots + web_threads)
    app.extensions[_READERS] = Readers(web_threads // 2, web_threads // 4)
    app.after_request(_hold_until_read)


def small_bodies(app: Flask) -> SmallBodies:
    """Return the reading of small bodies of an application, whose shares all its requests have in common."""
    return cast("SmallBodies", app.extensions[_SMALL])


def timed_body(key_id: str, announced: int | None) -> TimedBody:
    """Return the body of the current request, to be read under the time limits of uploads."""
    config = services().config
    g.timed_body = body = TimedBody(
        request.environ["wsgi.input"],
        announced,
        readers=cast("Readers", current_app.extensions[_READERS]),
        key_id=key_id,
        stall_seconds=config.upload_stall_seconds,
        min_bytes_per_second=config.upload_min_bytes_per_second,
    )
    return body


@contextmanager
def whole_body(key_id: str, max_bytes: int) -> Iterator[bytes]:
    """Yield the body of the current request; a large one holds a compute slot until the block ends.

    Raises BodyTooLarge, MalformedBody for fewer bytes than announced, BodyTooSlow, RateLimited, ServerBusy.
    """
    announced = announced_bytes()
    if announced is not None and announced > max_bytes:
        raise BodyTooLarge(f"The body may have {max_bytes} bytes here; this one announces {announced}.")
    if announced is None or announced > SMALL_BYTES:
        with cast("Shares", current_app.extensions[_LARGE]).take(key_id), _compute_slot():
            yield _read_timed(timed_body(key_id, announced), max_bytes)
    else:
        body = small_bodies(current_app).read(key_id, request.environ["wsgi.input"], announced)
        g.body_is_read = True
        yield body


def announced_bytes() -> int | None:
    """Return how many bytes come, or None where the request doesn't say: sent in chunks."""
    if "chunked" in request.headers.get("Transfer-Encoding", "").lower():
        return None
    return request.content_length or 0


@contextmanager
def _compute_slot() -> Iterator[None]:
    slots = services().compute_slots
    if not slots.acquire(timeout=SLOT_WAIT_SECONDS):
        raise ServerBusy(
            "As many large requests as this process takes at once are being read or computed.", retry_after_seconds=RETRY_AFTER_SECONDS
        )
    try:
        yield
    finally:
        slots.release()


def _hold_until_read(response: Response) -> Response:
    """Let a request that was answered early end only after its body's reader has: see `timed_body`."""
    body: TimedBody | None = g.get("timed_body")
    if body is not None and not body.is_read:
        response.call_on_close(body.release)
    return response


def _read_timed(body: TimedBody, max_bytes: int) -> bytes:
    came = bytearray()
    try:
        for chunk in body:
            came += chunk
            if len(came) > max_bytes:
                raise BodyTooLarge(f"The body may have {max_bytes} bytes here.")
    except UploadTimeout as error:
        raise BodyTooSlow(error.detail) from None
    except UploadIncomplete:
        raise MalformedBody(_ENDED_EARLY) from None
    return bytes(came)
