"""How a version's page is put together: what is read of it, and the section Try it.

Only reads; and bounds everything that a version may have a lot of.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Response, request

from registry import catalog, frames
from registry.api import serving
from registry.catalog import Version
from registry.console.model_shown import names_of
from registry.console.outputs_shown import OutputTable, table_of, text_of
from registry.console.page import page
from registry.console.session import wants_part
from registry.console.shown import ms
from registry.console.snippets import Call, call_of_rows, snippets
from registry.console.tag_fields import tag_rows
from registry.console.try_it import Form, advice, first_form, told_rows
from registry.errors import ModelUnloadable, ModelyardError
from registry.extensions import reading
from registry.flows.predict import Prediction
from registry.signature import Signature
from registry.signature.golden import decode_golden
from registry.signature.plain_rows import plain_rows
from registry.wiring import services

MAX_SIGNATURE_COLUMNS = 200
GOLDEN_ROWS, GOLDEN_COLUMNS = 5, 20
#: Longer rows aren't written into a form: it couldn't be sent.
MAX_ROWS_CHARACTERS = 200_000
#: A value and what parts it from the next take so many at least.
LEAST_CHARACTERS = 4

Golden = tuple[frames.Inputs, dict[str, frames.Outputs]]


@dataclass(frozen=True, slots=True)
class Trial:
    """The section Try it: its form, the same call elsewhere, and what came of it."""

    form: Form
    call: Call | None
    prediction: Prediction | None = None
    table: OutputTable | None = None
    answer: str = ""
    problem: dict[str, Any] | None = None


def base_url() -> str:
    """Return where this service is, as the browser sees it."""
    return request.host_url.rstrip("/")


def golden_of(found: Version) -> Golden | None:
    """Return a version's golden predictions; None where it has none, or where they can't be read."""
    packed = catalog.find_golden(found.id)
    try:
        return decode_golden(packed) if packed is not None else None
    except ModelUnloadable:
        return None


def show_trial(found: Version, trial: Trial, status: int = 200) -> Response:
    """Return the section, or the page with it for a browser without scripts."""
    if wants_part():
        return page("try.html", status, _headers(trial), version=found, **_trial_context(trial))
    return show_version(found, trial, status)


def _headers(trial: Trial) -> dict[str, str]:
    """Return what lets scripts put the section in its place, also where it shows what is wrong with a field, and say what came of it."""
    if trial.prediction is None:
        return {"HX-Retarget": "#try", "HX-Reswap": "outerHTML"}
    said = f"Answered in {ms(trial.prediction.validate_seconds + trial.prediction.predict_seconds)}."
    return {"HX-Trigger": json.dumps({"done": {"text": said}})}


def _trial_context(trial: Trial) -> dict[str, Any]:
    calls = snippets(trial.call) if trial.call is not None else {}
    return {"trial": trial, "calls": calls, "advice": advice, "text_of": text_of}


def show_version(found: Version, trial: Trial | None = None, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return the page of a version."""
    signature = Signature.from_dict(found.signature)
    with reading():
        diagram, golden = catalog.find_diagram(found.id), golden_of(found)
        names = names_of({found.created_by})
        subject = f"{found.model}/{found.number}"
        asked = catalog.traffic_of("version", [subject], since=datetime.now(UTC) - timedelta(days=1)).get(subject)
    trial = trial or _first_trial(found, signature, (diagram or {}).get("categories", {}), golden)
    return page(
        "version_page.html",
        status,
        headers,
        version=found,
        signature=signature,
        columns=signature.columns[:MAX_SIGNATURE_COLUMNS],
        diagram=diagram,
        golden=_golden_tables(signature, golden),
        names=names,
        asked=asked,
        loaded=_loaded(found),
        skew=_skew(found),
        tags=tag_rows(found.tags),
        **_trial_context(trial),
    )


def _first_trial(found: Version, signature: Signature, categories: dict[str, Any], golden: Golden | None) -> Trial:
    fits = LEAST_CHARACTERS * len(signature.columns) <= MAX_ROWS_CHARACTERS
    row = plain_rows(golden[0], 1)[0] if golden is not None and fits else None
    rows = told_rows(signature, [row]) if row is not None else []
    text = json.dumps(rows, ensure_ascii=False, indent=2) if rows else ""
    shown = first_form(signature, categories, row, text if len(text) <= MAX_ROWS_CHARACTERS else "")
    call = call_of_rows(base_url(), found.model, found.number, shown.method, rows) if rows else None
    return Trial(shown, call)


def _golden_tables(signature: Signature, golden: Golden | None) -> dict[str, Any] | None:
    if golden is None:
        return None
    inputs, outputs = golden
    names = [column.name for column in signature.columns]
    return {
        "names": names[:GOLDEN_COLUMNS],
        "more_columns": max(0, len(names) - GOLDEN_COLUMNS),
        "rows": plain_rows(inputs, GOLDEN_ROWS, GOLDEN_COLUMNS),
        "more_rows": max(0, inputs.rows - GOLDEN_ROWS),
        "outputs": {method: table_of(answer, method, signature, GOLDEN_ROWS) for method, answer in outputs.items()},
    }


def _loaded(found: Version) -> dict[str, Any] | None:
    """Return how the version is loaded on this host; None where it isn't, or where the host process doesn't say."""
    try:
        report = services().workers.report()
    except ModelyardError:
        return None
    here = (row for row in report["loaded"] if (row["model"], row["version"]) == (found.model, found.number))
    return next(({name: row[name] for name in serving.SHOWN} for row in here), None)


def _skew(found: Version) -> dict[str, tuple[str, str]]:
    """Return the libraries that a version was made with in another version: that one, and the one it was published under."""
    recorded: dict[str, str] = found.environment.get("recorded") or {}
    return {name: (then, found.environment[name]) for name, then in recorded.items() if name in found.environment}
