"""What a manifest's `input_example` tells about a model's columns: their names, their order, their types.

Only looks; the values are read by the signature that comes of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from registry.signature.columns import Column, Complaints, pointer, shown

MAX_EXAMPLE_ROWS = 100
AT = "input_example"
#: The type of a column whose every value is null.
UNKNOWN = ""


@dataclass(frozen=True, slots=True)
class Observed:
    """An example of at most MAX_EXAMPLE_ROWS rows: `columns` has no names of its own (`named` false) where rows came."""

    example: Any
    named: bool
    texts: bool
    columns: tuple[Column, ...]


def observe(example: Any) -> Observed:
    """Return what an example of rows, records, columns or texts shows. Raises SignatureMismatch."""
    if isinstance(example, dict):
        return _observe_columns(example)
    if not isinstance(example, list) or not example:
        raise_mismatch(f"expected a list of rows, records or texts with at least one, got {shown(example)}")
    kept = example[:MAX_EXAMPLE_ROWS]
    if isinstance(kept[0], dict):
        return _observe_records(kept)
    if isinstance(kept[0], list):
        return _observe_rows(kept)
    if all(isinstance(value, str) for value in kept):
        return Observed(kept, named=False, texts=True, columns=(Column("text", "string"),))
    return _observe_rows([example])


def _observe_columns(example: dict[str, Any]) -> Observed:
    kept = {name: values[:MAX_EXAMPLE_ROWS] if isinstance(values, list) else values for name, values in example.items()}
    complaints = Complaints()
    for name, values in kept.items():
        if not isinstance(values, list) or not values:
            complaints.add(f"expected a list of values, got {shown(values)}", pointer(AT, name), name)
    complaints.settle()
    if not kept:
        raise_mismatch("expected at least one column, got none")
    columns = tuple(infer(name, values, pointer(AT, name)) for name, values in kept.items())
    return Observed(kept, named=True, texts=False, columns=columns)


def _observe_records(records: list[Any]) -> Observed:
    names = dict.fromkeys(name for record in records if isinstance(record, dict) for name in record)
    by_name = {name: [record.get(name) for record in records if isinstance(record, dict)] for name in names}
    if not by_name:
        raise_mismatch("expected records with at least one column, got none")
    columns = tuple(infer(name, values, pointer(AT, 0, name)) for name, values in by_name.items())
    return Observed(records, named=True, texts=False, columns=columns)


def _observe_rows(rows: list[Any]) -> Observed:
    complaints = Complaints()
    width = len(rows[0])
    for index, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != width or not row:
            complaints.add(f"expected a row of {width} values, as the first one, got {shown(row)}", pointer(AT, index))
    complaints.settle()
    columns = tuple(infer(f"x{i}", list(values), pointer(AT, 0, i)) for i, values in enumerate(zip(*rows, strict=True)))
    return Observed(rows, named=False, texts=False, columns=columns)


def infer(name: str, values: list[Any], at: str) -> Column:
    """Return the column that `values` show: bool, string, float64 for any numbers, UNKNOWN for nulls only. Raises SignatureMismatch for a mixture."""
    present = [value for value in values if value is not None and value == value]  # noqa: PLR0124 - NaN differs from itself
    missing = len(present) < len(values)
    if present and all(isinstance(value, bool) for value in present) and not missing:
        return Column(name, "bool")
    if present and all(isinstance(value, str) for value in present):
        return Column(name, "string", missing=missing)
    if any(isinstance(value, bool) or not isinstance(value, (int, float)) for value in present):
        complaints = Complaints()
        complaints.add("expected only numbers, only texts, or only true and false in one column", at, name)
        complaints.settle()
    return Column(name, "float64" if present else UNKNOWN, missing=missing)


def raise_mismatch(detail: str) -> None:
    """Raise SignatureMismatch with one finding on the whole example."""
    complaints = Complaints()
    complaints.add(detail, pointer(AT))
    complaints.settle()
