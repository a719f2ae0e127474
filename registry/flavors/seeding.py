"""Rows made up from a signature, where no example came: always the same ones for the same model.

Numbers from a fixed seed, texts from what the model was fitted on; where nothing is known of a text column, none.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from registry import frames
from registry.flavors.anatomy import Fact
from registry.signature import Column

SEEDED_ROWS = 5

_SEED = 20_260
_TEXTS = ("good", "not good at all", "the quick brown fox jumps over the lazy dog", "2024 report", "hello world")


def seed_texts(words: list[str]) -> frames.Texts:
    """Return texts drawn from a vocabulary, or fixed ones where it isn't known."""
    if not words:
        return frames.Texts(list(_TEXTS))
    random = np.random.default_rng(_SEED)
    return frames.Texts([" ".join(random.choice(words, size=3 + row).tolist()) for row in range(SEEDED_ROWS)])


def seed_table(columns: tuple[Column, ...], facts: dict[int, Fact]) -> list[Any] | None:
    """Return SEEDED_ROWS values for each column, arrays or lists of text; None where a text column can't be made up."""
    random = np.random.default_rng(_SEED)
    values = [_seed_column(column, facts[index], random) for index, column in enumerate(columns)]
    return None if any(value is None for value in values) else values


def _seed_column(column: Column, fact: Fact, random: np.random.Generator) -> Any:
    if column.type == "string":
        return _seed_strings(fact, random)
    if column.type == "bool":
        return random.integers(0, 2, SEEDED_ROWS).astype(bool)
    numbers = [value for value in fact.categories if isinstance(value, (int, float))]
    drawn = random.choice(numbers, SEEDED_ROWS) if numbers else random.standard_normal(SEEDED_ROWS) * 2
    if column.type == "int64":
        return np.trunc(drawn).astype(np.int64)
    return np.asarray(drawn, np.float64)


def _seed_strings(fact: Fact, random: np.random.Generator) -> list[str] | None:
    texts = [value for value in fact.categories if isinstance(value, str)]
    if texts:
        return [texts[index] for index in random.integers(0, len(texts), SEEDED_ROWS)]
    return seed_texts(fact.words).values if fact.text and fact.words else None
