"""JSON bodies of numbers alone, read into one array without a Python object for each number: in a third of the typed decoder's time.

Only ever accepts, and only what the exact path would accept with the same bits: whatever else comes is left (`None`) to the typed
decoder, as everything is where simdjson isn't installed. simdjson holds JSON's grammar; the shape is checked here.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from registry import frames
from registry.signature.columns import Column, is_uniform

try:
    import simdjson
except ImportError:  # there is no wheel for every Python
    INSTALLED = False
else:
    INSTALLED = True

DEFAULT_METHOD = "predict"

_CODES = {"float64": "d", "int64": "i"}
_HINT_BYTES = 256
#: A form that may be read here begins near the start of the body: a hint that trying pays, never a proof.
_HINT = re.compile(rb'"(?:data|instances)"\s*:\s*\[\s*\[|"(?:inputs|dataframe_split)"\s*:\s*\{')
#: Below this many bytes Python's own search is faster than NumPy's.
_SMALL_BYTES = 2048
_SPLIT_NAMES = (["columns", "data"], ["columns", "data", "index"])
#: What simdjson raises for bad JSON and for a value of another type, and Python where a value isn't the container that is expected.
_LEFT = (ValueError, TypeError, KeyError, IndexError, AttributeError, RuntimeError, MemoryError)


class NotTaken(ValueError):
    """The body isn't one that is read here, or not a good one."""


def matrices_of(container: str, columns: tuple[Column, ...]) -> Matrices | None:
    """Return the reader of a container and its columns, or None where they aren't all float64 or all int64."""
    if not INSTALLED or container == "texts" or not is_uniform(columns) or columns[0].type not in _CODES:
        return None
    return Matrices(columns)


class Matrices:
    """Reads rows, columns and split frames of one numeric dtype. Immutable, so threads may share it."""

    def __init__(self, columns: tuple[Column, ...]) -> None:
        """Keep what every body is held against."""
        self._names = [column.name for column in columns]
        self._missing = any(column.missing for column in columns)
        self._dtype = np.dtype(columns[0].type)
        self._code = _CODES[columns[0].type]
        self._brackets_in_names = sum(name.count("[") for name in self._names)

    def read(self, body: bytes, max_rows: int) -> tuple[frames.Matrix, str] | None:
        """Return the matrix, shape (rows, columns), and the method; None where another reader must judge."""
        if body[:1] != b"{" or not _HINT.search(body, 0, _HINT_BYTES):
            return None
        if self._missing and _may_hold_null(body):
            return None
        try:
            return self._read(body, max_rows)
        except _LEFT:
            return None

    def _read(self, body: bytes, max_rows: int) -> tuple[frames.Matrix, str]:
        document: Any = simdjson.Parser().parse(body)  # a parser of its own: it costs less than keeping one, and nothing is shared
        names = list(document)
        form, method = (names[0], DEFAULT_METHOD) if len(names) == 1 else _form_and_method(document, names)
        value = document[form]
        if form in ("data", "instances"):
            array = self._of_rows(value, max_rows, _count_brackets(body) - 1)
        elif form == "inputs":
            array = self._of_columns(value, max_rows, self._count_arrays(body))
        elif form == "dataframe_split":
            array = self._of_split(value, max_rows, self._count_arrays(body))
        else:
            raise NotTaken
        return frames.Matrix(array), method

    def _of_rows(self, rows: Any, max_rows: int, arrays: int) -> frames.type_of_array:
        """Read a list of rows; `arrays` is how many arrays the body has besides that list, or more."""
        count, width = len(rows), len(self._names)
        array = self._numbers(rows, (count, width))
        # Numbers and arrays are all that is in it: where every row is an array, and there are no more arrays than rows, none is in a row.
        if not 0 < count <= max_rows or arrays != count or (count > 1 and set(map(len, rows)) != {width}):
            raise NotTaken
        return array

    def _of_columns(self, by_name: Any, max_rows: int, arrays: int) -> frames.type_of_array:
        columns = [by_name[name] for name in self._names]
        count, width = len(columns[0]), len(columns)
        # A name that came twice makes one more than there are columns.
        if not 0 < count <= max_rows or len(by_name) != width or arrays != width:
            raise NotTaken
        array = np.empty((count, width), self._dtype)
        for index, values in enumerate(columns):
            array[:, index] = self._numbers(values, (count,))
        return array

    def _of_split(self, split: Any, max_rows: int, arrays: int) -> frames.type_of_array:
        names = sorted(split)
        if names not in _SPLIT_NAMES or split["columns"].as_list() != self._names:
            raise NotTaken
        if "index" in names:
            split["index"].as_buffer(of_type="d")  # numbers alone; what they are means nothing
        return self._of_rows(split["data"], max_rows, arrays - len(names))

    def _numbers(self, array: Any, shape: tuple[int, ...]) -> frames.type_of_array:
        """Return the numbers that an array of JSON holds, those of arrays in it too, as an array of `shape`."""
        buffer = array.as_buffer(of_type=self._code)
        numbers: frames.type_of_array = np.ndarray(shape, self._dtype, buffer)  # refuses a shape larger than the buffer
        if numbers.nbytes != buffer.size:
            raise NotTaken
        return numbers

    def _count_arrays(self, body: bytes) -> int:
        """Return how many arrays a body has that names each column once, or more: a bracket in another text counts too."""
        if self._brackets_in_names and b"\\" in body:
            raise NotTaken  # a name's bracket may be written as an escape
        return _count_brackets(body) - self._brackets_in_names


def _form_and_method(document: Any, names: list[str]) -> tuple[str, str]:
    """Return the one form among several names, and the method. Raises NotTaken for a name twice, several forms, or parameters."""
    form, *more = [name for name in names if name not in ("method", "params")]
    method = document["method"] if "method" in names else DEFAULT_METHOD
    if more or len(set(names)) != len(names) or not isinstance(method, str):
        raise NotTaken
    if "params" in names and (not isinstance(document["params"], simdjson.Object) or len(document["params"])):
        raise NotTaken
    return form, method


def _count_brackets(body: bytes) -> int:
    if len(body) < _SMALL_BYTES:
        return body.count(b"[")
    return int(np.count_nonzero(np.frombuffer(body, np.uint8) == ord("[")))


def _may_hold_null(body: bytes) -> bool:
    if len(body) < _SMALL_BYTES:
        return b"nu" in body
    octets = np.frombuffer(body, np.uint8)
    return bool(((octets[:-1] == ord("n")) & (octets[1:] == ord("u"))).any())
