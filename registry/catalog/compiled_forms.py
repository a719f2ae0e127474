"""Statements about the compiled forms of versions: which are to be made, and what came of making one.

The form itself is never stored, only its golden predictions and the report. Nothing here is written over a decision that
was changed meanwhile: a version that is no longer pending stays as it is.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import contains_eager, undefer

from registry import tables
from registry.catalog.events import record_event
from registry.catalog.records import EXACT, FAST, FAST_PENDING, FAST_READY, FAST_REFUSED, CompileSpec
from registry.extensions import db


def list_pending() -> list[int]:
    """Return the ids of the versions whose compiled form is to be made, the oldest first."""
    pending = (tables.Version.fast == FAST_PENDING) & (tables.Version.status == "ready")
    return list(db.session.scalars(select(tables.Version.id).where(pending).order_by(tables.Version.id)))


def find_compile_spec(version_id: int) -> CompileSpec | None:
    """Return what a host needs to make a version's compiled form, or None where it needn't be made any more."""
    row = _pending_row(version_id, tables.Version.golden)
    if row is None:
        return None
    return CompileSpec(
        version_id=row.id,
        model=row.model.name,
        number=row.number,
        sha256=row.sha256,
        flavor=row.flavor,
        golden=row.golden,
        accept_skew=row.accept_skew,
        signature=row.signature,
        methods=tuple(row.methods),
    )


def note_compiled(version_id: int, golden: bytes, report: dict[str, Any]) -> bool:
    """Let a version be served by its compiled form from now on; False where it isn't pending any more."""
    row = _pending_row(version_id)
    if row is None:
        return False
    row.fast, row.fast_golden, row.fast_report = FAST_READY, golden, report
    record_event("version.compiled", model=row.model.name, version=row.number, detail=report)
    return True


def note_compile_refused(version_id: int, report: dict[str, Any]) -> bool:
    """Keep why a version has no compiled form (`report["reason"]`); False where it isn't pending any more."""
    row = _pending_row(version_id)
    if row is None:
        return False
    row.fast, row.fast_golden, row.fast_report = FAST_REFUSED, None, report
    record_event("version.compile-refused", model=row.model.name, version=row.number, reason=str(report["reason"]), detail=report)
    return True


def choose_runtime(row: tables.Version, runtime: str) -> dict[str, Any]:
    """Set a version's runtime and return what that changes, as its event tells it; a refused form is tried again."""
    after = row.fast
    if runtime == FAST and row.fast != FAST_READY:
        after = FAST_PENDING
    elif runtime == EXACT and row.fast == FAST_PENDING:
        after = None
    changed: dict[str, Any] = {}
    if row.runtime != runtime:
        changed["runtime"] = {"from": row.runtime, "to": runtime}
    if row.fast != after:
        changed["fast"] = {"from": row.fast, "to": after}
        row.fast_report = None
    row.runtime, row.fast = runtime, after
    return changed


def _pending_row(version_id: int, *columns: Any) -> tables.Version | None:
    pending = (tables.Version.id == version_id) & (tables.Version.fast == FAST_PENDING) & (tables.Version.status == "ready")
    options = (contains_eager(tables.Version.model), *(undefer(column) for column in columns))
    statement = select(tables.Version).join(tables.Version.model).where(pending).options(*options)
    return db.session.scalars(statement.execution_options(populate_existing=True)).one_or_none()
