"""The messages between a web process and a worker, and the values they carry.

A frame is `u32 length | u32 header length | msgpack header | raw bytes`. Arrays travel as raw little-endian bytes,
text as msgpack; nothing here can execute anything, and no pickle is ever read or written. Pure: no sockets.
"""

from __future__ import annotations

import asyncio
import re
import struct
from collections.abc import Sequence
from functools import lru_cache
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
_NUMERIC = re.compile(rf"[<|][{NUMERIC_KINDS}]\d{{1,2}}", re.ASCII)


class FrameError(ValueError):
    """The bytes aren't a frame of ours."""


class Matrix(msgspec.Struct, frozen=True):
    """Rows of numbers: `array` is 2-D, C-contiguous, of a numeric or bool dtype; shape (rows, columns)."""

    array: type_of_array

    @property
    def rows(self) -> int:
        """Return the number of rows."""
        return int(self.array.shape[0])


class Texts(msgspec.Struct, frozen=True):
    """One text a row, for models of one text column."""

    values: list[str]

    @property
    def rows(self) -> int:
        """Return the number of rows."""
        return len(self.values)


class Table(msgspec.Struct, frozen=True):
    """Named columns of mixed types, each a 1-D numeric or bool array or a list of texts (None where missing)."""

    names: tuple[str, ...]
    columns: tuple[type_of_array | list[str | None], ...]

    @property
    def rows(self) -> int:
        """Return the number of rows."""
        return len(self.columns[0]) if self.columns else 0


Inputs = Matrix | Texts | Table

OutputPart = type_of_array | list[Any]


class Outputs(msgspec.Struct, frozen=True):
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
            return _pack_array("m", array)
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
    parts = outputs.parts
    if not outputs.multi and isinstance(parts[0], np.ndarray) and len(parts) == 1:
        return _pack_array("O", parts[0])
    return _pack_parts("M" if outputs.multi else "O", None, parts)


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


def take_rows(inputs: Inputs, start: int, stop: int) -> Inputs:
    """Return the rows from `start` up to `stop`."""
    match inputs:
        case Matrix(array):
            return Matrix(array[start:stop])
        case Texts(values):
            return Texts(values[start:stop])
        case Table(names, columns):
            return Table(names, tuple(column[start:stop] for column in columns))


def _join_column(pieces: list[type_of_array | list[str | None]]) -> type_of_array | list[str | None]:
    arrays = [piece for piece in pieces if isinstance(piece, np.ndarray)]
    if arrays:
        return np.concatenate(arrays)
    return [text for piece in pieces if isinstance(piece, list) for text in piece]


def _pack_array(kind: str, part: type_of_array) -> bytes:
    """Pack one array, as nearly every message does: the header is made once for a shape, and the values are copied once."""
    array = np.ascontiguousarray(part, _little(part.dtype))
    return b"".join((_header_of_array(kind, array.dtype, array.shape), array.data))


@lru_cache(maxsize=1024)
def _header_of_array(kind: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    return _with_length(_encode([kind, None, [[dtype.str, shape]]]))


def _pack_parts(kind: str, names: tuple[str, ...] | None, parts: Sequence[OutputPart]) -> bytes:
    described: list[Any] = []
    raw: list[memoryview] = []
    for part in parts:
        if isinstance(part, np.ndarray):
            array = np.ascontiguousarray(part, _little(part.dtype))
            described.append([array.dtype.str, array.shape])
            raw.append(array.data)
        else:
            described.append([None, part])
    return b"".join((_with_length(_encode([kind, names, described])), *raw))


def _with_length(header: bytes) -> bytes:
    return len(header).to_bytes(4, "little") + header


def _unpack_parts(data: bytes | memoryview) -> tuple[str, list[str] | None, list[OutputPart]]:
    end = 4 + int.from_bytes(data[:4], "little")
    try:
        kind, names, described = _decode(data[4:end])
        parts: list[OutputPart] = []
        for dtype, shape_or_values in described:
            if dtype is None:
                parts.append(shape_or_values)
                continue
            if min(shape_or_values, default=0) < 0:  # NumPy takes -1 for "whatever there is"
                raise FrameError("an array has a negative size")
            array: type_of_array = np.ndarray(shape_or_values, _numeric(dtype), data, end)  # refuses a shape longer than the data
            parts.append(array)
            end += array.nbytes
    except (msgspec.MsgspecError, TypeError, ValueError) as error:
        raise FrameError("values aren't packed as ours are") from error
    return kind, names, parts


@lru_cache(maxsize=64)
def _little(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return `dtype` as it travels: little-endian."""
    return dtype.newbyteorder("<")


@lru_cache(maxsize=64)
def _numeric(text: str) -> np.dtype[Any]:
    """Return the dtype that a header names. Raises FrameError for one that doesn't travel; NumPy would evaluate some of those."""
    if not _NUMERIC.fullmatch(text):
        raise FrameError(f"arrays of dtype {text[:20]!r} don't travel")
    return np.dtype(text)
