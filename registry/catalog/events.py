"""The audit trail: written in the transaction of what it tells of, read by people, and by every process that remembers.

Rows are only ever added. Nothing secret goes in: no key, no hash, no payload.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import insert, select

from registry import tables
from registry.catalog.generation import current_write
from registry.catalog.paging import Keyset
from registry.catalog.records import Change, Event, Page
from registry.extensions import db

#: Everything that is ever recorded, by what it is about.
EVENT_KINDS = (
    "alias.deleted", "alias.pointed", "alias.rolled-back", "console.signed-in", "console.signed-out", "key.changed", "key.created",
    "key.revoked", "key.rotated", "model.changed", "model.created", "model.deleted", "sweep.removed", "upload.refused", "version.changed",
    "version.compile-refused", "version.compiled", "version.deleted", "version.load-failed", "version.pinned", "version.published",
    "version.restored", "version.unpinned",
)  # fmt: skip

_NEWEST_FIRST = Keyset("events", (tables.Event.at, tables.Event.id))


def record_event(
    kind: str,
    *,
    model: str | None = None,
    version: int | None = None,
    alias: str | None = None,
    key_id: str | None = None,
    from_: int | None = None,
    to: int | None = None,
    reason: str = "",
    detail: dict[str, Any] | None = None,
) -> None:
    """Add one event to the write under way: who, what, when, from, to, why. RuntimeError outside of a write."""
    write = current_write()
    about = {"model": model, "version": version, "alias": alias, "key_id": key_id, "from_number": from_, "to_number": to}
    who = {"at": write.at, "generation": write.generation, "host": write.host, "actor": write.actor}
    db.session.execute(insert(tables.Event).values(kind=kind, reason=reason, detail=detail or {}, **about, **who))


def list_events(
    *,
    model: str | None = None,
    actors: tuple[str, ...] | None = None,
    kind: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int,
    cursor: str | None = None,
) -> Page[Event]:
    """Return events, newest first, that match all that is given; `since` is inclusive, `until` isn't, and both are aware.

    Of several actors, SQLite reads all events before it sorts them; everything else goes along an index.
    """
    statement = select(tables.Event)
    for column, value in ((tables.Event.model, model), (tables.Event.kind, kind)):
        if value is not None:
            statement = statement.where(column == value)
    if actors is not None:
        statement = statement.where(tables.Event.actor == actors[0] if len(actors) == 1 else tables.Event.actor.in_(actors))
    if since is not None:
        statement = statement.where(tables.Event.at >= since)
    if until is not None:
        statement = statement.where(tables.Event.at < until)
    return _NEWEST_FIRST.page(statement, limit=limit, cursor=cursor, records=lambda rows: [_event(row) for row in rows])


def changes_since(generation: int) -> list[Change]:
    """Return what writes after `generation` changed, oldest first."""
    columns = ("generation", "host", "kind", "model", "alias", "key_id", "version", "from_number")
    statement = select(*(getattr(tables.Event, name) for name in columns)).where(tables.Event.generation > generation)
    return [Change(*row) for row in db.session.execute(statement.order_by(tables.Event.generation, tables.Event.id))]


def _event(row: tables.Event) -> Event:
    return Event(
        id=row.id,
        at=row.at,
        actor=row.actor,
        host=row.host,
        kind=row.kind,
        model=row.model,
        version=row.version,
        alias=row.alias,
        key_id=row.key_id,
        from_=row.from_number,
        to=row.to_number,
        reason=row.reason,
        detail=row.detail,
        generation=row.generation,
    )
