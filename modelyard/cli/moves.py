"""`modelyard point`, `rollback` and `history`: where an alias points, and where it pointed.

They ask nothing, so that they work in a script and at night. Each sends a key of its own, so that a retry never moves twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from modelyard.cli.asked import json_option, limit_option
from modelyard.cli.connecting import complete_alias, model_argument, with_client
from modelyard.cli.printing import print_document, say, shown_moment
from modelyard.cli.tables import print_list
from modelyard.client import Client
from modelyard.operating import PRODUCTION
from modelyard.records import Move

REASON = click.option("--reason", default="", help="Why, for the history.")
EXPECTED = click.option("--expected", type=click.IntRange(min=1), help="Only if the alias points at this version now.")
ALIAS = click.option("--alias", default=PRODUCTION, show_default=True, shell_complete=complete_alias, help="Which alias.")


@click.command()
@model_argument
@click.argument("alias", shell_complete=complete_alias)
@click.argument("version", type=click.IntRange(min=1))
@REASON
@EXPECTED
@json_option
@with_client
def point(client: Client, model: str, alias: str, version: int, reason: str, expected: int | None, *, as_json: bool) -> None:
    """Point an alias at a version.

    The version is loaded and its golden predictions are replayed first; if that fails nothing moves.

    Example: modelyard point churn production 7 --reason "better recall"
    """
    pointed = client.point(model, alias.removeprefix("@"), version, reason=reason, expected=expected)
    if as_json:
        print_document(pointed.raw)
    else:
        say(f"{pointed.model}@{pointed.alias} points at {pointed.version}.")


@click.command()
@model_argument
@ALIAS
@click.option("--to", type=click.IntRange(min=1), help="Go back as far as this version. Default: one step.")
@REASON
@EXPECTED
@json_option
@with_client
def rollback(client: Client, model: str, alias: str, to: int | None, reason: str, expected: int | None, *, as_json: bool) -> None:
    """Move an alias back to where it pointed before.

    Doing it again goes one further back. It asks nothing; if the version to go back to can't serve, nothing moves.

    Example: modelyard rollback churn --reason "errors since noon"
    """
    moved = client.rollback(model, alias.removeprefix("@"), to=to, reason=reason, expected=expected)
    if as_json:
        print_document(moved.raw)
    else:
        say(f"{moved.model}@{moved.alias} went back from {moved.from_version} to {moved.to_version}.")


@click.command()
@model_argument
@ALIAS
@limit_option
@json_option
@with_client
def history(client: Client, model: str, alias: str, limit: int, *, as_json: bool) -> None:
    """List every move of an alias.

    Newest first. With --json an array of them.

    Example: modelyard history churn --alias production
    """
    nothing = f"{model}@{alias} never moved."
    print_list(_rows(client.history(model, alias.removeprefix("@"))), as_json=as_json, limit=limit, nothing=nothing)


def _rows(moves: Iterator[Move]) -> Iterator[dict[str, Any]]:
    for move in moves:
        yield {
            "at": shown_moment(move.at),
            "move": move.kind,
            "from": move.from_version,
            "to": move.to_version,
            "by": move.by,
            "reason": move.reason,
            "raw": move.raw,
        }
