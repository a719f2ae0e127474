"""The predict routes: one body in, one prediction out.

Kept out of the control routes' validation, because a predict request must cost little. How many bodies are read and
how many large ones are computed at once is bounded, per key and over all of them.
"""

from __future__ import annotations

import io
from typing import Any

import msgspec
import numpy as np
from flask import Flask, Response, g, request

from registry.api import limits
from registry.api.auth import caller, needs
from registry.api.bodies import read_names
from registry.api.whole_body import whole_body
from registry.errors import ModelyardError, NotAcceptable, NotFound, RateLimited, RegistryUnavailable, VersionDeleted
from registry.flows.predict import Payload, Prediction, predict
from registry.frames import Outputs
from registry.naming import PRODUCTION
from registry.wiring import Services, services

NPY = "application/x-npy"
DEFAULT_METHOD = "predict"
UNCACHED_DIRECTIVES = ("no-cache", "no-store")

_encode = msgspec.json.Encoder().encode


def register(app: Flask) -> None:
    """Add the predict routes."""
    app.add_url_rule("/models/<name>/<selector>", "predict", predict_version, methods=["POST"])
    app.add_url_rule("/models/<name>", "predict_production", predict_production, methods=["POST"])


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
    built = services()
    try:
        with whole_body(caller().id, built.config.max_body_bytes) as body:
            limits.count_prediction(caller().id, caller().key.limits)  # a refusal before the body is read would cost the connection
            g.prediction = prediction = predict(
                name, selector, _payload(body), directory=built.directory, workers=built.workers, predictions=built.predictions,
                computing=built.computing, max_rows=built.config.max_rows,
            )  # fmt: skip
            return _respond(prediction)
    except RateLimited:
        raise  # it never came to a version
    except ModelyardError as error:
        g.failed_prediction = (*_resolved_to(built, name, selector, error), error.slug)
        raise


def _payload(body: bytes) -> Payload:
    control = request.headers.get("Cache-Control", "").lower()
    return Payload(
        body,
        request.headers.get("Content-Type", ""),
        method=request.args.get("method", DEFAULT_METHOD),
        look_up=not any(directive in control for directive in UNCACHED_DIRECTIVES),
        fill="no-store" not in control,
    )


def _resolved_to(built: Services, name: str, selector: int | str, error: ModelyardError) -> tuple[str, str]:
    """Return model and version for the metrics, or empty texts for what isn't there: a label must not be a caller's invention."""
    if isinstance(error, NotFound | VersionDeleted | RegistryUnavailable):
        return "", ""
    try:
        version = built.directory.resolve(name, selector)
    except ModelyardError:
        return "", ""
    return version.model, str(version.number)


def _respond(prediction: Prediction) -> Response:
    version = prediction.version
    if NPY in request.headers.get("Accept", ""):
        response = Response(_npy(prediction.outputs), mimetype=NPY)
    else:
        response = Response(_encode(_as_json(prediction)), mimetype="application/json")
    headers = response.headers
    headers["X-Cache"] = prediction.cache
    headers["X-Model-Version"] = str(version.number)
    headers["Server-Timing"] = ", ".join(f"{name};dur={1000 * seconds:.3f}" for name, seconds in prediction.timings)
    return response


def _as_json(prediction: Prediction) -> dict[str, Any]:
    version = prediction.version
    answer: dict[str, Any] = {
        "prediction": prediction.outputs.to_plain(),
        "model": version.model,
        "version": version.number,
        "method": prediction.method,
        "runtime": version.runtime,
        "cached": prediction.cache == "hit",
        "request_id": g.request_id,
    }
    classes = version.signature.classes(prediction.method)
    if classes is not None:
        answer["classes"] = classes
    return answer


def _npy(outputs: Outputs) -> bytes:
    part = outputs.parts[0]
    if outputs.multi or not isinstance(part, np.ndarray):
        raise NotAcceptable("These outputs aren't one numeric array; ask for application/json.")
    buffer = io.BytesIO()
    np.save(buffer, part, allow_pickle=False)
    return buffer.getvalue()
