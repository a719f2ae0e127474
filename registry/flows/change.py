"""One change of the registry: begin, write, commit once, and make it seen on this host and elsewhere.

The only place that commits on behalf of a request. What it announces is a number; everyone reads what changed from the database.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

import redis

from registry import catalog, observability
from registry.directory import CHANNEL, Directory
from registry.extensions import commit, roll_back_session


class Change:
    """A context in which catalog functions may write: commits when it ends well, rolls back when it doesn't."""

    def __init__(self, actor: str, host: str, directory: Directory, announcements: redis.Redis) -> None:
        """`actor` is the key id that the audit trail names."""
        self._actor = actor
        self._host = host
        self._directory = directory
        self._announcements = announcements
        self._generation = 0

    def __enter__(self) -> Self:
        """Take the write lock of the registry; every writer waits for it in turn."""
        self._generation = catalog.begin_write(self._actor, self._host)
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None) -> None:
        """Commit and announce, or roll back."""
        if kind is not None:
            roll_back_session()
            return
        commit()
        self._directory.raise_word(self._generation)
        try:
            self._announcements.publish(CHANNEL, self._generation)
        except (redis.RedisError, OSError):
            observability.REDIS_FAILURES.labels("announce").inc()  # other hosts poll as well
