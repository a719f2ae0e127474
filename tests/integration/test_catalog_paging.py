"""Every listing: each row once, along an index, in a constant number of queries."""

from __future__ import annotations

import base64
import functools
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from registry import catalog
from registry.errors import InvalidRequest
from registry.extensions import db
from tests.catalog_data import all_pages, new_version, point, publish, statements, write

Listing = Callable[..., catalog.Page[Any]]


def models(order: str) -> Listing:
    """Return the listing of models in that order."""
    return lambda **paging: catalog.list_models(order=order, **paging)


#: Each listing, what names one of its rows, and what adds the row of a number.
LISTINGS: dict[str, tuple[Listing, Callable[[Any], Any], Callable[[int], object]]] = {
    "models by name": (models("name"), lambda row: row.name, lambda number: publish(f"m{number:03}")),
    "models by name, backwards": (models("-name"), lambda row: row.name, lambda number: publish(f"m{number:03}")),
    "models by age": (models("created_at"), lambda row: row.name, lambda number: publish(f"m{number:03}")),
    "models by age, newest first": (models("-created_at"), lambda row: row.name, lambda number: publish(f"m{number:03}")),
    "versions": (lambda **paging: catalog.list_versions("iris", **paging), lambda row: row.number, lambda _: publish()),
    "moves": (
        lambda **paging: catalog.list_moves("iris", "production", **paging),
        lambda row: row.id,
        lambda number: point(1 + number % 2),
    ),
    "keys": (catalog.list_keys, lambda row: row.id, lambda number: add_key(f"k{number:03}")),
    "events": (catalog.list_events, lambda row: row.id, lambda _: publish()),
}


def add_key(key_id: str) -> None:
    """Insert a key, committed."""
    with write():
        catalog.add_key(id=key_id, name="app", hash=b"\x00" * 32, scopes=("read",))


def fill(listing: str, numbers: range) -> None:
    """Add rows to a listing."""
    if listing == "moves" and numbers.start == 0:
        publish(count=2)
    for number in numbers:
        LISTINGS[listing][2](number)


@pytest.mark.parametrize("listing", LISTINGS)
@pytest.mark.usefixtures("catalog_app")
def test_paging_gives_every_row_exactly_once_while_rows_come(listing: str) -> None:
    """Those that were there at the start, that is; a new one may be seen once or not."""
    page, identity, add = LISTINGS[listing]
    fill(listing, range(0, 20, 2))
    there = {identity(row) for row in all_pages(page, limit=100)}
    coming = iter(range(1, 20, 2))
    seen = [identity(row) for row in all_pages(page, limit=3, between=lambda: add(next(coming, 999)))]
    assert len(seen) == len(set(seen))
    assert there <= set(seen)


@pytest.mark.parametrize("listing", LISTINGS)
@pytest.mark.usefixtures("catalog_app")
def test_a_page_needs_as_many_queries_for_many_rows_as_for_few(listing: str) -> None:
    """Tags, aliases and counts of all rows come together."""
    page = LISTINGS[listing][0]
    fill(listing, range(2))
    with statements() as few:
        page(limit=50)
    fill(listing, range(2, 12))
    with statements() as many:
        assert len(page(limit=50).items) >= 10
    assert len(few) == len(many) <= 4


@pytest.mark.parametrize("listing", LISTINGS)
@pytest.mark.usefixtures("catalog_app")
def test_the_last_page_says_so(listing: str) -> None:
    """Also when it is exactly full."""
    page, identity, _ = LISTINGS[listing]
    fill(listing, range(4))
    rows = [identity(row) for row in page(limit=100).items]
    assert page(limit=len(rows)).next_cursor is None
    assert page(limit=len(rows) - 1).next_cursor is not None


def cursor_of(*values: Any) -> str:
    """Return a cursor with those values, made as the catalog makes them."""
    return encoded(json.dumps(values).encode())


def encoded(text: bytes) -> str:
    """Return base64 as cursors have it."""
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


NOT_CURSORS = [
    "", "x", "!!!", "é", "\x00", "a" * 600, "W10", cursor_of(), cursor_of("versions"), cursor_of({"versions": 3}),
    encoded(b'{"versions": 1}'), encoded(b"[" * 300), encoded(b"3"), encoded(b"\xff"),
]  # fmt: skip
WRONG_VALUES: dict[str, list[tuple[Any, ...]]] = {
    "versions": [("3",), (3, 4), (True,), (-1,), (2**31,), (2**64,), (None,), (1.5,), ([1],), ({},)],
    "moves": [("3",), (2**63,)],
    "models by name": [("a\x00",), ("\ud800",), ("é",), (3,)],
    "events": [("yesterday", 3), (3, 3), ("0001-01-01T00:00:00+14:00", 3), ("2026-11-22T00:00:00+00:00", "3")],
}
LABELS = {"models by name": "models:name"}


