"""The messages between a web process and a worker, and the values they carry.

A frame is `u32 length | u32 header length | msgpack header | raw bytes`. Arrays travel as raw little-endian bytes,
text as msgpack; nothing here can execute anything, and no pickle is ever read or written. Pure: no sockets.
"""

from __future__ import annotations

import asyncio
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

MAX_FRAME_BYTES = 1 << 30
LENGTHS = struct.Struct("<II")
LENGTH_BYTES = 4
NUMERIC_KINDS = "biuf"

type_of_array = np.ndarray[Any, np.dtype[Any]]

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class FrameError(ValueError):
    """The bytes aren't a frame of ours."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """Rows of numbers: `array` is 2-D, C-contiguous, of a numeric or bool dtype; shape (rows, columns)."""

    array: type_of_array

    @property
    def rows(self) -> int:
        """Return the number of rows."""
        return int(self.array.shape[0])


@dataclass(frozen=True, slots=True)
class Texts:
    """One text a row, for models of one text column."""

    values: list[str]

    @property
    def rows(self) -> int:
        """Return the number of rows."""
        return len(self.values)


@dataclass(frozen=True, slots=True)
class Table:
    """Named columns of mixed types, each a 1-D numeric or bool array or a list of texts (None where missing)."""

    names: tuple[str, ...]
    columns: tuple[type_of_array | list[str | None], ...]

    @property
    def rows(self) -> int:
        """Return the number of rows."""
        return len(self.columns[0]) if self.columns else 0


Inputs = Matrix | Texts | Table

OutputPart = type_of_array | list[Any]


@dataclass(frozen=True, slots=True)
class Outputs:
    """What one method answered, row by row.

    `parts` has one member, or one per target where a multi-output classifier answers a list of arrays (`multi`).
    A part is a numeric or bool array whose first axis is the rows, or a list of texts or other scalars.
    """

    parts: tuple[OutputPart, ...]
    multi: bool = False

    @property
    def rows(self) -> int:
        """Return the number of rows of the first part."""
        return len(self.parts[0]) if self.parts else 0

    def to_plain(self) -> Any:
        """Return nested lists of Python scalars, NaN kept as float."""
        plain = [part.tolist() if isinstance(part, np.ndarray) else part for part in self.parts]
        return plain if self.multi else plain[0]

    def take(self, start: int, stop: int) -> Outputs:
        """Return the rows from `start` up to `stop`."""
        return Outputs(tuple(part[start:stop] for part in self.parts), self.multi)


def encode_frame(header: dict[str, Any], body: bytes = b"") -> bytes:
    """Return one whole frame."""
    packed = _encode(header)
    return LENGTHS.pack(4 + len(packed) + len(body), len(packed)) + packed + body


def decode_frame(payload: bytes | bytearray | memoryview) -> tuple[dict[str, Any], memoryview]:
    """Return header and body of a frame's payload (what follows the first length). Raises FrameError."""
    view = memoryview(payload)
    if len(view) < LENGTH_BYTES:
        raise FrameError("a frame is shorter than its header length")
    end = 4 + int.from_bytes(view[:4], "little")
    if end > len(view):
        raise FrameError("a frame's header is longer than the frame")
    try:
        header = _decode(view[4:end])
    except msgspec.MsgspecError as error:
        raise FrameError("a frame's header isn't msgpack") from error
    if not isinstance(header, dict):
        raise FrameError("a frame's header isn't a map")
    return header, view[end:]


async def read_frame(reader: asyncio.StreamReader, most_bytes: int) -> bytes:
    """Return the payload of the next frame. Raises FrameError, before anything is kept, for one that announces too much."""
    length = int.from_bytes(await reader.readexactly(LENGTH_BYTES), "little")
    if length > most_bytes:
        raise FrameError(f"a frame announces {length} bytes where {most_bytes} are allowed")
    return await reader.readexactly(length)


def encode_inputs(inputs: Inputs) -> bytes:
    """Return the canonical bytes of `inputs`: equal inputs give equal bytes, so that they can key a cache."""
    match inputs:
        case Matrix(array):
            return _pack_parts("m", None, (array,))
        case Texts(values):
            return _pack_parts("t", None, (values,))
        case Table(names, columns):
            return _pack_parts("c", names, columns)


