"""What the service answers, as frozen records with types; `raw` is each answer as it came.

A field that a newer service adds stands in `raw` alone, so that an older client goes on. Nothing here asks the service.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
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


#: What a service that is older than this client leaves out.
_ABSENT: dict[str, Any] = {"runtime": None, "fast": None, "pinned": False, "advice": (), "limits_left": (), "key": None}


def _read(cls: type[Record], raw: Mapping[str, Any], **found: Any) -> Record:
    """Return a record whose fields are those of the JSON with the same names, but for what was `found` elsewhere in it."""
    found["raw"] = raw
    for item in fields(cls):  # type: ignore[arg-type]
        if item.name not in found:
            found[item.name] = _value(item.name, raw.get(item.name, _ABSENT[item.name]) if item.name in _ABSENT else raw[item.name])
    return cls(**found)


def _value(name: str, value: Any) -> Any:
    """Return a value as a record holds it: times as such, lists as tuples, so that a record can't be changed by mistake."""
    if value is not None and (name == "at" or name.endswith("_at")):
        return datetime.fromisoformat(value)
    return tuple(value) if isinstance(value, list) else value


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
        sha256, size_bytes = raw["artifact"]["sha256"], raw["artifact"]["size_bytes"]
        return _read(cls, raw, sha256=sha256, size_bytes=size_bytes)


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
        return _read(cls, raw)


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
        return _read(cls, raw)


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
        return _read(cls, raw, from_version=raw["from"], to_version=raw["to"], kind=raw.get("kind", "rollback"))


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
        return _read(cls, raw, from_=raw["from"])


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
        return _read(cls, raw)


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
