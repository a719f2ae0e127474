"""The audit trail and the generation number, on either database."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from registry import catalog
from registry.catalog import Change
from registry.extensions import db
from tests.catalog_data import all_pages, new_version, publish, write

pytestmark = pytest.mark.usefixtures("catalog_app")

HASH = b"\x00" * 32

#: Every write in an order in which each can be done, and the kinds of event it leaves.
WRITES: list[tuple[Callable[[], Any], list[str]]] = [
    (lambda: catalog.add_version(new_version()), ["model.created", "version.published"]),
    (lambda: catalog.add_version(new_version()), ["version.published"]),
    (lambda: catalog.change_model("iris", description="x"), ["model.changed"]),
    (lambda: catalog.change_version("iris", 1, description="x"), ["version.changed"]),
    (lambda: catalog.set_pinned("iris", 1, True), ["version.pinned"]),
    (lambda: catalog.set_pinned("iris", 1, False), ["version.unpinned"]),
    (lambda: catalog.note_load_error(catalog.get_version("iris", 1).id, "x"), ["version.load-failed"]),
    (lambda: catalog.note_load_error(catalog.get_version("iris", 1).id, None), ["version.changed"]),
    (lambda: catalog.point_alias("iris", "production", 1, reason="why"), ["alias.pointed"]),
    (lambda: catalog.point_alias("iris", "production", 2, reason="why"), ["alias.pointed"]),
    (lambda: catalog.roll_back("iris", "production", None, reason="why", expected_target=1), ["alias.rolled-back"]),
    (lambda: catalog.delete_alias("iris", "production", reason="why"), ["alias.deleted"]),
    (lambda: catalog.delete_version("iris", 2), ["version.deleted"]),
    (lambda: catalog.restore_version("iris", 2), ["version.restored"]),
    (lambda: catalog.delete_version("iris", 2), ["version.deleted"]),
    (lambda: catalog.remove_deleted_versions(datetime.now(UTC)), ["sweep.removed"]),
    (lambda: catalog.delete_model("iris"), ["model.deleted"]),
    (lambda: catalog.add_key(id="k1", name="app", hash=HASH, scopes=("read",)), ["key.created"]),
    (lambda: catalog.change_key("k1", name="new"), ["key.changed"]),
    (lambda: catalog.rotate_key("k1", "k2", HASH, 60), ["key.rotated", "key.created"]),
    (lambda: catalog.revoke_key("k2"), ["key.revoked"]),
    (lambda: catalog.record_event("upload.refused", model="iris", reason="unsafe"), ["upload.refused"]),
]


def test_every_write_leaves_its_events_and_raises_the_generation() -> None:
    """Who, where, when, as which generation; in the transaction of the write."""
    for number, (change, kinds) in enumerate(WRITES, start=1):
        before = datetime.now(UTC)
        assert catalog.begin_write("k9", "host-a") == number
        change()
        db.session.commit()
        assert catalog.generation() == number
        events = [event for event in reversed(catalog.list_events(limit=5).items) if event.generation == number]
        assert [event.kind for event in events] == kinds
        for event in events:
            assert (event.actor, event.host) == ("k9", "host-a")
            assert before <= event.at <= datetime.now(UTC)
            assert event.model == "iris" or event.key_id in {"k1", "k2"}


def test_a_write_that_is_rolled_back_leaves_nothing() -> None:
    """Neither the event nor the generation."""
    for change, _ in WRITES:
        before = (catalog.generation(), catalog.list_events(limit=100))
        catalog.begin_write("k9", "host-a")
        change()
        db.session.rollback()
        assert (catalog.generation(), catalog.list_events(limit=100)) == before
        with write():
            change()


def test_a_write_outside_of_begin_write_is_refused() -> None:
    """It would be seen by nobody and could number two versions alike."""
    for change, _ in WRITES:
        with pytest.raises(RuntimeError, match="begin_write"):
            change()
        db.session.rollback()
        with write():
            change()


def test_a_write_does_not_outlive_its_commit() -> None:
    """What comes after needs a generation of its own."""
    with write():
        catalog.record_event("upload.refused")
    with pytest.raises(RuntimeError, match="begin_write"):
        catalog.record_event("upload.refused")
    db.session.rollback()


def test_an_event_tells_what_from_to_and_why() -> None:
    """A move of an alias has them all."""
    publish(count=2)
    with write():
        catalog.point_alias("iris", "production", 1, reason="first")
    with write():
        catalog.point_alias("iris", "production", 2, reason="better")
    event = catalog.list_events(limit=1).items[0]
    assert (event.model, event.alias, event.version, event.from_, event.to, event.reason) == ("iris", "production", 2, 1, 2, "better")
    with write():
        catalog.record_event("upload.refused", model="iris", from_=1, to=2, reason="bad", detail={"found": ["os.system"]}, key_id="k1")
    event = catalog.list_events(limit=1).items[0]
    assert (event.from_, event.to, event.detail, event.key_id) == (1, 2, {"found": ["os.system"]}, "k1")


def test_events_are_filtered_and_newest_first() -> None:
    """All filters must hold together; `since` is inclusive."""
    for actor, model in (("k1", "iris"), ("k2", "iris"), ("k1", "churn")):
        with write(actor):
            catalog.add_version(new_version(model))

    def seen(**filters: Any) -> list[tuple[str, str, str | None]]:
        return [(event.actor, event.kind, event.model) for event in all_pages(catalog.list_events, limit=2, **filters)]

    assert seen() == [
        ("k1", "version.published", "churn"),
        ("k1", "model.created", "churn"),
        ("k2", "version.published", "iris"),
        ("k1", "version.published", "iris"),
        ("k1", "model.created", "iris"),
    ]
    assert seen(model="iris", actors=("k1",)) == [("k1", "version.published", "iris"), ("k1", "model.created", "iris")]
    assert seen(kind="model.created") == [("k1", "model.created", "churn"), ("k1", "model.created", "iris")]
    newest = catalog.list_events(limit=1).items[0]
    assert len(seen(since=newest.at)) == 2
    assert seen(since=newest.at + timedelta(microseconds=1)) == []


def test_changes_since_name_what_to_forget() -> None:
    """Those of later generations only, oldest first, with the host that made them."""
    publish()
    known = catalog.generation()
    assert catalog.changes_since(known) == []
    with write(host="host-b"):
        catalog.point_alias("iris", "production", 1, reason="")
    with write(host="host-a"):
        catalog.add_key(id="k1", name="app", hash=HASH, scopes=("read",))
    assert catalog.changes_since(known) == [
        Change(known + 1, "host-b", "alias.pointed", "iris", "production", None, 1),
        Change(known + 2, "host-a", "key.created", None, None, "k1", None),
    ]
    assert len(catalog.changes_since(0)) == 4


def test_begin_write_forgets_what_the_session_read_before() -> None:
    """What a request read before its turn may have changed meanwhile."""
    publish()
    assert catalog.get_model("iris").description == ""
    engine = db.engine
    with engine.begin() as other:
        other.exec_driver_sql("UPDATE models SET description = 'changed elsewhere'")
    with write():
        assert catalog.get_model("iris").description == "changed elsewhere"
