"""The prediction cache in Redis, keyed by content: artifact digest, runtime, method, parameters and canonical inputs.

A value carries a MAC over key and value; a wrong one is a miss. Redis gone is a miss too, said once and counted. No pickle is ever stored.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
import time
from typing import Any

import msgspec
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from registry import observability

PREFIX = b"my:p:"
MAC_BYTES = 16
RETRY_SECONDS = 1.0
TIMEOUT_SECONDS = 0.5

_encode = msgspec.msgpack.Encoder(order="deterministic").encode


def connect(url: str) -> redis.Redis:
    """Return a client that fails fast and never retries by itself. Connects on first use."""
    return redis.Redis.from_url(
        url, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS, retry=Retry(NoBackoff(), 0), max_connections=1024
    )


def prediction_key(sha256: str, runtime: str, method: str, params: dict[str, Any], inputs: bytes) -> bytes:
    """Return the 32-byte key of a prediction; equal only for equal content, whatever the version is called."""
    digest = hashlib.blake2b(_encode([sha256, runtime, method, params]), digest_size=32)
    digest.update(inputs)
    return digest.digest()


class Predictions:
    """Cached outputs. Safe to use from many threads; never raises because of Redis."""

    def __init__(self, client: redis.Redis, secret: bytes, *, ttl_seconds: int, max_value_bytes: int) -> None:
        """Connect on first use."""
        self._redis = client
        self._secret = secret
        self._ttl = ttl_seconds
        self._max_value = max_value_bytes
        self._retry_at = 0.0
        self._lock = threading.Lock()

    def get(self, key: bytes) -> bytes | None:
        """Return the cached outputs, or None."""
        stored = self._call(lambda: self._redis.get(PREFIX + key))
        if not isinstance(stored, bytes):
            return None
        mac, value = stored[:MAC_BYTES], stored[MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(key, value)):
            observability.CACHE_BAD_MACS.inc()
            observability.log.warning("cached prediction has a wrong MAC; ignored")
            return None
        return value

    def put(self, key: bytes, value: bytes) -> None:
        """Keep outputs for the time to live, unless they are too large."""
        if len(value) <= self._max_value:
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


class Computing:
    """Computations under way in this process, so that identical requests compute once."""

    def __init__(self) -> None:
        """Start with nothing under way."""
        self._lock = threading.Lock()
        self._under_way: dict[bytes, Flight] = {}

    def join(self, key: bytes) -> tuple[Flight, bool]:
        """Return the flight of `key`, and whether the caller leads it (and so must compute and `land` it)."""
        with self._lock:
            flight = self._under_way.get(key)
            if flight is not None:
                return flight, False
            flight = self._under_way[key] = Flight()
            return flight, True

    def land(self, key: bytes, outputs: bytes | None, error: BaseException | None = None) -> None:
        """Give everyone who waits the outputs, or the error."""
        with self._lock:
            flight = self._under_way.pop(key)
        flight.outputs, flight.error = outputs, error
        flight.done.set()


class Flight:
    """One computation that others may wait for."""

    __slots__ = ("done", "error", "outputs")

    def __init__(self) -> None:
        """Nothing is known yet."""
        self.done = threading.Event()
        self.outputs: bytes | None = None
        self.error: BaseException | None = None

    def result(self) -> bytes:
        """Wait for the leader and return its outputs, or raise its error."""
        self.done.wait()
        if self.error is not None:
            raise self.error
        assert self.outputs is not None  # noqa: S101 - landed without an error
        return self.outputs
