"""Aliases, their moves, and the events of the audit trail, which have ends as moves have.

`from` is a word of Python, so that no class can have it as a field: it comes from a base that is made by a call.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypedDict

from msgspec import Meta

from registry.api.answers.fields import Cursor, KeyId, Moment, VersionNumber


class Alias(TypedDict):
    """Where an alias points."""

    model: str
    alias: str
    version: VersionNumber
    etag: Annotated[str, Meta(description="Names the move that brought it there; `If-Match` takes it in quotes.")]
    moved_at: Moment
    moved_by: KeyId


class AliasList(TypedDict):
    """All aliases of a model."""

    items: list[Alias]
    next_cursor: None


Ends = TypedDict("Ends", {"from": int | None, "to": int | None})

RollbackEnds = TypedDict("RollbackEnds", {"from": VersionNumber, "to": VersionNumber})


class Move(Ends):
    """One move of an alias; `to` is null where it was taken away."""

    model: str
    alias: str
    kind: Literal["point", "rollback", "delete"]
    at: Moment
    by: KeyId
    reason: str


class MovePage(TypedDict):
    """One page of an alias's history."""

    items: list[Move]
    next_cursor: Cursor


class RolledBack(RollbackEnds):
    """A rollback that was carried out."""

    model: str
    alias: str
    at: Moment
    by: KeyId
    reason: str


class Event(Ends):
    """One event of the audit trail: who did what, when, and why."""

    id: int
    at: Moment
    actor: Annotated[str, Meta(description="A key's id, `operator` or `host`.")]
    kind: Annotated[str, Meta(description="What happened, such as `alias.pointed`.")]
    model: str | None
    version: int | None
    alias: str | None
    key_id: str | None
    reason: str
    detail: Annotated[dict[str, Any], Meta(description="What else belongs to an event of this kind.")]


class EventPage(TypedDict):
    """One page of the audit trail."""

    items: list[Event]
    next_cursor: Cursor
