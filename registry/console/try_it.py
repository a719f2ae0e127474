"""The form Try it: fields made from a version's signature, filled from its golden rows, and the predict request that comes of them.

Never decides what a value may be: a text that is no number is sent as the text that it is, and what the signature says of it is shown
beside its field.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from registry.console.snippets import CSV, JSON, Call, call_of_rows
from registry.errors import Finding, InvalidRequest
from registry.flows.predict import Payload
from registry.signature import Column, Signature
from registry.signature.csv_body import read_cell
from registry.signature.fast import FORMS
from registry.signature.json_body import decode_json

#: A wider model is asked by rows alone.
MAX_FIELDS = 30
#: So many choices make a list to choose from.
MAX_CHOICES = 50

_LONG_TEXT = 60
_IN_FIELDS = re.compile(r"#/instances/0/(\d+)")
_NUMBER_WITH_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?", re.ASCII)
_GROUPED = re.compile(r"[+-]?\d{1,3}(?:[ '_,\u00a0\u202f]\d{3})+(?:\.\d+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Field:
    """One column's field: how it is filled in (`number`, `choice`, `text` or `long`), what stands in it, and what is wrong with that."""

    index: int
    column: Column
    kind: str
    choices: list[str]
    value: str
    wrong: list[str]


@dataclass(frozen=True, slots=True)
class Asked:
    """A filled-in form: what is asked of the predict flow, the same as a call, and what stood in the form."""

    payload: Payload
    call: Call
    values: list[str]
    text: str
    method: str
    fresh: bool
    by_fields: bool


@dataclass(frozen=True, slots=True)
class Form:
    """The form as it is shown. `as_rows` says that rows are written as a text; a wide model has no fields at all."""

    fields: list[Field]
    text: str
    method: str
    fresh: bool
    as_rows: bool
    problems: list[str] = field(default_factory=list)


def has_fields(signature: Signature) -> bool:
    """Tell whether a version's columns are few enough for a field each."""
    return len(signature.columns) <= MAX_FIELDS


def first_form(signature: Signature, categories: Mapping[str, Any], row: Sequence[Any] | None, rows_text: str) -> Form:
    """Return the form as it is before anything was asked: filled from an example row, where there is one."""
    shown = []
    if has_fields(signature):
        values = [_text(value) for value in row] if row is not None else [""] * len(signature.columns)
        shown = _fields(signature, categories, values, {})
    return Form(shown, rows_text, next(iter(signature.outputs), "predict"), fresh=False, as_rows=not shown)


def asked_form(signature: Signature, categories: Mapping[str, Any], asked: Asked, findings: Sequence[Finding] = ()) -> Form:
    """Return the form as it was sent, with each finding at the field that it is about."""
    wrong: dict[int, list[str]] = {}
    problems = []
    for finding in findings:
        place = _IN_FIELDS.fullmatch(finding.pointer or "") if asked.by_fields else None
        if place is None:
            problems.append(finding.detail)
        else:
            wrong.setdefault(int(place[1]), []).append(finding.detail)
    shown = _fields(signature, categories, asked.values, wrong) if has_fields(signature) else []
    return Form(shown, asked.text, asked.method, asked.fresh, not asked.by_fields, problems)


def read_form(fields: Mapping[str, str], signature: Signature, base_url: str, model: str, number: int) -> Asked:
    """Return what a form asks. Raises InvalidRequest, MalformedBody."""
    method, fresh, text = fields.get("method", "predict"), "fresh" in fields, fields.get("rows", "")
    values = [fields.get(f"x{index}", "") for index in range(len(signature.columns))] if has_fields(signature) else []
    if fields.get("as") == "rows" or not values:
        call = call_of_text(base_url, model, number, method, text)
        return Asked(_payload(call, fresh=fresh), call, values, text, method, fresh, by_fields=False)
    row = [_cell(value, column) for value, column in zip(values, signature.columns, strict=True)]
    sent = _payload(call_of_rows(base_url, model, number, method, [row]), fresh=fresh)
    call = call_of_rows(base_url, model, number, method, told_rows(signature, [row]))
    return Asked(sent, call, values, text, method, fresh, by_fields=True)


