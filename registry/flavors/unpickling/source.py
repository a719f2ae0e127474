"""The bytes of an artifact, decompressed step by step into a window, under one budget.

Nothing here trusts a length that the artifact states: memory is taken as bytes arrive, or up to what the file still has.
Must never read past the end of the one compressed stream that joblib writes; what comes behind it is refused.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import BinaryIO, Protocol, cast

import numpy as np

from registry import frames
from registry.flavors.refusals import Refused

try:
    import lz4.frame as lz4_frame
except ImportError:  # an optional extra
    lz4_frame = None

WINDOW_BYTES = 1 << 18
COMPRESSED_CHUNK_BYTES = 1 << 16
LZMA_MEMORY_BYTES = 256 << 20
#: What a stream may unpack to beyond this many bytes is bounded by so many times its packed size: above what zlib can reach (1,032).
FREE_BYTES = 64 << 20
HIGHEST_RATIO = 1_100

LZ4_MAGIC = b"\x04\x22\x4d\x18"
Read = Callable[[int], bytes]


class Damaged(Exception):
    """The artifact ends early, or isn't what its first bytes announce."""


class Source:
    """The unpacked bytes, read forwards once. `data[pos:end]` is what is in memory of them."""

    __slots__ = ("_left", "_raw", "_read", "_stream", "data", "end", "pos")

    def __init__(self, stream: BinaryIO, budget_bytes: int) -> None:
        """Read from `stream`, which is seekable and at its start; at most `budget_bytes` unpacked. Raises Refused."""
        self._stream = stream
        self._left = budget_bytes
        self.data = b""
        self.pos = self.end = 0
        head = stream.read(6)
        stream.seek(0)
        decompressor = _decompressor(head)
        self._raw = decompressor is None
        self._read = stream.read if decompressor is None else _unpacking(stream, decompressor)

    def take(self, count: int) -> bytes:
        """Return the next `count` bytes. Raises Damaged where there are fewer, Refused over the budget."""
        start = self.pos
        stop = start + count
        if stop <= self.end:
            self.pos = stop
            return self.data[start:stop]
        return bytes(self._gather(count))

    def refill(self) -> None:
        """Put the next bytes into the empty window. Raises Damaged at the end."""
        self.data = self._next(WINDOW_BYTES)
        self.pos, self.end = 0, len(self.data)

    def take_line(self, longest: int) -> bytes:
        """Return what comes before the next line feed, and skip that. Raises Refused where it is longer than `longest`."""
        line = bytearray()
        while (one := self.take(1)) != b"\n":
            line += one
            if len(line) > longest:
                raise Refused("name-too-long", f"A name in the artifact is longer than {longest} bytes; no model has such a name.")
        return bytes(line)

    def take_array(self, count: int) -> frames.type_of_array:
        """Return the next `count` bytes as a writeable array of uint8, shape (count,). Raises Damaged, Refused."""
        if not self._raw:
            return np.frombuffer(self._gather(count), np.uint8)
        self._require_in_file(count)
        array = np.empty(count, np.uint8)
        view = memoryview(array)  # type: ignore[arg-type]
        from_window = min(count, self.end - self.pos)
        view[:from_window] = self.data[self.pos : self.pos + from_window]
        self.pos += from_window
        while from_window < count:
            got = self._stream.readinto(view[from_window:])  # type: ignore[attr-defined]
            if not got:
                raise Damaged
            self.charge(got)
            from_window += got
        return array

    def require_budget(self, count: int) -> None:
        """Raise Refused where `count` bytes more could never be read."""
        if count > self._left + self.end - self.pos:
            raise _too_large()

    def charge(self, count: int) -> None:
        """Count `count` bytes of memory that an artifact costs beside its own. Raises Refused over the budget."""
        self._left -= count
        if self._left < 0:
            raise _too_large()

    def require_end(self) -> None:
        """Raise Refused where anything follows."""
        if self.pos < self.end or self._piece(1):
            raise _trailing()

    def _require_in_file(self, count: int) -> None:
        at = self._stream.tell()
        size = self._stream.seek(0, 2)
        self._stream.seek(at)
        if count > self.end - self.pos + size - at:
            raise Damaged

    def _gather(self, count: int) -> bytearray:
        gathered = bytearray(self.data[self.pos : min(self.end, self.pos + count)])
        self.pos += len(gathered)
        if count - len(gathered) > self._left:
            raise _too_large()
        while len(gathered) < count:
            gathered += self._next(min(WINDOW_BYTES, count - len(gathered)))
        return gathered

    def _next(self, at_most: int) -> bytes:
        piece = self._piece(at_most)
        if not piece:
            raise Damaged
        self.charge(len(piece))
        return piece

    def _piece(self, at_most: int) -> bytes:
        try:
            return self._read(at_most)
        except (OSError, EOFError, ValueError, RuntimeError, zlib.error, lzma.LZMAError) as error:
            if isinstance(error, lzma.LZMAError) and "memory" in str(error).lower():
                raise _too_large() from error
            raise Damaged from error


