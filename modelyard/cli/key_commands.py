"""`modelyard keys` over REST: make and end API keys with an admin's key.

Looks and reads like the server's own (registry/cli/key_commands.py), which takes its place where no service is named.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click

from modelyard.cli.asked import json_option, limit_option
from modelyard.cli.connecting import with_client
from modelyard.cli.key_forms import WHICH, grants, overlap, print_key, print_keys, print_made, print_revoked
from modelyard.client import Client


@click.group(name="keys", epilog=WHICH)
def api_keys() -> None:
    """Make, list, rotate and end API keys."""


@api_keys.command()
@grants
@json_option
@with_client
def create(
    client: Client, name: str, scopes: tuple[str, ...], models: tuple[str, ...], limits: tuple[str, ...], days: int | None, *, as_json: bool
) -> None:
    """Make an API key and print it; it is shown this once.

    Example: modelyard keys create notebook --scope publish --model 'iris*'
    """
    expires_at = datetime.now(UTC) + timedelta(days=days) if days else None
    made = client.create_key(name, scopes, models=models, limits=limits, expires_at=expires_at)
    print_made(made.raw, as_json=as_json)


@api_keys.command(name="list")
@limit_option
@json_option
@with_client
def list_(client: Client, limit: int, *, as_json: bool) -> None:
    """List all keys, newest first; never their secrets.

    Example: modelyard keys list
    """
    print_keys((key.raw for key in client.keys()), as_json=as_json, limit=limit)  # noqa: SIM118 - no dict


@api_keys.command()
@click.argument("key_id")
@json_option
@with_client
def show(client: Client, key_id: str, *, as_json: bool) -> None:
    """Show what a key may do; never its secret.

    Example: modelyard keys show 4fUe0aPq81Zc
    """
    print_key(client.key(key_id).raw, as_json=as_json)


@api_keys.command()
@click.argument("key_id")
@json_option
@with_client
def revoke(client: Client, key_id: str, *, as_json: bool) -> None:
    """Revoke a key by its id.

    At once on that host, within a second elsewhere.

    Example: modelyard keys revoke 4fUe0aPq81Zc
    """
    print_revoked(client.revoke_key(key_id).raw, as_json=as_json)


@api_keys.command()
@click.argument("key_id")
@overlap
@json_option
@with_client
def rotate(client: Client, key_id: str, overlap_seconds: int, *, as_json: bool) -> None:
    """Replace a key by a new one and print it.

    The new one has the same grants, and is shown this once; the old one ends after the overlap.

    Example: modelyard keys rotate 4fUe0aPq81Zc --overlap-seconds 3600
    """
    print_made(client.rotate_key(key_id, overlap_seconds=overlap_seconds).raw, as_json=as_json)