def told_rows(signature: Signature, rows: list[list[Any]]) -> list[Any]:
    """Return rows as a caller would best write them: texts, records where the columns have names of their own, else rows."""
    if signature.container == "texts":
        return [row[0] for row in rows]
    names = [column.name for column in signature.columns]
    return [dict(zip(names, row, strict=True)) for row in rows] if signature.named else rows


def call_of_text(base_url: str, model: str, number: int, method: str, text: str) -> Call:
    """Return the call that sends pasted rows: a list, a record or a whole body in JSON, else CSV. Raises InvalidRequest, MalformedBody."""
    bare = text.strip()
    if not bare:
        raise InvalidRequest(
            "Write the rows first: a JSON list, or CSV with a line of column names.", findings=[Finding("is empty", "#/rows")]
        )
    if bare[0] not in "[{":
        return Call(base_url, model, number, method, CSV, text)
    value = decode_json(bare.encode())
    if isinstance(value, list):
        return Call(base_url, model, number, method, JSON, _with_method(f'{{"instances": {bare}', method), value)
    if any(isinstance(value.get(form), (list, dict)) for form in FORMS):
        body = bare if "method" in value else _with_method(bare[:-1].rstrip(), method)
        return Call(base_url, model, number, str(value.get("method", method)), JSON, body)
    return Call(base_url, model, number, method, JSON, _with_method(f'{{"instances": [{bare}]', method), [value])


def advice(shown: Field) -> str:
    """Return what to write instead of what stands in a field that was refused, or nothing."""
    text, column = shown.value.strip(), shown.column
    if not text:
        return "" if column.missing else "Fill it in: this column can't be left empty."
    if column.missing and text.lower() in ("nan", "na", "none", "null", "-"):
        return "Leave it empty where the value is missing."
    if column.type not in ("float64", "int64"):
        return ""
    meant = [text.replace(",", ".")] if _NUMBER_WITH_COMMA.fullmatch(text) else []
    meant += [re.sub(r"[^0-9.+-]", "", text)] if _GROUPED.fullmatch(text) else []
    return f"Write it with a point and without separators: {' or '.join(meant)}." if meant else ""


def _with_method(body: str, method: str) -> str:
    return f'{body}, "method": {json.dumps(method)}}}'


def _payload(call: Call, *, fresh: bool) -> Payload:
    return Payload(call.body.encode(), call.content_type, call.method, look_up=not fresh)


def _cell(text: str, column: Column) -> Any:
    """Return what a field's text means for its column; empty is null, but for a text that can't be missing."""
    if column.type == "string":
        return None if not text and column.missing else text
    value = read_cell(text if text.strip() else "", column.type)
    return text if isinstance(value, float) and not math.isfinite(value) else value


def _text(value: Any) -> str:
    """Return a value as its field shows it."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def _fields(
    signature: Signature, categories: Mapping[str, Any], values: Sequence[str], wrong: Mapping[int, list[str]]
) -> list[Field]:  # fmt: skip
    shown = []
    for index, (column, value) in enumerate(zip(signature.columns, values, strict=True)):
        choices = _choices(column, categories.get(column.name), value)
        kind = "choice" if choices else _kind(column, value, signature.container)
        shown.append(Field(index, column, kind, choices, value, wrong.get(index, [])))
    return shown


def _kind(column: Column, value: str, container: str) -> str:
    if column.type != "string":
        return "number"
    return "long" if container == "texts" or len(value) > _LONG_TEXT or "\n" in value else "text"


def _choices(column: Column, known: Any, value: str) -> list[str]:
    """Return what can be chosen, what stands there already among it; nothing where anything may be written."""
    if column.type == "bool":
        found = ["true", "false"]
    elif isinstance(known, list) and 0 < len(known) <= MAX_CHOICES:
        found = [_text(one) for one in known]
    else:
        return []
    extra = [""] if column.missing or not value else []
    return [*extra, *found, *([value] if value and value not in found else [])]
