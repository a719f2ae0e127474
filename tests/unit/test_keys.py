"""API keys as text: what is made parses, and nothing else does."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry import keys

ALPHABET = set("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")


def test_a_key_that_was_made_parses_into_its_parts() -> None:
    """Give back id and secret from the text alone."""
    text, parsed = keys.make_key()
    assert keys.parse_key(text) == parsed
    prefix, key_id, rest = text.split("_")
    assert (prefix, key_id, rest[:43].encode()) == ("my", parsed.id, parsed.secret)
    assert len(text) == 65
    assert set(key_id + rest) <= ALPHABET


def test_no_two_keys_are_alike() -> None:
    """Draw id and secret anew each time."""
    made = [keys.make_key()[1] for _ in range(200)]
    assert len({key.id for key in made}) == len({key.secret for key in made}) == 200


def test_a_key_with_one_wrong_character_is_none() -> None:
    """Let the checksum catch every single typo, wherever it stands."""
    text, _ = keys.make_key()
    for place in range(len(text)):
        typo = "A" if text[place] != "A" else "B"
        assert keys.parse_key(text[:place] + typo + text[place + 1 :]) is None


@pytest.mark.parametrize(("start", "end"), [("", "0"), ("", "\n"), ("", " "), (" ", ""), ("Bearer ", ""), ("\0", "")])
def test_only_the_exact_text_is_a_key(start: str, end: str) -> None:
    """Refuse anything before or behind it, another case, and a cut."""
    text, _ = keys.make_key()
    for changed in (start + text + end, text.upper(), text.replace("my_", "MY_"), text[:-1], text[1:]):
        assert keys.parse_key(changed) is None


@given(st.text(max_size=80) | st.from_regex(r"my_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}", fullmatch=True))
def test_junk_is_no_key_and_raises_nothing(text: str) -> None:
    """Refuse any text, also one of the right form whose checksum is chance."""
    assert keys.parse_key(text) is None


def test_digits_of_other_scripts_are_not_digits() -> None:
    """Refuse what `str.isdigit` would take."""
    text, _ = keys.make_key()
    assert keys.parse_key(text[:-1] + "\N{ARABIC-INDIC DIGIT ONE}") is None


def test_a_secret_matches_its_own_hash_under_its_own_pepper_only() -> None:
    """Hash with HMAC-SHA256, and compare secret and pepper both."""
    _, parsed = keys.make_key()
    stored = keys.hash_secret(parsed.secret, b"pepper")
    assert stored == hmac.new(b"pepper", parsed.secret, hashlib.sha256).digest()
    assert keys.secret_matches(parsed.secret, stored, b"pepper")
    assert not keys.secret_matches(parsed.secret, stored, b"other")
    assert not keys.secret_matches(parsed.secret[:-1] + b"!", stored, b"pepper")


def test_admin_implies_every_scope_and_nothing_else_implies_any() -> None:
    """Widen `admin` alone."""
    assert keys.effective_scopes(("admin",)) == {"read", "predict", "publish", "admin"}
    for scope in ("read", "predict", "publish"):
        assert keys.effective_scopes((scope,)) == {scope}
    assert keys.effective_scopes(()) == frozenset()


@pytest.mark.parametrize(
    ("patterns", "model", "seen"),
    [
        ((), "anything", True),
        (("iris",), "iris", True),
        (("iris",), "iris2", False),
        (("iris*",), "iris2", True),
        (("a*", "*z"), "xyz", True),
        (("iris.*",), "irisx1", False),
    ],
)
def test_patterns_decide_what_a_key_may_see(patterns: tuple[str, ...], model: str, seen: bool) -> None:
    """Let `*` stand for any run and every other character for itself."""
    assert keys.may_see(patterns, model) is seen
