"""Request ids, JSON logs and metrics: what an operator sees.

One JSON object a line, on standard error. No line may ever hold an API key, and no metric may have a label that a
caller can make up without bound.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import time
from datetime import UTC, datetime
from functools import cache, lru_cache
from random import Random
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
CACHE = Counter("modelyard_cache", "Look-ups in the prediction cache, by result and by what was asked last.", ["result", "tier"])
CACHE_BAD_MACS = Counter("modelyard_cache_bad_macs", "Cached predictions with a wrong MAC, ignored.")
LIMIT_REFUSALS = Counter("modelyard_limit_refusals", "Requests refused by a rate limit.", ["kind"])
REDIS_FAILURES = Counter("modelyard_redis_failures", "Redis calls that failed and were done without.", ["use"])
PUBLISHES = Counter("modelyard_publishes", "Uploads, by what became of them.", ["outcome"])
GENERATION = Gauge("modelyard_generation", "Newest change of the registry that a web process knows.", multiprocess_mode="livemax")

#: A pipe takes 4,096 bytes (PIPE_BUF of pipe(7)) in one piece; what these lines hold is nearly all ASCII.
MOST_WRITTEN_CHARACTERS = 4000

_stderr_lock = threading.Lock()
#: Request ids must differ, not be hard to guess: this costs no system call.
_numbers = Random()  # noqa: S311
os.register_at_fork(after_in_child=_numbers.seed)  # else the web processes, which are forked, would all number alike

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
    """Write the line of one request, as `log.info("request", ...)` would: one write, because it is made for every request. Adds to `fields`."""
    if not logging.getLogger().isEnabledFor(logging.ERROR if is_error else logging.INFO):
        return
    fields["event"], fields["level"], fields["timestamp"] = "request", "error" if is_error else "info", timestamp(time.time())
    _write(_dumps(fields) + "\n")


def write_lines(lines: list[dict[str, Any]]) -> None:
    """Write the lines of requests that ended well, as many in one write as a pipe takes in one piece: processes share it."""
    if not logging.getLogger().isEnabledFor(logging.INFO):
        return
    together = ""
    for line in lines:
        text = f"{_dumps(line)}\n"
        if len(together) + len(text) > MOST_WRITTEN_CHARACTERS and together:
            _write(together)
            together = ""
        together += text
    if together:
        _write(together)


def _write(text: str) -> None:
    with _stderr_lock:
        sys.stderr.write(text)


def timestamp(seconds: float) -> str:
    """Return a moment of the epoch in RFC 3339, UTC, with microseconds."""
    whole = int(seconds)
    return f"{_second(whole)}.{int(1e6 * (seconds - whole)):06d}Z"


@lru_cache(maxsize=4)
def _second(whole: int) -> str:
    return datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")


@cache
def cache_counter(result: str, tier: str) -> Counter:
    """Return the counter of one kind of look-up: `hit|miss|bypass`, and `memory|redis|shared|none`."""
    return CACHE.labels(result, tier)


@lru_cache(maxsize=10_000)
def answered(model: str, version: int) -> tuple[Counter, Histogram]:
    """Return what counts and times the answers of one version, looked up once for all its requests."""
    labels = (model, str(version), "ok")
    return PREDICTIONS.labels(*labels), LATENCY.labels(*labels)


@lru_cache(maxsize=1000)
def requests_counter(method: str, route: str, status: int) -> Counter:
    """Return the counter of one route's requests that ended with one status."""
    return REQUESTS.labels(method, route, status)


def request_id(offered: str | None) -> str:
    """Return the request's own id when it is well-formed, else a new one."""
    if offered is not None and _REQUEST_ID.fullmatch(offered):
        return offered
    return f"{_numbers.getrandbits(96):024x}"


def hide_keys(line: str) -> str:
    """Blank whatever looks like an API key anywhere in a text, such as a finished log line: the last net, not the first."""
    return _KEY_LIKE.sub("my_[hidden]", line) if "my_" in line else line


def without_keys(value: Any) -> Any:
    """Return a JSON value with whatever looks like an API key blanked in its texts and names."""
    return msgspec.json.decode(hide_keys(msgspec.json.encode(value).decode()))


def _dumps(event: Any, **_options: Any) -> str:
    return hide_keys(msgspec.json.encode(event, enc_hook=str).decode(errors="replace"))
