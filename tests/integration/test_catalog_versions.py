"""Versions in the catalog, on either database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError, StatementError

from registry import catalog, tables
from registry.errors import ModelNotFound, VersionDeleted, VersionInUse, VersionNotFound
from registry.extensions import db
from tests.catalog_data import all_pages, new_version, point, publish, write

pytestmark = pytest.mark.usefixtures("catalog_app")


def test_a_version_comes_back_as_it_was_published() -> None:
    """Every field survives the database."""
    before = datetime.now(UTC)
    fields: dict[str, Any] = {
        "tags": {"stage": "é 💐"},
        "metrics": {"auc": 0.1 + 0.2},
        "parameters": {"depth": [1, None, {"x": "y"}]},
        "source": {"commit": "abc"},
        "size_bytes": 5 * 2**32,
        "deterministic": False,
        "batching": False,
        "accept_skew": True,
        "cache": "off",
        "runtime": "fast",
        "description": "first",
    }
    version = publish(**fields)
    for name, value in fields.items():
        assert getattr(version, name) == value, name
    assert (version.model, version.number, version.status, version.pinned, version.aliases) == ("iris", 1, "ready", False, ())
    assert version.methods == ("predict", "predict_proba")
    assert (version.golden_rows, version.golden_from) == (5, "example")
    assert (version.deleted_at, version.load_error, version.created_by) == (None, None, "tester")
    assert before <= version.created_at <= datetime.now(UTC)
    assert version.created_at.tzinfo is UTC
    assert catalog.get_version("iris", 1) == version
    assert catalog.find_latest("iris") == version


def test_numbers_count_per_model() -> None:
    """Two models begin with 1 each."""
    assert [publish("a").number, publish("b").number, publish("a").number] == [1, 1, 2]


def test_numbers_go_on_after_the_newest_version_and_the_model_are_deleted() -> None:
    """A number that once named something never names something else."""
    publish(count=3)
    with write():
        catalog.delete_version("iris", 3)
    assert publish().number == 4
    with write():
        catalog.delete_model("iris")
    with write():
        catalog.remove_deleted_versions(datetime.now(UTC))
    assert publish().number == 5
    with pytest.raises(VersionNotFound):
        catalog.get_version("iris", 4)


def test_a_publish_that_is_rolled_back_takes_no_number() -> None:
    """Numbers have no gaps."""
    publish()
    catalog.begin_write("tester", "here")
    assert catalog.add_version(new_version()).number == 2
    db.session.rollback()
    assert publish().number == 2


def test_the_database_itself_refuses_a_number_twice() -> None:
    """Even a bug in the counting couldn't double one."""
    publish(count=2)
    catalog.begin_write("tester", "here")
    db.session.execute(tables.RegisteredModel.__table__.update().values(last_number=1))  # type: ignore[attr-defined]
    with pytest.raises(IntegrityError):
        catalog.add_version(new_version())
    db.session.rollback()


def test_versions_are_listed_newest_first_by_status_and_tag() -> None:
    """Deleted ones are in the listing unless it is asked for ready ones."""
    publish(count=2, tags={"stage": "a"})
    publish(count=2)
    with write():
        catalog.delete_version("iris", 2)

    def numbers(**filters: Any) -> list[int]:
        return [version.number for version in all_pages(catalog.list_versions, "iris", limit=2, **filters)]

    assert numbers() == [4, 3, 2, 1]
    assert numbers(status="ready") == [4, 3, 1]
    assert numbers(status="deleted") == [2]
    assert numbers(tag=("stage", "a")) == [2, 1]
    assert numbers(tag=("stage", "a"), status="ready") == [1]


def test_what_may_change_about_a_version_changes_and_leaves_what_it_was() -> None:
    """Nothing else can be named."""
    publish(tags={"a": "1"})
    with write():
        changed = catalog.change_version(
            "iris", 1, description="new", tags={"a": "2"}, metrics={"auc": 1.0}, batching=False, runtime="fast"
        )
    assert (changed.description, changed.tags, changed.metrics, changed.batching, changed.runtime) == (
        "new",
        {"a": "2"},
        {"auc": 1.0},
        False,
        "fast",
    )
    assert catalog.get_version("iris", 1) == changed
    detail = catalog.list_events(kind="version.changed", limit=1).items[0].detail
    assert detail["batching"] == {"from": True, "to": False}
    assert detail["tags"] == {"from": {"a": "1"}, "to": {"a": "2"}}
    with write():
        catalog.change_version("iris", 1, description="new", batching=False)
    assert len(catalog.list_events(kind="version.changed", limit=9).items) == 1
    assert (detail["runtime"], detail["fast"]) == ({"from": "exact", "to": "fast"}, {"from": None, "to": "pending"})


def test_a_deleted_version_is_shown_but_not_changed_and_comes_back() -> None:
    """Deleting and restoring twice is the same as once."""
    publish()
    for _ in range(2):
        with write():
            deleted = catalog.delete_version("iris", 1)
    assert deleted.status == "deleted"
    assert deleted.deleted_at is not None
    assert catalog.get_version("iris", 1) == deleted
    assert catalog.find_latest("iris") is None
    with write(), pytest.raises(VersionDeleted):
        catalog.change_version("iris", 1, description="x")
    with write(), pytest.raises(VersionDeleted):
        catalog.set_pinned("iris", 1, True)
    with pytest.raises(VersionDeleted):
        catalog.get_load_spec(deleted.id)
    for _ in range(2):
        with write():
            restored = catalog.restore_version("iris", 1)
    assert (restored.status, restored.deleted_at) == ("ready", None)
    kinds = [event.kind for event in catalog.list_events(limit=9).items]
    assert kinds == ["version.restored", "version.deleted", "version.published", "model.created"]


