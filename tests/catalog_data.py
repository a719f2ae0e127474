"""What tests of the catalog fill it with, and how they write and watch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy import event

from registry import catalog
from registry.catalog import NewVersion, Page, Version
from registry.extensions import db

T = TypeVar("T")


@contextmanager
def write(actor: str = "tester", host: str = "here") -> Iterator[int]:
    """Begin a write, yield its generation, commit."""
    yield catalog.begin_write(actor, host)
    db.session.commit()


def new_version(model: str = "iris", **fields: Any) -> NewVersion:
    """Return a version to insert, whole, with `fields` instead of the usual."""
    usual: dict[str, Any] = {
        "flavor": "sklearn",
        "estimator": "sklearn.linear_model.LogisticRegression",
        "sha256": "ab" * 32,
        "size_bytes": 1234,
        "signature": {"container": "array", "named": False, "inputs": [], "outputs": {}},
        "methods": ("predict", "predict_proba"),
        "environment": {"python": "3.11"},
        "golden": b"golden",
        "golden_rows": 5,
        "golden_from": "example",
    }
    return NewVersion(model=model, **{**usual, **fields})


def publish(model: str = "iris", count: int = 1, **fields: Any) -> Version:
    """Publish that many versions, each in a transaction of its own, and return the last."""
    for _ in range(count):
        with write():
            version = catalog.add_version(new_version(model, **fields))
    return version


def point(number: int, alias: str = "production", model: str = "iris", **preconditions: Any) -> catalog.Move | None:
    """Point an alias, committed."""
    with write():
        return catalog.point_alias(model, alias, number, reason="test", **preconditions)[1]


def roll_back(alias: str = "production", to: int | None = None, model: str = "iris") -> catalog.Move:
    """Plan and do a rollback, committed."""
    target = catalog.plan_rollback(model, alias, to)
    with write():
        return catalog.roll_back(model, alias, to, reason="test", expected_target=target)


def target(alias: str = "production", model: str = "iris") -> int:
    """Return where an alias points."""
    return catalog.get_alias(model, alias).version


def all_pages(listing: Callable[..., Page[T]], *arguments: Any, between: Callable[[], object] = lambda: None, **filters: Any) -> list[T]:
    """Return every item of a listing, calling `between` after each page."""
    items, cursor = [], None
    while True:
        page = listing(*arguments, cursor=cursor, **filters)
        items += page.items
        between()
        if page.next_cursor is None:
            return items
        cursor = page.next_cursor


@contextmanager
def statements() -> Iterator[list[tuple[str, Any]]]:
    """Collect every statement, with its parameters, that is sent meanwhile."""
    seen: list[tuple[str, Any]] = []

    def collect(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if not statement.startswith("BEGIN"):
            seen.append((statement, parameters))

    event.listen(db.engine, "before_cursor_execute", collect)
    yield seen
    event.remove(db.engine, "before_cursor_execute", collect)
