"""What a process remembers of the catalog, against real databases: nothing old comes back, and another host's moves wait their turn."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, current_app
from sqlalchemy import event, text

from registry import catalog
from registry.directory import Directory, SharedWord
from registry.errors import AliasNotFound, ModelNotFound, RegistryUnavailable, VersionDeleted, VersionNotFound
from registry.extensions import db
from tests.catalog_data import point, publish, roll_back, write

pytestmark = pytest.mark.usefixtures("catalog_app")


@pytest.fixture
def here(tmp_path: Path) -> Directory:
    """Return the directory of a process on the host that makes the changes of these tests."""
    return Directory(SharedWord(tmp_path / "here"), host="here", stale_ok_seconds=300)


@pytest.fixture
def there(tmp_path: Path) -> Directory:
    """Return the directory of a process on another host."""
    return Directory(SharedWord(tmp_path / "there"), host="there", stale_ok_seconds=300)


def announce(directory: Directory) -> None:
    """Raise the word of a host, as a change on it does."""
    directory.raise_word(catalog.generation())
    db.session.rollback()


@contextmanager
def no_queries() -> Iterator[None]:
    """Fail where the block asks the database anything."""

    def refuse(*_: Any) -> None:
        raise AssertionError("this asks the database")

    event.listen(db.engine, "before_cursor_execute", refuse)
    try:
        yield
    finally:
        event.remove(db.engine, "before_cursor_execute", refuse)


@contextmanager
def during_query(part: str, action: Callable[[], None]) -> Iterator[None]:
    """Run `action` in another thread right after the first statement that contains `part`, before its rows are used."""
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    pending = [action]

    def run(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if part in statement and pending:
            first = pending.pop()

            def inside() -> None:
                with app.app_context():
                    first()

            thread = threading.Thread(target=inside)
            thread.start()
            thread.join(30)

    event.listen(db.engine, "after_cursor_execute", run)
    try:
        yield
    finally:
        event.remove(db.engine, "after_cursor_execute", run)
        assert not pending, "the query never ran"


def test_what_was_asked_for_once_needs_no_query_again(here: Directory) -> None:
    """Numbers, aliases and keys."""
    publish(count=2)
    point(2)
    with write():
        catalog.add_key(id="k" * 12, name="key", hash=b"h" * 32, scopes=("predict",))
    announce(here)
    first = [here.resolve("iris", 1), here.resolve("iris", "production"), here.resolve("iris", "latest"), here.find_key("k" * 12)]
    with no_queries():
        again = [here.resolve("iris", 1), here.resolve("iris", "production"), here.resolve("iris", "latest"), here.find_key("k" * 12)]
    assert again == first
    assert [version.number for version in again[:3]] == [1, 2, 2]  # type: ignore[union-attr]


def test_what_is_not_there_is_said_and_not_remembered(here: Directory) -> None:
    """It may come at any time."""
    with pytest.raises(ModelNotFound):
        here.resolve("iris", 1)
    with pytest.raises(ModelNotFound):
        here.resolve("iris", "latest")
    publish()
    announce(here)
    with pytest.raises(VersionNotFound):
        here.resolve("iris", 2)
    with pytest.raises(AliasNotFound):
        here.resolve("iris", "production")
    assert here.find_key("nobody") is None
    point(1)
    announce(here)
    assert here.resolve("iris", "production").number == 1


def test_a_move_of_this_host_is_seen_by_the_next_look_up_with_one_look_at_the_changes(here: Directory) -> None:
    """Pointing, going back, deletion and what is made anew."""
    publish(count=2)
    for number in (1, 2):
        point(number)
        announce(here)
        assert here.resolve("iris", "production").number == number
    roll_back()
    announce(here)
    here.poll()
    with no_queries():
        assert here.resolve("iris", "production").number == 1
    with write():
        catalog.delete_alias("iris", "production")
    announce(here)
    with pytest.raises(AliasNotFound):
        here.resolve("iris", "production")


def test_a_deleted_version_is_gone_at_once_and_comes_back(here: Directory) -> None:
    """By its number and as the latest."""
    publish(count=2)
    assert here.resolve("iris", 2).number == here.resolve("iris", "latest").number == 2
    with write():
        catalog.delete_version("iris", 2)
    announce(here)
    with pytest.raises(VersionDeleted):
        here.resolve("iris", 2)
    assert here.resolve("iris", "latest").number == 1
    with write():
        catalog.restore_version("iris", 2)
    announce(here)
    assert here.resolve("iris", 2).number == 2


def test_a_revoked_key_is_seen_by_the_next_look_up(here: Directory) -> None:
    """And on another host with its next poll."""
    with write():
        catalog.add_key(id="k" * 12, name="key", hash=b"h" * 32, scopes=("predict",))
    assert here.find_key("k" * 12).revoked_at is None  # type: ignore[union-attr]
    with write():
        catalog.revoke_key("k" * 12)
    announce(here)
    assert here.find_key("k" * 12).revoked_at is not None  # type: ignore[union-attr]


def test_a_slow_query_does_not_bring_back_where_an_alias_pointed_before(here: Directory) -> None:
    """The alias moves, and the move becomes known, after the row was read and before it is remembered."""
    publish(count=2)
    point(1)
    here.poll()

    def move() -> None:
        point(2)
        announce(here)
        here.poll()

    with during_query("FROM aliases", move):
        here.resolve("iris", "production")
    assert here.resolve("iris", "production").number == 2


def test_a_slow_query_does_not_bring_back_a_key(here: Directory) -> None:
    """It is revoked while it is read."""
    with write():
        catalog.add_key(id="k" * 12, name="key", hash=b"h" * 32, scopes=("predict",))
    here.poll()

    def revoke() -> None:
        with write():
            catalog.revoke_key("k" * 12)
        announce(here)
        here.poll()

    with during_query("FROM api_keys", revoke):
        here.find_key("k" * 12)
    assert here.find_key("k" * 12).revoked_at is not None  # type: ignore[union-attr]


def test_a_move_of_another_host_waits_until_it_is_settled(there: Directory) -> None:
    """Meanwhile the old target answers, whatever else changes of the model."""
    publish(count=2)
    point(1)
    there.poll()
    assert there.resolve("iris", "production").number == 1
    publish()
    point(2)
    (held,) = there.poll()
    assert (held.model, held.alias, held.served, held.target) == ("iris", "production", 1, 2)
    assert there.resolve("iris", "production").number == 1
    assert there.poll() == [held]
    there.settle(held)
    assert there.poll() == []
    assert there.resolve("iris", "production").number == 2


def test_a_process_that_never_heard_of_the_alias_holds_its_move_too(there: Directory) -> None:
    """Even where the move comes to be known by the look-up itself, so that no request waits for a load."""
    publish(count=2)
    point(1)
    there.poll()
    point(2)
    assert there.resolve("iris", "production").number == 1
    (held,) = there.poll()
    there.settle(held)
    assert there.resolve("iris", "production").number == 2


def test_an_alias_moved_again_while_it_is_held_goes_on_from_the_target_that_was_loaded(there: Directory) -> None:
    """Never back, and never to one that wasn't."""
    publish(count=3)
    point(1)
    there.poll()
    assert there.resolve("iris", "production").number == 1
    point(2)
    (first,) = there.poll()
    point(3)
    (second,) = there.poll()
    assert (second.served, second.target) == (1, 3)
    there.settle(first)
    assert there.resolve("iris", "production").number == 2
    (third,) = there.poll()
    assert (third.served, third.target) == (2, 3)
    there.settle(third)
    there.settle(second)
    assert there.resolve("iris", "production").number == 3