def decode_inputs(data: bytes | memoryview) -> Inputs:
    """Return what `encode_inputs` packed. Raises FrameError."""
    kind, names, parts = _unpack_parts(data)
    if kind == "m" and len(parts) == 1 and isinstance(parts[0], np.ndarray):
        return Matrix(parts[0])
    if kind == "t" and len(parts) == 1 and isinstance(parts[0], list):
        return Texts(parts[0])
    if kind == "c" and isinstance(names, list) and len(names) == len(parts):
        return Table(tuple(names), tuple(parts))
    raise FrameError(f"unknown inputs of kind {kind!r}")


def encode_outputs(outputs: Outputs) -> bytes:
    """Return the bytes of `outputs`, as they travel and as they are cached."""
    return _pack_parts("M" if outputs.multi else "O", None, outputs.parts)


def decode_outputs(data: bytes | memoryview) -> Outputs:
    """Return what `encode_outputs` packed. Raises FrameError."""
    kind, _, parts = _unpack_parts(data)
    if kind not in ("M", "O"):
        raise FrameError(f"unknown outputs of kind {kind!r}")
    return Outputs(tuple(parts), kind == "M")


def joinable(first: Inputs, other: Inputs) -> bool:
    """Tell whether two inputs may be computed in one call: same kind, names, dtypes and widths."""
    match first, other:
        case Matrix(a), Matrix(b):
            return a.dtype == b.dtype and a.shape[1:] == b.shape[1:]
        case Texts(), Texts():
            return True
        case Table(), Table():
            return first.names == other.names and all(
                isinstance(a, list) == isinstance(b, list) and getattr(a, "dtype", None) == getattr(b, "dtype", None)
                for a, b in zip(first.columns, other.columns, strict=True)
            )
    return False


def join(many: Sequence[Inputs]) -> Inputs:
    """Return the rows of all of `many`, in order. They must be joinable."""
    first = many[0]
    match first:
        case Matrix():
            return Matrix(np.concatenate([one.array for one in many if isinstance(one, Matrix)]))
        case Texts():
            return Texts([text for one in many if isinstance(one, Texts) for text in one.values])
        case Table():
            tables = [one for one in many if isinstance(one, Table)]
            return Table(first.names, tuple(_join_column([t.columns[i] for t in tables]) for i in range(len(first.names))))


def _join_column(pieces: list[type_of_array | list[str | None]]) -> type_of_array | list[str | None]:
    arrays = [piece for piece in pieces if isinstance(piece, np.ndarray)]
    if arrays:
        return np.concatenate(arrays)
    return [text for piece in pieces if isinstance(piece, list) for text in piece]


def _pack_parts(kind: str, names: tuple[str, ...] | None, parts: Sequence[OutputPart]) -> bytes:
    described: list[Any] = []
    raw: list[bytes] = []
    for part in parts:
        if isinstance(part, np.ndarray):
            array = np.ascontiguousarray(part)
            described.append([array.dtype.newbyteorder("<").str, array.shape])
            raw.append(array.tobytes())
        else:
            described.append([None, part])
    header = _encode([kind, names, described])
    return b"".join([len(header).to_bytes(4, "little"), header, *raw])


def _unpack_parts(data: bytes | memoryview) -> tuple[str, list[str] | None, list[OutputPart]]:
    view = memoryview(data)
    end = 4 + int.from_bytes(view[:4], "little")
    try:
        kind, names, described = _decode(view[4:end])
        parts: list[OutputPart] = []
        for dtype, shape_or_values in described:
            if dtype is None:
                parts.append(shape_or_values)
                continue
            array_dtype = np.dtype(dtype)
            if array_dtype.kind not in NUMERIC_KINDS:
                raise FrameError(f"arrays of kind {array_dtype.kind!r} don't travel")
            count = math.prod(shape_or_values)
            stop = end + count * array_dtype.itemsize
            if min(shape_or_values, default=0) < 0 or stop > len(view):
                raise FrameError("an array is shorter than its shape says")
            parts.append(np.frombuffer(view[end:stop], array_dtype).reshape(shape_or_values))
            end = stop
    except (msgspec.MsgspecError, TypeError, ValueError) as error:
        raise FrameError("values aren't packed as ours are") from error
    return kind, names, parts
