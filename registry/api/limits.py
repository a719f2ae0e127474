"""Rate limits: each key's own limits on predict requests, and one per address on failed authentication.

Flask-Limiter holds storage and strategy; they are called here and not by its decorators, because its own checks run
before the caller is known. Redis gone means counting in this process's memory, said once, until Redis is back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar, cast

from flask import Flask, current_app, g
from limits import RateLimitItem, parse_many
from limits.storage import MemoryStorage, Storage
from redis.backoff import NoBackoff
from redis.retry import Retry

from registry import observability
from registry.errors import RateLimited
from registry.extensions import limiter

Result = TypeVar("Result")

RETRY_SECONDS = 1.0
MOST_AMOUNT = 10**9
LONGEST_WINDOW_SECONDS = 366 * 86_400
ADDRESS_SCOPE = "failed-auth"


@dataclass(frozen=True, slots=True)
class Standing:
    """How a key stands with its tightest limit after a request: allowed, left, and seconds until its window ends."""

    limit: int
    remaining: int
    reset_seconds: int


class Counters:
    """The counts behind the limits: Redis, or this process's memory while Redis is away. Safe to use from many threads."""

    def __init__(self, storage: Storage) -> None:
        """`storage` is shared by all processes."""
        self._shared = storage
        self._own = MemoryStorage()
        self._retry_at = 0.0
        self._window_ends: dict[str, float] = {}
        self._lock = threading.Lock()

    def add(self, item: RateLimitItem, *subject: str) -> Standing:
        """Count one request and return how its subject stands; `remaining` is negative when it is over the limit."""
        key = item.key_for(*subject)
        count = self._on_storage(lambda storage: int(storage.incr(key, item.get_expiry())))
        return Standing(int(item.amount), int(item.amount) - count, self._seconds_left(key, item, begins=count <= 1))

    def peek(self, item: RateLimitItem, *subject: str) -> Standing:
        """Return how a subject stands without counting."""
        key = item.key_for(*subject)
        count = self._on_storage(lambda storage: int(storage.get(key)))
        if count == 0:
            return Standing(int(item.amount), int(item.amount), int(item.get_expiry()))
        return Standing(int(item.amount), max(0, int(item.amount) - count), self._seconds_left(key, item, begins=False))

    def _seconds_left(self, key: str, item: RateLimitItem, *, begins: bool) -> int:
        """Return the seconds until the window ends, asking the storage once a window and process, and never for one that begins."""
        now = time.time()
        if begins:
            ends = now + item.get_expiry()
        else:
            ends = self._window_ends.get(key, 0.0)
            if ends <= now:
                ends = self._on_storage(lambda storage: float(storage.get_expiry(key)))
        if len(self._window_ends) > 10_000:  # noqa: PLR2004 - a bound, not a figure
            self._window_ends.clear()
        self._window_ends[key] = ends
        return max(1, int(ends - now + 0.999))

    def _on_storage(self, call: Callable[[Storage], Result]) -> Result:
        if self._retry_at and not self._may_try():
            return call(self._own)
        try:
            answer = call(self._shared)
        except Exception as error:  # noqa: BLE001 - whichever client the storage uses, its failures mean the same here
            self._note_failure(error)
            return call(self._own)
        if self._retry_at:
            self._note_return()
        return answer

    def _may_try(self) -> bool:
        """Let one request each RETRY_SECONDS find out whether the storage is back, while the others go on."""
        with self._lock:
            now = time.monotonic()
            if now < self._retry_at:
                return False
            self._retry_at = now + RETRY_SECONDS
            return True

    def _note_failure(self, error: Exception) -> None:
        observability.REDIS_FAILURES.labels("limits").inc()
        with self._lock:
            first = self._retry_at == 0.0
            self._retry_at = time.monotonic() + RETRY_SECONDS
            self._window_ends.clear()
        if first:
            observability.log.warning("shared limit counters are away; counting in this process", reason=type(error).__name__)

    def _note_return(self) -> None:
        with self._lock:
            again = self._retry_at != 0.0
            self._retry_at = 0.0
            self._window_ends.clear()
        if again:
            observability.log.info("shared limit counters are back")


