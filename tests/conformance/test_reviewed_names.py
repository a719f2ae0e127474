"""Every name that an artifact may use was judged by somebody; an upgrade of a library that brings another one fails here."""

from __future__ import annotations

import pytest
from sklearn.utils import all_estimators

from registry.flavors.unpickling import names
from registry.flavors.unpickling.tokens import New
from tests.reviewed_names import installed, reviewed


def test_the_table_of_names_is_the_reviewed_list() -> None:
    """Neither more nor fewer: judge each new class, then add its line (see tests/reviewed_names.py)."""
    assert installed() - reviewed() == set(), "nobody has judged these yet"
    assert reviewed() - installed() == set(), "these are gone from the installed libraries"


def test_every_public_estimator_is_in_the_table_to_be_made_empty() -> None:
    """What scikit-learn adds comes in by itself, and so into the test above."""
    missing = [name for name, cls in all_estimators() if type(names.TABLE.get(names.pair_of(cls))) is not New]
    assert missing == []


@pytest.mark.parametrize(
    "module", ["os", "posix", "subprocess", "pickle", "joblib", "importlib", "ctypes", "io", "operator", "sys", "shutil"]
)
def test_no_name_of_a_module_that_reaches_out_is_in_the_table(module: str) -> None:
    """Whatever else the lists say."""
    assert [pair for pair in names.TABLE if pair[0] == module] == []


def test_the_table_can_not_be_changed() -> None:
    """It is frozen once it is made."""
    with pytest.raises(TypeError):
        names.TABLE["os", "system"] = None  # type: ignore[index]


def test_no_name_is_dotted() -> None:
    """A dotted name would walk attributes."""
    assert [pair for pair in names.TABLE if "." in pair[1]] == []
