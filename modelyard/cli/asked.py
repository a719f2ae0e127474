"""What was said before a command: which service, and whether a program reads the answer.

Kept on Click's context under every command. Opens nothing, so that commands that need no service stay light.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
DEFAULT_LIMIT = 50
HIGHEST_LIMIT = 1_000_000


@dataclass(slots=True)
class Asked:
    """The options of the group, and `--json` of the command once it was read."""

    url: str | None = None
    profile: str | None = None
    as_json: bool = False


def asked_of(ctx: click.Context) -> Asked:
    """Return what was asked; of a command that is called by itself, nothing."""
    return ctx.find_object(Asked) or Asked()


def _note_json(ctx: click.Context, _param: click.Parameter, value: bool) -> bool:  # noqa: FBT001 - click's signature
    asked_of(ctx).as_json = value
    return value


def json_option(command: F) -> F:
    """Add `--json`; read before all else, so that a wrong option is told as a document as well."""
    told = "Print one JSON document, and errors as one on standard error."
    return click.option("--json", "as_json", is_flag=True, is_eager=True, callback=_note_json, help=told)(command)


def limit_option(command: F) -> F:
    """Add `--limit` to a list."""
    told = "Most items to print; 0 prints all."
    return click.option("--limit", type=click.IntRange(0, HIGHEST_LIMIT), default=DEFAULT_LIMIT, show_default=True, help=told)(command)
