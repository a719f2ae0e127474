"""`modelyard keys`: make and end API keys without a server.

For the first key of a shared database and for the day when no admin key is at hand; it needs the settings of the server.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from modelyard.cli.asked import json_option, limit_option
from modelyard.cli.key_forms import WHICH, grants, overlap, print_key, print_keys, print_made, print_revoked
from registry import catalog, keys
from registry.api import representations
from registry.api.limit_texts import parse_limits
from registry.cli.minting import make_key, rotate_key
from registry.cli.opening import OPERATOR, application
from registry.extensions import reading
from registry.naming import require_model_pattern

#: As over REST.
LONGEST_NAME, MOST_MODELS, MOST_LIMITS = 200, 100, 10


@click.group(name="keys", epilog=WHICH)
def api_keys() -> None:
    """Make, list, rotate and end API keys."""


@api_keys.command()
@grants
@json_option
def create(
    name: str, scopes: tuple[str, ...], models: tuple[str, ...], limits: tuple[str, ...], days: int | None, *, as_json: bool
) -> None:
    """Make an API key and print it; it is shown this once.

    Example: modelyard keys create notebook --scope publish --model 'iris*'
    """
    with application() as built:
        check_grants(models, limits)
        if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable():
            raise click.UsageError(f"A key's name has 1 to {LONGEST_NAME} characters that can be printed.")
        if keys.holds_key(name):
            raise click.UsageError("The name holds an API key; names are shown to others.")
        expires_at = datetime.now(UTC) + timedelta(days=days) if days else None
        text, made = make_key(built, name, scopes, models, limits or built.config.default_limits, expires_at)
        print_made({**representations.key(made), "key": text}, as_json=as_json)


@api_keys.command(name="list")
@limit_option
@json_option
def list_(limit: int, *, as_json: bool) -> None:
    """List all keys, newest first; never their secrets.

    Example: modelyard keys list
    """
    with application():
        print_keys(every_key(), as_json=as_json, limit=limit)


@api_keys.command()
@click.argument("key_id")
@json_option
def show(key_id: str, *, as_json: bool) -> None:
    """Show what a key may do; never its secret.

    Example: modelyard keys show 4fUe0aPq81Zc
    """
    with application(), reading():
        print_key(representations.key(catalog.get_key(key_id)), as_json=as_json)


@api_keys.command()
@click.argument("key_id")
@json_option
def revoke(key_id: str, *, as_json: bool) -> None:
    """Revoke a key by its id.

    At once on this host, within a second elsewhere.

    Example: modelyard keys revoke 4fUe0aPq81Zc
    """
    with application() as built:
        with built.change(OPERATOR):
            revoked = catalog.revoke_key(key_id)
        print_revoked(representations.key(revoked), as_json=as_json)


@api_keys.command()
@click.argument("key_id")
@overlap
@json_option
def rotate(key_id: str, overlap_seconds: int, *, as_json: bool) -> None:
    """Replace a key by a new one and print it.

    The new one has the same grants, and is shown this once; the old one ends after the overlap.

    Example: modelyard keys rotate 4fUe0aPq81Zc --overlap-seconds 3600
    """
    with application() as built:
        text, made = rotate_key(built, key_id, overlap_seconds)
        print_made({**representations.key(made), "key": text}, as_json=as_json)


def check_grants(models: tuple[str, ...], limits: tuple[str, ...]) -> None:
    """End with one line when a pattern or limit isn't one, or there are more than one key may have."""
    if len(models) > MOST_MODELS or len(limits) > MOST_LIMITS:
        raise click.UsageError(f"A key has up to {MOST_MODELS} models and {MOST_LIMITS} limits.")
    for pattern in models:
        require_model_pattern(pattern)
    try:
        parse_limits(limits)
    except ValueError:
        raise click.UsageError("A limit looks like 600/minute.") from None


def every_key() -> Iterator[dict[str, Any]]:
    """Yield all keys, page by page, as the API shows them."""
    cursor: str | None = None
    while True:
        with reading():
            page = catalog.list_keys(limit=500, cursor=cursor)
        yield from map(representations.key, page.items)
        cursor = page.next_cursor
        if cursor is None:
            return
