"""PostgreSQL away: noticed within seconds even where it is only silent, and then said at once to whoever asks.

A stopped server keeps its connections open and answers nothing, so each wait has an end on this side. After a failure
one attempt a second is made and everyone else is refused without waiting. It retries nothing by itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DatabaseError

#: Longest silence of a server that was asked something; its own limits in `engine_options` are shorter.
PATIENCE_SECONDS = 5.0
RETRY_SECONDS = 1.0
#: What the driver raises where the database is there and can't be used, such as a file that is damaged.
DATABASE_UNUSABLE = DatabaseError


class Outage:
    """What is known of one server: well, or away and next tried at some time."""

    def __init__(self) -> None:
        """Think well of it."""
        self._retry_at = 0.0
        self._lock = threading.Lock()

    def require_turn(self) -> None:
        """Let one attempt a second through while the server is away. Raises psycopg.OperationalError for the others."""
        with self._lock:
            if not self._retry_at:
                return
            if time.monotonic() < self._retry_at:
                raise psycopg.OperationalError("the server was away a moment ago")
            self._retry_at = time.monotonic() + RETRY_SECONDS

    def begin(self) -> None:
        """Note that the server is away."""
        with self._lock:
            self._retry_at = time.monotonic() + RETRY_SECONDS

    def end(self) -> None:
        """Note that the server answers."""
        with self._lock:
            self._retry_at = 0.0


class GuardedConnection(psycopg.Connection[Any]):
    """A connection that gives up on a silent server and tells the others."""

    outage: Outage
    patience_seconds: float | None = PATIENCE_SECONDS

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Wait as the driver does, but no longer than the patience lasts; then the connection is closed."""
        started = time.monotonic()
        limit = self.patience_seconds if timeout is None else timeout
        try:
            return super().wait(gen, interval, limit)
        except psycopg.OperationalError:
            if limit is not None and time.monotonic() - started >= limit:
                self.pgconn.finish()  # its answer would come to the next question
                self.outage.begin()
            raise


def guard(engine: Engine) -> None:
    """Make the connections of a PostgreSQL engine guarded ones; call it before the first."""
    if engine.dialect.name != "postgresql":
        return
    outage = Outage()

    def connect(_dialect: Any, _record: Any, arguments: Any, parameters: Any) -> GuardedConnection:
        outage.require_turn()
        try:
            connection = GuardedConnection.connect(*arguments, **parameters)
        except psycopg.OperationalError:
            outage.begin()
            raise
        outage.end()
        connection.outage = outage
        return connection

    event.listen(engine, "do_connect", connect)


@contextmanager
def patiently(connection: Connection) -> Iterator[None]:
    """Let this connection wait as long as the server takes: for migrations."""
    driver = connection.connection.driver_connection
    if not isinstance(driver, GuardedConnection):
        yield
        return
    driver.patience_seconds = None
    try:
        yield
    finally:
        driver.patience_seconds = PATIENCE_SECONDS
