"""Request ids, JSON logs and metrics: what an operator sees.

One JSON object a line, on standard error. No line may ever hold an API key, and no metric may have a label that a
caller can make up without bound.
"""

from __future__ import annotations

import logging
import re
import secrets
import sys
import threading
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog
from prometheus_client import Counter, Gauge, Histogram

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}", re.ASCII)
#: Of keys cut short, too, but no name of a model that merely looks alike.
_KEY_LIKE = re.compile(r"my_[0-9A-Za-z]{12}_[0-9A-Za-z]{16,}")

LATENCY_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

REQUESTS = Counter("modelyard_requests", "HTTP requests.", ["method", "route", "status"])
PREDICTIONS = Counter("modelyard_predictions", "Prediction requests that reached a version.", ["model", "version", "outcome"])
LATENCY = Histogram(
    "modelyard_prediction_seconds", "Time to answer a prediction request.", ["model", "version", "outcome"], buckets=LATENCY_BUCKETS
)
CACHE = Counter("modelyard_cache", "Look-ups in the prediction cache.", ["result"])
CACHE_BAD_MACS = Counter("modelyard_cache_bad_macs", "Cached predictions with a wrong MAC, ignored.")
LIMIT_REFUSALS = Counter("modelyard_limit_refusals", "Requests refused by a rate limit.", ["kind"])
REDIS_FAILURES = Counter("modelyard_redis_failures", "Redis calls that failed and were done without.", ["use"])
PUBLISHES = Counter("modelyard_publishes", "Uploads, by what became of them.", ["outcome"])
GENERATION = Gauge("modelyard_generation", "Newest change of the registry that a web process knows.", multiprocess_mode="livemax")

_stderr_lock = threading.Lock()

log: Any = structlog.get_logger("modelyard")


def configure_logging(level: str) -> None:
    """Send structlog's and the standard library's records to standard error, one JSON object a line."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, structlog.processors.JSONRenderer(_dumps)],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.getLogger("alembic").setLevel(logging.WARNING)


def log_request(fields: dict[str, Any], *, is_error: bool) -> None:
    """Write the line of one request, as `log.info("request", ...)` would: one write, because it is made for every request."""
    if not logging.getLogger().isEnabledFor(logging.ERROR if is_error else logging.INFO):
        return
    at = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    line = _dumps({**fields, "event": "request", "level": "error" if is_error else "info", "timestamp": at})
    with _stderr_lock:
        sys.stderr.write(f"{line}\n")


def request_id(offered: str | None) -> str:
    """Return the request's own id when it is well-formed, else a new one."""
    if offered is not None and _REQUEST_ID.fullmatch(offered):
        return offered
    return secrets.token_hex(12)


def hide_keys(line: str) -> str:
    """Blank whatever looks like an API key anywhere in a text, such as a finished log line: the last net, not the first."""
    return _KEY_LIKE.sub("my_[hidden]", line) if "my_" in line else line


def without_keys(value: Any) -> Any:
    """Return a JSON value with whatever looks like an API key blanked in its texts and names."""
    return msgspec.json.decode(hide_keys(msgspec.json.encode(value).decode()))


def _dumps(event: Any, **_options: Any) -> str:
    return hide_keys(msgspec.json.encode(event, enc_hook=str).decode(errors="replace"))
