"""Values of options and files: `name=value` pairs, JSON files, and tables of a few rows.

Whatever can't be read ends the command before anything is sent. Nothing is evaluated, and no pickle is read.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import click
import numpy as np

from modelyard.errors import ConfigurationError

#: Characters of one cell of a CSV: as many as the largest body has bytes.
LONGEST_CELL = 32 << 20


def text_pair(text: str) -> tuple[str, str]:
    """Return name and value of `name=value`. Raises click.BadParameter."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.BadParameter(f"{text!r} must be name=value.")
    return name, value


def number_pair(text: str) -> tuple[str, float]:
    """Return the same where the value is a number."""
    name, value = text_pair(text)
    try:
        return name, float(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} of {name} isn't a number.") from None


def json_pair(text: str) -> tuple[str, Any]:
    """Return the same where the value is JSON, or else a text."""
    name, value = text_pair(text)
    try:
        return name, json.loads(value, parse_constant=refuse_constant)
    except (ValueError, RecursionError):
        return name, value


def refuse_constant(name: str) -> NoReturn:
    """Refuse the numbers that Python reads and JSON doesn't have."""
    raise ValueError(f"{name} isn't JSON")


def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the members of a JSON object. Raises ValueError where a name stands twice, since one of its values would be dropped."""
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError(f"the name {_twice(name for name, _ in pairs)!r} stands twice in an object")
    return members


def require_distinct(columns: Sequence[str], name: str) -> None:
    """Raise ConfigurationError where a column is named twice."""
    if len(set(columns)) < len(columns):
        raise ConfigurationError(f"{name} names the column {_twice(columns)!r} twice.")


def _twice(names: Iterable[str]) -> str:
    return Counter(names).most_common(1)[0][0]


@contextlib.contextmanager
def long_cells() -> Iterator[None]:
    """Let a cell of a CSV be as long as a body may be; Python's own bound is far lower, and the service says what it takes."""
    before = csv.field_size_limit(LONGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def read_bytes(path: Path) -> bytes:
    """Return a file's content. Raises ConfigurationError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path} can't be read: {error.strerror}.") from None


def read_json(content: bytes, name: str) -> Any:
    """Return the value of a JSON text. Raises ConfigurationError."""
    try:
        return json.loads(content, parse_constant=refuse_constant, object_pairs_hook=distinct)
    except (ValueError, RecursionError) as error:
        told = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise ConfigurationError(f"{name} isn't JSON: {told}.") from None


def read_example(path: Path) -> Any:
    """Return the example rows of a JSON, CSV or npy file, told by its suffix. Raises ConfigurationError."""
    suffix, content = path.suffix.lower(), read_bytes(path)
    if suffix == ".json":
        return read_json(content, str(path))
    if suffix == ".csv":
        return _typed_columns(content, str(path))
    if suffix == ".npy":
        try:
            return np.load(io.BytesIO(content), allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise ConfigurationError(f"{path} isn't an npy array of numbers: {error}.") from None
    raise ConfigurationError(f"{path} must end in .json, .csv or .npy, so that it is known how to read it.")


def _typed_columns(content: bytes, name: str) -> dict[str, list[Any]]:
    """Return the columns of a CSV text: numbers or booleans where every cell is one, else texts; an empty cell is missing."""
    try:
        with long_cells():
            rows = [row for row in csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError(f"{name} isn't CSV in UTF-8: {error}.") from None
    if len(rows) < 2 or any(len(row) != len(rows[0]) for row in rows):  # noqa: PLR2004 - a header and a row
        raise ConfigurationError(f"{name} needs a header row with the columns' names, and rows that are as long.")
    require_distinct(rows[0], name)
    return {column: _typed(cells) for column, cells in zip(rows[0], zip(*rows[1:], strict=True), strict=True)}


def _typed(cells: Iterable[str]) -> list[Any]:
    cells = list(cells)
    for read in (int, float, _bool):
        try:
            return [read(cell) if cell else None for cell in cells]
        except ValueError:
            continue
    return [cell or None for cell in cells]


def _bool(cell: str) -> bool:
    if cell.lower() not in {"true", "false"}:
        raise ValueError(cell)
    return cell.lower() == "true"
