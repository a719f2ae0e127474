"""Statements about models: the names that own versions.

A model's row outlives its deletion, so that the numbers of its versions go on when it is made again.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, func, or_, select, update
from sqlalchemy.orm import selectinload

from registry import tables
from registry.catalog.events import record_event
from registry.catalog.generation import current_write
from registry.catalog.paging import Keyset
from registry.catalog.records import EXACT, Model, Page
from registry.errors import InvalidRequest, ModelNotFound, VersionInUse
from registry.extensions import db

_ORDERS = {
    "name": Keyset("models:name", (tables.RegisteredModel.name,), descending=False),
    "-name": Keyset("models:-name", (tables.RegisteredModel.name,)),
    "created_at": Keyset("models:created_at", (tables.RegisteredModel.created_at, tables.RegisteredModel.id), descending=False),
    "-created_at": Keyset("models:-created_at", (tables.RegisteredModel.created_at, tables.RegisteredModel.id)),
}
_WITH_ALL = (selectinload(tables.RegisteredModel.tags), selectinload(tables.RegisteredModel.aliases))


def list_models(
    *,
    search: str | None = None,
    tag: tuple[str, str] | None = None,
    order: str = "name",
    limit: int,
    cursor: str | None = None,
    patterns: tuple[str, ...] = (),
) -> Page[Model]:
    """Return models whose name or description contains `search` (case ignored) and whose name fits one of `patterns`.

    `order` is `name`, `created_at`, or one of them after a minus; anything else raises InvalidRequest.
    """
    if order not in _ORDERS:
        raise InvalidRequest(f"`order` must be one of {', '.join(_ORDERS)}.")
    statement = select(tables.RegisteredModel).where(*_matching(search, tag, patterns)).options(*_WITH_ALL)
    return _ORDERS[order].page(statement, limit=limit, cursor=cursor, records=_records)


def count_models(*, search: str | None = None, tag: tuple[str, str] | None = None, patterns: tuple[str, ...] = ()) -> int:
    """Return how many models `list_models` would list on all pages together."""
    return db.session.execute(
        select(func.count()).select_from(tables.RegisteredModel).where(*_matching(search, tag, patterns))
    ).scalar_one()


def get_model(name: str) -> Model:
    """Return a model. Raises ModelNotFound, also for one that was deleted."""
    return _records([live_model(name, *_WITH_ALL)])[0]


def change_model(name: str, description: str | None = None, tags: dict[str, str] | None = None, runtime: str | None = None) -> Model:
    """Set what is given; `tags` replaces them all. An event is left only where something changes."""
    row = live_model(name, *_WITH_ALL)
    changed: dict[str, Any] = {}
    for field, value in (("description", description), ("runtime", runtime)):
        if value is not None and value != getattr(row, field):
            changed[field] = {"from": getattr(row, field), "to": value}
            setattr(row, field, value)
    before = {tag.name: tag.value for tag in row.tags}
    if tags is not None and tags != before:
        changed["tags"] = {"from": before, "to": tags}
        row.tags = [tables.ModelTag(name=key, value=value) for key, value in tags.items()]
    if changed:
        record_event("model.changed", model=name, detail=changed)
    db.session.flush()
    return get_model(name)


def delete_model(name: str) -> None:
    """Hide a model and delete its versions. Raises VersionInUse while an alias points into it."""
    row = live_model(name, *_WITH_ALL)
    if row.aliases:
        aliases = {alias.alias: alias.number for alias in row.aliases}
        raise VersionInUse(f"Delete its aliases first: {', '.join(sorted(aliases))}.", members={"aliases": aliases})
    write = current_write()
    row.deleted_at = write.at
    ready = (tables.Version.model_id == row.id) & (tables.Version.status == "ready")
    db.session.execute(update(tables.Version).where(ready).values(status="deleted", deleted_at=write.at))
    record_event("model.deleted", model=name)


def live_model(name: str, *options: Any) -> tables.RegisteredModel:
    """Return the row of a model that isn't deleted, for other modules of the catalog. Raises ModelNotFound."""
    row = find_model_row(name, *options)
    if row is None or row.deleted_at is not None:
        raise ModelNotFound(f"There is no model {name}.")
    return row


def find_model_row(name: str, *options: Any) -> tables.RegisteredModel | None:
    """Return the row of a model, deleted or not."""
    statement = select(tables.RegisteredModel).where(tables.RegisteredModel.name == name).options(*options)
    return db.session.scalars(statement.execution_options(populate_existing=True)).one_or_none()


def make_or_revive_model(name: str) -> tables.RegisteredModel:
    """Return the row to publish into: the one that is there, a deleted one made anew, or a new one."""
    row = find_model_row(name, selectinload(tables.RegisteredModel.tags))
    if row is not None and row.deleted_at is None:
        return row
    write = current_write()
    if row is None:
        row = tables.RegisteredModel(name=name, description="", last_number=0, runtime=EXACT, created_at=write.at, created_by=write.actor)
        db.session.add(row)
    else:
        row.created_at, row.created_by, row.deleted_at = write.at, write.actor, None
        row.description, row.runtime, row.tags = "", EXACT, []
    record_event("model.created", model=name, detail={"revived": True} if row.last_number else None)
    db.session.flush()
    return row


def _matching(search: str | None, tag: tuple[str, str] | None, patterns: tuple[str, ...]) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [tables.RegisteredModel.deleted_at.is_(None)]
    if search:
        columns = (tables.RegisteredModel.name, tables.RegisteredModel.description)
        conditions.append(or_(*(column.icontains(search, autoescape=True) for column in columns)))
    if tag is not None:
        conditions.append(tables.RegisteredModel.tags.any(name=tag[0], value=tag[1]))
    if patterns:
        conditions.append(or_(*(_fits(pattern) for pattern in patterns)))
    return conditions


def _fits(pattern: str) -> ColumnElement[bool]:
    escaped = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_").replace("*", "%")
    return tables.RegisteredModel.name.like(escaped, escape="\\")


def _records(rows: list[tables.RegisteredModel]) -> list[Model]:
    """Count the ready versions of all rows in one query."""
    of_rows = tables.Version.model_id.in_([row.id for row in rows]) & (tables.Version.status == "ready")
    counted = select(tables.Version.model_id, func.max(tables.Version.number), func.count()).where(of_rows)
    counts = {model_id: (latest, count) for model_id, latest, count in db.session.execute(counted.group_by(tables.Version.model_id))}
    return [_record(row, *counts.get(row.id, (None, 0))) for row in rows]


def _record(row: tables.RegisteredModel, latest_version: int | None, version_count: int) -> Model:
    return Model(
        name=row.name,
        description=row.description,
        tags={tag.name: tag.value for tag in row.tags},
        runtime=row.runtime,
        created_at=row.created_at,
        created_by=row.created_by,
        deleted_at=row.deleted_at,
        latest_version=latest_version,
        version_count=version_count,
        aliases={alias.alias: alias.number for alias in row.aliases},
    )
