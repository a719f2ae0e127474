"""Vectorizers: what they open, what they call, how long they may search, and where their words lead.

A vectorizer opens the path that a request sends if its `input` says so, and its words become indices that nobody looks
at again. Must never compile a pattern or call anything of the vectorizer.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from registry.flavors.refusals import Refused
from registry.flavors.soundness.reading import FIT_AGAIN, attributes, refusal, whole_number
from registry.flavors.soundness.token_patterns import why_slow

VOCABULARY_RULE = "broken-vocabulary"
_ANALYZERS = frozenset({"word", "char", "char_wb"})
_ACCENTS = (None, "ascii", "unicode")
_COLLECTIONS = (list, tuple, set, frozenset, np.ndarray)
_MOST_HASHED = 2**31 - 1
_LONGEST_GRAM = 100
_INSTEAD = {
    "analyzer": "analyzer='word', 'char' or 'char_wb'",
    "tokenizer": "`token_pattern`",
    "preprocessor": "`lowercase` and strip_accents='unicode'",
    "strip_accents": "strip_accents='unicode'",
}


def check_text(vectorizer: Any) -> None:
    """Require that a text vectorizer reads no files, calls no functions and searches in bounded time. Raises Refused."""
    stored = attributes(vectorizer)
    if stored.get("input") != "content":
        raise refusal(
            "reads-files",
            vectorizer,
            "A {name} takes the texts that it is given for files to open. Fit it with input='content' and send the texts themselves.",
        )
    _check_functions(vectorizer, stored)
    _check_pattern(vectorizer, stored)
    _check_words(vectorizer, stored)
    if "_white_spaces" in stored:
        raise _broken(vectorizer, "brings a pattern of its own for white space")


def check_counts(vectorizer: Any) -> None:
    """Require the same, and that its words are numbered without a gap. Raises Refused."""
    check_text(vectorizer)
    _check_vocabulary(vectorizer, "vocabulary_")
    if type(attributes(vectorizer).get("vocabulary")) is dict:
        _check_vocabulary(vectorizer, "vocabulary")


def check_hashing_text(vectorizer: Any) -> None:
    """Require the same, and a number of columns that native code can count. Raises Refused."""
    check_text(vectorizer)
    check_hasher(vectorizer)


def check_names(vectorizer: Any) -> None:
    """Require that a vectorizer of dicts numbers its names without a gap. Raises Refused."""
    _check_vocabulary(vectorizer, "vocabulary_")


def check_hasher(hasher: Any) -> None:
    """Require a number of columns that native code can count. Raises Refused."""
    columns = whole_number(attributes(hasher).get("n_features"))
    if columns is None or not 0 < columns <= _MOST_HASHED:
        raise _broken(hasher, "hashes into a number of columns that isn't one")


def _check_functions(vectorizer: Any, stored: dict[str, Any]) -> None:
    analyzer, accents = stored.get("analyzer"), stored.get("strip_accents")
    found = {
        "analyzer": not (type(analyzer) is str and analyzer in _ANALYZERS),
        "tokenizer": stored.get("tokenizer") is not None,
        "preprocessor": stored.get("preprocessor") is not None,
        "strip_accents": not (accents is None or (type(accents) is str and accents in _ACCENTS)),
    }
    for name, refused in found.items():
        if refused:
            text = (
                f"A {{name}} has a function as its `{name}`, and functions aren't run here. "
                f"Use {_INSTEAD[name]} instead, or prepare the texts before you call the service."
            )
            raise refusal("callable-not-allowed", vectorizer, text)


def _check_pattern(vectorizer: Any, stored: dict[str, Any]) -> None:
    pattern = stored.get("token_pattern")
    if stored["analyzer"] != "word":
        return
    reason = why_slow(pattern) if type(pattern) is str else "isn't a text"
    if reason is not None:
        text = (
            f"The `token_pattern` of a {{name}} {reason}, so that some texts could keep it searching for ever. "
            r"Use a pattern such as (?u)\b\w\w+\b, with few repeats and none inside another."
        )
        raise refusal("slow-pattern", vectorizer, text)


def _check_words(vectorizer: Any, stored: dict[str, Any]) -> None:
    words = stored.get("stop_words")
    listed = words is None or type(words) in _COLLECTIONS
    if not (words == "english" if type(words) is str else listed):
        raise _broken(vectorizer, "has stop words that aren't a list")
    lengths: Any = stored.get("ngram_range")
    if type(lengths) not in {tuple, list} or len(lengths) != 2:  # noqa: PLR2004 - the shortest and the longest
        raise _broken(vectorizer, "has no lengths of n-grams")
    if any(not 0 < (whole_number(length) or 0) <= _LONGEST_GRAM for length in lengths):
        raise _broken(vectorizer, "has lengths of n-grams that aren't small numbers")


def _check_vocabulary(vectorizer: Any, name: str) -> None:
    stored = attributes(vectorizer)
    if name not in stored:
        return
    words = stored[name]
    if type(words) is not dict:  # a defaultdict would learn the words that it is asked for
        raise _broken(vectorizer, "has a vocabulary that isn't a dict", VOCABULARY_RULE)
    places = [whole_number(place) for place in words.values()]
    if None in places or set(places) != set(range(len(places))):
        raise _broken(vectorizer, "has a vocabulary whose numbers leave a gap or occur twice", VOCABULARY_RULE)


def _broken(subject: Any, found: str, rule: str = "broken-vectorizer") -> Refused:
    return refusal(rule, subject, f"A {{name}} {found}. {FIT_AGAIN}")