def register(app: Flask, redis_url: str, failed_auth_limit: str) -> None:
    """Bind the limiter to the Redis that must not evict."""
    app.config["RATELIMIT_STORAGE_URI"] = redis_url.replace("unix://", "redis+unix://", 1)
    app.config["RATELIMIT_STORAGE_OPTIONS"] = {"socket_timeout": 0.5, "socket_connect_timeout": 0.5, "retry": Retry(NoBackoff(), 0)}
    app.config["RATELIMIT_STRATEGY"] = "fixed-window"
    app.config["RATELIMIT_HEADERS_ENABLED"] = False
    app.extensions.setdefault("limiter", set()).add(
        limiter
    )  # as if its own checks stood already: they cost each request, and decide nothing here
    limiter.init_app(app)
    app.extensions["modelyard-counters"] = Counters(limiter.storage)
    app.extensions["modelyard-failed-auth"] = parse_limits((failed_auth_limit,))


@lru_cache(maxsize=4096)
def parse_limits(texts: tuple[str, ...]) -> tuple[RateLimitItem, ...]:
    """Return limits such as `600/minute`, the shortest window first; one that stands twice counts once. Raises ValueError for a text that isn't one, or is out of bounds."""
    items: list[RateLimitItem] = []
    for text in texts:
        (item,) = parse_many(text)  # several in one text are a ValueError, too
        if not 0 < item.amount <= MOST_AMOUNT or not 0 < item.get_expiry() <= LONGEST_WINDOW_SECONDS:
            raise ValueError(f"{item} is out of bounds")
        items.append(item)
    return tuple(sorted(dict.fromkeys(items), key=lambda item: item.get_expiry()))


def count_prediction(key_id: str, texts: tuple[str, ...]) -> None:
    """Count one predict request against each limit of a key, and note the tightest for the answer's headers.

    Raises RateLimited, with the seconds until the window ends; what was refused by a short window isn't counted in longer ones.
    """
    tightest: Standing | None = None
    for item in parse_limits(texts):
        standing = _counters().add(item, key_id)
        if standing.remaining < 0:
            g.standing = standing
            observability.LIMIT_REFUSALS.labels("key").inc()
            raise RateLimited(
                f"The key's limit of {item} is used up.",
                retry_after_seconds=standing.reset_seconds,
                members={"limit": standing.limit, "remaining": 0, "reset_seconds": standing.reset_seconds},
            )
        if tightest is None or standing.remaining < tightest.remaining:
            tightest = standing
    g.standing = tightest


def standings(key_id: str, texts: tuple[str, ...]) -> list[dict[str, object]]:
    """Return how a key stands with each of its limits, without counting."""
    rows: list[dict[str, object]] = []
    for item in parse_limits(texts):
        standing = _counters().peek(item, key_id)
        rows.append(
            {"limit": str(item), "amount": standing.limit, "remaining": standing.remaining, "reset_seconds": standing.reset_seconds}
        )
    return rows


def count_failed_authentication(address: str) -> None:
    """Count a failed authentication. Raises RateLimited over the limit; a good key from the same address is never refused."""
    for item in _failed_auth():
        standing = _counters().add(item, ADDRESS_SCOPE, address)
        if standing.remaining < 0:
            observability.LIMIT_REFUSALS.labels("address").inc()
            raise RateLimited(f"Too many failed authentications from this address ({item}).", retry_after_seconds=standing.reset_seconds)


def _counters() -> Counters:
    return cast("Counters", current_app.extensions["modelyard-counters"])


def _failed_auth() -> tuple[RateLimitItem, ...]:
    return cast("tuple[RateLimitItem, ...]", current_app.extensions["modelyard-failed-auth"])