def test_deleting_a_held_alias_or_moving_it_here_ends_the_hold(there: Directory) -> None:
    """Both take effect at once."""
    publish(count=3)
    point(1)
    there.poll()
    assert there.resolve("iris", "production").number == 1
    point(2)
    assert len(there.poll()) == 1
    with write(host="there"):
        catalog.point_alias("iris", "production", 3, reason="")
    announce(there)
    assert there.resolve("iris", "production").number == 3
    assert there.poll() == []
    point(1)
    assert len(there.poll()) == 1
    with write():
        catalog.delete_alias("iris", "production")
    assert there.poll() == []
    with pytest.raises(AliasNotFound):
        there.resolve("iris", "production")


def test_a_poll_for_what_is_known_already_asks_nothing(here: Directory) -> None:
    """An announcement of a change that a request took before."""
    publish()
    here.poll()
    known = catalog.generation()
    db.session.rollback()
    with no_queries():
        here.poll(known)
    publish()
    announce(here)
    here.poll(known + 1)
    with no_queries():
        here.poll(known + 1)


def test_a_database_restored_from_a_backup_is_believed(here: Directory) -> None:
    """The generation went back: everything is forgotten, and what is written next is seen at once although its number isn't new."""
    publish(count=2)
    point(1)
    kept = catalog.generation()
    point(2)
    announce(here)
    assert here.resolve("iris", "production").number == 2
    db.session.execute(text("UPDATE aliases SET number = 1"))
    db.session.execute(text("DELETE FROM events WHERE generation > :kept"), {"kept": kept})
    _set_generation(kept)
    here.poll()
    assert here.resolve("iris", "production").number == 1
    point(2)
    announce(here)
    assert here.resolve("iris", "production").number == 2


