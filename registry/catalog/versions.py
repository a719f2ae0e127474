"""Statements about versions: numbered, immutable but for their description and how they are served, deleted, restored.

A number is given once per model name and never again; what takes rows away for good is in `sweeping.py` alone.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import contains_eager, selectinload, undefer

from registry import tables
from registry.catalog.compiled_forms import choose_runtime
from registry.catalog.diagrams import add_diagram
from registry.catalog.events import record_event
from registry.catalog.generation import current_write
from registry.catalog.paging import Keyset
from registry.catalog.records import FAST, LoadSpec, NewVersion, Page, Version, effective_runtime
from registry.catalog.registered_models import live_model, make_or_revive_model
from registry.errors import VersionDeleted, VersionInUse, VersionNotFound
from registry.extensions import db
from registry.naming import MAX_VERSION

READY = "ready"
DELETED = "deleted"

_NEWEST_FIRST = Keyset("versions", (tables.Version.number,))


def add_version(new: NewVersion) -> Version:
    """Insert the next version of `new.model`, making or reviving the model. Counts on from the last number ever given."""
    write = current_write()
    model = make_or_revive_model(new.model)
    model.last_number += 1
    row = tables.Version(model=model, number=model.last_number, status=READY, pinned=False, created_at=write.at, created_by=write.actor)
    for name in _SAME_NAMES:
        setattr(row, name, getattr(new, name))
    row.methods = list(new.methods)
    choose_runtime(row, new.runtime or model.runtime)
    row.golden = new.golden
    row.tags = [tables.VersionTag(name=name, value=value) for name, value in new.tags.items()]
    db.session.add(row)
    record_event("version.published", model=new.model, version=row.number, detail={"sha256": new.sha256})
    db.session.flush()
    if new.diagram is not None:
        add_diagram(row.id, new.diagram)
    return get_version(new.model, row.number)


def list_versions(
    name: str, *, status: str | None = None, tag: tuple[str, str] | None = None, limit: int, cursor: str | None = None
) -> Page[Version]:
    """Return a model's versions, highest number first; `status` is `ready`, `deleted` or None for both. Raises ModelNotFound."""
    statement = _whole_versions().where(tables.Version.model_id == live_model(name).id)
    if status is not None:
        statement = statement.where(tables.Version.status == status)
    if tag is not None:
        statement = statement.where(tables.Version.tags.any(name=tag[0], value=tag[1]))
    return _NEWEST_FIRST.page(statement, limit=limit, cursor=cursor, records=lambda rows: [_record(row) for row in rows])


def newest_numbers(name: str, *, limit: int) -> list[int]:
    """Return the highest numbers of a model's versions, deleted ones too. Raises ModelNotFound."""
    newest = select(tables.Version.number).where(tables.Version.model_id == live_model(name).id).order_by(tables.Version.number.desc())
    return list(db.session.scalars(newest.limit(limit)))


def get_version(name: str, number: int) -> Version:
    """Return a version, deleted ones too. Raises ModelNotFound, or VersionNotFound where the number was never given or was swept."""
    return _record(version_row(name, number))


def find_latest(name: str) -> Version | None:
    """Return the highest version that is ready, or None."""
    statement = _whole_versions().where(tables.RegisteredModel.name == name, tables.RegisteredModel.deleted_at.is_(None))
    newest = statement.where(tables.Version.status == READY).order_by(tables.Version.number.desc()).limit(1)
    row = db.session.scalars(newest).one_or_none()
    return None if row is None else _record(row)


def change_version(
    name: str,
    number: int,
    *,
    description: str | None = None,
    tags: dict[str, str] | None = None,
    metrics: dict[str, float] | None = None,
    runtime: str | None = None,
    accept_skew: bool | None = None,
    batching: bool | None = None,
    cache: str | None = None,
) -> Version:
    """Set what is given; `tags` and `metrics` replace them all. An event is left only where something changes.

    Choosing `fast` has the compiled form made, unless there is one. Raises ModelNotFound, VersionNotFound, VersionDeleted.
    """
    row = ready_row(name, number)
    before = _record(row)
    plain = {"description": description, "metrics": metrics}
    switches = {"accept_skew": accept_skew, "batching": batching, "cache": cache}
    changed: dict[str, Any] = {} if runtime is None else choose_runtime(row, runtime)
    for field, value in {**plain, **switches, "tags": tags}.items():
        if value is None or value == getattr(before, field):
            continue
        changed[field] = {"from": getattr(before, field), "to": value}
        stored = [tables.VersionTag(name=key, value=text) for key, text in tags.items()] if field == "tags" and tags is not None else value
        setattr(row, field, stored)
    if changed:
        record_event("version.changed", model=name, version=number, detail=changed)
    return get_version(name, number)


def delete_version(name: str, number: int) -> Version:
    """Hide a version; it keeps its number and can be restored until it is swept. Deleting it again changes nothing.

    Raises VersionInUse while an alias points at it, ModelNotFound, VersionNotFound.
    """
    row = version_row(name, number)
    aliases = [alias.alias for alias in row.aliases]
    if aliases:
        raise VersionInUse(f"Move or delete first: {', '.join(aliases)}.", members={"aliases": aliases})
    if row.status == READY:
        row.status, row.deleted_at = DELETED, current_write().at
        record_event("version.deleted", model=name, version=number)
    return get_version(name, number)


