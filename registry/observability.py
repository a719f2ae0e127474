"""Request ids, JSON logs and metrics: what an operator sees.

One JSON object a line, on standard error. No line may ever hold an API key, and no metric may have a label that a
caller can make up without bound.
"""

from __future__ import annotations

import logging
import re
import secrets
import sys
from typing import Any

import msgspec
import structlog
from prometheus_client import Counter, Gauge, Histogram

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}", re.ASCII)
_KEY_LIKE = re.compile(r"my_[0-9A-Za-z]{12}_[0-9A-Za-z]+")

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

log: Any = structlog.get_logger("modelyard")


def configure_logging(level: str) -> None:
    """Send structlog's and the standard library's records to standard error, one JSON object a line."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        hide_keys,
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


def hide_keys(_logger: Any, _name: str, event: dict[str, Any]) -> dict[str, Any]:
    """Blank whatever looks like an API key in any text of a log line: the last net, not the first."""
    for name, value in event.items():
        if isinstance(value, str) and "my_" in value:
            event[name] = _KEY_LIKE.sub("my_[hidden]", value)
    return event


def request_id(offered: str | None) -> str:
    """Return the request's own id when it is well-formed, else a new one."""
    if offered is not None and _REQUEST_ID.fullmatch(offered):
        return offered
    return secrets.token_hex(12)


def _dumps(event: Any, **_options: Any) -> str:
    return msgspec.json.encode(event, enc_hook=str).decode()
