"""Inserting API keys: for the first start and for `modelyard keys`.

Apart from the commands, because Granian's main process makes the first key and must load nothing that prints.
"""

from __future__ import annotations

from datetime import datetime

from registry import catalog, keys
from registry.cli.opening import OPERATOR
from registry.wiring import Services


def make_key(
    built: Services, name: str, scopes: tuple[str, ...], models: tuple[str, ...], limits: tuple[str, ...], expires_at: datetime | None
) -> tuple[str, catalog.ApiKey]:
    """Insert a key and return its text and what is kept of it."""
    text, parsed = keys.make_key()
    with built.change(OPERATOR):
        made = catalog.add_key(
            id=parsed.id, name=name, hash=keys.hash_secret(parsed.secret, built.secrets.key_pepper), scopes=scopes, models=models,
            limits=limits, expires_at=expires_at,
        )  # fmt: skip
    return text, made


def rotate_key(built: Services, key_id: str, overlap_seconds: int) -> tuple[str, catalog.ApiKey]:
    """Insert a key with the grants of another, which ends after the overlap; return the new one's text and what is kept of it."""
    text, parsed = keys.make_key()
    with built.change(OPERATOR):
        made = catalog.rotate_key(key_id, parsed.id, keys.hash_secret(parsed.secret, built.secrets.key_pepper), overlap_seconds)
    return text, made
