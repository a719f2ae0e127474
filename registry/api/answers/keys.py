"""API keys, and the one answer in which a key itself stands.

No other type here may have a field for a secret.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypedDict

from msgspec import Meta

from registry.api.answers.fields import Cursor, KeyId, Moment


class Key(TypedDict):
    """An API key, without its secret. No models means every model."""

    id: str
    name: str
    scopes: list[Literal["read", "predict", "publish", "admin"]]
    models: list[str]
    limits: list[str]
    created_at: Moment
    created_by: KeyId
    expires_at: Moment | None
    revoked_at: Moment | None


class MadeKey(Key):
    """A key that was just made: the only answer in which it stands."""

    key: Annotated[str, Meta(description="Send it as `Authorization: Bearer …`. It is never shown again.")]


class KeyPage(TypedDict):
    """One page of keys."""

    items: list[Key]
    next_cursor: Cursor


class LimitStanding(TypedDict):
    """What is left of one limit."""

    limit: str
    amount: int
    remaining: int
    reset_seconds: int


class Me(Key):
    """The caller's own key and what is left of its limits."""

    limits_left: list[LimitStanding]