@pytest.mark.usefixtures("catalog_app")
def test_a_cursor_that_no_listing_gave_is_refused() -> None:
    """Before it reaches the database."""
    publish()
    point(1)
    for name, wrong in WRONG_VALUES.items():
        made_up = [cursor_of(LABELS.get(name, name), *values) for values in wrong]
        for cursor in (*NOT_CURSORS, *made_up):
            with pytest.raises(InvalidRequest, match="cursor"):
                LISTINGS[name][0](limit=1, cursor=cursor)


@pytest.mark.usefixtures("catalog_app")
def test_a_cursor_of_another_listing_is_refused() -> None:
    """Each cursor says which order it belongs to."""
    for name in ("a", "b"):
        publish(name)
    cursor = catalog.list_models(order="name", limit=1).next_cursor
    with pytest.raises(InvalidRequest):
        catalog.list_models(order="-name", limit=1, cursor=cursor)


def every_query() -> None:
    """Run every listing and look-up of the catalog, with and without each filter, on a second page too."""
    for name in ("iris", "churn", "wine"):
        publish(name, count=3, tags={"stage": "a"})
        point(1, model=name)
        point(2, model=name)
    add_key("k1")
    add_key("k2")
    now = catalog.get_model("iris").created_at
    versions: list[dict[str, Any]] = [{}, {"status": "ready"}, {"tag": ("stage", "a")}]
    events: list[dict[str, Any]] = [
        {},
        {"model": "iris"},
        {"actors": ("tester",)},
        {"until": now},
        {"kind": "alias.pointed"},
        {"since": now},
    ]
    calls: list[tuple[Listing, dict[str, Any]]] = [
        *((models(order), {}) for order in ("name", "-name", "created_at", "-created_at")),
        *((models("name"), filters) for filters in ({"search": "i"}, {"tag": ("a", "b")}, {"patterns": ("i*",)})),
        *((LISTINGS["versions"][0], filters) for filters in versions),
        *((catalog.list_events, filters) for filters in events),
        (LISTINGS["moves"][0], {}),
        (functools.partial(catalog.list_model_moves, "iris"), {}),
        (catalog.list_keys, {}),
    ]
    for listing, filters in calls:
        page = listing(limit=1, **filters)
        if page.next_cursor is not None:
            listing(limit=1, cursor=page.next_cursor, **filters)
    look_ups()


def look_ups() -> None:
    """Run what isn't a listing."""
    version = catalog.find_latest("iris")
    assert version is not None
    catalog.get_load_spec(version.id)
    catalog.list_pinned()
    catalog.list_aliases("iris")
    catalog.alias_at("iris", "production", version.created_at.replace(year=9999))
    catalog.plan_rollback("iris", "production", None)
    catalog.plan_rollback("iris", "production", 1)
    catalog.changes_since(3)
    catalog.referenced_digests(["ab" * 32])
    catalog.find_key("k1")
    catalog.find_keys(["k1", "k2"])
    catalog.keys_named("k", limit=5)
    catalog.find_session("ab" * 32)
    catalog.find_diagram(version.id)
    catalog.find_golden(version.id)
    catalog.newest_numbers("iris", limit=2)
    catalog.list_rollback_targets("iris")
    hour, until, step = catalog.traffic_window("hour", version.created_at)
    catalog.list_traffic("model", "iris", since=hour, until=until, step_seconds=step)
    catalog.traffic_of("model", ["iris", "churn"], since=hour)
    catalog.spark_traffic("model", ["iris", "churn"], since=hour, step_seconds=step)
    catalog.find_idempotent("k1", "x")
    with write():
        catalog.add_version(new_version())
    with write():
        catalog.point_alias("iris", "production", 4, reason="")


@pytest.mark.usefixtures("sqlite_catalog_app")
def test_every_query_goes_along_an_index_on_sqlite() -> None:
    """No table that grows is read from end to end, and no page is sorted after it was read."""
    with statements() as seen:
        every_query()
    plans = {}
    for statement, parameters in seen:
        if statement.startswith("SELECT"):
            rows = db.session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans[statement] = [row[3] for row in rows]
    assert len(plans) > 30
    for statement, steps in plans.items():
        for step in steps:
            assert not re.fullmatch(r"SCAN (?!generation|anon_)\w+", step), (step, statement)  # anon_: what a subquery found
            assert "LIMIT" not in statement or "USE TEMP B-TREE" not in step, (step, statement)
            assert not step.startswith(("SCAN versions", "SCAN moves")), (step, statement)


@pytest.mark.usefixtures("postgres_catalog_app")
def test_every_query_can_go_along_an_index_on_postgresql() -> None:
    """On tables this small it wouldn't by itself, so reading them whole is made dear."""
    with statements() as seen:
        every_query()
    connection = db.session.connection()
    connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
    explained = 0
    for statement, parameters in seen:
        if statement.startswith("SELECT") and "pg_catalog" not in statement:
            plan = "\n".join(row[0] for row in connection.exec_driver_sql(f"EXPLAIN {statement}", parameters))
            assert not re.search(r"Seq Scan on (versions|events|moves|alias_stack|\w+_tags)", plan), (plan, statement)
            explained += 1
    assert explained > 60
