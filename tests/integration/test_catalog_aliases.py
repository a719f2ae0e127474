"""Aliases, their stacks and their history, on either database."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from registry import catalog
from registry.errors import (
    AliasMoved,
    AliasNotFound,
    ModelNotFound,
    NothingToRollBackTo,
    RollbackTargetDeleted,
    VersionDeleted,
    VersionNotFound,
)
from tests.catalog_data import all_pages, point, publish, roll_back, target, write

pytestmark = pytest.mark.usefixtures("catalog_app")


def delete(number: int) -> None:
    """Delete a version, committed."""
    with write():
        catalog.delete_version("iris", number)


def history() -> list[tuple[str, int | None, int | None]]:
    """Return the moves of production, oldest first."""
    moves = all_pages(catalog.list_moves, "iris", "production", limit=3)
    return [(move.kind, move.from_version, move.to_version) for move in reversed(moves)]


def test_pointing_makes_and_moves_an_alias() -> None:
    """The answer, the alias and the history agree."""
    publish(count=2)
    assert point(1) is not None
    move = point(2)
    assert move is not None
    assert (move.kind, move.from_version, move.to_version, move.by, move.reason) == ("point", 1, 2, "tester", "test")
    alias = catalog.get_alias("iris", "production")
    assert (alias.version, alias.etag, alias.moved_at, alias.moved_by) == (2, str(move.id), move.at, "tester")
    assert catalog.list_aliases("iris") == [alias]
    assert history() == [("point", None, 1), ("point", 1, 2)]


def test_pointing_where_it_points_changes_nothing() -> None:
    """Neither stack nor history nor etag nor audit trail."""
    publish(count=2)
    point(1)
    point(2)
    before = catalog.get_alias("iris", "production")
    assert point(2) is None
    assert catalog.get_alias("iris", "production") == before
    assert len(catalog.list_events(kind="alias.pointed", limit=9).items) == 2
    assert roll_back().to_version == 1


def test_a_rollback_goes_back_and_a_second_one_further_back() -> None:
    """It never toggles."""
    publish(count=3)
    for number in (1, 2, 3):
        point(number)
    move = roll_back()
    assert (move.kind, move.from_version, move.to_version) == ("rollback", 3, 2)
    assert target() == 2
    assert roll_back().to_version == 1
    with pytest.raises(NothingToRollBackTo):
        catalog.plan_rollback("iris", "production", None)
    assert target() == 1


def test_pointing_after_a_rollback_pushes_where_it_was() -> None:
    """What was rolled back from is no longer on the stack."""
    publish(count=4)
    for number in (1, 2, 3):
        point(number)
    roll_back()
    point(4)
    assert roll_back().to_version == 2
    assert roll_back().to_version == 1


def test_the_same_version_may_stand_on_the_stack_twice() -> None:
    """The stack is where it pointed, in order."""
    publish(count=3)
    for number in (1, 2, 1, 3):
        point(number)
    assert [roll_back().to_version for _ in range(3)] == [1, 2, 1]


def test_a_rollback_to_a_version_pops_down_to_its_newest_entry() -> None:
    """What lay above it is gone."""
    publish(count=4)
    for number in (1, 2, 1, 3, 4):
        point(number)
    assert roll_back(to=1).to_version == 1
    assert roll_back().to_version == 2


def test_a_rollback_to_where_it_never_pointed_or_points_already_is_refused() -> None:
    """A retried `to` goes back once."""
    publish(count=3)
    for number in (1, 2):
        point(number)
    for to in (3, 2, 2**31, 2**62):
        with pytest.raises(NothingToRollBackTo):
            catalog.plan_rollback("iris", "production", to)
    roll_back(to=1)
    with pytest.raises(NothingToRollBackTo, match="points at version 1 already"):
        catalog.plan_rollback("iris", "production", 1)


def test_a_deleted_target_is_named_with_the_next_one() -> None:
    """The caller chooses; nothing is skipped silently, and nothing moves."""
    publish(count=4)
    for number in (1, 2, 3, 4):
        point(number)
    delete(3)
    for to in (None, 3):
        with pytest.raises(RollbackTargetDeleted) as refused:
            catalog.plan_rollback("iris", "production", to)
        assert refused.value.members == {"deleted": 3, "next": 2}
    with write(), pytest.raises(RollbackTargetDeleted):
        catalog.roll_back("iris", "production", None, reason="", expected_target=3)
    assert target() == 4
    assert roll_back(to=2).to_version == 2


def test_the_next_one_is_neither_deleted_nor_where_the_alias_points() -> None:
    """It must be one that a rollback can go to."""
    publish(count=4)
    for number in (4, 1, 2, 3, 1):
        point(number)
    delete(3)
    delete(2)
    with pytest.raises(RollbackTargetDeleted) as refused:
        catalog.plan_rollback("iris", "production", None)
    assert refused.value.members == {"deleted": 3, "next": 4}
    roll_back(to=4)
    assert target() == 4


def test_a_deleted_target_with_nothing_before_it_has_no_next() -> None:
    """Also when its row was swept."""
    publish(count=2)
    point(1)
    point(2)
    delete(1)
    with pytest.raises(RollbackTargetDeleted) as refused:
        catalog.plan_rollback("iris", "production", None)
    assert refused.value.members == {"deleted": 1, "next": None}


def test_a_rollback_whose_plan_no_longer_holds_moves_nothing() -> None:
    """The target that was made ready isn't the one it would go to."""
    publish(count=3)
    for number in (1, 2):
        point(number)
    planned = catalog.plan_rollback("iris", "production", None)
    point(3)
    with write(), pytest.raises(AliasMoved):
        catalog.roll_back("iris", "production", None, reason="", expected_target=planned)
    assert target() == 3


