"""What is loaded, loading and pinning by hand, and what the service says of itself.

Health has an answer for 503 that is no problem: it says which part is down.
"""

from __future__ import annotations

from registry import errors
from registry.api import answers
from registry.api.openapi import examples
from registry.api.openapi.description import TEXT, Answer, Media, Operation, answer
from registry.api.openapi.of_models import FIND_READY, LOAD

_NAMED = {"model": "iris", "version": 3}
_NO_FIELDS: dict[str, object] = {"nothing": {}}
_PARTS = dict.fromkeys(("database", "redis", "cache", "workers", "sandbox"), "up")
_READY = {"status": "up", "parts": _PARTS, "walls": examples.WALLS}
_DOWN = {"status": "down", "parts": _PARTS | {"workers": "down", "sandbox": "down"}, "walls": None}
_METRICS = "# TYPE modelyard_host_up gauge\nmodelyard_host_up 1.0\n"
_ANY_OBJECT = {"type": "object", "description": "An OpenAPI document.", "required": ["openapi", "info", "paths"]}
_FILES = {"text/css": "body { margin: 0; }", "text/javascript": "'use strict';"}


def _text(value: str) -> Media:
    return Media({"type": "string"}, {"text": value})


OPERATIONS: dict[str, Operation] = {
    "serving.show_serving": Operation("serving", (answer(answers.Serving, examples.SERVING),), (errors.VersionStarting,)),
    "serving.load_version": Operation(
        "serving", (answer(answers.Loaded, _NAMED | {"loaded": True}),), (*FIND_READY, *LOAD), examples=_NO_FIELDS
    ),
    "serving.unload_version": Operation(
        "serving",
        (answer(answers.Unloaded, _NAMED | {"loaded": False, "was_loaded": True}),),
        (*FIND_READY, errors.VersionInUse, errors.VersionStarting),
        examples=_NO_FIELDS,
    ),
    "serving.pin_version": Operation("serving", (answer(answers.Pinned, _NAMED | {"pinned": True}),), (*FIND_READY, *LOAD)),
    "serving.unpin_version": Operation(
        "serving", (answer(answers.Pinned, _NAMED | {"pinned": False}),), (*FIND_READY, errors.VersionStarting)
    ),
    "live": Operation("service", (answer(answers.Live, {"status": "up"}),)),
    "ready": Operation(
        "service",
        (
            answer(answers.Ready, _READY, "Everything that is needed is there; `degraded` goes on without the rest."),
            answer(answers.Ready, _DOWN, "Nothing useful can be answered.", status=503),
        ),
    ),
    "metrics": Operation("service", (Answer(200, "Metrics in Prometheus's text format.", {TEXT: _text(_METRICS)}),)),
    "openapi": Operation(
        "service",
        (
            Answer(
                200, "This document.", {"application/json": Media(_ANY_OBJECT, {"start": {"openapi": "3.1.0", "info": {}, "paths": {}}})}
            ),
        ),
    ),
    "docs": Operation("service", (Answer(200, "The page.", {"text/html": _text("<!doctype html>")}),)),
    "docs_file": Operation(
        "service",
        (Answer(200, "A style sheet or a script.", {kind: _text(value) for kind, value in _FILES.items()}, ("ETag", "Cache-Control")),),
    ),
}
