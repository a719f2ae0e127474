"""Two versions side by side: what was published about them, what they take and give, and what both answer to the same rows.

Never acts by itself: predictions go the same way, and count as much, as over the REST API; two of them count as two.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import chain
from time import perf_counter
from typing import Any

from flask import Response

from registry import catalog
from registry.api import problems, requests, versions
from registry.api.bodies import SelectorPath, read_names
from registry.api.predictions import compute, noted
from registry.catalog import Version
from registry.console.answers_compared import Compared, compare_answers
from registry.console.checked import asked
from registry.console.differences import differences
from registry.console.forms import form
from registry.console.outputs_shown import text_of
from registry.console.page import page
from registry.console.session import signed_in, wants_part
from registry.console.snippets import Call, call_of_rows
from registry.console.try_it import call_of_text, told_rows
from registry.console.version_shown import LEAST_CHARACTERS, MAX_ROWS_CHARACTERS, base_url, golden_of
from registry.errors import ModelyardError, VersionNotFound
from registry.extensions import reading
from registry.flows.predict import Payload, Prediction
from registry.naming import PRODUCTION
from registry.signature import Signature
from registry.signature.plain_rows import plain_rows

#: So many of the newest versions can be chosen from.
MAX_CHOICES = 100
EXAMPLE_ROWS = 5


@dataclass(frozen=True, slots=True)
class Side:
    """What one of the two versions answered, or why it didn't, and which columns, that only the other one takes, it wasn't sent."""

    version: Version
    prediction: Prediction | None
    problem: dict[str, Any] | None
    unsent: list[str]


@dataclass(frozen=True, slots=True)
class Answers:
    """What both answered to some rows by one method; `compared` where both did."""

    method: str
    rows: str
    sides: tuple[Side, Side] | None = None
    compared: Compared | None = None


@signed_in("read")
def compare(name: str) -> Response:
    """Show what differs between two versions."""
    read_names(name)
    with reading():
        a, b = _chosen(name, **asked("a", "b"))
    return _show(name, a, b)


@signed_in("predict")
def compare_predictions(name: str) -> Response:
    """Ask both versions for the same rows, and show where their answers differ."""
    read_names(name)
    fields = form()
    with reading():
        a, b = (versions.find_ready(SelectorPath(name=name, selector=fields.get(side, ""))) for side in ("a", "b"))
    method, rows = fields.get("method", "predict"), fields.get("rows", "")
    call = call_of_text(base_url(), name, b.number, method, rows)
    sides = _ask(a, call, _only_in(b, a)), _ask(b, call, _only_in(a, b))
    return _show(name, a, b, Answers(method, rows, sides, _compared(method, *sides)))


def _only_in(one: Version, other: Version) -> set[str]:
    """Return the columns that only one of two versions takes; columns without names of their own are never told apart."""
    signatures = [Signature.from_dict(version.signature) for version in (one, other)]
    names, others = ({column.name for column in signature.columns} if signature.named else set() for signature in signatures)
    return names - others if others else set()


def _ask(version: Version, call: Call, foreign: set[str]) -> Side:
    """Return what a version answers, counted by itself. Of records, it is sent the columns that aren't `foreign` to it."""
    unsent = [name for name in dict.fromkeys(chain.from_iterable(_records(call))) if name in foreign]
    if unsent:
        rows = [{name: value for name, value in row.items() if name not in foreign} for row in _records(call)]
        call = call_of_rows(call.base_url, call.model, version.number, call.method, rows)
    payload = Payload(call.body.encode(), call.content_type, call.method)
    started, prediction, problem, status = perf_counter(), None, None, 200
    try:
        with noted(version.model, version.number):
            prediction = compute(version.model, version.number, payload)
    except ModelyardError as error:
        answer = problems.answer(error)
        problem, status = answer.get_json(), answer.status_code
    requests.settle(status, perf_counter() - started)
    return Side(version, prediction, problem, unsent)


def _records(call: Call) -> list[dict[str, Any]]:
    """Return the rows of a call where all of them are records, else nothing."""
    rows = call.rows or []
    return rows if all(isinstance(row, dict) for row in rows) else []


def _compared(method: str, a: Side, b: Side) -> Compared | None:
    if a.prediction is None or b.prediction is None:
        return None
    one, other = a.prediction, b.prediction
    return compare_answers(one.outputs, one.version.signature, other.outputs, other.version.signature, method)


def _chosen(name: str, a: str | None = None, b: str | None = None) -> tuple[Version | None, Version | None]:
    """Return the two versions that an address names; by default the newest, and what serves in production or the one before."""
    model = catalog.get_model(name)
    newer = versions.find(SelectorPath(name=name, selector=b)) if b else catalog.find_latest(name)
    if a:
        return versions.find(SelectorPath(name=name, selector=a)), newer
    if newer is None:
        return None, None
    serving = model.aliases.get(PRODUCTION)
    if serving is not None and serving != newer.number:
        return catalog.get_version(name, serving), newer
    older = catalog.list_versions(name, status="ready", limit=2).items
    return next((one for one in older if one.number != newer.number), None), newer


def _show(name: str, a: Version | None, b: Version | None, answers: Answers | None = None) -> Response:
    with reading():
        model = catalog.get_model(name)
        listed = catalog.newest_numbers(name, limit=MAX_CHOICES)
        if answers is None:
            fullest = sorted(filter(None, (b, a)), key=lambda one: -len(one.signature["inputs"]))
            answers = Answers("predict", next(filter(None, map(_example, fullest)), ""))
    numbers = {*listed, *(one.number for one in (a, b) if one is not None)}
    if not numbers:
        raise VersionNotFound(f"Model {name} has no version to compare.")
    methods = list(dict.fromkeys(method for one in (a, b) if one is not None for method in one.methods))
    context: dict[str, Any] = {"model": model, "a": a, "b": b, "methods": methods, "answers": answers, "text_of": text_of}
    if answers.sides is not None and wants_part():
        said = json.dumps({"done": {"text": _said(answers)}})
        return page("compare_answers.html", headers={"HX-Trigger": said}, **context)
    told = differences(a, b) if a is not None and b is not None else None
    return page("compare_page.html", numbers=sorted(numbers, reverse=True), told=told, **context)


def _said(answers: Answers) -> str:
    if answers.compared is None:
        return "Not both of them answered."
    differing, count = answers.compared.differing_rows, answers.compared.row_count
    if not differing:
        return "Both answered alike."
    return f"{differing} of {count} {'row differs' if count == 1 else 'rows differ'}."


def _example(version: Version) -> str:
    """Return golden rows of a version as they are written into the form; nothing where it has none."""
    if EXAMPLE_ROWS * LEAST_CHARACTERS * len(version.signature["inputs"]) > MAX_ROWS_CHARACTERS:
        return ""
    golden = golden_of(version)
    if golden is None:
        return ""
    rows = told_rows(Signature.from_dict(version.signature), plain_rows(golden[0], EXAMPLE_ROWS))
    text = "[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]"
    return text if len(text) <= MAX_ROWS_CHARACTERS else ""


ROUTES = (
    ("/models/<name>/compare", compare, "GET"),
    ("/models/<name>/compare", compare_predictions, "POST"),
)
