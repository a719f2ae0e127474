"""Statements about aliases: where each points, and moving it by pointing or deletion. Going back is in `rollback.py`.

Every move adds a row to the history; nothing ever changes or removes one.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Select, delete, func, insert, select

from registry import tables
from registry.catalog.events import record_event
from registry.catalog.generation import current_write
from registry.catalog.paging import Keyset
from registry.catalog.records import Alias, Move, Page
from registry.catalog.registered_models import live_model
from registry.catalog.versions import READY, ready_row
from registry.errors import AliasMoved, AliasNotFound
from registry.extensions import db

POINT = "point"
ROLLBACK = "rollback"
DELETE = "delete"

_NEWEST_FIRST = Keyset("moves", (tables.Move.id,))
_OF_ALL_NEWEST_FIRST = Keyset("model-moves", (tables.Move.id,))


def list_aliases(name: str) -> list[Alias]:
    """Return a model's aliases by name. Raises ModelNotFound."""
    statement = select(tables.Alias).where(tables.Alias.model_id == live_model(name).id).order_by(tables.Alias.alias)
    return [_alias(name, row) for row in db.session.scalars(statement)]


def get_alias(name: str, alias: str) -> Alias:
    """Return where an alias points. Raises ModelNotFound, AliasNotFound."""
    return _alias(name, alias_row(name, alias))


def alias_at(name: str, alias: str, at: datetime) -> Alias:
    """Return where an alias pointed at that moment. Raises ModelNotFound, or AliasNotFound when it pointed nowhere."""
    moves = _moves(live_model(name).id, alias).where(tables.Move.at <= at).order_by(tables.Move.id.desc())
    row = db.session.scalars(moves.limit(1)).one_or_none()
    if row is None or row.to_number is None:
        raise AliasNotFound(f"{name} had no alias {alias} at that time.")
    return Alias(name, alias, row.to_number, str(row.id), row.at, row.by)


def point_alias(
    name: str, alias: str, number: int, *, reason: str, if_match: str | None = None, if_none_match: bool = False
) -> tuple[Alias, Move | None]:
    """Point an alias at a version, remembering where it pointed; the move is None where it points there already.

    `if_match` is an etag, or `*` for an alias that must be there; with `if_none_match` it must not be. Raises AliasMoved
    where that doesn't hold, ModelNotFound, VersionNotFound, VersionDeleted.
    """
    model = live_model(name)
    row = find_alias_row(model.id, alias)
    require_match(alias, row, if_match)
    if if_none_match and row is not None:
        raise AliasMoved(f"@{alias} is there already; it points at version {row.number}.")
    ready_row(name, number)
    if row is not None and row.number == number:
        return _alias(name, row), None
    if row is not None:
        _push(row)
    move = _move(model, alias, POINT, None if row is None else row.number, number, reason)
    return get_alias(name, alias), _move_record(name, move)


def delete_alias(name: str, alias: str, *, reason: str = "", if_match: str | None = None) -> Move:
    """Remove an alias and its stack; its history stays. Raises ModelNotFound, AliasNotFound, AliasMoved."""
    row = alias_row(name, alias)
    require_match(alias, row, if_match)
    move = _move(live_model(name), alias, DELETE, row.number, None, reason)
    return _move_record(name, move)


def list_moves(name: str, alias: str, *, limit: int, cursor: str | None = None) -> Page[Move]:
    """Return an alias's moves, newest first, also those of one that was deleted. Raises ModelNotFound, AliasNotFound."""
    moves = _moves(live_model(name).id, alias)
    page = _NEWEST_FIRST.page(moves, limit=limit, cursor=cursor, records=lambda rows: [_move_record(name, row) for row in rows])
    if not page.items and cursor is None:
        raise AliasNotFound(f"{name} has no alias {alias}.")
    return page


def list_model_moves(name: str, *, limit: int, cursor: str | None = None) -> Page[Move]:
    """Return the moves of all aliases that a model has or had, newest first. Raises ModelNotFound."""
    moves = select(tables.Move).where(tables.Move.model_id == live_model(name).id)
    return _OF_ALL_NEWEST_FIRST.page(moves, limit=limit, cursor=cursor, records=lambda rows: [_move_record(name, row) for row in rows])


