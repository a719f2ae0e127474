"""Rate limits: each key's own limits on predict requests, and one per address on failed authentication.

Flask-Limiter holds the storage; its counts are taken here and not by its decorators, because its own checks run before the
caller is known. Redis gone means counting in this process's memory, said once, until Redis is back.
"""

from __future__ import annotations

from typing import cast

from flask import Flask, current_app, g
from limits import RateLimitItem
from limits.storage import RedisStorage
from redis.backoff import NoBackoff
from redis.retry import Retry

from registry import observability
from registry.api.counters import Counters
from registry.api.leases import Standing
from registry.api.limit_texts import parse_limits
from registry.api.shared_counts import SharedCounts
from registry.errors import RateLimited
from registry.extensions import limiter

__all__ = ["Counters", "Standing", "count_failed_authentication", "count_prediction", "counters", "parse_limits", "register", "standings"]

ADDRESS_SCOPE = "failed-auth"


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
    app.extensions["modelyard-counters"] = Counters(SharedCounts(cast("RedisStorage", limiter.storage)))
    app.extensions["modelyard-failed-auth"] = parse_limits((failed_auth_limit,))


def counters(app: Flask) -> Counters:
    """Return the application's counters, which need no request to be asked."""
    return cast("Counters", app.extensions["modelyard-counters"])


def count_prediction(key_id: str, texts: tuple[str, ...]) -> None:
    """Count one predict request against each limit of a key, and note the tightest for the answer's headers. Raises RateLimited."""
    try:
        g.standing = counters(current_app).count(key_id, texts)
    except RateLimited as refusal:
        g.standing = Standing(**refusal.members)
        raise


def standings(key_id: str, texts: tuple[str, ...]) -> list[dict[str, object]]:
    """Return how a key stands with each of its limits, without counting."""
    return [
        {"limit": str(item), "amount": standing.limit, "remaining": standing.remaining, "reset_seconds": standing.reset_seconds}
        for item, standing in counters(current_app).standings(key_id, texts)
    ]


def count_failed_authentication(address: str) -> None:
    """Count a failed authentication. Raises RateLimited over the limit; a good key from the same address is never refused."""
    for item in _failed_auth():
        standing = counters(current_app).add(item, ADDRESS_SCOPE, address)
        if standing.remaining < 0:
            observability.LIMIT_REFUSALS.labels("address").inc()
            raise RateLimited(f"Too many failed authentications from this address ({item}).", retry_after_seconds=standing.reset_seconds)


def _failed_auth() -> tuple[RateLimitItem, ...]:
    return cast("tuple[RateLimitItem, ...]", current_app.extensions["modelyard-failed-auth"])
