"""What the service answers, as frozen records with types; `raw` is each answer as it came.

A field that a newer service adds stands in `raw` alone, so that an older client goes on. Nothing here asks the service.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from modelyard.errors import ConnectionFailed

Record = TypeVar("Record")


def _told_if_foreign(read: Callable[[type[Record], Mapping[str, Any]], Record]) -> Callable[[type[Record], Mapping[str, Any]], Record]:
    """Let what has another shape than the service's answers raise ConnectionFailed."""

    @functools.wraps(read)
    def reading(cls: type[Record], raw: Mapping[str, Any]) -> Record:
        try:
            return read(cls, raw)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConnectionFailed(f"What answers isn't Modelyard: no {cls.__name__} is in its answer ({type(error).__name__}).") from error

    return reading


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a model: what was published, and how it is served. Sizes in bytes, times in UTC."""

    model: str
    version: int
    status: str
    flavor: str
    estimator: str
    sha256: str
    size_bytes: int
    signature: Mapping[str, Any]
    methods: tuple[str, ...]
    environment: Mapping[str, Any]
    deterministic: bool
    runtime: str
    fast: str | None
    description: str
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    parameters: Mapping[str, Any]
    source: Mapping[str, str]
    aliases: tuple[str, ...]
    pinned: bool
    created_at: datetime
    created_by: str
    deleted_at: datetime | None
    advice: tuple[str, ...]
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @property
    def selector(self) -> str:
        """Return what names this version in every call, such as `churn/7`."""
        return f"{self.model}/{self.version}"

    @classmethod
    @_told_if_foreign
    def of(cls, raw: Mapping[str, Any]) -> Version:
        """Read the JSON of a version."""
        return cls(
            model=raw["model"],
            version=raw["version"],
            status=raw["status"],
            flavor=raw["flavor"],
            estimator=raw["estimator"],
            sha256=raw["artifact"]["sha256"],
            size_bytes=raw["artifact"]["size_bytes"],
            signature=raw["signature"],
            methods=tuple(raw["methods"]),
            environment=raw["environment"],
            deterministic=raw["deterministic"],
            runtime=raw["runtime"],
            fast=raw.get("fast"),
            description=raw["description"],
            tags=raw["tags"],
            metrics=raw["metrics"],
            parameters=raw["parameters"],
            source=raw["source"],
            aliases=tuple(raw["aliases"]),
            pinned=raw.get("pinned", False),
            created_at=_moment(raw["created_at"]),
            created_by=raw["created_by"],
            deleted_at=_moment_or_none(raw["deleted_at"]),
            advice=tuple(raw.get("advice", ())),
            raw=raw,
        )


@dataclass(frozen=True, slots=True)
class Model:
    """A model: a name that owns versions, and where its aliases point."""

    name: str
    description: str
    tags: Mapping[str, str]
    runtime: str | None
    latest_version: int | None
    version_count: int
    aliases: Mapping[str, int]
    created_at: datetime
    created_by: str
    deleted_at: datetime | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    @_told_if_foreign
    def of(cls, raw: Mapping[str, Any]) -> Model:
        """Read the JSON of a model."""
        return cls(
            name=raw["name"],
            description=raw["description"],
            tags=raw["tags"],
            runtime=raw.get("runtime"),
            latest_version=raw["latest_version"],
            version_count=raw["version_count"],
            aliases=raw["aliases"],
            created_at=_moment(raw["created_at"]),
            created_by=raw["created_by"],
            deleted_at=_moment_or_none(raw["deleted_at"]),
            raw=raw,
        )


@dataclass(frozen=True, slots=True)
class Alias:
    """Where an alias points, since when and by whose key."""

    model: str
    alias: str
    version: int
    etag: str
    moved_at: datetime
    moved_by: str
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    @_told_if_foreign
    def of(cls, raw: Mapping[str, Any]) -> Alias:
        """Read the JSON of an alias."""
        return cls(
            model=raw["model"],
            alias=raw["alias"],
            version=raw["version"],
            etag=raw["etag"],
            moved_at=_moment(raw["moved_at"]),
            moved_by=raw["moved_by"],
            raw=raw,
        )


@dataclass(frozen=True, slots=True)
class Move:
    """One move of an alias; `from_version` is None where it pointed nowhere before, `to_version` where it was taken away."""

    model: str
    alias: str
    kind: str
    from_version: int | None
    to_version: int | None
    at: datetime
    by: str
    reason: str
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    @_told_if_foreign
    def of(cls, raw: Mapping[str, Any]) -> Move:
        """Read the JSON of a move; the answer to a rollback doesn't name its kind."""
        return cls(
            model=raw["model"],
            alias=raw["alias"],
            kind=raw.get("kind", "rollback"),
            from_version=raw["from"],
            to_version=raw["to"],
            at=_moment(raw["at"]),
            by=raw["by"],
            reason=raw["reason"],
            raw=raw,
        )


@dataclass(frozen=True, slots=True)
class Event:
    """One event of the audit trail."""

    id: int
    at: datetime
    actor: str
    kind: str
    model: str | None
    version: int | None
    alias: str | None
    key_id: str | None
    from_: Any
    to: Any
    reason: str
    detail: Any
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    @_told_if_foreign
    def of(cls, raw: Mapping[str, Any]) -> Event:
        """Read the JSON of an event."""
        return cls(
            id=raw["id"],
            at=_moment(raw["at"]),
            actor=raw["actor"],
            kind=raw["kind"],
            model=raw["model"],
            version=raw["version"],
            alias=raw["alias"],
            key_id=raw["key_id"],
            from_=raw["from"],
            to=raw["to"],
            reason=raw["reason"],
            detail=raw["detail"],
            raw=raw,
        )


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key without its secret. `key` is its text, and stands only in the answer that made it; it is never shown by `repr`."""

    id: str
    name: str
    scopes: tuple[str, ...]
    models: tuple[str, ...]
    limits: tuple[str, ...]
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    limits_left: tuple[Mapping[str, Any], ...]
    key: str | None = field(repr=False, compare=False)
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    @_told_if_foreign
    def of(cls, raw: Mapping[str, Any]) -> ApiKey:
        """Read the JSON of a key."""
        return cls(
            id=raw["id"],
            name=raw["name"],
            scopes=tuple(raw["scopes"]),
            models=tuple(raw["models"]),
            limits=tuple(raw["limits"]),
            created_at=_moment(raw["created_at"]),
            created_by=raw["created_by"],
            expires_at=_moment_or_none(raw["expires_at"]),
            revoked_at=_moment_or_none(raw["revoked_at"]),
            limits_left=tuple(raw.get("limits_left", ())),
            key=raw.get("key"),
            raw=raw,
        )


@dataclass(frozen=True, slots=True)
class Prediction:
    """Outputs and how they came about. `outputs` is a NumPy array, or a list of arrays where the model has several outputs.

    `classes` names the columns of `predict_proba`, where the model has classes; `request_ids` finds the requests in the
    service's log (many rows are sent in several).
    """

    outputs: Any
    model: str
    version: int
    method: str
    runtime: str
    cached: bool
    classes: list[Any] | None
    request_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """The answer to a body that was sent as it stood: the bytes that came, and what their headers say."""

    content: bytes
    content_type: str
    version: int
    cached: bool
    request_id: str


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _moment_or_none(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text is not None else None
