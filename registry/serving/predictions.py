"""The prediction cache, keyed by content: artifact digest, runtime, method, parameters and canonical inputs.

The hottest answers stand in this process's memory, the others in Redis, where that pays. A value there carries a MAC over key
and value; a wrong one is a miss. Redis gone is a miss too, said once and counted. No pickle is ever stored.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
import time
from functools import lru_cache
from typing import Any

import msgspec
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from registry import observability
from registry.serving.answer import Answer
from registry.serving.hottest import Hottest

PREFIX = b"my:p:"
MAC_BYTES = 16
#: What stands before the outputs in a kept value: the runtime that computed them.
RUNTIMES = {b"e": "exact", b"f": "fast"}
_LETTERS = {runtime: letter for letter, runtime in RUNTIMES.items()}
MAX_HOT_KEY_BYTES = 8192
RETRY_SECONDS = 1.0
TIMEOUT_SECONDS = 0.5

_encode = msgspec.json.Encoder(order="deterministic").encode


def connect(url: str) -> redis.Redis:
    """Return a client that fails fast and never retries by itself. Connects on first use."""
    return redis.Redis.from_url(
        url, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS, retry=Retry(NoBackoff(), 0), max_connections=1024
    )


def prediction_key(sha256: str, runtime: str, method: str, params: dict[str, Any], inputs: bytes) -> bytes:
    """Return what keys an answer: equal only for equal content, whatever the version is called and however its parameters are ordered.

    One object of bytes, however many are kept: the garbage collector has nothing to look at in it.
    """
    return _asked(sha256, runtime, method, _encode(params) if params else b"") + inputs


@lru_cache(maxsize=4096)
def _asked(sha256: str, runtime: str, method: str, params: bytes) -> bytes:
    return hashlib.blake2b(f"{sha256}\0{runtime}\0{method}\0".encode() + params, digest_size=32).digest()


def is_hot(key: bytes) -> bool:
    """Tell whether a key may be looked up in memory: larger inputs cost more to hash and to hold than they are likely to save."""
    return len(key) <= MAX_HOT_KEY_BYTES


def digest(key: bytes) -> bytes:
    """Return the 32 bytes under which Redis knows a key."""
    return hashlib.blake2b(key, digest_size=32).digest()


class Predictions:
    """Cached answers in two tiers. Safe to use from many threads; never raises because of Redis."""

    def __init__(self, client: redis.Redis, secret: bytes, *, ttl_seconds: int, max_value_bytes: int, hottest_bytes: int) -> None:
        """Connect on first use."""
        self._redis = client
        self._secret = secret
        self._ttl = ttl_seconds
        self._max_value = max_value_bytes
        self._hottest = Hottest(hottest_bytes, ttl_seconds)
        self._retry_at = 0.0
        self._lock = threading.Lock()

    def get_hot(self, key: bytes) -> Answer | None:
        """Return the answer that this process remembers, or None."""
        return self._hottest.get(key)

    def put_hot(self, key: bytes, answer: Answer) -> None:
        """Remember an answer in this process, unless it is too large."""
        if len(answer.outputs) <= self._max_value:
            self._hottest.put(key, answer)

    def get(self, key: bytes) -> Answer | None:
        """Return the answer that Redis keeps under a digest, or None."""
        stored = self._call(lambda: self._redis.get(PREFIX + key))
        if not isinstance(stored, bytes):
            return None
        mac, value = stored[:MAC_BYTES], stored[MAC_BYTES:]
        runtime = RUNTIMES.get(value[:1])
        if not hmac.compare_digest(mac, self._mac(key, value)) or not runtime:
            observability.CACHE_BAD_MACS.inc()
            observability.log.warning("cached prediction has a wrong MAC; ignored")
            return None
        return Answer(value[1:], runtime)

    def put(self, key: bytes, answer: Answer) -> None:
        """Keep an answer in Redis for the time to live, unless it is too large."""
        if len(answer.outputs) <= self._max_value:
            value = _LETTERS[answer.runtime] + answer.outputs
            self._call(lambda: self._redis.set(PREFIX + key, self._mac(key, value) + value, ex=self._ttl))

    def ping(self) -> None:
        """Ask Redis whether it is there. Raises redis.RedisError."""
        self._redis.ping()

    def _mac(self, key: bytes, value: bytes) -> bytes:
        return hmac.digest(self._secret, key + value, hashlib.sha256)[:MAC_BYTES]

    def _call(self, command: Any) -> Any:
        if self._retry_at and not self._may_try():
            return None
        try:
            answer = command()
        except (redis.RedisError, OSError) as error:
            self._note_failure(error)
            return None
        if self._retry_at:
            self._note_return()
        return answer

    def _may_try(self) -> bool:
        """Let one request each RETRY_SECONDS find out whether Redis is back, while the others go on without."""
        with self._lock:
            now = time.monotonic()
            if now < self._retry_at:
                return False
            self._retry_at = now + RETRY_SECONDS
            return True

    def _note_failure(self, error: Exception) -> None:
        observability.REDIS_FAILURES.labels("cache").inc()
        with self._lock:
            first = self._retry_at == 0.0
            self._retry_at = time.monotonic() + RETRY_SECONDS
        if first:
            observability.log.warning("prediction cache is away; every request computes", reason=type(error).__name__)

    def _note_return(self) -> None:
        with self._lock:
            again = self._retry_at != 0.0
            self._retry_at = 0.0
        if again:
            observability.log.info("prediction cache is back")
