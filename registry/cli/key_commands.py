"""`modelyard keys`: make and end API keys without a server.

For the first key of a shared database and for the day when no admin key is at hand; it needs the settings of the server.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import click

from registry import catalog, keys
from registry.api.limits import parse_limits
from registry.catalog import ApiKey
from registry.cli.opening import OPERATOR, application
from registry.extensions import reading
from registry.naming import require_model_pattern
from registry.wiring import Services


@click.group(name="keys")
def api_keys() -> None:
    """Make and end API keys without a server."""


@api_keys.command()
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, type=click.Choice(keys.SCOPES), default=("read", "predict"), show_default=True)
@click.option("--model", "models", multiple=True, help="Model name or pattern such as 'iris*'; may be repeated. Default: every model.")
@click.option("--limit", "limits", multiple=True, help="Such as 600/minute; may be repeated.")
@click.option("--days", type=click.IntRange(min=1), help="Days until it expires. Default: never.")
def create(name: str, scopes: tuple[str, ...], models: tuple[str, ...], limits: tuple[str, ...], days: int | None) -> None:
    """Make an API key and print it; it is shown this once.

    Example: modelyard keys create notebook --scope read --scope publish --model 'iris*'
    """
    with application() as built:
        check_grants(models, limits)
        if keys.holds_key(name):
            raise click.UsageError("The name holds an API key; names are shown to others.")
        expires_at = datetime.now(UTC) + timedelta(days=days) if days else None
        click.echo(make_key(built, name, scopes, models, limits or built.config.default_limits, expires_at))


@api_keys.command(name="list")
def list_() -> None:
    """List all keys, newest first; never their secrets.

    Example: modelyard keys list
    """
    with application():
        for key in every_key():
            state = "revoked" if key.revoked_at else "ends " + key.expires_at.isoformat() if key.expires_at else "valid"
            click.echo(f"{key.id}  {key.name}  {','.join(key.scopes)}  {','.join(key.models) or '*'}  {','.join(key.limits)}  {state}")


@api_keys.command()
@click.argument("key_id")
def revoke(key_id: str) -> None:
    """Revoke a key by its id: at once on this host, within a second elsewhere.

    Example: modelyard keys revoke 4fUe0aPq81Zc
    """
    with application() as built:
        with built.change(OPERATOR):
            catalog.revoke_key(key_id)
        click.echo(f"Revoked {key_id}.")


@api_keys.command()
@click.argument("key_id")
@click.option("--overlap-seconds", type=click.IntRange(min=0), default=0, help="How long the old key goes on.", show_default=True)
def rotate(key_id: str, overlap_seconds: int) -> None:
    """Make a new key with the same grants, print it, and end the old one after the overlap.

    Example: modelyard keys rotate 4fUe0aPq81Zc --overlap-seconds 3600
    """
    with application() as built:
        text, parsed = keys.make_key()
        with built.change(OPERATOR):
            catalog.rotate_key(key_id, parsed.id, keys.hash_secret(parsed.secret, built.secrets.key_pepper), overlap_seconds)
        click.echo(text)


def make_key(
    built: Services, name: str, scopes: tuple[str, ...], models: tuple[str, ...], limits: tuple[str, ...], expires_at: datetime | None
) -> str:
    """Insert a key and return its text."""
    text, parsed = keys.make_key()
    with built.change(OPERATOR):
        catalog.add_key(
            id=parsed.id, name=name, hash=keys.hash_secret(parsed.secret, built.secrets.key_pepper), scopes=scopes, models=models,
            limits=limits, expires_at=expires_at,
        )  # fmt: skip
    return text


def check_grants(models: tuple[str, ...], limits: tuple[str, ...]) -> None:
    """End with one line when a pattern or limit isn't one."""
    for pattern in models:
        require_model_pattern(pattern)
    try:
        parse_limits(limits)
    except ValueError:
        raise click.UsageError("A limit looks like 600/minute.") from None


def every_key() -> Iterator[ApiKey]:
    """Yield all keys, page by page."""
    cursor: str | None = None
    while True:
        with reading():
            page = catalog.list_keys(limit=500, cursor=cursor)
        yield from page.items
        cursor = page.next_cursor
        if cursor is None:
            return
