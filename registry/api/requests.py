"""What every request gets: an id, security headers, one log line, and its metrics.

The log line never holds a key, a body or a query string.
"""

from __future__ import annotations

from http import HTTPStatus
from time import perf_counter
from typing import Any

from flask import Flask, Response, g, request

from registry import observability
from registry.api.limits import Standing

EXPOSED_HEADERS = [
    "X-Request-Id", "X-Cache", "X-Model-Version", "Server-Timing", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset",
    "Retry-After", "ETag", "Location",
]  # fmt: skip


def register(app: Flask) -> None:
    """Begin and end each request."""
    app.before_request(_begin)
    app.after_request(_end)


def _begin() -> None:
    g.started = perf_counter()
    g.request_id = observability.request_id(request.headers.get("X-Request-Id"))


def _end(response: Response) -> Response:
    headers = response.headers
    headers["X-Request-Id"] = g.request_id
    headers["X-Content-Type-Options"] = "nosniff"
    standing: Standing | None = g.get("standing")
    if standing is not None:
        headers["X-RateLimit-Limit"] = str(standing.limit)
        headers["X-RateLimit-Remaining"] = str(max(0, standing.remaining))
        headers["X-RateLimit-Reset"] = str(standing.reset_seconds)
    _record(response)
    return response


def _record(response: Response) -> None:
    seconds = perf_counter() - g.started
    route = request.url_rule.rule if request.url_rule is not None else "none"
    observability.REQUESTS.labels(request.method, route, response.status_code).inc()
    line: dict[str, Any] = {
        "request_id": g.request_id,
        "method": request.method,
        "path": request.path[:200],
        "status": response.status_code,
        "ms": round(1000 * seconds, 3),
    }
    caller = g.get("caller")
    if caller is not None:
        line["key_id"] = caller.id
    if "problem" in g:
        line["problem"] = g.problem
    prediction = g.get("prediction")
    if prediction is not None:
        version = prediction.version
        labels = (version.model, str(version.number), "ok")
        observability.PREDICTIONS.labels(*labels).inc()
        observability.LATENCY.labels(*labels).observe(seconds)
        line |= {"model": version.model, "version": version.number, "cache": prediction.cache, "rows": prediction.outputs.rows}
        line |= {f"{name}_ms": round(1000 * spent, 3) for name, spent in prediction.timings}
    severity = observability.log.error if response.status_code == HTTPStatus.INTERNAL_SERVER_ERROR else observability.log.info
    severity("request", **line)
