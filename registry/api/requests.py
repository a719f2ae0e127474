"""What every request gets: an id, security headers, one log line, and its metrics.

The log line never holds a key, a body or a query string.
"""

from __future__ import annotations

from collections import Counter
from http import HTTPStatus
from time import perf_counter, time
from typing import Any

from flask import Flask, Response, g, request

from registry import observability
from registry.api import predictions
from registry.api.limits import Standing
from registry.errors import Finding, InvalidName, InvalidRequest, ModelyardError
from registry.flows.predict import Prediction
from registry.naming import PRODUCTION, parse_selector
from registry.wiring import services

EXPOSED_HEADERS = [
    "X-Request-Id", "X-Cache", "X-Model-Version", "Server-Timing", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset",
    "Retry-After", "ETag", "Location", "Content-Digest", "Repr-Digest",
]  # fmt: skip

#: What answers that aren't pages say, so that a browser which is made to show one as a page runs and loads nothing.
NO_CONTENT = "default-src 'none'; frame-ancestors 'none'"
#: Any other method is counted and logged as one: a caller may make up as many as it likes.
KNOWN_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT"})
OTHER_METHOD = "other"
PREDICT_ENDPOINTS = frozenset({predictions.VERSION_ENDPOINT, predictions.PRODUCTION_ENDPOINT})


def register(app: Flask) -> None:
    """Begin and end each request."""
    app.before_request(_begin)
    app.before_request(_refuse_ambiguous)
    app.after_request(_end)


def _begin() -> None:
    g.started = perf_counter()
    g.request_id = observability.request_id(request.headers.get("X-Request-Id"))


def _refuse_ambiguous() -> None:
    """Refuse what no route may mean: NUL in a path or query, which the database can't keep, and a query parameter that stands twice."""
    if "\0" in request.path:
        raise InvalidName("A path can't hold the character NUL.")
    if not request.query_string:
        return
    pairs = list(request.args.items(multi=True))
    if any("\0" in name or "\0" in value for name, value in pairs):
        raise InvalidRequest("A query can't hold the character NUL.")
    doubles = sorted(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
    if doubles:
        raise InvalidRequest("A query parameter stands twice.", findings=[Finding("stands twice", f"#/{name}") for name in doubles])


def _end(response: Response) -> Response:
    headers = response.headers
    headers["X-Request-Id"] = g.request_id
    headers["X-Content-Type-Options"] = "nosniff"
    headers.setdefault("Content-Security-Policy", NO_CONTENT)
    standing: Standing | None = g.get("standing")
    if standing is not None:
        headers.extend(limit_headers(standing))
    _record(response)
    return response


def limit_headers(standing: Standing) -> list[tuple[str, str]]:
    """Return the headers that say how a key stands with its tightest limit."""
    return [
        ("X-RateLimit-Limit", str(standing.limit)),
        ("X-RateLimit-Remaining", str(max(0, standing.remaining))),
        ("X-RateLimit-Reset", str(standing.reset_seconds)),
    ]


def _record(response: Response) -> None:
    seconds = perf_counter() - g.started
    route = request.url_rule.rule if request.url_rule is not None else "none"
    method = request.method if request.method in KNOWN_METHODS else OTHER_METHOD
    observability.requests_counter(method, route, response.status_code).inc()
    caller = g.get("caller")
    line = log_line(g.request_id, method, request.path, response.status_code, seconds, caller.id if caller is not None else None)
    if "problem" in g:
        line["problem"] = g.problem
    failed: tuple[str, str, str] | None = g.get("failed_prediction")
    prediction: Prediction | None = g.get("prediction")
    if failed is not None:
        line |= _failed_line(failed, seconds)
    elif prediction is not None:
        line |= prediction_line(prediction, seconds)
    if caller is not None:
        _count_traffic(caller.id, response.status_code, seconds, failed, prediction)
    observability.log_request(line, is_error=response.status_code == HTTPStatus.INTERNAL_SERVER_ERROR)


def _count_traffic(key_id: str, status: int, seconds: float, failed: tuple[str, str, str] | None, prediction: Prediction | None) -> None:
    """Count a prediction under its key and what it was resolved to; where it wasn't, under what it named if that is known to be there."""
    traffic = services().traffic
    if failed is None and prediction is not None and status < HTTPStatus.BAD_REQUEST:
        version = prediction.version
        traffic.add_answers([(time(), seconds, version.model, version.number, key_id, prediction.cache == "hit")])
    elif failed is not None and failed[0]:
        traffic.add_problem(time(), status, failed[0], int(failed[1]), key_id)
    elif failed is not None or (status >= HTTPStatus.BAD_REQUEST and ("standing" in g or request.endpoint in PREDICT_ENDPOINTS)):
        name = (request.view_args or {}).get("name", "")
        refused = _refused_version(name) if status == HTTPStatus.TOO_MANY_REQUESTS else None
        traffic.add_problem(time(), status, name if traffic.knows(name) else None, refused, key_id)


def _refused_version(name: str) -> int | None:
    """Return the version that a request over its limit named, by number or by an alias that this process remembers; a refusal asks no database."""
    built = services()
    try:
        selector = parse_selector((request.view_args or {}).get("selector", f"@{PRODUCTION}"))
        if isinstance(selector, str):
            selector = built.directory.resolve(name, selector).number if built.directory.remembers(name, selector) else 0
    except ModelyardError:
        return None
    return selector if built.traffic.knows(name, selector) else None


def settle(status: int, seconds: float) -> None:
    """Count what one of several predictions of this request came to, so that the next one can be noted."""
    failed, prediction = g.pop("failed_prediction", None), g.pop("prediction", None)
    if failed is not None:
        _failed_line(failed, seconds)
    elif prediction is not None:
        prediction_line(prediction, seconds)
    _count_traffic(g.caller.id, status, seconds, failed, prediction)


def log_line(request_id: str, method: str, path: str, status: int, seconds: float, key_id: str | None) -> dict[str, Any]:
    """Return what the log says of any request."""
    line: dict[str, Any] = {
        "request_id": request_id,
        "method": method,
        "path": observability.hide_keys(path)[:200],
        "status": status,
        "ms": round(1000 * seconds, 3),
    }
    if key_id is not None:
        line["key_id"] = key_id
    return line


def prediction_line(prediction: Prediction, seconds: float) -> dict[str, Any]:
    """Count and time an answered prediction, and return what its log line says of it."""
    version = prediction.version
    observability.cache_counter(prediction.cache, prediction.tier).inc()
    counter, histogram = observability.answered(version.model, version.number)
    counter.inc()
    histogram.observe(seconds)
    return {
        "model": version.model,
        "version": version.number,
        "cache": prediction.cache,
        "rows": prediction.outputs.rows,
        "validate_ms": round(1000 * prediction.validate_seconds, 3),
        "predict_ms": round(1000 * prediction.predict_seconds, 3),
    }


def _failed_line(failed: tuple[str, str, str], seconds: float) -> dict[str, Any]:
    observability.PREDICTIONS.labels(*failed).inc()
    observability.LATENCY.labels(*failed).observe(seconds)
    return {"model": failed[0], "version": int(failed[1])} if failed[0] else {}
