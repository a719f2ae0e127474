"""The predict flow, top to bottom: resolve, validate, cache, ask the worker, fill.

Knows no HTTP and no SQL. Each step raises its own error; nothing is caught here but to hand an error to identical
requests that wait for the same computation.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import Any

from registry import frames, observability
from registry.directory import Directory, Resolved
from registry.frames import Outputs
from registry.serving.predictions import Computing, Predictions, prediction_key
from registry.serving.workers import Workers


@dataclass(frozen=True, slots=True)
class Payload:
    """The raw body of a predict request, its content type, what its Cache-Control allows, and the method that a body that isn't JSON asks for."""

    body: bytes
    content_type: str
    method: str = "predict"
    look_up: bool = True
    fill: bool = True


@dataclass(frozen=True, slots=True)
class Prediction:
    """Outputs, the version and method that made them, where they came from, and the seconds each step took."""

    version: Resolved
    method: str
    outputs: Outputs
    cache: str
    timings: tuple[tuple[str, float], ...]


def predict(
    name: str, selector: int | str, payload: Payload, *, directory: Directory, workers: Workers, predictions: Predictions | None, computing: Computing, max_rows: int
) -> Prediction:  # fmt: skip
    """Answer one prediction request. One line per step; each step raises its own error."""
    started = perf_counter()
    version = directory.resolve(name, selector)  # memory first; SQL on a miss
    request = version.signature.validate(
        payload.body, payload.content_type, max_rows=max_rows, method=payload.method
    )  # SignatureMismatch, with pointers
    inputs = frames.encode_inputs(request.inputs)
    validated = perf_counter()
    if predictions is None or not version.cacheable:
        encoded, cache = workers.predict(version.id, request.method, request.params, inputs), "bypass"
    else:
        encoded, cache = _cached(version, request.method, request.params, inputs, payload, workers, predictions, computing)
    observability.CACHE.labels(cache).inc()
    timings = (("validate", validated - started), ("predict", perf_counter() - validated))
    return Prediction(version, request.method, frames.decode_outputs(encoded), cache, timings)


def _cached(
    version: Resolved, method: str, params: dict[str, Any], inputs: bytes, payload: Payload, workers: Workers, predictions: Predictions, computing: Computing
) -> tuple[bytes, str]:  # fmt: skip
    """Return encoded outputs from the cache, from an identical request under way, or from the worker."""
    key = prediction_key(version.sha256, version.runtime, method, params, inputs)
    if payload.look_up and (outputs := predictions.get(key)) is not None:  # Redis down counts as a miss
        return outputs, "hit"
    flight, leads = computing.join(key)
    if not leads:
        return flight.result(), "miss" if payload.look_up else "bypass"
    try:
        outputs = workers.predict(version.id, method, params, inputs)  # ModelUnloadable, PredictionFailed, PredictionTimeout
        if payload.fill:
            predictions.put(key, outputs)
    except BaseException as error:
        computing.land(key, None, error)
        raise
    computing.land(key, outputs)  # after the filling, so that whoever comes next finds the one or the other
    return outputs, "miss" if payload.look_up else "bypass"
