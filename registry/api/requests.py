"""What every request gets: an id, security headers, one log line, and its metrics.

The log line never holds a key, a body or a query string.
"""

from __future__ import annotations

from collections import Counter
from http import HTTPStatus
from time import perf_counter
from typing import Any

from flask import Flask, Response, g, request

from registry import observability
from registry.api.limits import Standing
from registry.errors import Finding, InvalidName, InvalidRequest

EXPOSED_HEADERS = [
    "X-Request-Id", "X-Cache", "X-Model-Version", "Server-Timing", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset",
    "Retry-After", "ETag", "Location", "Content-Digest", "Repr-Digest",
]  # fmt: skip

#: What answers that aren't pages say, so that a browser which is made to show one as a page runs and loads nothing.
NO_CONTENT = "default-src 'none'; frame-ancestors 'none'"
#: Any other method is counted and logged as one: a caller may make up as many as it likes.
KNOWN_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT"})
OTHER_METHOD = "other"


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
        headers["X-RateLimit-Limit"] = str(standing.limit)
        headers["X-RateLimit-Remaining"] = str(max(0, standing.remaining))
        headers["X-RateLimit-Reset"] = str(standing.reset_seconds)
    _record(response)
    return response


def _record(response: Response) -> None:
    seconds = perf_counter() - g.started
    route = request.url_rule.rule if request.url_rule is not None else "none"
    method = request.method if request.method in KNOWN_METHODS else OTHER_METHOD
    observability.REQUESTS.labels(method, route, response.status_code).inc()
    line: dict[str, Any] = {
        "request_id": g.request_id,
        "method": method,
        "path": observability.hide_keys(request.path)[:200],
        "status": response.status_code,
        "ms": round(1000 * seconds, 3),
    }
    caller = g.get("caller")
    if caller is not None:
        line["key_id"] = caller.id
    if "problem" in g:
        line["problem"] = g.problem
    line |= _record_prediction(seconds)
    observability.log_request(line, is_error=response.status_code == HTTPStatus.INTERNAL_SERVER_ERROR)


def _record_prediction(seconds: float) -> dict[str, Any]:
    """Count a prediction, answered or failed, and return what its log line says of it."""
    failed: tuple[str, str, str] | None = g.get("failed_prediction")
    if failed is not None:
        observability.PREDICTIONS.labels(*failed).inc()
        observability.LATENCY.labels(*failed).observe(seconds)
        return {"model": failed[0], "version": int(failed[1])} if failed[0] else {}
    prediction = g.get("prediction")
    if prediction is None:
        return {}
    version = prediction.version
    labels = (version.model, str(version.number), "ok")
    observability.PREDICTIONS.labels(*labels).inc()
    observability.LATENCY.labels(*labels).observe(seconds)
    timings = {f"{name}_ms": round(1000 * spent, 3) for name, spent in prediction.timings}
    return {"model": version.model, "version": version.number, "cache": prediction.cache, "rows": prediction.outputs.rows, **timings}
