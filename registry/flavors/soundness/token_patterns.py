"""Which patterns for tokens may run: those that can't try exponentially many ways to match one text.

A conservative look at the parsed pattern; Python's engine has no limit of its own. Must never run or compile the pattern.
What remains is at most polynomial, and ended by the worker's clock.
"""

from __future__ import annotations

import re
import warnings
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

_LONGEST = 300
#: A repeat of more than this counts as endless.
_MANY = 1000
#: Each endless repeat in a row multiplies the time by the length of the text.
_MOST_ENDLESS = 3
#: Each item that may be there or not, or more than once, can double the ways to match.
_MOST_VARIABLE = 10
_DEEPEST = 20
_REPEATS = frozenset({codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT})
_SINGLE = frozenset({codes.LITERAL, codes.NOT_LITERAL, codes.IN, codes.ANY})
_CATEGORIES = {
    codes.CATEGORY_DIGIT: r"\d",
    codes.CATEGORY_NOT_DIGIT: r"\D",
    codes.CATEGORY_SPACE: r"\s",
    codes.CATEGORY_NOT_SPACE: r"\S",
    codes.CATEGORY_WORD: r"\w",
    codes.CATEGORY_NOT_WORD: r"\W",
}


class _Slow(Exception):
    """The pattern may be slow; its text says why, after "the pattern ..."."""


class _Tally:
    """How many repeats were seen so far."""

    def __init__(self) -> None:
        self.endless = 0
        self.variable = 0

    def add(self, least: int, most: int) -> None:
        """Count one repeat. Raises _Slow at the one too many."""
        self.endless += most > _MANY
        self.variable += least != most
        if self.endless > _MOST_ENDLESS or self.variable > _MOST_VARIABLE:
            raise _Slow("has many repeats")


def why_slow(pattern: str) -> str | None:
    """Return why a pattern can't be let run, after "the pattern ...", or None where it can."""
    if len(pattern) > _LONGEST:
        return f"is longer than {_LONGEST} characters"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _look(list(parser.parse(pattern)), _Tally(), 0)
    except _Slow as slow:
        return str(slow)
    except (re.error, RecursionError, OverflowError, ValueError):
        return "isn't a regular expression"
    return None


def _look(items: list[Any], tally: _Tally, depth: int) -> None:
    """Look at the items of a sequence. Raises _Slow."""
    if depth > _DEEPEST:
        raise _Slow("is nested too deeply")
    for code, argument in items:
        if code in _REPEATS:
            _look_at_repeat(argument, tally, depth)
        elif code in _SINGLE or code == codes.AT:
            continue
        elif code == codes.SUBPATTERN:
            _look(list(argument[3]), tally, depth + 1)
        elif code == codes.ATOMIC_GROUP:
            _look(list(argument), tally, depth + 1)
        elif code in {codes.ASSERT, codes.ASSERT_NOT}:
            _look(list(argument[1]), tally, depth + 1)
        elif code == codes.BRANCH:
            for branch in argument[1]:
                _look(list(branch), tally, depth + 1)
        else:
            raise _Slow("refers back to a group")


def _look_at_repeat(argument: tuple[int, int, Any], tally: _Tally, depth: int) -> None:
    least, most, body = argument
    tally.add(least, most)
    inner = _unwrapped(list(body))
    _look(inner, tally, depth + 1)
    if most > 1 and not (_is_plain(inner) or _is_separated(inner) or _is_choice(inner)):
        raise _Slow("repeats something that itself can match in several ways")


def _unwrapped(items: list[Any]) -> list[Any]:
    """Return what is inside groups around the whole."""
    while len(items) == 1 and items[0][0] == codes.SUBPATTERN:
        items = list(items[0][1][3])
    return items


def _is_plain(items: list[Any]) -> bool:
    """Tell whether a sequence matches in one way only: one character for each item."""
    return all(code in _SINGLE or code == codes.AT for code, _ in items) and any(code in _SINGLE for code, _ in items)


def _is_separated(items: list[Any]) -> bool:
    """Tell whether each round begins with a character that the repeat after it can't match, as in "-" and then letters."""
    if len(items) != 2 or items[1][0] not in _REPEATS:  # noqa: PLR2004 - the separator and the repeat
        return False
    separators, repeated = _literals(items[0]), list(items[1][1][2])
    if separators is None or len(repeated) != 1 or repeated[0][0] not in _SINGLE:
        return False
    # A letter may match in another case, and in other alphabets in more than one.
    return not any(character.isalpha() or _matches(repeated[0], character) for character in separators)


def _is_choice(items: list[Any]) -> bool:
    """Tell whether the choices begin with different letters and are plain, as in (?:ab|cd)+."""
    if len(items) != 1 or items[0][0] != codes.BRANCH:
        return False
    branches = [list(branch) for branch in items[0][1][1]]
    if not all(branch and _is_plain(branch) and branch[0][0] == codes.LITERAL for branch in branches):
        return False
    return len({chr(branch[0][1]).casefold() for branch in branches}) == len(branches)


def _literals(item: Any) -> list[str] | None:
    code, argument = item
    if code == codes.LITERAL:
        return [chr(argument)]
    if code == codes.IN and all(part[0] == codes.LITERAL for part in argument):
        return [chr(part[1]) for part in argument]
    return None


def _matches(item: Any, character: str) -> bool:
    """Tell whether a single-character item may match a character that is no letter."""
    code, argument = item
    if code == codes.LITERAL:
        return chr(argument) == character
    if code != codes.IN:
        return True
    negated = argument[0][0] == codes.NEGATE
    return bool(negated) is not any(_holds(part, character) for part in argument)


def _holds(part: Any, character: str) -> bool:
    code, argument = part
    if code == codes.LITERAL:
        return chr(argument) == character
    if code == codes.RANGE:
        return bool(argument[0] <= ord(character) <= argument[1])
    return code == codes.CATEGORY and re.match(_CATEGORIES[argument], character) is not None
