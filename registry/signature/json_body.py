"""JSON bodies: the fast decoder first, and the slow path that says what is wrong where.

Never repairs: what isn't exactly one of the forms is refused with the names it found.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from registry import frames
from registry.errors import InvalidRequest, MalformedBody
from registry.signature.columns import Column, is_uniform, pointer, shown
from registry.signature.fast import FORMS, require_unique_names
from registry.signature.grid import Grid, Steps, grid_of_any, grid_of_columns, grid_of_records, grid_of_rows, order_of, read_grid
from registry.signature.matrices import DEFAULT_METHOD

_decode = msgspec.json.Decoder().decode
_BYTE = re.compile(r"\(byte (\d+)\)")
_NOT_FINITE = re.compile(rb"[\[,:\s](?:NaN|-?Infinity)")
_FIELDS = frozenset({*FORMS, "method", "params"})
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_SPLIT_FIELDS = frozenset({"columns", "data", "index"})


def decode_json(body: bytes) -> Any:
    """Return the untyped value of a JSON text. Raises MalformedBody with what is wrong, in our own words."""
    if not body.strip():
        raise MalformedBody("The body is empty.")
    try:
        return _decode(body)
    except RecursionError:
        raise MalformedBody("The body is nested too deeply.") from None
    except UnicodeDecodeError:
        raise MalformedBody("The body isn't UTF-8.") from None
    except (msgspec.MsgspecError, ValueError) as error:
        raise MalformedBody(_reason(str(error), body)) from None


def _reason(text: str, body: bytes) -> str:
    if "out of range" in text:
        return "A number in the body is out of range."
    if "surrogate" in text or _SURROGATE.search(body):
        return "A text in the body holds half of a surrogate pair."
    if "truncated" in text:
        return "The body isn't JSON: it ends too early."
    if _NOT_FINITE.search(body):
        return "NaN and Infinity aren't JSON; send null for a missing value."
    if body.startswith(b"\xef\xbb\xbf"):
        return "The body starts with a byte order mark, which JSON doesn't allow."
    at = _BYTE.search(text)
    return f"The body isn't JSON: there is something unexpected at byte {at[1]}." if at else "The body isn't JSON."


def read_json(body: bytes, container: str, columns: tuple[Column, ...], max_rows: int) -> tuple[frames.Inputs, str]:
    """Return inputs and method of a body that the fast decoder left, or raise what is wrong with it."""
    fields = decode_json(body)
    require_unique_names(body)
    if not isinstance(fields, dict):
        raise InvalidRequest(f"The body must be a JSON object with one of {', '.join(FORMS)}.")
    form = _form_of(fields)
    method = _method_of(fields)
    grid = _grid(form, fields[form], columns, max_rows)
    return to_inputs(read_grid(grid, columns), container, columns), method


def _form_of(fields: dict[str, Any]) -> str:
    if unknown := sorted(fields.keys() - _FIELDS):
        raise InvalidRequest(f"Unknown field {', '.join(shown(name) for name in unknown[:5])}.", members={"unknown": unknown[:20]})
    given = [form for form in FORMS if form in fields]
    if not given:
        raise InvalidRequest(f"The body must have one of {', '.join(FORMS)}.")
    if len(given) > 1:
        raise InvalidRequest(f"The body must have exactly one of {', '.join(FORMS)}; it has {' and '.join(given)}.")
    return given[0]


def _method_of(fields: dict[str, Any]) -> str:
    method, params = fields.get("method", DEFAULT_METHOD), fields.get("params", {})
    if not isinstance(method, str):
        raise InvalidRequest(f"The field method must be a text, got {shown(method)}.")
    if not isinstance(params, dict):
        raise InvalidRequest(f"The field params must be an object, got {shown(params)}.")
    if params:
        names = ", ".join(shown(name) for name in sorted(params)[:5])
        raise InvalidRequest(f"The method takes no parameter {names}.", members={"unknown": sorted(params)[:20]})
    return method


def _grid(form: str, value: Any, columns: Sequence[Column], max_rows: int) -> Grid:
    if form == "inputs":
        return grid_of_columns(value, columns, (form,), max_rows)
    if form == "dataframe_records":
        return grid_of_records(value, columns, (form,), max_rows)
    if form == "dataframe_split":
        return _grid_of_split(value, columns, max_rows)
    return grid_of_any(value, columns, (form,), max_rows, bare=form == "data")


def _grid_of_split(value: Any, columns: Sequence[Column], max_rows: int) -> Grid:
    """Read `{"columns", "data"}`; the `index` that pandas writes is accepted and means nothing."""
    at: Steps = ("dataframe_split",)
    if not isinstance(value, dict) or value.keys() - _SPLIT_FIELDS or not {"columns", "data"} <= value.keys():
        raise InvalidRequest("The field dataframe_split must be an object of columns and data.")
    names = value["columns"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InvalidRequest("The columns of dataframe_split must be a list of names.")
    if len(set(names)) != len(names):
        raise MalformedBody("A column of dataframe_split is named twice.")
    order = order_of(names, columns, (*at, "columns"))
    came = [Column(name, "float64") for name in names]
    grid = grid_of_rows(value["data"], came, (*at, "data"), max_rows)
    count = len(value["data"])
    by_column: list[Sequence[Any]] = [[None] * count if place is None else grid.columns[place] for place in order]
    return Grid(by_column, lambda row, column: pointer(*at, "data", row, order[column] or 0))


def to_inputs(typed: list[frames.type_of_array | list[str | None]], container: str, columns: Sequence[Column]) -> frames.Inputs:
    """Return typed columns as the Inputs of a container: Texts, a Matrix of one dtype, or a Table."""
    if container == "texts":
        return frames.Texts(list(typed[0]))  # type: ignore[arg-type]
    if is_uniform(columns):
        return frames.Matrix(np.column_stack(typed))  # type: ignore[arg-type]
    return frames.Table(tuple(column.name for column in columns), tuple(typed))
