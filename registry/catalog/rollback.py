"""Going back: each alias keeps the stack of where it pointed, and a rollback takes from it.

Because the top is taken off, a second rollback goes one further back and never to and fro. A deleted version is never
skipped silently: the caller is told which one it was and which would be next.
"""

from __future__ import annotations

from typing import NoReturn

from sqlalchemy import ColumnElement, delete, select

from registry import tables
from registry.catalog.aliases import alias_row, record_rollback, require_match
from registry.catalog.records import Move
from registry.catalog.versions import READY
from registry.errors import AliasMoved, NothingToRollBackTo, RollbackTargetDeleted
from registry.extensions import db
from registry.naming import MAX_VERSION


def plan_rollback(name: str, alias: str, to: int | None) -> int:
    """Return the version that a rollback would go to now: the newest on the stack, or `to` where it is given. Changes nothing.

    Raises ModelNotFound, AliasNotFound, NothingToRollBackTo, and RollbackTargetDeleted with the members `deleted` and
    `next`: the nearest below it that could be gone to, or None.
    """
    return _target(alias_row(name, alias), to).number


def roll_back(name: str, alias: str, to: int | None, *, reason: str, if_match: str | None = None, expected_target: int) -> Move:
    """Take the stack down to the target and point the alias there.

    Raises what `plan_rollback` raises, and AliasMoved where the target isn't `expected_target` any more.
    """
    row = alias_row(name, alias)
    require_match(alias, row, if_match)
    target = _target(row, to)
    if target.number != expected_target:
        raise AliasMoved(f"A rollback would go to version {target.number} now, not {expected_target}.", members={"version": row.number})
    db.session.execute(delete(tables.StackEntry).where(_of(row), tables.StackEntry.depth >= target.depth))
    return record_rollback(name, row, target.number, reason)


def _target(row: tables.Alias, to: int | None) -> tables.StackEntry:
    if to == row.number:
        raise NothingToRollBackTo(f"@{row.alias} points at version {to} already.")
    entries = select(tables.StackEntry).where(_of(row)).order_by(tables.StackEntry.depth.desc()).limit(1)
    if to is not None:
        entries = entries.where(tables.StackEntry.number == to)
    never = to is not None and to > MAX_VERSION  # PostgreSQL refuses to compare what its column can't hold
    entry = None if never else db.session.scalars(entries).one_or_none()
    if entry is None:
        raise NothingToRollBackTo("" if to is None else f"@{row.alias} did not point at version {to} before, as far as its stack goes.")
    status = select(tables.Version.status).where(tables.Version.model_id == row.model_id, tables.Version.number == entry.number)
    if db.session.scalar(status) != READY:  # None once it is swept
        _refuse_deleted(row, entry)
    return entry


def _refuse_deleted(row: tables.Alias, entry: tables.StackEntry) -> NoReturn:
    same_version = (tables.Version.model_id == tables.StackEntry.model_id) & (tables.Version.number == tables.StackEntry.number)
    below = select(tables.StackEntry.number).where(_of(row), tables.StackEntry.depth < entry.depth)
    servable = below.join(tables.Version, same_version).where(tables.Version.status == READY, tables.Version.number != row.number)
    following = db.session.scalar(servable.order_by(tables.StackEntry.depth.desc()).limit(1))
    advice = "nothing before it is left" if following is None else f"version {following} is the next one back"
    raise RollbackTargetDeleted(f"Version {entry.number} was deleted; {advice}.", members={"deleted": entry.number, "next": following})


def _of(row: tables.Alias) -> ColumnElement[bool]:
    return (tables.StackEntry.model_id == row.model_id) & (tables.StackEntry.alias == row.alias)
