"""Compiled forms in the catalog: which are to be made, and what came of it, on either database."""

from __future__ import annotations

import pytest

from registry import catalog
from registry.catalog import Version
from tests.catalog_data import new_version, publish, write

pytestmark = pytest.mark.usefixtures("catalog_app")

REPORT = {"worst": 1e-9, "tolerance": 1e-6, "rows": 99}


def _choose(runtime: str) -> Version:
    with write():
        return catalog.change_version("iris", 1, runtime=runtime)


def _is(version: Version, runtime: str, fast: str | None, effective: str) -> None:
    assert (version.runtime, version.fast, version.effective_runtime) == (runtime, fast, effective)


def test_choosing_fast_asks_for_the_compiled_form() -> None:
    """Until it is made the exact runtime serves; choosing exact again asks no more."""
    version = publish(runtime="fast")
    _is(version, "fast", "pending", "exact")
    assert catalog.list_pending() == [version.id]
    spec = catalog.find_compile_spec(version.id)
    assert spec is not None
    assert (spec.model, spec.number, spec.golden, spec.methods) == ("iris", 1, b"golden", version.methods)
    _is(_choose("exact"), "exact", None, "exact")
    assert (catalog.list_pending(), catalog.find_compile_spec(version.id)) == ([], None)


def test_a_compiled_form_serves_once_it_is_noted_and_is_kept_for_later() -> None:
    """Going back to exact and to fast again costs no second compilation."""
    version = publish(runtime="fast")
    with write():
        assert catalog.note_compiled(version.id, b"outputs", REPORT)
    noted = catalog.get_version("iris", 1)
    _is(noted, "fast", "ready", "fast")
    assert noted.fast_report == REPORT
    spec = catalog.get_load_spec(version.id)
    assert (spec.runtime, spec.golden, spec.fast_golden) == ("fast", b"golden", b"outputs")
    _is(_choose("exact"), "exact", "ready", "exact")
    spec = catalog.get_load_spec(version.id)
    assert (spec.runtime, spec.golden, spec.fast_golden) == ("exact", b"golden", None)
    _is(_choose("fast"), "fast", "ready", "fast")
    [event] = catalog.list_events(kind="version.compiled", limit=9).items
    assert (event.model, event.version, event.detail) == ("iris", 1, REPORT)


def test_a_refused_form_says_why_until_it_is_tried_again() -> None:
    """Choosing fast once more is the way to try."""
    version = publish(runtime="fast")
    with write():
        assert catalog.note_compile_refused(version.id, {"reason": "a label differs"})
    refused = catalog.get_version("iris", 1)
    _is(refused, "fast", "refused", "exact")
    assert refused.fast_report == {"reason": "a label differs"}
    assert catalog.list_pending() == []
    again = _choose("fast")
    _is(again, "fast", "pending", "exact")
    assert again.fast_report is None
    [event] = catalog.list_events(kind="version.compile-refused", limit=9).items
    assert event.reason == "a label differs"


def test_what_was_decided_meanwhile_stands() -> None:
    """A compilation that ends after the version was deleted, set back or finished by another host changes nothing."""
    version = publish(runtime="fast")
    with write():
        catalog.delete_version("iris", 1)
    assert (catalog.list_pending(), catalog.find_compile_spec(version.id)) == ([], None)
    with write():
        assert not catalog.note_compiled(version.id, b"outputs", REPORT)
        assert not catalog.note_compile_refused(version.id, {"reason": "late"})
    with write():
        catalog.restore_version("iris", 1)
    assert catalog.list_pending() == [version.id]
    with write():
        assert catalog.note_compiled(version.id, b"outputs", REPORT)
        assert not catalog.note_compile_refused(version.id, {"reason": "late"})
    _is(catalog.get_version("iris", 1), "fast", "ready", "fast")


def test_a_version_without_a_runtime_gets_its_models() -> None:
    """What the manifest names goes before it, and a model made again begins with exact."""
    publish()
    with write():
        assert catalog.change_model("iris", runtime="fast").runtime == "fast"
    _is(publish(), "fast", "pending", "exact")
    _is(publish(runtime="exact"), "exact", None, "exact")
    assert catalog.list_events(kind="model.changed", limit=1).items[0].detail == {"runtime": {"from": "exact", "to": "fast"}}
    with write():
        catalog.delete_model("iris")
    with write():
        _is(catalog.add_version(new_version()), "exact", None, "exact")
    assert catalog.get_model("iris").runtime == "exact"
