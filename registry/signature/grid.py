"""Rows, records or columns of untyped values, brought into one shape: a list of values for each column.

The slow path of every body form and of `input_example`. Never builds an array itself; notes what is wrong where.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from registry import frames
from registry.errors import SignatureMismatch, TooManyRows
from registry.signature.columns import Column, Complaints, pointer, read_column, shown

#: Above this many columns no near name is looked for: it would take too long.
MAX_NAMES_COMPARED = 1000

Steps = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """Untyped values by column, in the signature's order; `point(row, column)` says where each one stood."""

    columns: list[Sequence[Any]]
    point: Callable[[int, int], str]


def require_row_count(count: int, max_rows: int) -> None:
    """Raise TooManyRows over `max_rows`."""
    if count > max_rows:
        raise TooManyRows(f"{count} rows came, and one request may have {max_rows}.", members={"rows": count, "max_rows": max_rows})


def require_rows(count: int, *at: str | int) -> None:
    """Raise SignatureMismatch where there is no row at all."""
    if count == 0:
        complaints = Complaints()
        complaints.add("expected at least one row, got none", pointer(*at))
        complaints.settle()


def grid_of_any(value: Any, columns: Sequence[Column], at: Steps, max_rows: int, *, bare: bool) -> Grid:
    """Return the grid of a list of rows, records or texts; with `bare`, also of one row by itself."""
    if not isinstance(value, list):
        raise _mismatch(f"expected a list of rows, got {shown(value)}", *at)
    require_rows(len(value), *at)
    if isinstance(value[0], dict):
        return grid_of_records(value, columns, at, max_rows)
    if isinstance(value[0], list):
        return grid_of_rows(value, columns, at, max_rows)
    if len(columns) == 1 and columns[0].type == "string":
        require_row_count(len(value), max_rows)
        return Grid([value], lambda row, _: pointer(*at, row))
    if not bare:
        raise _mismatch(f"expected a row or a record, got {shown(value[0])}", *at, 0)
    require_width(len(value), len(columns), *at)
    return Grid([[cell] for cell in value], lambda _, column: pointer(*at, column))


def grid_of_rows(rows: Any, columns: Sequence[Column], at: Steps, max_rows: int) -> Grid:
    """Return the grid of a list of rows, each with one value for each column."""
    if not isinstance(rows, list):
        raise _mismatch(f"expected a list of rows, got {shown(rows)}", *at)
    require_rows(len(rows), *at)
    require_row_count(len(rows), max_rows)
    complaints = Complaints()
    for index, row in enumerate(rows):
        if not isinstance(row, list):
            complaints.add(f"expected a row, got {shown(row)}", pointer(*at, index))
        elif len(row) != len(columns):
            complaints.add(_width_text(len(row), len(columns)), pointer(*at, index))
    complaints.settle()
    return Grid(list(zip(*rows, strict=True)), lambda row, column: pointer(*at, row, column))


def grid_of_records(records: Any, columns: Sequence[Column], at: Steps, max_rows: int) -> Grid:
    """Return the grid of a list of objects by column name, in any order."""
    if not isinstance(records, list):
        raise _mismatch(f"expected a list of records, got {shown(records)}", *at)
    require_rows(len(records), *at)
    require_row_count(len(records), max_rows)
    complaints = Complaints()
    names = {column.name for column in columns}
    for index, record in enumerate(records):
        if isinstance(record, dict):
            _check_names(record, columns, names, (*at, index), complaints)
        else:
            complaints.add(f"expected a record, got {shown(record)}", pointer(*at, index))
    complaints.settle()
    values: list[Sequence[Any]] = [[record.get(column.name) for record in records] for column in columns]
    return Grid(values, lambda row, column: pointer(*at, row, columns[column].name))


def grid_of_columns(by_name: Any, columns: Sequence[Column], at: Steps, max_rows: int) -> Grid:
    """Return the grid of one object with a list of values for each column."""
    if not isinstance(by_name, dict):
        raise _mismatch(f"expected an object of columns, got {shown(by_name)}", *at)
    complaints = Complaints()
    _check_names(by_name, columns, {column.name for column in columns}, at, complaints)
    for name, values in by_name.items():
        if not isinstance(values, list):
            complaints.add(f"expected a list of values, got {shown(values)}", pointer(*at, name), name)
    complaints.settle()
    first, count = next(((name, len(values)) for name, values in by_name.items()), ("", 0))
    require_rows(count, *at)
    require_row_count(count, max_rows)
    for name, values in by_name.items():
        if len(values) != count:
            complaints.add(f"expected {count} values, as in column {shown(first)}, got {len(values)}", pointer(*at, name), name)
    complaints.settle()
    grid: list[Sequence[Any]] = [by_name.get(column.name) or [None] * count for column in columns]
    return Grid(grid, lambda row, column: pointer(*at, columns[column].name, row))


def read_grid(grid: Grid, columns: Sequence[Column]) -> list[frames.type_of_array | list[str | None]]:
    """Return the typed columns. Raises SignatureMismatch with every bad value up to the limit."""
    complaints = Complaints()

    def read(index: int, column: Column) -> frames.type_of_array | list[str | None]:
        return read_column(column, grid.columns[index], lambda row: grid.point(row, index), complaints)

    typed = [read(index, column) for index, column in enumerate(columns)]
    complaints.settle()
    return typed


def order_of(names: Sequence[str], columns: Sequence[Column], at: Steps) -> list[int | None]:
    """Return where each column stands in `names` (None for one left out). Raises SignatureMismatch for unknown and missing ones."""
    complaints = Complaints()
    known = {column.name for column in columns}
    for index, name in enumerate(names):
        if name not in known:
            complaints.add(unknown_text(name, known), pointer(*at, index))
    places = {name: index for index, name in enumerate(names)}
    for column in columns:
        if column.name not in places and not column.optional:
            complaints.add("the column is missing", pointer(*at), column.name)
    complaints.settle()
    return [places.get(column.name) for column in columns]


def require_width(count: int, expected: int, *at: str | int) -> None:
    """Raise SignatureMismatch unless a row has `expected` values."""
    if count != expected:
        raise _mismatch(_width_text(count, expected), *at)


def unknown_text(name: str, known: set[str]) -> str:
    """Return the finding's text for a column that the signature doesn't have, with the nearest name that it has."""
    near = difflib.get_close_matches(name[:100], known, n=1) if len(known) <= MAX_NAMES_COMPARED else []
    return f"unknown column {shown(name)}" + (f"; did you mean {shown(near[0])}?" if near else "")


def _check_names(record: dict[str, Any], columns: Sequence[Column], names: set[str], at: Steps, complaints: Complaints) -> None:
    if record.keys() == names:
        return
    for name in record.keys() - names:
        complaints.add(unknown_text(name, names), pointer(*at, name))
    for column in columns:
        if column.name not in record and not column.optional:
            complaints.add("the column is missing", pointer(*at), column.name)


def _width_text(count: int, expected: int) -> str:
    return f"expected {expected} value{'s' if expected != 1 else ''}, got {count}"


def _mismatch(detail: str, *at: str | int) -> SignatureMismatch:
    complaints = Complaints()
    complaints.add(detail, pointer(*at))
    try:
        complaints.settle()
    except SignatureMismatch as error:
        return error
    raise AssertionError("a complaint was noted")
