"""A good file as its opcodes: each piece is one opcode with its argument and, behind joblib's BUILD, the array's bytes.

Uses joblib's own reader, which is right for files that we wrote ourselves.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import warnings
import zlib
from collections.abc import Callable
from typing import Any

from joblib.numpy_pickle import NumpyUnpickler

#: How to pack a stream again, and how to unpack it, by the first bytes of a file.
PACKINGS: tuple[tuple[bytes, Callable[[bytes], bytes], Callable[[bytes], bytes]], ...] = (
    (b"\x1f\x8b", gzip.decompress, lambda raw: gzip.compress(raw, 1, mtime=0)),
    (b"\x78", zlib.decompress, lambda raw: zlib.compress(raw, 1)),
    (b"BZh", bz2.decompress, lambda raw: bz2.compress(raw, 1)),
    (b"\xfd7zXZ\x00", lzma.decompress, lambda raw: lzma.compress(raw, preset=0)),
    (b"\x5d\x00\x00", lzma.decompress, lambda raw: lzma.compress(raw, lzma.FORMAT_ALONE, preset=0)),
)


def unpacked(file: bytes) -> tuple[bytes, Callable[[bytes], bytes]]:
    """Return a file's stream, and what packs another one in the same way."""
    for magic, unpack, pack in PACKINGS:
        if file.startswith(magic):
            return unpack(file), pack
    return file, bytes


def pieces_of(stream: bytes) -> list[bytes]:
    """Return the pieces of a good stream; joined they are the stream again."""
    starts = _starts(stream)
    return [stream[start:stop] for start, stop in zip(starts, [*starts[1:], len(stream)], strict=True)]


class _Noting(dict[int, Any]):
    """A table of opcodes that notes where each was found."""

    def __init__(self, reader: Any, file: io.BytesIO) -> None:
        super().__init__(type(reader).dispatch)
        self.reader, self.file = reader, file
        self.starts: list[int] = []

    def __getitem__(self, code: int) -> Any:
        self.starts.append(self._position() - 1)
        return super().__getitem__(code)

    def _position(self) -> int:
        frame = self.reader._unframer.current_frame
        return self.file.tell() if frame is None else self.file.tell() - (len(frame.getbuffer()) - frame.tell())


def _starts(stream: bytes) -> list[int]:
    file = io.BytesIO(stream)
    reader = NumpyUnpickler("", file, False)
    reader.dispatch = noting = _Noting(reader, file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reader.load()
    return sorted(set(noting.starts))


# -- values ----------------------------------------------------------------------------------------------------------------

#: How many values each opcode takes from the stack before it pushes one; all others take none.
_TAKEN = {0x93: 2, 0x85: 1, 0x86: 2, 0x87: 3, ord("R"): 2, 0x81: 2, ord("b"): 2, ord("a"): 2, ord("s"): 3}
_TO_MARK, _TO_MARK_AND_ONE = b"t\x91", b"eu\x90"
_TEXTS, _NAMES = b"X\x8c", b"c\x93X\x8c"
_MARK, _NO_VALUE = ord("("), b"\x80\x95."


def spans_of(pieces: list[bytes]) -> list[tuple[int, int]]:
    """Return from which piece to which each value of a program reaches that uses no memo, inner values before outer ones."""
    stack: list[int] = []
    marks: list[int] = []
    spans = []
    for at, piece in enumerate(pieces):
        code = piece[0]
        if code in _NO_VALUE:
            continue
        if code == _MARK:
            marks.append(len(stack))
            stack.append(at)
            continue
        if code in _TO_MARK or code in _TO_MARK_AND_ONE:
            first = marks.pop() - (code in _TO_MARK_AND_ONE)
        else:
            first = len(stack) - _TAKEN.get(code, 0)
        start = stack[first] if first < len(stack) else at
        stack[first:] = [start]
        spans.append((start, at + 1))
    return spans


def attributes_in(pieces: list[bytes]) -> list[tuple[int, int]]:
    """Return the spans of the values that stand behind a name, but for what describes an array."""
    spans = spans_of(pieces)
    arrays = [
        span for span in spans if b"NumpyArrayWrapper" in b"".join(pieces[span[0] : span[0] + 3]) and pieces[span[1] - 1][0] == ord("b")
    ]
    whole = dict(spans)  # of those that begin at the same place the last is the longest
    inside = {at for start, stop in arrays for at in range(start + 1, stop)}
    return [
        span
        for span in whole.items()
        if span[0] not in inside and pieces[span[0] - 1][0] in _TEXTS and pieces[span[1] - 1][0] not in _NAMES
    ]
