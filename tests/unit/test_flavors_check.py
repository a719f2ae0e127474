"""What is judged of an upload without its bytes: nothing that would be admitted is refused, and no name is looked up but in the table."""

from __future__ import annotations

import pickle
import pickletools
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry import flavors
from registry.errors import NotAModel, UnknownFormat, UnsafeArtifact
from registry.flavors.formats import INSTALLED
from registry.flavors.unpickling import names
from registry.flavors.warming import allow_extra_names
from tests.fixture_models import CASES, case_of
from tests.locked import attempt


def check(pairs: Any = (), estimator: dict[str, Any] | None = None, **manifest: Any) -> None:
    """Check what is told of an upload."""
    flavors.check({"names": pairs, "estimator": estimator, "manifest": manifest})


def pairs_in(artifact: bytes) -> list[tuple[str, str]]:
    """Return what a pickle of protocol 2 names."""
    return [tuple(argument.split(" ")) for code, argument, _ in pickletools.genops(artifact) if code.name == "GLOBAL"]


@pytest.mark.parametrize("name", CASES)
def test_a_model_that_is_admitted_is_not_refused(name: str) -> None:
    """By all the names in it, as pickle writes them."""
    pairs = pairs_in(pickle.dumps(case_of(name).estimator, protocol=2))
    check(pairs, {"type": type(case_of(name).estimator).__name__, "has_fit": True, "has_predict": True, "fitted": True})
    assert len(pairs) > 2


def test_every_name_of_the_table_is_accepted() -> None:
    """All at once, and more than there are may be sent."""
    check(list(names.TABLE))
    assert len(names.TABLE) < 2000


def test_an_extra_name_of_the_operator_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Like the others, until it is taken away."""
    monkeypatch.setattr(names, "_extra", {})
    pair = ("tests.winsorizer", "Winsorizer")
    with pytest.raises(UnsafeArtifact, match=r"MODELYARD_EXTRA_NAMES=tests\.winsorizer:Winsorizer"):
        check([pair])
    assert allow_extra_names([":".join(pair)]) == []
    check([pair])


@given(st.lists(st.tuples(st.text(), st.text()), min_size=1, max_size=5))
def test_any_text_is_a_name_that_is_accepted_or_refused(pairs: list[tuple[str, str]]) -> None:
    """With words of ours, in which only plain names stand; nothing is imported because it is named."""
    before = set(sys.modules)
    with pytest.raises(UnsafeArtifact) as refused:
        check(pairs)
    assert set(sys.modules) == before
    assert refused.value.members["found"][0]["rule"] == "name-not-allowed"
    assert refused.value.detail.isascii()


def test_a_named_module_is_not_imported() -> None:
    """Though it could be."""
    sys.modules.pop("antigravity", None)
    with pytest.raises(UnsafeArtifact, match="antigravity"):
        check([("antigravity", "fly")])
    assert "antigravity" not in sys.modules


def test_it_can_be_done_behind_the_lock() -> None:
    """No file, no import, no thread."""

    def refused() -> str:
        try:
            check([("sklearn.pipeline", "Pipeline"), ("os", "system")])
        except UnsafeArtifact as error:
            return error.detail
        return "accepted"

    outcome = attempt(refused, memory_bytes=1 << 30)
    assert outcome.text.startswith("The artifact uses os.system, which a fitted model never needs."), outcome


@pytest.mark.parametrize(("flavor", "package"), [("skops", "skops"), ("onnx", "onnxruntime")])
def test_a_flavor_whose_extra_is_missing_is_refused(monkeypatch: pytest.MonkeyPatch, flavor: str, package: str) -> None:
    """With the words for a file of that flavor."""
    monkeypatch.setattr("registry.flavors.formats.INSTALLED", INSTALLED - {package})
    with pytest.raises(UnknownFormat, match=rf"needs the extra `{flavor}`.*make serve EXTRAS={flavor}"):
        check(flavor=flavor)


def test_the_name_of_a_class_is_shown_where_it_is_plain_and_cut_as_in_an_upload() -> None:
    """After 64 characters."""
    with pytest.raises(NotAModel, match=r"^The \(a name that isn't plain\) isn't fitted yet"):
        check(estimator={"type": "<script>", "fitted": False})
    with pytest.raises(NotAModel, match=f"^The {'A' * 64} isn't fitted yet"):
        check(estimator={"type": "A" * 200, "fitted": False})