def test_restoring_a_version_of_a_deleted_model_brings_the_model_back() -> None:
    """With the words it had, since it is the same one."""
    publish()
    with write():
        catalog.change_model("iris", description="flowers")
    with write():
        catalog.delete_model("iris")
    with write():
        catalog.restore_version("iris", 1)
    assert catalog.get_model("iris").description == "flowers"
    with write(), pytest.raises(VersionNotFound):
        catalog.restore_version("iris", 2)
    with write(), pytest.raises(VersionNotFound):
        catalog.restore_version("churn", 1)


def test_a_version_in_use_is_not_deleted() -> None:
    """The refusal names every alias that points at it."""
    publish(count=2)
    point(2)
    point(2, "canary")
    assert catalog.get_version("iris", 2).aliases == ("canary", "production")
    with write(), pytest.raises(VersionInUse) as refused:
        catalog.delete_version("iris", 2)
    assert refused.value.members == {"aliases": ["canary", "production"]}


def test_numbers_that_were_never_given_are_not_found() -> None:
    """Of a model that is there."""
    publish()
    for number in (2, 2**31, 2**62):
        with pytest.raises(VersionNotFound):
            catalog.get_version("iris", number)


def test_pinned_versions_are_listed_while_they_are_ready() -> None:
    """Pinning twice leaves one event."""
    publish(count=2)
    for _ in range(2):
        with write():
            catalog.set_pinned("iris", 2, True)
    assert [version.number for version in catalog.list_pinned()] == [2]
    with write():
        catalog.delete_version("iris", 2)
    assert catalog.list_pinned() == []
    with write():
        catalog.restore_version("iris", 2)
    with write():
        catalog.set_pinned("iris", 2, False)
    assert catalog.list_pinned() == []
    assert len(catalog.list_events(kind="version.pinned", limit=9).items) == 1
    assert len(catalog.list_events(kind="version.unpinned", limit=9).items) == 1


def test_a_load_error_is_kept_until_the_version_loads() -> None:
    """And the audit trail says when it failed, once."""
    version = publish()
    for _ in range(2):
        with write():
            catalog.note_load_error(version.id, "outputs differ")
    assert catalog.get_version("iris", 1).load_error == "outputs differ"
    with write():
        catalog.note_load_error(version.id, None)
    assert catalog.get_version("iris", 1).load_error is None
    assert [event.reason for event in catalog.list_events(kind="version.load-failed", limit=9).items] == ["outputs differ"]
    with write(), pytest.raises(VersionNotFound):
        catalog.note_load_error(version.id + 1, "x")


def test_a_load_spec_has_the_golden_predictions() -> None:
    """It is read by the version's id alone."""
    publish()
    version = publish(golden=b"\x00\xff" * 1000)
    spec = catalog.get_load_spec(version.id)
    assert (spec.version_id, spec.model, spec.number, spec.sha256) == (version.id, "iris", 2, version.sha256)
    assert spec.golden == b"\x00\xff" * 1000
    assert (spec.flavor, spec.runtime, spec.deterministic, spec.batching, spec.pinned) == ("sklearn", "exact", True, True, False)
    assert spec.signature == version.signature
    with pytest.raises(VersionNotFound):
        catalog.get_load_spec(version.id + 1)


def test_a_version_keeps_its_diagram_and_its_golden_predictions() -> None:
    """Apart from the version, and gone with it; one that couldn't be drawn has none."""
    diagram = {"class": "<b>", "text": "a\n\u0000é", "children": [{"parameters": {}}]}
    version = publish(diagram=diagram)
    assert (catalog.find_diagram(version.id), catalog.find_golden(version.id)) == (diagram, b"golden")
    bare = publish(golden=None)
    assert (catalog.find_diagram(bare.id), catalog.find_golden(bare.id)) == (None, None)
    with write():
        catalog.delete_version("iris", version.number)
    with write():
        catalog.remove_deleted_versions(datetime.now(UTC) + timedelta(days=1))
    assert (catalog.find_diagram(version.id), catalog.find_golden(version.id)) == (None, None)


def test_an_id_is_never_given_twice() -> None:
    """Hosts remember versions by it, so a swept one's must not come back."""
    publish()
    newest = publish()
    with write():
        catalog.delete_version("iris", 2)
    with write():
        catalog.remove_deleted_versions(datetime.now(UTC))
    assert publish().id > newest.id


def test_a_version_of_a_deleted_model_is_a_missing_model() -> None:
    """The model's absence is what the caller can act on."""
    publish()
    with write():
        catalog.delete_model("iris")
    with write(), pytest.raises(ModelNotFound):
        catalog.delete_version("iris", 1)


def test_a_time_without_a_zone_is_refused() -> None:
    """It would mean another moment on another host."""
    with pytest.raises(StatementError, match="without a zone"):
        catalog.list_events(since=datetime(2026, 1, 1), limit=1)  # noqa: DTZ001 - the point of the test
    db.session.rollback()
