"""The one number that every write raises first, and with it the write that is under way.

Raising it takes SQLite's write lock or PostgreSQL's row lock, so that all writes of all hosts stand in one line: versions
are numbered without doubles, and whoever saw generation N saw every change up to N. Nothing else may begin a write.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select, update
from sqlalchemy.orm import SessionTransaction

from registry import tables
from registry.extensions import db

_WRITE = "modelyard.write"


@dataclass(frozen=True, slots=True)
class Write:
    """Who writes, on which host, since when, and as which generation; good for one transaction."""

    generation: int
    actor: str
    host: str
    at: datetime
    transaction: SessionTransaction | None


def begin_write(actor: str, host: str) -> int:
    """Begin a write transaction and return its generation; anything the session had under way is rolled back.

    Waits for the write before it. What is read from here on can't change until `commit()`.
    """
    db.session.rollback()
    raised = update(tables.Generation).values(number=tables.Generation.number + 1).returning(tables.Generation.number)
    number = db.session.execute(raised.execution_options(synchronize_session=False)).scalar_one()
    # The time is taken after the wait, so that times are in the order of generations as far as the hosts' clocks agree.
    db.session.info[_WRITE] = Write(number, actor, host, datetime.now(UTC), db.session().get_transaction())
    return number


def current_write() -> Write:
    """Return the write under way; RuntimeError when this transaction didn't begin with `begin_write`."""
    write: Write | None = db.session.info.get(_WRITE)
    if write is None or write.transaction is None or write.transaction is not db.session().get_transaction():
        raise RuntimeError("a write must begin with catalog.begin_write()")
    return write


def generation() -> int:
    """Return the newest generation that this transaction can see; on SQLite that is fixed by its first read."""
    return db.session.execute(select(tables.Generation.number)).scalar_one()