class _Decompressor(Protocol):
    """What bz2, lzma and lz4 have in common, and zlib gets by `_Inflater`."""

    @property
    def eof(self) -> bool:
        """Tell whether the stream has ended."""

    @property
    def needs_input(self) -> bool:
        """Tell whether nothing more comes without further packed bytes."""

    @property
    def unused_data(self) -> bytes | None:
        """Return what followed the end of the stream."""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Return at most `max_length` bytes more."""


class _Inflater:
    """Zlib and gzip, spoken to as the others are."""

    def __init__(self, window_bits: int) -> None:
        """Choose between zlib (15) and gzip (31)."""
        self._inflate = zlib.decompressobj(window_bits)

    @property
    def eof(self) -> bool:
        """Tell whether the stream has ended."""
        return self._inflate.eof

    @property
    def needs_input(self) -> bool:
        """Tell whether nothing more comes without further packed bytes."""
        return not self._inflate.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        """Return what followed the end of the stream."""
        return self._inflate.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Return at most `max_length` bytes more."""
        return self._inflate.decompress(self._inflate.unconsumed_tail + data, max_length)


def _decompressor(head: bytes) -> _Decompressor | None:
    """Return what unpacks the compressed stream that starts with `head`, or None for an uncompressed one."""
    if head.startswith(b"\x1f\x8b"):
        return _Inflater(31)
    if head.startswith(b"\x78"):
        return _Inflater(zlib.MAX_WBITS)
    if head.startswith(b"BZh"):
        return bz2.BZ2Decompressor()
    if head.startswith(b"\xfd7zXZ\x00"):
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, LZMA_MEMORY_BYTES)
    if head.startswith(b"\x5d\x00\x00"):
        return lzma.LZMADecompressor(lzma.FORMAT_ALONE, LZMA_MEMORY_BYTES)
    if head.startswith(LZ4_MAGIC) and lz4_frame is not None:
        return cast("_Decompressor", lz4_frame.LZ4FrameDecompressor())
    return None


def _unpacking(stream: BinaryIO, decompressor: _Decompressor) -> Read:
    """Return what reads the one compressed stream, a piece at a time. Raises EOFError where it ends early, Refused where more follows."""
    meter = _Meter()

    def read(at_most: int) -> bytes:
        while not decompressor.eof:
            packed = b""
            if decompressor.needs_input:
                packed = stream.read(COMPRESSED_CHUNK_BYTES)
                meter.packed += len(packed)
                if not packed:
                    raise EOFError
            if piece := decompressor.decompress(packed, at_most):
                return meter.measured(piece)
        if decompressor.unused_data or stream.read(1):
            raise _trailing()
        return b""

    return read


class _Meter:
    """Counts packed and unpacked bytes of one stream."""

    __slots__ = ("packed", "unpacked")

    def __init__(self) -> None:
        """Start at nothing."""
        self.packed = self.unpacked = 0

    def measured(self, piece: bytes) -> bytes:
        """Count `piece` and return it. Raises Refused for what unpacks to far more than any model does."""
        self.unpacked += len(piece)
        if self.unpacked > FREE_BYTES + HIGHEST_RATIO * self.packed:
            raise Refused(
                "decompression-bomb",
                "The artifact unpacks to more than a thousand times its size, as no model does. Dump the fitted estimator anew, with compress=3.",
            )
        return piece


def _too_large() -> Refused:
    return Refused(
        "too-large-unpacked",
        "Unpacked, the artifact is larger than this server accepts. Publish a smaller model, or ask the operator to raise the limit.",
    )


def _trailing() -> Refused:
    return Refused(
        "trailing-bytes",
        "The artifact goes on after the end of the model. Publish the file as joblib.dump wrote it, with nothing appended.",
    )
