"""One typed column, how a value is read for it, and the findings collected on the way.

The slow, exact path: it is taken for bodies that the typed decoder refused, to say what is wrong in which place.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import numpy as np

from registry import frames
from registry.errors import Finding, SignatureMismatch

MAX_FINDINGS = 20
TYPES = ("float64", "int64", "bool", "string")
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1

_SHOWN_CHARACTERS = 40
#: What RFC 3986 allows in a fragment besides letters and digits.
_FRAGMENT_SAFE = "-._~!$&'()*+,;=:@?"

type_of_values = frames.type_of_array | list[str | None]


@dataclass(frozen=True, slots=True)
class Column:
    """One input column: `type` is one of TYPES; `missing` allows null; `required` is false where it may be left out."""

    name: str
    type: str
    required: bool = True
    missing: bool = False

    @property
    def optional(self) -> bool:
        """Tell whether the column may be left out of a record."""
        return self.missing and not self.required

    def as_dict(self) -> dict[str, Any]:
        """Return the column as it stands in a signature."""
        return {"name": self.name, "type": self.type, "required": self.required, "missing": self.missing}


def is_uniform(columns: Sequence[Column]) -> bool:
    """Tell whether all columns have one numeric or bool type, so that one array holds them."""
    return columns[0].type != "string" and all(column.type == columns[0].type for column in columns)


class Complaints:
    """The findings of one body; raises SignatureMismatch by itself once there are MAX_FINDINGS."""

    def __init__(self) -> None:
        """Start without findings."""
        self._findings: list[Finding] = []

    def add(self, detail: str, pointer: str, column: str | None = None) -> None:
        """Note one bad value."""
        self._findings.append(Finding(detail, pointer, column))
        if len(self._findings) >= MAX_FINDINGS:
            raise SignatureMismatch(f"At least {MAX_FINDINGS} values don't fit the model's signature.", findings=self._findings)

    def settle(self) -> None:
        """Raise SignatureMismatch if anything was noted."""
        if self._findings:
            count = len(self._findings)
            text = "One value doesn't fit" if count == 1 else f"{count} values don't fit"
            raise SignatureMismatch(f"{text} the model's signature.", findings=self._findings)


class BadCell(ValueError):
    """One value that its column doesn't take; the text is the finding's."""


def pointer(*steps: str | int) -> str:
    """Return the JSON pointer of `steps` as a URI fragment (RFC 6901, part 6)."""
    escaped = (quote(str(step).replace("~", "~0").replace("/", "~1").encode(errors="replace"), safe=_FRAGMENT_SAFE) for step in steps)
    return "#/" + "/".join(escaped)


def shown(value: Any) -> str:
    """Return a short text for a bad value, as JSON where it is one scalar."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, (list, tuple)):
        return "a list"
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = "a value that isn't JSON"
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"


def read_column(column: Column, values: Sequence[Any], point: Callable[[int], str], complaints: Complaints) -> type_of_values:
    """Return the values of one column, of its dtype; notes each bad one at `point(row)`.

    float64, int64 and bool give a 1-D array, NaN standing for a missing number; string gives a list, None for missing text.
    """
    read = _READERS[column.type]
    cells: list[Any] = []
    for row, value in enumerate(values):
        try:
            cells.append(read(value, column))
        except BadCell as bad:
            complaints.add(str(bad), point(row), column.name)
            cells.append(_FILLERS[column.type])
    return cells if column.type == "string" else np.array(cells, dtype=column.type)


def _read_number(value: Any, column: Column) -> float:
    if value is None:
        if column.missing:
            return math.nan
        raise BadCell("expected a number, got null")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise BadCell(f"expected a number, got {shown(value)}")
    try:
        number = float(value)
    except OverflowError:
        raise BadCell("the number is out of range") from None
    if math.isfinite(number) or (math.isnan(number) and column.missing):
        return number
    raise BadCell("expected a finite number")


def _read_integer(value: Any, _: Column) -> int:
    if value is None:
        raise BadCell("expected an integer, got null")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise BadCell(f"expected an integer, got {shown(value)}")
    if isinstance(value, float) and not value.is_integer():
        raise BadCell(f"expected an integer, got {value!r}")
    if not INT64_MIN <= value <= INT64_MAX:
        raise BadCell("the integer is out of range, it needs more than 64 bits")
    return int(value)


def _read_bool(value: Any, _: Column) -> bool:
    if not isinstance(value, bool):
        raise BadCell(f"expected true or false, got {shown(value)}")
    return value


def _read_text(value: Any, column: Column) -> str | None:
    if value is None and column.missing:
        return None
    if not isinstance(value, str):
        raise BadCell(f"expected a text, got {shown(value)}")
    return value


_READERS: dict[str, Callable[[Any, Column], Any]] = {
    "float64": _read_number,
    "int64": _read_integer,
    "bool": _read_bool,
    "string": _read_text,
}
_FILLERS: dict[str, Any] = {"float64": 0.0, "int64": 0, "bool": False, "string": ""}