def test_with_the_database_away_what_is_known_goes_on(here: Directory) -> None:
    """Also where it is known to have changed; what is not known, is refused, and so is what may have been revoked."""
    publish(count=2)
    point(1)
    with write():
        catalog.add_key(id="k" * 12, name="key", hash=b"h" * 32, scopes=("predict",))
    announce(here)
    here.resolve("iris", 1)
    here.resolve("iris", "production")
    here.find_key("k" * 12)
    with write():
        catalog.change_version("iris", 1, description="new words")
        catalog.change_key("k" * 12, name="new name")
    here.poll()
    with away():
        here.raise_word(10_000)
        assert here.resolve("iris", 1).number == 1
        assert here.resolve("iris", "production").number == 1
        with pytest.raises(RegistryUnavailable):
            here.resolve("iris", 2)
        with pytest.raises(RegistryUnavailable):
            here.find_key("k" * 12)
        with pytest.raises(RegistryUnavailable):
            here.poll()
    here.poll()
    assert here.resolve("iris", 2).number == 2
    assert here.find_key("k" * 12).name == "new name"  # type: ignore[union-attr]


def test_what_is_known_does_not_go_on_for_ever(tmp_path: Path) -> None:
    """After `stale_ok_seconds` it is refused as well."""
    directory = Directory(SharedWord(tmp_path / "word"), host="here", stale_ok_seconds=0)
    publish()
    directory.resolve("iris", 1)
    with away(), pytest.raises(RegistryUnavailable, match="too long"):
        directory.resolve("iris", 1)


def test_a_deleted_version_is_not_served_because_the_database_is_away(here: Directory) -> None:
    """Its deletion was known before."""
    publish(count=2)
    point(1)
    here.poll()
    here.resolve("iris", 2)
    with write():
        catalog.delete_version("iris", 2)
    here.poll()
    with away(), pytest.raises(RegistryUnavailable):
        here.resolve("iris", 2)


@contextmanager
def away() -> Iterator[None]:
    """Refuse every connection, as a server does that isn't there."""

    def refuse(*_: Any) -> None:
        raise db.engine.dialect.loaded_dbapi.OperationalError("away")

    db.session.remove()
    db.engine.dispose()
    event.listen(db.engine, "do_connect", refuse)
    try:
        yield
    finally:
        event.remove(db.engine, "do_connect", refuse)


def _set_generation(number: int) -> None:
    db.session.execute(text("UPDATE generation SET number = :number"), {"number": number})
    db.session.commit()
