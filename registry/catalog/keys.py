"""Statements about API keys: grants and hashes of secrets. No secret ever comes here.

A changed or revoked key is an event with its id, so that every process forgets what it remembers of it.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Final

from sqlalchemy import func, select

from registry import tables
from registry.catalog.events import record_event
from registry.catalog.generation import current_write
from registry.catalog.paging import Keyset
from registry.catalog.records import ApiKey, Page
from registry.errors import InvalidRequest, KeyNotFound
from registry.extensions import db


class Unchanged(Enum):
    """The type of UNCHANGED."""

    UNCHANGED = "unchanged"


#: Leaves a value as it is, where None means something.
UNCHANGED: Final = Unchanged.UNCHANGED

_NEWEST_FIRST = Keyset("keys", (tables.ApiKey.created_at, tables.ApiKey.id))


def add_key(
    *,
    id: str,  # noqa: A002 - the field's name
    name: str,
    hash: bytes,  # noqa: A002 - the field's name
    scopes: tuple[str, ...],
    models: tuple[str, ...] = (),
    limits: tuple[str, ...] = (),
    expires_at: datetime | None = None,
) -> ApiKey:
    """Insert a key; `hash` is that of its secret (32 bytes)."""
    write = current_write()
    row = tables.ApiKey(id=id, name=name, hash=hash, scopes=list(scopes), models=list(models), limits=list(limits))
    row.created_at, row.created_by, row.expires_at = write.at, write.actor, expires_at
    db.session.add(row)
    record_event("key.created", key_id=id, detail={"name": name, **_grants(row)})
    db.session.flush()
    return _record(row)


def find_key(key_id: str) -> ApiKey | None:
    """Return a key, revoked and expired ones too, or None."""
    row = db.session.get(tables.ApiKey, key_id, populate_existing=True)
    return None if row is None else _record(row)


def get_key(key_id: str) -> ApiKey:
    """Return a key, revoked and expired ones too. Raises KeyNotFound."""
    return _record(_row(key_id))


def list_keys(*, limit: int, cursor: str | None = None) -> Page[ApiKey]:
    """Return all keys, newest first."""
    return _NEWEST_FIRST.page(select(tables.ApiKey), limit=limit, cursor=cursor, records=lambda rows: [_record(row) for row in rows])


def find_keys(ids: Collection[str]) -> dict[str, ApiKey]:
    """Return those of some keys that are there, by id."""
    found = select(tables.ApiKey).where(tables.ApiKey.id.in_(ids))
    return {row.id: _record(row) for row in db.session.scalars(found)} if ids else {}


def keys_named(text: str, *, limit: int) -> list[ApiKey]:
    """Return keys that have `text` in their names, newest first, however it is written; of many the newest."""
    like = tables.ApiKey.name.icontains(text, autoescape=True)
    found = select(tables.ApiKey).where(like).order_by(tables.ApiKey.created_at.desc(), tables.ApiKey.id.desc())
    return [_record(row) for row in db.session.scalars(found.limit(limit))]


def count_keys() -> int:
    """Return how many keys were ever made."""
    return db.session.execute(select(func.count()).select_from(tables.ApiKey)).scalar_one()


def change_key(
    key_id: str,
    *,
    name: str | None = None,
    scopes: tuple[str, ...] | None = None,
    models: tuple[str, ...] | None = None,
    limits: tuple[str, ...] | None = None,
    expires_at: datetime | Unchanged | None = UNCHANGED,
) -> ApiKey:
    """Set what is given; `expires_at=None` means never. Raises KeyNotFound, InvalidRequest once it is revoked."""
    row = _usable_row(key_id, "changed")
    before = _changeable(row)
    row.name = row.name if name is None else name
    row.scopes = row.scopes if scopes is None else list(scopes)
    row.models = row.models if models is None else list(models)
    row.limits = row.limits if limits is None else list(limits)
    row.expires_at = row.expires_at if isinstance(expires_at, Unchanged) else expires_at
    after = _changeable(row)
    changed = {field: {"from": before[field], "to": after[field]} for field in before if before[field] != after[field]}
    if changed:
        record_event("key.changed", key_id=key_id, detail=changed)
    db.session.flush()
    return _record(row)


def revoke_key(key_id: str) -> ApiKey:
    """End a key for good; doing it again changes nothing. Raises KeyNotFound."""
    row = _row(key_id)
    if row.revoked_at is None:
        row.revoked_at = current_write().at
        record_event("key.revoked", key_id=key_id)
    db.session.flush()
    return _record(row)


def rotate_key(key_id: str, new_id: str, new_hash: bytes, overlap_seconds: float) -> ApiKey:
    """Insert a key with the same grants and end, and let the old one expire after the overlap. Return the new one.

    Raises KeyNotFound, and InvalidRequest where the old one is revoked, expired or replaced already.
    """
    old, write = _usable_row(key_id, "rotated"), current_write()
    if old.replaced_by is not None or (old.expires_at is not None and old.expires_at <= write.at):
        raise InvalidRequest("The key has expired or was rotated before; make a new one.")
    new = tables.ApiKey(id=new_id, name=old.name, hash=new_hash, scopes=old.scopes, models=old.models, limits=old.limits)
    new.created_at, new.created_by, new.expires_at = write.at, write.actor, old.expires_at
    db.session.add(new)
    over = write.at + timedelta(seconds=overlap_seconds)
    old.expires_at = over if old.expires_at is None else min(over, old.expires_at)
    old.replaced_by = new_id
    record_event("key.rotated", key_id=key_id, detail={"replaced_by": new_id, "expires_at": old.expires_at.isoformat()})
    record_event("key.created", key_id=new_id, detail={"name": new.name, "replaces": key_id, **_grants(new)})
    db.session.flush()
    return _record(new)


def _row(key_id: str) -> tables.ApiKey:
    row = db.session.get(tables.ApiKey, key_id, populate_existing=True)
    if row is None:
        raise KeyNotFound(f"There is no key {key_id}.")
    return row


def _usable_row(key_id: str, what: str) -> tables.ApiKey:
    row = _row(key_id)
    if row.revoked_at is not None:
        raise InvalidRequest(f"The key was revoked; it can't be {what}.")
    return row


def _grants(row: tables.ApiKey) -> dict[str, Any]:
    return {"scopes": row.scopes, "models": row.models, "limits": row.limits}


def _changeable(row: tables.ApiKey) -> dict[str, Any]:
    expires_at = None if row.expires_at is None else row.expires_at.isoformat()
    return {"name": row.name, "expires_at": expires_at, **_grants(row)}


def _record(row: tables.ApiKey) -> ApiKey:
    return ApiKey(
        id=row.id,
        name=row.name,
        hash=row.hash,
        scopes=tuple(row.scopes),
        models=tuple(row.models),
        limits=tuple(row.limits),
        created_at=row.created_at,
        created_by=row.created_by,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        replaced_by=row.replaced_by,
    )
