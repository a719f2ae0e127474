"""Statements about who is signed in to the console: the hash of what a browser's cookie holds, and with which key.

The token itself never comes here, so that a copy of the database signs nobody in.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, insert, select

from registry import tables
from registry.catalog.events import record_event
from registry.catalog.generation import current_write
from registry.catalog.records import ConsoleSession
from registry.extensions import db

#: A key signs in so many browsers at once; one more signs out the one that signed in first.
MOST_SESSIONS_OF_A_KEY = 100


def add_session(token_sha256: str, key_id: str, seconds: float) -> None:
    """Sign a browser in for so many seconds, forget the sessions that have expired, and end those beyond MOST_SESSIONS_OF_A_KEY."""
    at = current_write().at
    db.session.execute(delete(tables.ConsoleSession).where(tables.ConsoleSession.expires_at <= at))
    of_key = select(tables.ConsoleSession.token_sha256).where(tables.ConsoleSession.key_id == key_id)
    newest_first = of_key.order_by(tables.ConsoleSession.created_at.desc(), tables.ConsoleSession.token_sha256)
    beyond = list(db.session.scalars(newest_first.offset(MOST_SESSIONS_OF_A_KEY - 1)))
    if beyond:
        db.session.execute(delete(tables.ConsoleSession).where(tables.ConsoleSession.token_sha256.in_(beyond)))
    values = {"token_sha256": token_sha256, "key_id": key_id, "created_at": at, "expires_at": at + timedelta(seconds=seconds)}
    db.session.execute(insert(tables.ConsoleSession).values(**values))
    record_event("console.signed-in", key_id=key_id)


def find_session(token_sha256: str) -> ConsoleSession | None:
    """Return a session that hasn't expired."""
    row = db.session.get(tables.ConsoleSession, token_sha256, populate_existing=True)
    if row is None or row.expires_at <= datetime.now(UTC):
        return None
    return ConsoleSession(row.key_id, row.created_at, row.expires_at)


def end_session(token_sha256: str) -> None:
    """Sign a browser out; doing it again changes nothing."""
    row = db.session.get(tables.ConsoleSession, token_sha256, populate_existing=True)
    if row is not None:
        record_event("console.signed-out", key_id=row.key_id)
        db.session.delete(row)
