"""What reaches standard output and standard error: texts made harmless, JSON documents, and notes.

Names, tags and descriptions are other people's words: no control character of theirs may reach a terminal, and none of them is
ever taken for markup. Imports nothing heavy, since the server's commands print by it as well.
"""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime
from typing import Any

import click

#: C0 and C1 controls, marks that turn the direction of writing, separators of lines, halves of surrogate pairs, invisible tags.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
_STEP = 1024
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def plain(text: object) -> str:
    """Return a text on one line whose control characters are written out, as in `\\x1b`."""  # noqa: D301 - one backslash is shown
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), str(text))


def plain_lines(text: object) -> str:
    """Return a text of several lines, each as `plain` returns it."""
    return "\n".join(plain(line) for line in str(text).split("\n"))


def say(text: object) -> None:
    """Print lines for people."""
    click.echo(plain_lines(text))


def note(text: object) -> None:
    """Print lines on standard error, where no program takes them for data."""
    click.echo(plain_lines(text), err=True)


def print_document(value: Any) -> None:
    """Print one JSON document. In ASCII alone, so that it reads the same under every locale and holds no control character."""
    click.echo(document(value))


def document(value: Any) -> str:
    """Return JSON in ASCII, indented."""
    return json.dumps(value, indent=2).replace("\x7f", "\\u007f")


def one_line(value: Any) -> str:
    """Return JSON in ASCII on one line."""
    return json.dumps(value).replace("\x7f", "\\u007f")


def print_line(text: str) -> None:
    """Print one line."""
    click.echo(plain(text))


def shown_moment(at: datetime | str | None) -> str:
    """Return a time in UTC, to the second."""
    if at is None:
        return ""
    moment = datetime.fromisoformat(at) if isinstance(at, str) else at
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def shown_size(count: float) -> str:
    """Return a number of bytes for people, such as `1.4 MiB`."""
    unit = 0
    while count >= _STEP and unit < len(_UNITS) - 1:
        count, unit = count / _STEP, unit + 1
    return f"{count:.0f} {_UNITS[unit]}" if unit == 0 else f"{count:.1f} {_UNITS[unit]}"


def shown_pairs(pairs: Any) -> str:
    """Return a mapping on one line, such as `team=risk, auc=0.91`."""
    return ", ".join(f"{name}={value}" for name, value in pairs.items())


def is_terminal() -> bool:
    """Tell whether a person looks at standard output."""
    return sys.stdout.isatty()