def list_rollback_targets(name: str) -> dict[str, tuple[int, bool]]:
    """Return the version on top of each alias's stack and whether it is ready; aliases with nothing to go back to are left out.

    Raises ModelNotFound. What a rollback really does is said by `plan_rollback`, alias by alias.
    """
    entry, version = tables.StackEntry, tables.Version
    of_model = entry.model_id == live_model(name).id
    top = select(entry.alias, func.max(entry.depth).label("depth")).where(of_model).group_by(entry.alias).subquery()
    on_top = (entry.alias == top.c.alias) & (entry.depth == top.c.depth)
    same_version = (version.model_id == entry.model_id) & (version.number == entry.number)
    statement = select(entry.alias, entry.number, version.status).join(top, on_top).outerjoin(version, same_version).where(of_model)
    return {alias: (number, status == READY) for alias, number, status in db.session.execute(statement)}


def alias_row(name: str, alias: str) -> tables.Alias:
    """Return an alias's row, for other modules of the catalog. Raises ModelNotFound, AliasNotFound."""
    row = find_alias_row(live_model(name).id, alias)
    if row is None:
        raise AliasNotFound(f"{name} has no alias {alias}.")
    return row


def find_alias_row(model_id: int, alias: str) -> tables.Alias | None:
    """Return an alias's row."""
    return db.session.get(tables.Alias, (model_id, alias), populate_existing=True)


def require_match(alias: str, row: tables.Alias | None, if_match: str | None) -> None:
    """Raise AliasMoved unless the alias is where the caller saw it."""
    if if_match is None:
        return
    if row is None:
        raise AliasMoved(f"@{alias} isn't there.")
    if if_match not in ("*", str(row.move_id)):
        raise AliasMoved(f"@{alias} points at version {row.number} now.", members={"version": row.number})


def record_rollback(name: str, row: tables.Alias, number: int, reason: str) -> Move:
    """Move an alias back to a version whose entry was taken off its stack."""
    return _move_record(name, _move(live_model(name), row.alias, ROLLBACK, row.number, number, reason))


def _push(row: tables.Alias) -> None:
    same = (tables.StackEntry.model_id == row.model_id) & (tables.StackEntry.alias == row.alias)
    depth = db.session.execute(select(func.coalesce(func.max(tables.StackEntry.depth), -1) + 1).where(same)).scalar_one()
    entry = {"model_id": row.model_id, "alias": row.alias, "depth": depth, "number": row.number}
    db.session.execute(insert(tables.StackEntry).values(**entry))


_EVENTS = {POINT: "alias.pointed", ROLLBACK: "alias.rolled-back", DELETE: "alias.deleted"}


def _move(model: tables.RegisteredModel, alias: str, kind: str, from_number: int | None, to_number: int | None, reason: str) -> tables.Move:
    """Add to the history, bring the alias to where the move leads, and leave the event."""
    write = current_write()
    move = tables.Move(model_id=model.id, alias=alias, kind=kind, at=write.at, by=write.actor, reason=reason)
    move.from_number, move.to_number = from_number, to_number
    db.session.add(move)
    db.session.flush()
    if to_number is None:
        gone = (tables.Alias.model_id == model.id) & (tables.Alias.alias == alias)
        db.session.execute(delete(tables.Alias).where(gone))
    else:
        where = tables.Alias(model_id=model.id, alias=alias, number=to_number, move_id=move.id)
        where.moved_at, where.moved_by = write.at, write.actor
        db.session.merge(where)
    record_event(_EVENTS[kind], model=model.name, version=to_number, alias=alias, from_=from_number, to=to_number, reason=reason)
    return move


def _moves(model_id: int, alias: str) -> Select[tables.Move]:
    return select(tables.Move).where(tables.Move.model_id == model_id, tables.Move.alias == alias)


def _alias(name: str, row: tables.Alias) -> Alias:
    return Alias(name, row.alias, row.number, str(row.move_id), row.moved_at, row.moved_by)


def _move_record(name: str, row: tables.Move) -> Move:
    return Move(
        id=row.id,
        model=name,
        alias=row.alias,
        kind=row.kind,
        from_version=row.from_number,
        to_version=row.to_number,
        at=row.at,
        by=row.by,
        reason=row.reason,
    )
