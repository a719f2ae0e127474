"""CSV bodies: a header row with the columns' names in any order, one row a line, an empty cell meaning missing.

Every cell is text until its column's type says otherwise; nothing is guessed from how a value looks.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from typing import Any

from registry import frames
from registry.errors import MalformedBody
from registry.signature.columns import Column, Complaints, pointer
from registry.signature.grid import Grid, order_of, read_grid, require_row_count, require_rows
from registry.signature.json_body import to_inputs

#: As JSON writes numbers, and also a leading '+' or '.': no NaN, no infinity, no digit groups.
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d{1,19}", re.ASCII)
_BOOLS = {"true": True, "false": False}


def read_csv(body: bytes, container: str, columns: tuple[Column, ...], max_rows: int) -> frames.Inputs:
    """Return the inputs of a CSV text in UTF-8. Raises MalformedBody, TooManyRows, SignatureMismatch (`#/data/row/column`)."""
    header, rows = _parse(body, max_rows)
    if len(set(header)) != len(header):
        raise MalformedBody("A column is named twice in the CSV header.")
    order = order_of(header, columns, ("header",))
    require_rows(len(rows), "data")
    complaints = Complaints()
    for index, row in enumerate(rows):
        if len(row) != len(header):
            complaints.add(f"expected {len(header)} cells, as in the header, got {len(row)}", pointer("data", index))
    complaints.settle()
    cells: list[Sequence[Any]] = [
        [None] * len(rows) if place is None else [read_cell(row[place], column.type) for row in rows]
        for place, column in zip(order, columns, strict=True)
    ]
    grid = Grid(cells, lambda row, column: pointer("data", row, order[column] or 0))
    return to_inputs(read_grid(grid, columns), container, columns)


def _parse(body: bytes, max_rows: int) -> tuple[list[str], list[list[str]]]:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise MalformedBody("The body isn't UTF-8.") from None
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[list[str]] = []
    try:
        header = next(lines, None)
        for line in lines:
            if line:
                rows.append(line)
                require_row_count(len(rows), max_rows)
    except csv.Error:
        raise MalformedBody(f"The body isn't CSV: line {lines.line_num} can't be read.") from None
    if not header:
        raise MalformedBody("The CSV has no header row with the columns' names.")
    return header, rows


def read_cell(text: str, kind: str) -> Any:
    """Return the value that a cell means for a column of `kind`; what can't be one stays text and is refused as such."""
    if text == "":
        return None
    if kind == "string":
        return text
    bare = text.strip()
    if kind == "bool":
        return _BOOLS.get(bare.lower(), text)
    if kind == "int64" and _INTEGER.fullmatch(bare):
        return int(bare)
    return float(bare) if _NUMBER.fullmatch(bare) else text
