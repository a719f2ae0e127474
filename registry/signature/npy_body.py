"""`application/x-npy` bodies, versions 1 to 3: one array of plain numbers, parsed by hand.

The header is matched by pattern and never evaluated; objects, structures and texts are refused by their dtype.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from registry import frames
from registry.errors import MalformedBody, SignatureMismatch
from registry.signature.columns import INT64_MAX, Column, Complaints, pointer, type_of_values
from registry.signature.grid import require_row_count, require_rows, require_width
from registry.signature.json_body import to_inputs

MAGIC = b"\x93NUMPY"
MAX_HEADER_BYTES = 4096
PREAMBLE_BYTES = 10

_DESCR = re.compile(r"""['"]descr['"]\s*:\s*['"]([<>|=]?)([biuf])(\d{1,2})['"]""")
_ORDER = re.compile(r"""['"]fortran_order['"]\s*:\s*(True|False)\b""")
_SHAPE = re.compile(r"""['"]shape['"]\s*:\s*\(([0-9,\s]*)\)""", re.ASCII)
_MAX_DIGITS = 18
_SIZES = {"b": {1}, "i": {1, 2, 4, 8}, "u": {1, 2, 4, 8}, "f": {2, 4, 8}}


@dataclass(frozen=True, slots=True)
class Header:
    """What an npy header says: the dtype, how the values lie in memory ("C" or "F"), and the shape."""

    dtype: np.dtype[np.generic]
    order: Literal["C", "F"]
    shape: tuple[int, ...]


def read_npy(body: bytes, container: str, columns: tuple[Column, ...], max_rows: int) -> frames.Inputs:
    """Return the inputs of an npy array (2-D, or 1-D for one row). Raises MalformedBody, TooManyRows, SignatureMismatch (`#/data/row/column`).

    A matrix of float64 in C order shares the body's memory and is read-only.
    """
    start = _end_of_header(body)
    header = _read_header(body[:start])
    if len(header.shape) not in (1, 2):
        raise SignatureMismatch(
            f"Expected an array of two dimensions (rows, columns), or one row of one, got {len(header.shape)} dimensions."
        )
    rows, width = header.shape if len(header.shape) == 2 else (1, header.shape[0])  # noqa: PLR2004 - rows and columns
    require_row_count(rows, max_rows)
    if rows * width * header.dtype.itemsize != len(body) - start:
        raise MalformedBody("The npy array isn't as long as its header says.")
    require_rows(rows, "data")
    require_width(width, len(columns), "data")
    array: frames.type_of_array = np.ndarray((rows, width), header.dtype, body, start, order=header.order)
    if array.dtype.kind in "iuf" and all(column.type == "float64" for column in columns) and np.isfinite(array).all():
        return frames.Matrix(np.ascontiguousarray(array, np.float64))
    complaints = Complaints()
    typed = [_read_column(column, array[:, index], index, complaints) for index, column in enumerate(columns)]
    complaints.settle()
    return to_inputs(typed, container, columns)


def _end_of_header(body: bytes) -> int:
    """Return where the values start."""
    if body[:6] != MAGIC or len(body) < PREAMBLE_BYTES or body[6] not in (1, 2, 3):
        raise MalformedBody("The body isn't an npy array of version 1, 2 or 3.")
    lengths = _length_bytes(body)
    start = 8 + lengths + int.from_bytes(body[8 : 8 + lengths], "little")
    if start > len(body) or start > MAX_HEADER_BYTES:
        raise MalformedBody("The npy header is cut off or too long.")
    return start


def _length_bytes(body: bytes) -> int:
    return 2 if body[6] == 1 else 4


@lru_cache(maxsize=256)
def _read_header(preamble: bytes) -> Header:
    """Parse what comes before the values. Arrays of one shape have the same, so that each is parsed once."""
    text = preamble[8 + _length_bytes(preamble) :].decode("latin-1")
    descr, order, shape = _DESCR.search(text), _ORDER.search(text), _SHAPE.search(text)
    if descr is None or int(descr[3]) not in _SIZES[descr[2]]:
        raise MalformedBody(
            "The npy array must have a plain dtype of integers, floats or bools; objects, texts and structures aren't accepted."
        )
    sizes = [size for size in (shape[1] if shape else "").split(",") if size.strip()]
    if order is None or shape is None or any(len(size) > _MAX_DIGITS or not size.strip().isdigit() for size in sizes):
        raise MalformedBody("The npy header has no order or shape that can be read.")
    return Header(np.dtype("".join(descr.groups())), "F" if order[1] == "True" else "C", tuple(int(size) for size in sizes))


def _read_column(column: Column, values: frames.type_of_array, index: int, complaints: Complaints) -> type_of_values:
    kind = values.dtype.kind
    if column.type == "string":
        complaints.add("expected a text, got a number", pointer("data", 0, index), column.name)
        return []
    if (kind == "b") != (column.type == "bool"):
        expected = "true or false, got a number" if column.type == "bool" else "a number, got a bool"
        complaints.add(f"expected {expected}", pointer("data", 0, index), column.name)
        return np.zeros(len(values))
    bad, text = _bad_values(column, values)
    for row in np.flatnonzero(bad):
        complaints.add(text, pointer("data", int(row), index), column.name)
    return values.astype(column.type) if not bad.any() else np.zeros(len(values))


def _bad_values(column: Column, values: frames.type_of_array) -> tuple[frames.type_of_array, str]:
    """Return a mask of the values that the column doesn't take, and what to say of them."""
    if values.dtype.kind == "f":
        if column.type == "int64":
            with np.errstate(invalid="ignore"):
                whole = np.isfinite(values) & (np.trunc(values) == values) & (np.abs(values.astype(np.float64)) < math.ldexp(1, 63))
            return ~whole, "expected an integer of at most 64 bits"
        return np.isinf(values) if column.missing else ~np.isfinite(values), "expected a finite number"
    if column.type == "int64" and values.dtype.kind == "u":
        return values > INT64_MAX, "the integer is out of range, it needs more than 64 bits"
    return np.zeros(len(values), bool), ""
