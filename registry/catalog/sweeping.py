"""Statements of `modelyard sweep` and `verify`: which artifacts are needed, and which deleted versions may go.

Bytes are needed as long as any row names them, deleted or not. What an alias could soon be rolled back to never goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, delete, func, select, tuple_, union
from sqlalchemy.orm import InstrumentedAttribute

from registry import tables
from registry.catalog.events import record_event
from registry.catalog.records import StoredVersion
from registry.catalog.versions import DELETED, READY
from registry.extensions import db

#: How many different targets of each alias are kept: the newest on its stack, and the newest of its history.
KEPT_TARGETS = 10

_BATCH = 500

T = TypeVar("T")


def referenced_digests(digests: Iterable[str]) -> set[str]:
    """Return those of the given digests that a version's row names, whatever the version's status."""
    found: set[str] = set()
    for batch in _batches(digests):
        found.update(db.session.scalars(select(tables.Version.sha256).where(tables.Version.sha256.in_(batch))))
    return found


def swept_candidates(before: datetime) -> list[StoredVersion]:
    """Return the versions deleted before that moment which `remove_deleted_versions` would remove."""
    return _stored(_removable(before))


def remove_deleted_versions(before: datetime) -> list[str]:
    """Remove their rows, leaving an event for each. Return the digests they named; other rows may still name them."""
    removed = _stored(_removable(before))
    for batch in _batches(version.version_id for version in removed):
        db.session.execute(delete(tables.Version).where(tables.Version.id.in_(batch)))
    for version in removed:
        record_event("sweep.removed", model=version.model, version=version.number, detail={"sha256": version.sha256})
    return sorted({version.sha256 for version in removed})


def all_digests() -> Iterator[StoredVersion]:
    """Yield every version that still has a row, deleted ones too, read in batches by id."""
    last = 0
    while rows := _stored(_versions().where(tables.Version.id > last).order_by(tables.Version.id).limit(_BATCH)):
        yield from rows
        last = rows[-1].version_id


def _batches(values: Iterable[T]) -> Iterator[list[T]]:
    remaining = iter(values)
    while batch := list(islice(remaining, _BATCH)):
        yield batch


def _stored(statement: Select[str, int, str, int, str]) -> list[StoredVersion]:
    rows = db.session.execute(statement)
    return [StoredVersion(model, number, sha256, version_id, status == READY) for model, number, sha256, version_id, status in rows]


def _versions() -> Select[str, int, str, int, str]:
    columns = (tables.RegisteredModel.name, tables.Version.number, tables.Version.sha256, tables.Version.id, tables.Version.status)
    return select(*columns).join(tables.Version.model)


def _removable(before: datetime) -> Select[str, int, str, int, str]:
    old = (tables.Version.status == DELETED) & (tables.Version.deleted_at < before)
    kept = tuple_(tables.Version.model_id, tables.Version.number).in_(_last_targets())
    return _versions().where(old, ~kept).order_by(tables.Version.id)


def _last_targets() -> Any:
    """Select (model id, number) of the last different targets of every alias that exists."""
    stack = _newest(tables.StackEntry.model_id, tables.StackEntry.alias, tables.StackEntry.number, tables.StackEntry.depth)
    still_there = select(tables.Alias).where(tables.Alias.model_id == tables.Move.model_id, tables.Alias.alias == tables.Move.alias)
    leading_somewhere = tables.Move.to_number.is_not(None) & still_there.exists()
    moves = _newest(tables.Move.model_id, tables.Move.alias, tables.Move.to_number, tables.Move.id, leading_somewhere)
    return union(stack, moves)


def _newest(
    model_id: InstrumentedAttribute[int],
    alias: InstrumentedAttribute[str],
    number: InstrumentedAttribute[Any],
    order: InstrumentedAttribute[int],
    *conditions: ColumnElement[bool],
) -> Select[int, Any]:
    latest = func.max(order)
    rank = func.row_number().over(partition_by=(model_id, alias), order_by=latest.desc()).label("rank")
    ranked = select(model_id, number.label("number"), rank).where(*conditions).group_by(model_id, alias, number).subquery()
    return select(ranked.c.model_id, ranked.c.number).where(ranked.c.rank <= KEPT_TARGETS)
