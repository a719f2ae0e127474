"""What a method answered, as a table for people: some rows, some columns, and what is left out counted.

Pure. Never gives more of an answer than a page can hold, whatever its size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from registry.frames import Outputs
from registry.signature import Signature

MAX_ROWS, MAX_COLUMNS = 20, 30

_SHOWN_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class OutputTable:
    """Names of columns, values of the first rows, and how many more of each there are. `bars` are one row's shares, by class."""

    names: list[str]
    rows: list[list[Any]]
    more_rows: int
    more_columns: int
    bars: list[tuple[str, float]]


def table_of(outputs: Outputs, method: str, signature: Signature, most_rows: int = MAX_ROWS) -> OutputTable:
    """Return the first rows of an answer."""
    columns = columns_of(outputs.take(0, most_rows), method, signature)
    kept = columns[:MAX_COLUMNS]
    rows = [list(row) for row in zip(*(values for _, values in kept), strict=True)]
    shares = method == "predict_proba" and outputs.rows == 1 and all(_is_share(values[0]) for _, values in kept)
    return OutputTable(
        names=[name for name, _ in kept],
        rows=rows,
        more_rows=max(0, outputs.rows - most_rows),
        more_columns=len(columns) - len(kept),
        bars=[(name, values[0]) for name, values in kept] if shares else [],
    )


def text_of(value: Any) -> str:
    """Return a value for a table's cell: a number with some digits, a text as it is, anything else as Python writes it."""
    if isinstance(value, str):
        text = value
    elif isinstance(value, float):
        text = f"{value:.6g}"
    elif value is None or isinstance(value, bool):
        text = {None: "null", True: "true", False: "false"}[value]
    else:
        text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"


def columns_of(outputs: Outputs, method: str, signature: Signature) -> list[tuple[str, list[Any]]]:
    """Return every column of an answer, with its name."""
    return list(_columns(outputs, method, signature.classes(method), multi=outputs.multi))


def _columns(outputs: Outputs, method: str, classes: list[Any] | None, *, multi: bool) -> Iterator[tuple[str, list[Any]]]:
    for index, part in enumerate(outputs.parts):
        values = part.tolist() if isinstance(part, np.ndarray) else part
        own = classes[index] if multi and classes and index < len(classes) else classes
        prefix = f"output {index}" if multi else ""
        wide = bool(values) and all(isinstance(row, list) for row in values) and len({len(row) for row in values}) == 1
        if not wide:
            yield prefix or method, values
            continue
        for place, column in enumerate(zip(*values, strict=True)):
            known = isinstance(own, list) and place < len(own)
            name = text_of(own[place]) if known and own is not None else str(place)
            yield f"{prefix}: {name}" if prefix else name, list(column)


def _is_share(value: Any) -> bool:
    return isinstance(value, float) and math.isfinite(value) and 0 <= value <= 1
