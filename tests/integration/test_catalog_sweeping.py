"""What the sweep may take and what it must leave, on either database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from registry import catalog
from registry.catalog import StoredVersion
from registry.errors import RollbackTargetDeleted
from tests.catalog_data import point, publish, roll_back, write

pytestmark = pytest.mark.usefixtures("catalog_app")


def digest(number: int) -> str:
    """Return a sha256."""
    return f"{number:064x}"


def delete(*numbers: int, model: str = "iris") -> None:
    """Delete versions, committed."""
    with write():
        for number in numbers:
            catalog.delete_version(model, number)


def removable() -> list[int]:
    """Return the numbers that a sweep would take now, sure that it takes the same."""
    candidates = catalog.swept_candidates(datetime.now(UTC))
    return [candidate.number for candidate in candidates]


def test_bytes_are_needed_while_any_row_names_them() -> None:
    """Deleted rows too, since they can be restored."""
    publish(sha256=digest(1))
    publish(sha256=digest(2))
    delete(2)
    asked = [digest(number) for number in range(1, 1200)]
    assert catalog.referenced_digests(asked) == {digest(1), digest(2)}
    assert catalog.referenced_digests([]) == set()


def test_all_versions_with_a_row_are_told() -> None:
    """Of all models, deleted ones too, with what tells them apart."""
    first, second = publish(sha256=digest(1)), publish("churn", sha256=digest(2))
    delete(1)
    assert list(catalog.all_digests()) == [
        StoredVersion("iris", 1, digest(1), first.id, ready=False),
        StoredVersion("churn", 1, digest(2), second.id, ready=True),
    ]


def test_versions_deleted_long_enough_ago_are_removed_for_good() -> None:
    """Their digests are told; one that another version names is still needed."""
    publish(sha256=digest(1), tags={"a": "b"})
    publish(sha256=digest(1))
    publish(sha256=digest(2))
    delete(1, 3)
    assert catalog.swept_candidates(datetime.now(UTC) - timedelta(hours=1)) == []
    assert removable() == [1, 3]
    with write():
        assert catalog.remove_deleted_versions(datetime.now(UTC)) == [digest(1), digest(2)]
    assert catalog.referenced_digests([digest(1), digest(2)]) == {digest(1)}
    assert [version.number for version in catalog.all_digests()] == [2]
    removed = catalog.list_events(kind="sweep.removed", limit=9).items
    assert [(event.version, event.detail) for event in removed] == [(3, {"sha256": digest(2)}), (1, {"sha256": digest(1)})]
    assert removable() == []


def test_the_last_ten_targets_of_an_alias_are_never_removed() -> None:
    """Neither those on its stack nor those that it was rolled back from."""
    publish(count=14)
    for number in range(1, 15):
        point(number)
    delete(*range(1, 14))
    assert removable() == [1, 2, 3]
    with write():
        catalog.remove_deleted_versions(datetime.now(UTC))
    with write():
        catalog.restore_version("iris", 13)
    assert roll_back().to_version == 13
    assert removable() == []


def test_what_was_rolled_back_from_is_kept_like_what_is_on_the_stack() -> None:
    """Ten different ones of each, however often the alias went to and fro."""
    publish(count=16)
    for number in range(1, 17):
        point(number)
    roll_back(to=13)
    for _ in range(12):
        point(14)
        roll_back()
    delete(*range(1, 13), 14, 15, 16)
    assert removable() == [1, 2]


def test_the_targets_of_a_deleted_alias_may_go() -> None:
    """Or a deleted model's bytes would be kept for ever."""
    publish(count=2)
    point(1)
    point(2)
    with write():
        catalog.delete_alias("iris", "production")
    with write():
        catalog.delete_model("iris")
    assert removable() == [1, 2]
    with write():
        catalog.remove_deleted_versions(datetime.now(UTC))
    assert publish().number == 3
    assert [move.kind for move in catalog.list_moves("iris", "production", limit=9).items] == ["delete", "point", "point"]


def test_other_models_and_aliases_keep_their_own() -> None:
    """A number means nothing without its model."""
    publish("a", count=2)
    publish("b", count=2)
    point(1, model="a")
    point(2, model="a")
    delete(1, model="a")
    delete(1, model="b")
    assert [(version.model, version.number) for version in catalog.swept_candidates(datetime.now(UTC))] == [("b", 1)]


def test_a_rollback_to_a_version_that_was_removed_names_it_as_deleted() -> None:
    """The stack outlives what it tells of."""
    publish(count=13)
    for number in range(1, 14):
        point(number)
    delete(*range(1, 13))
    with write():
        catalog.remove_deleted_versions(datetime.now(UTC))
    with pytest.raises(RollbackTargetDeleted) as refused:
        catalog.plan_rollback("iris", "production", 1)
    assert refused.value.members == {"deleted": 1, "next": None}
