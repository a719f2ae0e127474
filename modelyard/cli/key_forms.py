"""How API keys are asked for and shown, over REST and by the server's own commands alike.

Never shows a key's text but where it was just made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import click

from modelyard.cli.printing import print_document, say, shown_moment
from modelyard.cli.tables import print_card, print_list

F = TypeVar("F", bound=Callable[..., Any])
MOST_DAYS = 36_500
LONGEST_OVERLAP_SECONDS = 30 * 86_400
SCOPES = ("read", "predict", "publish", "admin")
#: The end of the help of both groups `keys`.
WHICH = """\
Where the server is installed these work on its database, without a server; over REST, with an admin's key, once --url, --profile,
MODELYARD_URL or MODELYARD_PROFILE names a service."""


def grants(command: F) -> F:
    """Add what a new key is given."""
    told = {
        "--scope": "What it may do; may be repeated.",
        "--model": "Model name or pattern such as 'iris*'; may be repeated. Default: every model.",
        "--limit": "Such as 600/minute; may be repeated. Default: the service's.",
        "--days": "Days until it expires. Default: never.",
    }
    for option in (
        click.option("--days", type=click.IntRange(1, MOST_DAYS), help=told["--days"]),
        click.option("--limit", "limits", multiple=True, help=told["--limit"]),
        click.option("--model", "models", multiple=True, help=told["--model"]),
        click.option(
            "--scope",
            "scopes",
            multiple=True,
            type=click.Choice(SCOPES),
            default=("read", "predict"),
            show_default=True,
            help=told["--scope"],
        ),
        click.argument("name"),
    ):
        command = option(command)
    return command


def overlap(command: F) -> F:
    """Add how long an old key goes on."""
    told = "How long the old key goes on."
    return click.option("--overlap-seconds", type=click.IntRange(0, LONGEST_OVERLAP_SECONDS), default=0, help=told, show_default=True)(
        command
    )


def print_made(key: Mapping[str, Any], *, as_json: bool) -> None:
    """Print a key that was just made: its text alone, or all of it."""
    if as_json:
        print_document(dict(key))
    else:
        say(key["key"])


def print_keys(keys: Iterable[Mapping[str, Any]], *, as_json: bool, limit: int) -> None:
    """Print keys as a table or an array."""
    print_list(map(_row, keys), as_json=as_json, limit=limit, nothing="There are no keys.")


def print_key(key: Mapping[str, Any], *, as_json: bool) -> None:
    """Print one key."""
    if as_json:
        print_document(dict(key))
        return
    row = _row(key)
    print_card([(name, row[name]) for name in ("id", "name", "scopes", "models", "limits", "state")] + [("made", _made(key))])


def print_revoked(key: Mapping[str, Any], *, as_json: bool) -> None:
    """Say that a key has ended."""
    if as_json:
        print_document(dict(key))
    else:
        say(f"Revoked {key['id']}.")


def _row(key: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": key["id"],
        "name": key["name"],
        "scopes": ",".join(key["scopes"]),
        "models": ",".join(key["models"]) or "*",
        "limits": ",".join(key["limits"]),
        "state": _state(key),
        "raw": key,
    }


def _state(key: Mapping[str, Any]) -> str:
    if key["revoked_at"]:
        return "revoked"
    return f"ends {shown_moment(key['expires_at'])}" if key["expires_at"] else "valid"


def _made(key: Mapping[str, Any]) -> str:
    return f"{shown_moment(key['created_at'])} by {key['created_by']}"
