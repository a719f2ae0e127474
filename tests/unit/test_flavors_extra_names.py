"""The operator's extra names, as the fork server takes them: what is bad is said by name, everything else is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.flavors.warming import allow_extra_names

SOURCES = {
    "extra_good": "class Scaler: pass\nclass Other: pass\nnumber = 5\ndef scale(): pass\n",
    "extra_again": "from extra_good import Scaler\n",
    "extra_raises": "raise RuntimeError('line one\\nline two ' + 'x' * 1000)\n",
    "extra_exits": "raise SystemExit(3)\n",
    "extra_needs": "import extra_not_there\n",
    "extra_lazy": "def __getattr__(name): raise RuntimeError('no ' + name)\n",
}


@pytest.fixture(autouse=True)
def _package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, source in SOURCES.items():
        (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)


def test_classes_that_are_there_are_allowed_without_a_word() -> None:
    """Nothing to say is an empty list."""
    assert allow_extra_names(["extra_good:Scaler", "extra_good:Other"]) == []
    assert allow_extra_names([]) == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("extra_not_there:Scaler", "the module extra_not_there can't be imported here (ModuleNotFoundError"),
        ("extra_needs:Scaler", "the module extra_needs can't be imported here (ModuleNotFoundError: No module named 'extra_not_there')"),
        ("extra_raises:Scaler", "the module extra_raises can't be imported here (RuntimeError: line one line two x"),
        ("extra_exits:Scaler", "the module extra_exits can't be imported here (SystemExit: 3)"),
        ("extra_good:Missing", "the module extra_good has no Missing"),
        ("extra_good:number", "number in extra_good isn't a class"),
        ("extra_good:scale", "scale in extra_good isn't a class"),
        ("extra_lazy:Scaler", "no Scaler"),
        ("extra_again:Scaler", "artifacts name this class as extra_good:Scaler; write it like that"),
    ],
)
def test_a_bad_name_is_one_sentence_that_starts_with_it(name: str, said: str) -> None:
    """On one line and of bounded length; the good ones beside it stay good."""
    (problem,) = allow_extra_names(["extra_good:Other", name])
    assert problem.startswith(f"{name}: {said}")
    assert "\n" not in problem
    assert len(problem) < 500
