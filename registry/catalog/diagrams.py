"""Statements about what a version's page alone reads: its estimator's diagram, its golden predictions.

Apart from the versions' other columns, since both may be large. Never changed once a version stands.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import insert, select

from registry import tables
from registry.extensions import db


def add_diagram(version_id: int, diagram: dict[str, Any]) -> None:
    """Keep a version's diagram, in the transaction that inserts the version."""
    db.session.execute(insert(tables.VersionDiagram).values(version_id=version_id, diagram=diagram))


def find_diagram(version_id: int) -> dict[str, Any] | None:
    """Return how a version's estimator is built; None where it couldn't be drawn, or was published before diagrams were kept."""
    statement = select(tables.VersionDiagram.diagram).where(tables.VersionDiagram.version_id == version_id)
    return db.session.execute(statement).scalar_one_or_none()


def find_golden(version_id: int) -> bytes | None:
    """Return a version's golden predictions, packed; None where it has none."""
    statement = select(tables.Version.golden).where(tables.Version.id == version_id)
    return db.session.execute(statement).scalar_one_or_none()
