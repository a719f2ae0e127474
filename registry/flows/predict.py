"""The predict flow, top to bottom: resolve, validate, cache, ask the worker, fill.

Knows no HTTP and no SQL. Each step raises its own error; nothing is caught here but to hand an error to identical
requests that wait for the same computation.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter

from registry import frames
from registry.directory import Directory, Resolved
from registry.frames import Outputs
from registry.serving.answer import Answer
from registry.serving.computing import Computing
from registry.serving.predictions import Predictions, digest, is_hot, prediction_key
from registry.serving.workers import Workers
from registry.serving.worth import Worth
from registry.signature import Request


@dataclass(slots=True)
class Payload:
    """The raw body of a predict request, its content type, what its Cache-Control allows, and the method that a body that isn't JSON asks for."""

    body: bytes
    content_type: str
    method: str = "predict"
    look_up: bool = True
    fill: bool = True


@dataclass(slots=True)
class Prediction:
    """Outputs, the version, method and runtime that made them, and the seconds that reading and answering took.

    `cache` is `hit`, `miss` or `bypass`; `tier` is what was asked last: `memory`, `redis`, `shared` (an identical request) or `none`.
    """

    version: Resolved
    method: str
    outputs: Outputs
    runtime: str
    cache: str
    tier: str
    validate_seconds: float
    predict_seconds: float


@dataclass(frozen=True, slots=True)
class Serving:
    """What the flow asks: built once for each web process."""

    directory: Directory
    workers: Workers
    predictions: Predictions | None
    worth: Worth
    computing: Computing
    max_rows: int


def predict(name: str, selector: int | str, payload: Payload, serving: Serving) -> Prediction:
    """Answer one prediction request. One line per step; each step raises its own error."""
    started = perf_counter()
    version = serving.directory.resolve(name, selector)  # memory first; SQL on a miss
    request = version.signature.validate(
        payload.body, payload.content_type, max_rows=serving.max_rows, method=payload.method
    )  # SignatureMismatch, with pointers
    inputs = frames.encode_inputs(request.inputs)
    validated = perf_counter()
    if serving.predictions is None or not version.cacheable or not payload.fill:  # no-store keeps nothing, so it needs no key
        answer, cache, tier = serving.workers.predict(version.id, request.method, request.params, inputs), "bypass", "none"
    else:
        answer, cache, tier = _cached(version, request, inputs, serving.predictions, serving, look_up=payload.look_up)
    outputs = frames.decode_outputs(answer.outputs)
    return Prediction(version, request.method, outputs, answer.runtime, cache, tier, validated - started, perf_counter() - validated)


def _cached(
    version: Resolved, request: Request, inputs: bytes, predictions: Predictions, serving: Serving, *, look_up: bool
) -> tuple[Answer, str, str]:  # fmt: skip
    """Return an answer from memory, from Redis where that pays, from an identical request under way, or from the worker; and which."""
    key = prediction_key(version.sha256, version.runtime, request.method, request.params, inputs)
    hot = is_hot(key)
    if hot and look_up and (answer := predictions.get_hot(key)) is not None:
        return answer, "hit", "memory"
    asks = version.cache == "on" or serving.worth.pays(version.id, inputs)
    kept_under = digest(key) if asks else b""
    if not (asks or hot):  # many rows of a quick model: telling whether they are others' rows costs more than it saves
        return _compute(version, request, inputs, serving), "miss" if look_up else "bypass", "none"
    flying = (key if hot else kept_under, look_up)  # who must not look up doesn't share what another one looked up
    flight, leads = serving.computing.join(flying)
    if not leads:
        return flight.result(), "miss" if look_up else "bypass", "shared"
    try:
        answer, cache, tier = _lead(version, request, inputs, kept_under, predictions, serving, look_up=look_up)
        if hot and _may_keep(version, answer):
            predictions.put_hot(key, answer)
    except BaseException as error:
        serving.computing.land(flying, None, error)
        raise
    serving.computing.land(flying, answer)  # after the filling, so that whoever comes next finds the one or the other
    return answer, cache, tier


def _lead(
    version: Resolved, request: Request, inputs: bytes, kept_under: bytes, predictions: Predictions, serving: Serving, *, look_up: bool
) -> tuple[Answer, str, str]:  # fmt: skip
    """Return what Redis keeps under a digest, or compute and let Redis keep it; without a digest, compute."""
    if kept_under and look_up:
        started = perf_counter()
        kept = predictions.get(kept_under)  # Redis down counts as a miss
        serving.worth.note_lookup(version.id, started, hit=kept is not None)
        if kept is not None:
            return kept, "hit", "redis"
    answer = _compute(version, request, inputs, serving)
    if kept_under and _may_keep(version, answer):
        predictions.put(kept_under, answer)
    return answer, "miss" if look_up else "bypass", "redis" if kept_under else "memory"


def _may_keep(version: Resolved, answer: Answer) -> bool:
    """Tell whether an answer may stand for the version: not one of a worker that was still up when its runtime had changed."""
    return answer.runtime == version.runtime


def _compute(version: Resolved, request: Request, inputs: bytes, serving: Serving) -> Answer:
    started = perf_counter()
    answer = serving.workers.predict(version.id, request.method, request.params, inputs)  # ModelUnloadable, PredictionFailed, …Timeout
    serving.worth.note_computed(version.id, started)
    return answer