def test_each_alias_has_a_stack_of_its_own() -> None:
    """Of the same model and of another."""
    publish(count=2)
    publish("churn", count=2)
    for number in (1, 2):
        point(number)
    point(2, "canary")
    point(2, model="churn")
    assert roll_back().to_version == 1
    with pytest.raises(NothingToRollBackTo):
        catalog.plan_rollback("iris", "canary", None)
    with pytest.raises(NothingToRollBackTo):
        catalog.plan_rollback("churn", "production", None)


def test_history_only_grows() -> None:
    """Whatever happens to the alias, its versions and its model."""
    publish(count=3)
    seen: list[tuple[str, int | None, int | None]] = []
    steps: list[Callable[[], object]] = [
        lambda: point(1),
        lambda: point(2),
        lambda: point(3),
        roll_back,
        lambda: delete(3),
        lambda: roll_back(to=1),
    ]
    for step in steps:
        step()
        now = history()
        assert now[: len(seen)] == seen
        seen = now
    with write():
        catalog.delete_alias("iris", "production", reason="gone")
    point(2)
    assert history() == [*seen, ("delete", 1, None), ("point", None, 2)]
    assert seen == [("point", None, 1), ("point", 1, 2), ("point", 2, 3), ("rollback", 3, 2), ("rollback", 2, 1)]


def test_a_deleted_alias_forgets_its_stack() -> None:
    """Made again, it has nowhere to go back to."""
    publish(count=3)
    for number in (1, 2):
        point(number)
    with write():
        move = catalog.delete_alias("iris", "production", reason="gone")
    assert (move.kind, move.from_version, move.to_version, move.reason) == ("delete", 2, None, "gone")
    with pytest.raises(AliasNotFound):
        catalog.get_alias("iris", "production")
    point(3)
    with pytest.raises(NothingToRollBackTo):
        catalog.plan_rollback("iris", "production", None)


def test_preconditions_hold_or_nothing_moves() -> None:
    """By etag, by presence, by absence."""
    publish(count=3)
    with write(), pytest.raises(AliasMoved):
        catalog.point_alias("iris", "production", 1, reason="", if_match="*")
    point(1, if_none_match=True)
    etag = catalog.get_alias("iris", "production").etag
    for precondition in ({"if_match": str(int(etag) + 1)}, {"if_match": "nonsense"}, {"if_none_match": True}):
        with write(), pytest.raises(AliasMoved):
            catalog.point_alias("iris", "production", 2, reason="", **precondition)
    point(2, if_match=etag)
    point(3, if_match="*")
    with write(), pytest.raises(AliasMoved) as refused:
        catalog.roll_back("iris", "production", None, reason="", if_match=etag, expected_target=2)
    assert refused.value.members == {"version": 3}
    with write(), pytest.raises(AliasMoved):
        catalog.delete_alias("iris", "production", if_match=etag)
    assert target() == 3


def test_an_alias_points_only_at_what_is_there() -> None:
    """Not at deleted, unknown or other models' versions."""
    publish(count=2)
    delete(2)
    with write(), pytest.raises(VersionDeleted):
        catalog.point_alias("iris", "production", 2, reason="")
    with write(), pytest.raises(VersionNotFound):
        catalog.point_alias("iris", "production", 3, reason="")
    with write(), pytest.raises(ModelNotFound):
        catalog.point_alias("churn", "production", 1, reason="")
    assert catalog.list_aliases("iris") == []


def test_an_alias_that_is_not_there_is_not_found() -> None:
    """By everything that needs one."""
    publish()
    for ask in (catalog.get_alias, lambda name, alias: catalog.plan_rollback(name, alias, None)):
        with pytest.raises(AliasNotFound):
            ask("iris", "production")
    with pytest.raises(AliasNotFound):
        catalog.list_moves("iris", "production", limit=1)
    with write(), pytest.raises(AliasNotFound):
        catalog.delete_alias("iris", "production")


def test_an_alias_tells_where_it_pointed_at_a_time() -> None:
    """From the move on, up to the next."""
    publish(count=2)
    first, second = point(1), point(2)
    with write():
        gone = catalog.delete_alias("iris", "production")
    assert first is not None
    assert second is not None
    instant = timedelta(microseconds=1)
    assert catalog.alias_at("iris", "production", first.at).version == 1
    assert catalog.alias_at("iris", "production", second.at - instant).version == 1
    at_second = catalog.alias_at("iris", "production", second.at)
    assert (at_second.version, at_second.etag, at_second.moved_at) == (2, str(second.id), second.at)
    for nowhere in (first.at - instant, gone.at, datetime.now(UTC)):
        with pytest.raises(AliasNotFound):
            catalog.alias_at("iris", "production", nowhere)
