"""The typed JSON decoder of one signature: the path of every good request that isn't numbers alone, in a few microseconds.

It only ever accepts: whatever it isn't sure of it leaves (`None`) to the slow path, which finds the words for it.
Two versions with the same columns share one decoder.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType

from registry import frames
from registry.errors import MalformedBody
from registry.signature.columns import Column, is_uniform
from registry.signature.grid import require_row_count
from registry.signature.matrices import DEFAULT_METHOD, matrices_of

FORMS = ("data", "instances", "inputs", "dataframe_split", "dataframe_records")

_NEEDS_ESCAPE = re.compile(r'[\x00-\x1f"\\]')
_FIELDS = (*FORMS, "method", "params")
_CELLS: dict[str, Any] = {"float64": float, "int64": int, "bool": bool, "string": str}

Parsed = tuple[frames.Inputs, str]


@lru_cache(maxsize=512)
def decoder_for(container: str, columns: tuple[Column, ...]) -> FastDecoder | None:
    """Return the decoder of a container and its columns, made once for all signatures that are alike.

    None where a column's name needs escaping in JSON, which msgspec's typed decoder doesn't do: the slow path reads those.
    """
    if any(_NEEDS_ESCAPE.search(column.name) for column in columns):
        return None
    return FastDecoder(container, columns)


class FastDecoder:
    """Decodes, checks and types a JSON body in one pass. Immutable, so threads may share it."""

    def __init__(self, container: str, columns: tuple[Column, ...]) -> None:
        """Build the types; about a millisecond."""
        self._matrices = matrices_of(container, columns)
        self._assemble = assembler_of(container, columns)
        self._columns = columns
        self._record = _record_type(columns)
        self._lists = _columns_type(columns)
        self._decode = msgspec.json.Decoder(self._body_type(container, bare=False)).decode
        self._decode_bare = None if container == "texts" else msgspec.json.Decoder(self._body_type(container, bare=True)).decode

    def read(self, body: bytes, max_rows: int) -> Parsed | None:
        """Return inputs and method, or None where the slow path must judge.

        Raises TooManyRows, and MalformedBody for names that occur twice.
        """
        return (self._matrices and self._matrices.read(body, max_rows)) or self._read_typed(body, max_rows)

    def _read_typed(self, body: bytes, max_rows: int) -> Parsed | None:
        parsed: Any = self._parse(body)
        if parsed is None:
            return None
        values = msgspec.structs.astuple(parsed)
        given = [field for field, value in zip(_FIELDS, values, strict=True) if value is not UNSET]
        if not given or given[0] not in FORMS or (len(given) > 1 and given[1] in FORMS) or parsed.params:
            return None
        columns, rows, names = self._values(given[0], getattr(parsed, given[0]))
        if body.count(b":") != len(given) + names:
            require_unique_names(body)
        inputs = self._assemble(columns, rows, max_rows)
        if inputs is None:
            return None
        return inputs, DEFAULT_METHOD if parsed.method is UNSET else parsed.method

    def _parse(self, body: bytes) -> Any:
        """Return the typed body with `data` as rows, or None."""
        try:
            return self._decode(body)
        except msgspec.ValidationError:
            pass
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        try:
            parsed: Any = self._decode_bare(body) if self._decode_bare else None
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        if parsed is not None and parsed.data is not UNSET:
            parsed.data = [parsed.data]
        return parsed

    def _values(self, form: str, value: Any) -> tuple[Sequence[Any] | None, Sequence[Any] | None, int]:
        """Return the values as columns or as rows, and how many names JSON needed for them."""
        if form == "inputs":
            return msgspec.structs.astuple(value), None, len(self._columns)
        if form == "dataframe_split":
            in_order = value.columns == [column.name for column in self._columns]
            return None, value.data if in_order else (), 2 if value.index is UNSET else 3
        if value and type(value[0]) is self._record:
            if all(type(row) is self._record for row in value):
                return None, [msgspec.structs.astuple(row) for row in value], len(value) * len(self._columns)
            return None, (), 0
        return None, value, 0

    def _body_type(self, container: str, *, bare: bool) -> type[msgspec.Struct]:
        """Return the type of a whole body; with `bare`, of one whose `data` is one row by itself."""
        row: Any = _row_type(self._columns)
        record: Any = self._record
        one: Any = str if container == "texts" else row
        split: Any = msgspec.defstruct(
            "Split", [("columns", list[str]), ("data", list[row]), ("index", Any, UNSET)], forbid_unknown_fields=True
        )
        forms: list[Any] = [row if bare else list[one], list[one | record], self._lists, split, list[record]]
        fields: list[Any] = [(name, form | UnsetType, UNSET) for name, form in zip(FORMS, forms, strict=True)]
        fields += [("method", str | UnsetType, UNSET), ("params", dict[str, Any] | UnsetType, UNSET)]
        return msgspec.defstruct("Body", fields, forbid_unknown_fields=True)


def require_unique_names(body: bytes) -> None:
    """Raise MalformedBody if any object of a JSON text has a name twice: msgspec would silently keep the last."""
    try:
        json.loads(body, object_pairs_hook=_refuse_twice)
    except (ValueError, RecursionError):
        raise MalformedBody("The body isn't JSON that can be read safely.") from None


def _refuse_twice(pairs: list[tuple[str, Any]]) -> None:
    names = {name for name, _ in pairs}
    if len(names) == len(pairs):
        return
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            raise MalformedBody(f"The name {json.dumps(name[:100])} occurs twice in one object.")
        seen.add(name)


def assembler_of(container: str, columns: tuple[Column, ...]) -> Callable[[Any, Any, int], frames.Inputs | None]:
    """Return what turns decoded columns or rows into Inputs, or None where they are empty, ragged or out of range."""
    if container == "texts":
        return _assemble_texts
    if is_uniform(columns):
        return _Uniform(columns).assemble
    return _Mixed(columns).assemble


def _assemble_texts(columns: Any, rows: Any, max_rows: int) -> frames.Inputs | None:
    values = rows if columns is None else columns[0]
    require_row_count(len(values), max_rows)
    if values and type(values[0]) is not str:
        if not all(type(row) is tuple for row in values):
            return None
        values = [row[0] for row in values]
    return frames.Texts(values) if values and all(type(value) is str for value in values) else None


class _Uniform:
    """Columns of one numeric or bool dtype: one array, also for a frame, whose names the estimator knows itself."""

    def __init__(self, columns: tuple[Column, ...]) -> None:
        self._width = len(columns)
        self._dtype = np.dtype(columns[0].type)

    def assemble(self, columns: Any, rows: Any, max_rows: int) -> frames.Inputs | None:
        count = len(rows) if columns is None else len(columns[0])
        require_row_count(count, max_rows)
        try:
            array = np.array(rows if columns is None else columns, self._dtype)
        except (ValueError, TypeError, OverflowError):
            return None
        if columns is not None:
            array = np.ascontiguousarray(array.T)
        return frames.Matrix(array) if count and array.shape == (count, self._width) else None


class _Mixed:
    """Columns of several dtypes, or of texts."""

    def __init__(self, columns: tuple[Column, ...]) -> None:
        self._names = tuple(column.name for column in columns)
        self._dtypes = [None if column.type == "string" else np.dtype(column.type) for column in columns]

    def assemble(self, columns: Any, rows: Any, max_rows: int) -> frames.Inputs | None:
        require_row_count(len(rows) if columns is None else len(columns[0]), max_rows)
        try:
            by_column = list(zip(*rows, strict=True)) if columns is None else columns
            if not by_column or not by_column[0] or any(len(values) != len(by_column[0]) for values in by_column):
                return None
            typed = (list(v) if d is None else np.array(v, d) for v, d in zip(by_column, self._dtypes, strict=True))
            return frames.Table(self._names, tuple(typed))
        except (ValueError, TypeError, OverflowError):
            return None


def _cell_type(column: Column) -> Any:
    cell = _CELLS[column.type]
    return cell | None if column.missing and column.type in ("float64", "string") else cell


def _row_type(columns: tuple[Column, ...]) -> Any:
    cells = [_cell_type(column) for column in columns]
    if len(set(cells)) == 1 and columns[0].type != "string":
        # A plain list needs no type for each place; its width is checked on the array.
        return list[cells[0]]  # type: ignore[valid-type]
    return tuple[tuple(cells)]  # type: ignore[misc]


def _record_type(columns: tuple[Column, ...]) -> type[msgspec.Struct]:
    fields: list[Any] = []
    for index, column in enumerate(columns):
        field = (f"c{index}", _cell_type(column))
        fields.append((*field, None) if column.optional else field)
    return _struct("Record", fields, columns)


def _columns_type(columns: tuple[Column, ...]) -> type[msgspec.Struct]:
    fields = [(f"c{index}", list[_cell_type(column)]) for index, column in enumerate(columns)]  # type: ignore[misc]
    return _struct("Columns", fields, columns)


def _struct(name: str, fields: list[Any], columns: tuple[Column, ...]) -> type[msgspec.Struct]:
    rename = {f"c{index}": column.name for index, column in enumerate(columns)}
    return msgspec.defstruct(name, fields, rename=rename, forbid_unknown_fields=True, kw_only=True)
