"""The console's pages with many models and many versions: what they ask the database doesn't grow with what they show."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask, Response, g

from benchmarks.console_pages import Filling
from config import Config
from registry import catalog
from registry.api.auth import Caller
from registry.app import create_app
from registry.catalog import ApiKey
from registry.console import model_list, model_page, moves
from registry.extensions import db
from tests.catalog_data import point, publish, roll_back, statements, write

KEY = ApiKey("tester", "a tester", b"", ("admin",), (), (), datetime.now(UTC), "tester", None, None, None)
SCOPES = frozenset({"read", "publish", "admin"})


@pytest.fixture
def app(sqlite_database_url: str, tmp_path: Any) -> Iterator[Flask]:
    """Return an application whose host process isn't there, on a registry of the test's own."""
    secret = "0123456789abcdef" * 4
    config = Config(instance_path=tmp_path / "instance", database_url=sqlite_database_url, key_pepper=secret, cache_secret=secret)
    app = create_app(config)
    yield app
    with app.app_context():
        db.session.remove()
        db.engine.dispose()


def fill(ids: range, name: str, versions: int) -> None:
    """Insert models of those ids, and one of a name with so many versions, whose aliases moved as often again."""
    with db.engine.begin() as connection:
        filling = Filling(connection, newest_move=1000 * ids.stop)
        filling.models(ids)
        filling.wide_model(ids.stop, name, versions, 2 * versions)


def ask(app: Flask, path: str, view: Callable[..., Response], **arguments: Any) -> tuple[str, int]:
    """Return a page, and how many statements it took."""
    with app.test_request_context(path):
        g.caller, g.request_id = Caller(KEY, SCOPES), "test"
        with statements() as seen:
            response = view(**arguments)
    assert response.status_code == 200
    return response.get_data(as_text=True), len(seen)


def pages(app: Flask, name: str) -> list[tuple[str, int]]:
    """Return the pages of all models and those about one, with the statements that each took."""
    about = f"/console/models/{name}"
    with app.app_context():
        return [
            ask(app, "/console", model_list.models),
            ask(app, "/console?search=m&tag=stage:live", model_list.models),
            ask(app, about, model_page.model, name=name),
            ask(app, f"{about}/point?alias=production", moves.point_dialog, name=name),
            ask(app, f"{about}/rollback?alias=production", moves.roll_back_dialog, name=name),
        ]


def test_pages_of_many_rows_take_the_same_statements_and_lead_on(app: Flask) -> None:
    """Neither models, versions, aliases nor moves are asked for one by one, and what is left stands behind a link."""
    with app.app_context():
        fill(range(1, 4), "few", 6)
    few = pages(app, "few")
    with app.app_context():
        fill(range(5, 75), "many", 70)
    many = pages(app, "many")
    assert [count for _, count in few] == [count for _, count in many]
    assert max(count for _, count in many) <= 35
    listing, page, dialog = many[0][0], many[2][0], many[3][0]
    assert listing.count('<th scope="row"') == 50
    assert "50 of 75 models" in listing
    assert "cursor=" in listing
    assert page.count('name="a" value=') == 50
    assert page.count('<td class="reason"') == 10
    assert "versions=" in page
    assert "moves=" in page
    assert 'type="number"' in dialog
    assert "<select" in few[3][0]


def test_aliases_say_where_a_rollback_would_go(catalog_app: Flask) -> None:
    """In one statement for all of them, and as `plan_rollback` says it for each."""
    publish(count=4)
    for number, alias in ((1, "production"), (1, "staging"), (3, "production"), (2, "staging"), (4, "production")):
        point(number, alias)
    point(2, "fresh")
    assert catalog.list_rollback_targets("iris") == {"production": (3, True), "staging": (1, True)}
    with write():
        catalog.delete_version("iris", 3)
    assert catalog.list_rollback_targets("iris")["production"] == (3, False)
    roll_back("staging")
    assert set(catalog.list_rollback_targets("iris")) == {"production"}
    moved = catalog.list_model_moves("iris", limit=3)
    assert [(move.alias, move.to_version) for move in moved.items] == [("staging", 1), ("fresh", 2), ("production", 4)]
    rest = catalog.list_model_moves("iris", limit=10, cursor=moved.next_cursor)
    assert [(move.alias, move.from_version) for move in rest.items] == [
        ("staging", 1), ("production", 1), ("staging", None), ("production", None),
    ]  # fmt: skip


def test_models_are_counted_as_they_are_listed(catalog_app: Flask) -> None:
    """Search, tag and the key's patterns narrow the count as they narrow the list."""
    for name in ("iris", "iris-2", "churn"):
        publish(name)
    with write():
        catalog.change_model("iris", tags={"team": "a"})
        catalog.delete_model("churn")
    assert catalog.count_models() == 2
    filters: list[dict[str, Any]] = [{"search": "2"}, {"tag": ("team", "a")}, {"patterns": ("iris-*",)}, {"search": "x"}]
    assert [catalog.count_models(**some) for some in filters] == [1, 1, 1, 0]
    assert all(catalog.count_models(**some) == len(catalog.list_models(**some, limit=10).items) for some in filters)
