"""API keys and kept answers in the catalog, on either database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from registry import catalog, tables
from registry.errors import InvalidRequest, KeyNotFound
from registry.extensions import db
from tests.catalog_data import all_pages, write

pytestmark = pytest.mark.usefixtures("catalog_app")


def add(key_id: str = "k1", **fields: object) -> catalog.ApiKey:
    """Insert a key, committed."""
    with write():
        return catalog.add_key(id=key_id, name="app", hash=b"\x00" * 32, scopes=("predict",), **fields)  # type: ignore[arg-type]


def test_a_key_comes_back_as_it_was_made() -> None:
    """Its hash byte for byte."""
    soon = datetime.now(UTC) + timedelta(days=1)
    made = add(models=("iris*",), limits=("600/minute", "50000/day"), expires_at=soon)
    assert (made.scopes, made.models, made.limits, made.expires_at) == (("predict",), ("iris*",), ("600/minute", "50000/day"), soon)
    assert (made.hash, made.created_by, made.revoked_at, made.replaced_by) == (b"\x00" * 32, "tester", None, None)
    assert catalog.get_key("k1") == catalog.find_key("k1") == made


def test_an_unknown_key_is_not_found() -> None:
    """By every function that needs one."""
    assert catalog.find_key("k1") is None
    assert catalog.count_keys() == 0
    with pytest.raises(KeyNotFound):
        catalog.get_key("k1")
    with write(), pytest.raises(KeyNotFound):
        catalog.revoke_key("k1")


def test_a_key_changes_only_in_what_is_given() -> None:
    """None for the end means never; leaving it out keeps it."""
    soon = datetime.now(UTC) + timedelta(days=1)
    add(expires_at=soon)
    with write():
        changed = catalog.change_key("k1", name="new", scopes=("read", "predict"))
    assert (changed.name, changed.scopes, changed.expires_at) == ("new", ("read", "predict"), soon)
    with write():
        assert catalog.change_key("k1", expires_at=None, models=("a*",), limits=()).expires_at is None
    with write():
        catalog.change_key("k1", name="new")
    details = [event.detail for event in catalog.list_events(kind="key.changed", limit=9).items]
    assert [set(detail) for detail in details] == [{"expires_at", "models"}, {"name", "scopes"}]
    assert catalog.get_key("k1").models == ("a*",)


def test_a_revoked_key_stays_revoked() -> None:
    """Revoking again keeps the first time; nothing else can be done with it."""
    add()
    with write():
        revoked = catalog.revoke_key("k1")
    assert revoked.revoked_at is not None
    with write():
        assert catalog.revoke_key("k1") == revoked
    with write(), pytest.raises(InvalidRequest):
        catalog.change_key("k1", name="x")
    with write(), pytest.raises(InvalidRequest):
        catalog.rotate_key("k1", "k2", b"\x01" * 32, 60)
    assert len(catalog.list_events(kind="key.revoked", limit=9).items) == 1


def test_a_rotated_key_ends_after_the_overlap_and_its_successor_has_the_same_grants() -> None:
    """The end of the old one never moves later."""
    add(models=("iris*",), limits=("1/second",))
    with write():
        new = catalog.rotate_key("k1", "k2", b"\x01" * 32, 60)
    old = catalog.get_key("k1")
    assert (new.id, new.hash, new.scopes, new.models, new.limits, new.expires_at) == (
        "k2",
        b"\x01" * 32,
        ("predict",),
        ("iris*",),
        ("1/second",),
        None,
    )
    assert old.expires_at == new.created_at + timedelta(seconds=60)
    assert old.replaced_by == "k2"
    with write(), pytest.raises(InvalidRequest):
        catalog.rotate_key("k1", "k3", b"\x01" * 32, 60)
    end = datetime.now(UTC) + timedelta(seconds=30)
    add("k4", expires_at=end)
    with write():
        assert catalog.rotate_key("k4", "k5", b"\x01" * 32, 3600).expires_at == end
    assert catalog.get_key("k4").expires_at == end
    add("k6", expires_at=datetime.now(UTC) - timedelta(seconds=1))
    with write(), pytest.raises(InvalidRequest):
        catalog.rotate_key("k6", "k7", b"\x01" * 32, 60)


def test_keys_are_listed_newest_first_and_counted() -> None:
    """Revoked ones too."""
    for number in range(5):
        add(f"k{number}")
    with write():
        catalog.revoke_key("k2")
    assert [key.id for key in all_pages(catalog.list_keys, limit=2)] == ["k4", "k3", "k2", "k1", "k0"]
    assert catalog.count_keys() == 5


def test_no_event_holds_a_hash() -> None:
    """Nor anything that looks like a secret."""
    with write():
        catalog.add_key(id="k1", name="app", hash=b"secret-hash-secret-hash-secret-h", scopes=("read",))
    with write():
        catalog.rotate_key("k1", "k2", b"secret-hash-secret-hash-secret-h", 0)
    assert "secret" not in str(catalog.list_events(limit=9))


def test_a_kept_answer_is_found_for_a_day_by_its_caller_alone() -> None:
    """Older ones count as absent, and are dropped when the next one is kept."""
    with write():
        catalog.keep_idempotent("k1", "once", "digest", {"version": 3})
    found = catalog.find_idempotent("k1", "once")
    assert found is not None
    assert (found.fingerprint, found.response) == ("digest", {"version": 3})
    assert found.created_at <= datetime.now(UTC)
    assert catalog.find_idempotent("k2", "once") is None
    assert catalog.find_idempotent("k1", "twice") is None
    with write():
        db.session.execute(update(tables.IdempotentResponse).values(created_at=datetime.now(UTC) - timedelta(hours=24)))
    assert catalog.find_idempotent("k1", "once") is None
    with write():
        catalog.keep_idempotent("k1", "once", "other", {"version": 4})
    found = catalog.find_idempotent("k1", "once")
    assert found is not None
    assert found.response == {"version": 4}
    assert len(db.session.scalars(select(tables.IdempotentResponse)).all()) == 1