def restore_version(name: str, number: int) -> Version:
    """Bring a deleted version back, and its model where that was deleted too. Restoring a ready one changes nothing.

    Raises VersionNotFound where the number was never given or was swept.
    """
    row = _find_row(name, number)
    if row is None:
        raise VersionNotFound(f"There is no version {number} of {name}.")
    if row.model.deleted_at is not None:
        row.model.deleted_at = None
        record_event("model.created", model=name, detail={"restored": True})
    if row.status == DELETED:
        row.status, row.deleted_at = READY, None
        record_event("version.restored", model=name, version=number)
    return get_version(name, number)


def set_pinned(name: str, number: int, pinned: bool) -> Version:  # noqa: FBT001 - the new value itself, as in `setattr`
    """Keep a version in memory, or no longer. Raises ModelNotFound, VersionNotFound, VersionDeleted."""
    row = ready_row(name, number)
    if row.pinned != pinned:
        row.pinned = pinned
        record_event("version.pinned" if pinned else "version.unpinned", model=name, version=number)
    return get_version(name, number)


def list_pinned() -> list[Version]:
    """Return every pinned version that is ready."""
    pinned = _whole_versions().where(tables.Version.pinned.is_(True), tables.Version.status == READY)
    return [_record(row) for row in db.session.scalars(pinned.order_by(tables.Version.id))]


def note_load_error(version_id: int, text: str | None) -> None:
    """Keep why the version last failed to load, or None once it does. Raises VersionNotFound."""
    row = db.session.scalars(_whole_versions().where(tables.Version.id == version_id)).one_or_none()
    if row is None:
        raise VersionNotFound(f"There is no version with id {version_id}.")
    if row.load_error == text:
        return
    row.load_error = text
    if text is None:
        record_event("version.changed", model=row.model.name, version=row.number, detail={"load_error": None})
    else:
        record_event("version.load-failed", model=row.model.name, version=row.number, reason=text)


def get_load_spec(version_id: int) -> LoadSpec:
    """Return what a host needs to load a version. Raises VersionNotFound, VersionDeleted."""
    spec = (
        _whole_versions()
        .where(tables.Version.id == version_id)
        .options(undefer(tables.Version.golden), undefer(tables.Version.fast_golden))
    )
    row = db.session.scalars(spec).one_or_none()
    if row is None:
        raise VersionNotFound(f"There is no version with id {version_id}.")
    _require_ready(row)
    runtime = effective_runtime(row.runtime, row.fast)
    return LoadSpec(
        version_id=row.id,
        model=row.model.name,
        number=row.number,
        sha256=row.sha256,
        flavor=row.flavor,
        runtime=runtime,
        golden=row.golden,
        fast_golden=row.fast_golden if runtime == FAST else None,
        deterministic=row.deterministic,
        accept_skew=row.accept_skew,
        batching=row.batching,
        pinned=row.pinned,
        signature=row.signature,
        load_error=row.load_error,
    )


def version_row(name: str, number: int) -> tables.Version:
    """Return a version's row with everything on it, for other modules of the catalog. Raises ModelNotFound, VersionNotFound."""
    row = _find_row(name, number)
    if row is None or row.model.deleted_at is not None:
        live_model(name)
        raise VersionNotFound(f"There is no version {number} of {name}.")
    return row


def ready_row(name: str, number: int) -> tables.Version:
    """Return the row of a version that isn't deleted. Raises ModelNotFound, VersionNotFound, VersionDeleted."""
    row = version_row(name, number)
    _require_ready(row)
    return row


def _require_ready(row: tables.Version) -> None:
    if row.status == DELETED:
        raise VersionDeleted(f"Version {row.number} of {row.model.name} was deleted; it can be restored until it is swept.")


def _find_row(name: str, number: int) -> tables.Version | None:
    if number > MAX_VERSION:  # PostgreSQL refuses to compare what its column can't hold
        return None
    statement = _whole_versions().where(tables.RegisteredModel.name == name, tables.Version.number == number)
    return db.session.scalars(statement).one_or_none()


def _whole_versions() -> Select[tables.Version]:
    """Select versions with model, tags and aliases: three queries, however many rows."""
    everything = (contains_eager(tables.Version.model), selectinload(tables.Version.tags), selectinload(tables.Version.aliases))
    joined = select(tables.Version).join(tables.Version.model).options(*everything)
    return joined.execution_options(populate_existing=True)


#: Columns that mean the same, under the same name, on NewVersion, Version and the table.
_SAME_NAMES = (
    "flavor",
    "estimator",
    "sha256",
    "size_bytes",
    "signature",
    "environment",
    "golden_rows",
    "golden_from",
    "deterministic",
    "accept_skew",
    "batching",
    "cache",
    "description",
    "metrics",
    "parameters",
    "source",
)
_OF_THE_ROW = (
    "id", "number", "status", "runtime", "fast", "fast_report", "pinned", "created_at", "created_by", "deleted_at", "load_error",
)  # fmt: skip


def _record(row: tables.Version) -> Version:
    return Version(
        model=row.model.name,
        methods=tuple(row.methods),
        tags={tag.name: tag.value for tag in row.tags},
        aliases=tuple(alias.alias for alias in row.aliases),
        **{name: getattr(row, name) for name in (*_SAME_NAMES, *_OF_THE_ROW)},
    )
