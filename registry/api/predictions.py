"""The predict routes: one body in, one prediction out.

Most predict requests never come here: `predict_lane.py` answers them without Flask's bookkeeping and hands over only what it
doesn't take and what went wrong. How many bodies are read and computed at once is bounded, per key and over all of them.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import numpy as np
from flask import Flask, Response, g, request
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from registry.api import limits
from registry.api.auth import caller, needs
from registry.api.bodies import read_names
from registry.api.whole_body import whole_body
from registry.errors import ModelyardError, NotAcceptable, NotFound, RateLimited, RegistryUnavailable, VersionDeleted
from registry.flows.predict import Payload, Prediction, predict
from registry.frames import Outputs
from registry.naming import PRODUCTION
from registry.wiring import Services, services

JSON, NPY = "application/json", "application/x-npy"
DEFAULT_METHOD = "predict"
VERSION_ENDPOINT, PRODUCTION_ENDPOINT = "predict", "predict_production"

_encode = msgspec.json.Encoder().encode


def register(app: Flask) -> None:
    """Add the predict routes."""
    app.add_url_rule("/models/<name>/<selector>", VERSION_ENDPOINT, predict_version, methods=["POST"])
    app.add_url_rule("/models/<name>", PRODUCTION_ENDPOINT, predict_production, methods=["POST"])


@needs("predict")
def predict_version(name: str, selector: str) -> Response:
    """Answer a prediction by a version or alias."""
    return _predict(name, read_names(name, selector))


@needs("predict")
def predict_production(name: str) -> Response:
    """Answer a prediction by the alias `production`."""
    read_names(name)
    return _predict(name, PRODUCTION)


def _predict(name: str, selector: int | str) -> Response:
    with noted(name, selector), whole_body(caller().id, services().config.max_body_bytes) as body:
        headers = request.headers
        asked = payload(body, headers.get("Content-Type", ""), headers.get("Cache-Control", ""))
        asked.method = request.args.get("method", DEFAULT_METHOD)
        prediction = compute(name, selector, asked)
        content_type, answer = render(prediction, headers.get("Accept", ""), g.request_id)
        return Response(answer, headers=headers_of(prediction), content_type=content_type)


@contextmanager
def noted(name: str, selector: int | str) -> Iterator[None]:
    """Note a prediction that fails in the block, for metrics, traffic and log."""
    try:
        yield
    except RateLimited:
        raise  # it never came to a version
    except ModelyardError as error:
        g.failed_prediction = (*resolved_to(services(), name, selector, error), error.slug)
        raise


def compute(name: str, selector: int | str, asked: Payload) -> Prediction:
    """Count one prediction against the caller's limits, and answer it. A refusal before the body is read would cost the connection."""
    limits.count_prediction(caller().id, caller().key.limits)
    g.prediction = prediction = predict(name, selector, asked, services().serving)
    return prediction


def payload(body: bytes, content_type: str, cache_control: str) -> Payload:
    """Return what the flow is asked."""
    if not cache_control:
        return Payload(body, content_type)
    control = cache_control.lower()
    fill = "no-store" not in control
    return Payload(body, content_type, look_up=fill and "no-cache" not in control, fill=fill)


def resolved_to(built: Services, name: str, selector: int | str, error: ModelyardError) -> tuple[str, str]:
    """Return model and version for the metrics, or empty texts for what isn't there: a label must not be a caller's invention."""
    if isinstance(error, NotFound | VersionDeleted | RegistryUnavailable):
        return "", ""
    try:
        version = built.directory.resolve(name, selector)
    except ModelyardError:
        return "", ""
    return version.model, str(version.number)


def headers_of(prediction: Prediction) -> list[tuple[str, str]]:
    """Return the headers that say how a prediction came about."""
    validate_ms, predict_ms = 1000 * prediction.validate_seconds, 1000 * prediction.predict_seconds
    return [
        ("X-Cache", prediction.cache),
        ("X-Model-Version", str(prediction.version.number)),
        ("Server-Timing", f"validate;dur={validate_ms:.3f}, predict;dur={predict_ms:.3f}"),
    ]


def render(prediction: Prediction, accept: str, request_id: str) -> tuple[str, bytes]:
    """Return the content type and the body of an answer. Raises NotAcceptable."""
    if NPY in accept:
        npy = _npy(prediction.outputs)
        if npy is not None:
            return NPY, npy
        _require_json(accept)
    version = prediction.version
    answer: dict[str, Any] = {
        "prediction": prediction.outputs.to_plain(),
        "model": version.model,
        "version": version.number,
        "method": prediction.method,
        "runtime": prediction.runtime,
        "cached": prediction.cache == "hit",
        "request_id": request_id,
    }
    classes = version.signature.classes(prediction.method)
    if classes is not None:
        answer["classes"] = classes
    return JSON, _encode(answer)


def _npy(outputs: Outputs) -> bytes | None:
    """Return outputs as a .npy file, or None where they aren't one numeric array."""
    part = outputs.parts[0]
    if outputs.multi or not isinstance(part, np.ndarray):
        return None
    buffer = io.BytesIO()
    np.save(buffer, part, allow_pickle=False)
    return buffer.getvalue()


def _require_json(accept: str) -> None:
    """Raise NotAcceptable unless an Accept header that names npy takes JSON as well."""
    if not parse_accept_header(accept, MIMEAccept).quality(JSON):
        raise NotAcceptable("These outputs aren't one numeric array; ask for application/json.")
