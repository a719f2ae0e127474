"""Limits as they are written, such as `600/minute`, read once and remembered.

Knows no key and counts nothing; what can't be a limit is refused here, before it stands on a key.
"""

from __future__ import annotations

from functools import lru_cache

from limits import RateLimitItem, parse_many

MOST_AMOUNT = 10**9
LONGEST_WINDOW_SECONDS = 366 * 86_400


@lru_cache(maxsize=4096)
def parse_limits(texts: tuple[str, ...]) -> tuple[RateLimitItem, ...]:
    """Return limits such as `600/minute`, the shortest window first; one that stands twice counts once. Raises ValueError for a text that isn't one, or is out of bounds."""
    items: list[RateLimitItem] = []
    for text in texts:
        (item,) = parse_many(text)  # several in one text are a ValueError, too
        if not 0 < item.amount <= MOST_AMOUNT or not 0 < item.get_expiry() <= LONGEST_WINDOW_SECONDS:
            raise ValueError(f"{item} is out of bounds")
        items.append(item)
    return tuple(sorted(dict.fromkeys(items), key=lambda item: item.get_expiry()))
