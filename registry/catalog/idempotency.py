"""Answers kept under the Idempotency-Keys of requests, for a day.

Look before the work, and again once `begin_write` holds the lock: two requests with one key may come together.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import delete, insert, select

from registry import tables
from registry.catalog.generation import current_write
from registry.catalog.records import Idempotent
from registry.extensions import db

_KEPT = timedelta(hours=24)


def find_idempotent(key_id: str, idempotency_key: str) -> Idempotent | None:
    """Return what was kept under this key of this caller; older than 24 hours counts as absent."""
    columns = (tables.IdempotentResponse.fingerprint, tables.IdempotentResponse.response, tables.IdempotentResponse.created_at)
    same = (tables.IdempotentResponse.key_id == key_id) & (tables.IdempotentResponse.idempotency_key == idempotency_key)
    young = tables.IdempotentResponse.created_at > datetime.now(UTC) - _KEPT
    row = db.session.execute(select(*columns).where(same, young)).one_or_none()
    return None if row is None else Idempotent(*row)


def keep_idempotent(key_id: str, idempotency_key: str, fingerprint: str, response: dict[str, Any]) -> None:
    """Keep an answer in the write under way, and drop those that are too old. The key must not be in use."""
    now = current_write().at
    db.session.execute(delete(tables.IdempotentResponse).where(tables.IdempotentResponse.created_at <= now - _KEPT))
    kept = {"key_id": key_id, "idempotency_key": idempotency_key, "fingerprint": fingerprint, "response": response, "created_at": now}
    db.session.execute(insert(tables.IdempotentResponse).values(**kept))
