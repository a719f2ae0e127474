"""Names in URLs: what may stand there, and what must not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry import naming
from registry.errors import InvalidName

NEVER = [
    "", " ", "..", ".", "-", "_", "/", "a/b", "a\\b", "%2f", "a%2fb", "a\0", "a\r\nb", "a\n", "\na", "A", "É", "\N{LATIN SMALL LETTER DOTLESS I}ris", "\N{CYRILLIC SMALL LETTER A}bc",
    "\N{FULLWIDTH LATIN SMALL LETTER A}", "\N{ARABIC-INDIC DIGIT THREE}", "a b", "a?b", "a#b", "x" * 65, "x" * 300, "@production",
]  # fmt: skip


@pytest.mark.parametrize("name", ["a", "0", "iris", "iris-2", "a.b_c-d", "3", "x" * 64, "a.", "a-"])
def test_a_good_model_name_passes(name: str) -> None:
    """Take letters, digits and three marks, up to 64."""
    naming.require_model_name(name)


@pytest.mark.parametrize("name", [*NEVER, "a..b", "a..", "-a", ".a", "_a"])
def test_a_bad_model_name_is_refused(name: str) -> None:
    """Refuse paths, controls, look-alikes and what is too long."""
    with pytest.raises(InvalidName):
        naming.require_model_name(name)


@pytest.mark.parametrize("alias", ["production", "a", "a-1", "x" * 64])
def test_a_good_alias_passes_with_and_without_its_sign(alias: str) -> None:
    """Take it as a name, and as a selector behind `@`."""
    naming.require_alias(alias)
    assert naming.parse_selector(f"@{alias}") == alias


@pytest.mark.parametrize("alias", [*NEVER, "1a", "a.b", "a_b", "latest"])
def test_a_bad_or_reserved_alias_is_refused(alias: str) -> None:
    """Refuse what a model may be called but an alias may not, and `latest`."""
    with pytest.raises(InvalidName):
        naming.require_alias(alias)


def test_latest_may_be_selected_though_never_set() -> None:
    """Read `@latest` as the alias that nobody sets."""
    assert naming.parse_selector("@latest") == naming.LATEST


@pytest.mark.parametrize(
    "selector",
    [*NEVER[:-1], "0", "-1", "+1", "01", "1.0", "1e3", "1_000", " 1", "1 ", "1\n", "2147483648", "9" * 5000, "@", "@@a", "@A", "@1"],
)
def test_what_is_neither_a_number_nor_an_alias_is_no_selector(selector: str) -> None:
    """Refuse what `int` would take, and what the database can't hold."""
    with pytest.raises(InvalidName):
        naming.parse_selector(selector)


@given(st.integers(1, naming.MAX_VERSION))
def test_every_version_number_is_a_selector(number: int) -> None:
    """Read back the number that was written."""
    assert naming.parse_selector(str(number)) == number


@pytest.mark.parametrize("pattern", ["*", "iris*", "*-eu", "a*b*c", "iris"])
def test_a_good_pattern_passes(pattern: str) -> None:
    """Take stars among the characters of names."""
    naming.require_model_pattern(pattern)


@pytest.mark.parametrize("pattern", ["", "?", "[ab]", "a[!b]", "A*", "a/*", "*\n", "*" * 65])
def test_a_bad_pattern_is_refused(pattern: str) -> None:
    """Refuse every other sign that fnmatch would give a meaning."""
    with pytest.raises(InvalidName):
        naming.require_model_pattern(pattern)


@pytest.mark.parametrize("check", [naming.require_model_name, naming.require_alias, naming.require_model_pattern, naming.parse_selector])
@given(name=st.text())
def test_what_passes_needs_no_quoting_anywhere(check: Callable[[str], object], name: str) -> None:
    """Let nothing through that a path, a header or a Redis key could read otherwise."""
    try:
        check(name)
    except InvalidName:
        return
    assert name.isascii()
    assert len(name) <= 65
    assert not set(name) & set("/\\%?#\0\r\n \t\"'<>")
