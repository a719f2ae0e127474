"""Models in the catalog, on either database."""

from __future__ import annotations

from typing import Any

import pytest

from registry import catalog
from registry.errors import InvalidRequest, ModelNotFound, VersionInUse
from tests.catalog_data import all_pages, point, publish, write

pytestmark = pytest.mark.usefixtures("catalog_app")


def names(**filters: Any) -> list[str]:
    """Return the names of a listing's models."""
    return [model.name for model in all_pages(catalog.list_models, limit=2, **filters)]


def test_a_model_shows_what_it_owns() -> None:
    """Its highest ready version, how many there are, and where its aliases point."""
    publish(count=3)
    point(2)
    with write():
        catalog.delete_version("iris", 3)
    model = catalog.get_model("iris")
    assert (model.latest_version, model.version_count, model.aliases) == (2, 2, {"production": 2})
    assert (model.created_by, model.deleted_at, model.tags) == ("tester", None, {})


def test_an_unknown_model_is_not_found() -> None:
    """By every function that needs one."""
    with pytest.raises(ModelNotFound):
        catalog.get_model("iris")
    with pytest.raises(ModelNotFound):
        catalog.list_versions("iris", limit=1)
    with pytest.raises(ModelNotFound):
        catalog.get_version("iris", 1)
    with pytest.raises(ModelNotFound):
        catalog.list_aliases("iris")
    assert catalog.find_latest("iris") is None


def test_description_and_tags_change_and_leave_what_they_were() -> None:
    """Tags are replaced as a whole, also where a name stays and its value doesn't."""
    publish()
    with write():
        catalog.change_model("iris", description="flowers", tags={"team": "a", "old": "x"})
    with write():
        model = catalog.change_model("iris", tags={"team": "b", "new": "y"})
    assert (model.description, model.tags) == ("flowers", {"team": "b", "new": "y"})
    assert catalog.get_model("iris") == model
    newest = catalog.list_events(kind="model.changed", limit=1).items[0]
    assert newest.detail == {"tags": {"from": {"team": "a", "old": "x"}, "to": {"team": "b", "new": "y"}}}


def test_a_change_to_what_it_is_already_leaves_no_event() -> None:
    """The audit trail tells changes, not requests."""
    publish()
    with write():
        catalog.change_model("iris", description="", tags={})
    assert catalog.list_events(kind="model.changed", limit=1).items == []


def test_a_model_with_an_alias_is_not_deleted() -> None:
    """Somebody may be served by it."""
    publish()
    point(1)
    with write(), pytest.raises(VersionInUse) as refused:
        catalog.delete_model("iris")
    assert refused.value.members == {"aliases": {"production": 1}}


def test_a_deleted_model_is_gone_with_its_versions_and_made_again_by_a_publish() -> None:
    """Its numbers go on, its words don't, and what it had stays deleted."""
    publish(count=2)
    with write():
        catalog.change_model("iris", description="flowers", tags={"a": "b"})
    with write():
        catalog.delete_model("iris")
    assert names() == []
    with pytest.raises(ModelNotFound):
        catalog.get_version("iris", 1)
    assert catalog.find_latest("iris") is None
    assert publish().number == 3
    model = catalog.get_model("iris")
    assert (model.description, model.tags, model.version_count, model.latest_version) == ("", {}, 1, 3)
    assert catalog.get_version("iris", 2).status == "deleted"


def test_models_are_listed_in_each_order() -> None:
    """Names compare byte by byte, so that both databases agree."""
    for name in ("b-1", "a.9", "b_1", "a", "b0"):
        publish(name)
    assert names() == ["a", "a.9", "b-1", "b0", "b_1"]
    assert names(order="-name") == ["b_1", "b0", "b-1", "a.9", "a"]
    assert names(order="created_at") == ["b-1", "a.9", "b_1", "a", "b0"]
    assert names(order="-created_at") == ["b0", "a", "b_1", "a.9", "b-1"]
    with pytest.raises(InvalidRequest):
        names(order="size")


def test_models_are_found_by_search_tag_and_pattern() -> None:
    """Search looks at name and description without case; a pattern's star stands for any run of characters."""
    for name in ("iris", "iris-big", "churn"):
        publish(name)
    with write():
        catalog.change_model("churn", description="Who leaves, IRIS excepted", tags={"team": "sales"})
    assert names(search="Iris") == ["churn", "iris", "iris-big"]
    assert names(search="big") == ["iris-big"]
    assert names(tag=("team", "sales")) == ["churn"]
    assert names(tag=("team", "sale")) == []
    assert names(patterns=("iris*",)) == ["iris", "iris-big"]
    assert names(patterns=("*-b*", "churn")) == ["churn", "iris-big"]
    assert names(patterns=("iris*",), search="leaves") == []


@pytest.mark.parametrize("wildcard", ["%", "_", "\\", "/", "a%c", "a_c"])
def test_wildcards_in_a_search_are_taken_literally(wildcard: str) -> None:
    """A percent sign finds a percent sign, not everything."""
    publish("plain")
    publish("abc")
    assert names(search=wildcard) == []
    with write():
        catalog.change_model("plain", description=f"x{wildcard}y")
    assert names(search=wildcard) == ["plain"]


def test_an_underscore_in_a_pattern_is_taken_literally() -> None:
    """A key for `a_*` may not see `ab1`."""
    publish("a_1")
    publish("ab1")
    assert names(patterns=("a_*",)) == ["a_1"]
