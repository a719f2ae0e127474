"""How values look on a page: times, sizes, counts, durations and shares, for people.

Pure; every function returns plain text, which the template escapes.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

_UNITS = ((365 * 86_400, "year"), (30 * 86_400, "month"), (86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
_SIZES = ("bytes", "KiB", "MiB", "GiB", "TiB")
#: What stands for a value that isn't there.
NOTHING = "–"  # noqa: RUF001 - a dash that people see


def ago(at: datetime | None) -> str:
    """Return how long ago a moment was, or how far off it is, such as `3 hours ago`."""
    if at is None:
        return NOTHING
    seconds = (datetime.now(UTC) - at).total_seconds()
    for size_of_unit, unit in _UNITS:
        count = int(abs(seconds) // size_of_unit)
        if count >= (5 if unit == "second" else 1):  # nobody counts fewer seconds
            words = f"{count} {unit}{'' if count == 1 else 's'}"
            return f"{words} ago" if seconds > 0 else f"in {words}"
    return "just now"


def when(at: datetime | None) -> str:
    """Return a moment to the second, in UTC."""
    return NOTHING if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def iso(at: datetime) -> str:
    """Return a moment as the attribute `datetime` wants it."""
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def size(count: int | None) -> str:
    """Return a count of bytes with its unit, a power of 1024."""
    if count is None:
        return NOTHING
    value, power = float(count), 0
    while value >= 1024 and power < len(_SIZES) - 1:  # noqa: PLR2004 - the step between units
        value, power = value / 1024, power + 1
    whole = power == 0 or value >= 100  # noqa: PLR2004 - three digits are enough
    return f"{value:.0f} {_SIZES[power]}" if whole else f"{value:.1f} {_SIZES[power]}"


def number(value: float | None) -> str:
    """Return a number as people read it: whole ones with separators, others with up to six digits."""
    if value is None:
        return NOTHING
    if float(value).is_integer() and abs(value) < 1e15:  # noqa: PLR2004 - as far as floats are exact
        return f"{int(value):,}"
    return f"{value:.6g}"


def ms(seconds: float | None) -> str:
    """Return a duration in the unit that suits it."""
    if seconds is None:
        return NOTHING
    if seconds >= 1:
        return f"{seconds:.1f} s"
    value = 1000 * seconds
    return f"{value:.2f} ms" if value < 10 else f"{value:.0f} ms"  # noqa: PLR2004 - three digits


def percent(part: float, whole: float) -> str:
    """Return a share; of nothing there is none."""
    if not whole:
        return NOTHING
    share = 100 * part / whole
    return f"{share:.0f} %" if share >= 10 or not share else f"{share:.1f} %"  # noqa: PLR2004 - two digits


def short(digest: str) -> str:
    """Return the start of a digest."""
    return digest[:12]


def as_json(value: Any) -> str:
    """Return any plain value as JSON on one line."""
    return msgspec.json.encode(value).decode()


FILTERS: dict[str, Callable[..., str]] = {
    "ago": ago,
    "when": when,
    "iso": iso,
    "bytes": size,
    "number": number,
    "ms": ms,
    "percent": percent,
    "short": short,
    "as_json": as_json,
}
