"""The page of one version: what it takes and gives, how it is built, where it came from, how it is served, and a form to try it.

Never acts by itself: predictions go the same way, and count as much, as over the REST API.
"""

from __future__ import annotations

import json
from typing import cast

from flask import Response, redirect, url_for

from registry import catalog
from registry.api import problems, versions
from registry.api.bodies import SelectorPath
from registry.api.predictions import compute, noted
from registry.catalog import Version
from registry.console import version_actions
from registry.console.forms import form
from registry.console.outputs_shown import table_of
from registry.console.session import signed_in
from registry.console.try_it import Asked, Form, asked_form, read_form
from registry.console.version_shown import Trial, base_url, show_trial, show_version
from registry.errors import ModelyardError, SignatureMismatch
from registry.extensions import reading
from registry.flows.predict import Prediction
from registry.signature import Signature

#: Of an answer, so much is shown as JSON.
MAX_ANSWER_CHARACTERS, MAX_ANSWER_ROWS = 20_000, 1000


@signed_in("read")
def version(name: str, selector: str) -> Response:
    """Show the page of a version; an alias leads on to the version that it points at."""
    with reading():
        found = versions.find(SelectorPath(name=name, selector=selector))
    if selector != str(found.number):
        return cast("Response", redirect(url_for("console.version", name=name, selector=found.number)))
    return show_version(found)


@signed_in("predict")
def try_version(name: str, selector: str) -> Response:
    """Ask the version what a form says, as a request over REST would, and show what it answered."""
    with reading():
        found = versions.find_ready(SelectorPath(name=name, selector=selector))
        told = catalog.find_diagram(found.id) or {}
    signature, categories = Signature.from_dict(found.signature), told.get("categories", {})
    asked = read_form(form(), signature, base_url(), found.model, found.number)
    try:
        with noted(name, found.number):
            prediction = compute(name, found.number, asked.payload)
    except SignatureMismatch as error:
        if not asked.by_fields:
            raise
        return _refused(found, asked, asked_form(signature, categories, asked, error.findings), error)
    table = table_of(prediction.outputs, prediction.method, signature)
    return show_trial(found, Trial(asked_form(signature, categories, asked), asked.call, prediction, table, _as_json(prediction)))


@signed_in("read")
def download_artifact(name: str, selector: str) -> Response:
    """Send the artifact's bytes."""
    return cast("Response", versions.download_artifact(SelectorPath(name=name, selector=selector)))


def _refused(found: Version, asked: Asked, shown: Form, error: ModelyardError) -> Response:
    answer = problems.answer(error)
    return show_trial(found, Trial(shown, asked.call, problem=answer.get_json()), answer.status_code)


def _as_json(prediction: Prediction) -> str:
    outputs = prediction.outputs
    text = json.dumps(outputs.take(0, MAX_ANSWER_ROWS).to_plain(), ensure_ascii=False)
    return text if len(text) <= MAX_ANSWER_CHARACTERS and outputs.rows <= MAX_ANSWER_ROWS else text[:MAX_ANSWER_CHARACTERS] + "…"


ROUTES = (
    ("/models/<name>/<selector>", version, "GET"),
    ("/models/<name>/<selector>/try", try_version, "POST"),
    ("/models/<name>/<selector>/artifact", download_artifact, "GET"),
    *version_actions.ROUTES,
)
