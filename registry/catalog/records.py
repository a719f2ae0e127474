"""What the catalog returns: frozen values that outlive the session they were read in.

No mapped object ever leaves the catalog, so that no caller runs a query by touching an attribute. Times are aware, in UTC.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar

T = TypeVar("T")

#: The runtimes, and the states of a compiled form.
EXACT, FAST = "exact", "fast"
FAST_PENDING, FAST_READY, FAST_REFUSED = "pending", "ready", "refused"


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some rows of a listing; `next_cursor` is None on the last page."""

    items: list[T]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Model:
    """A model; `latest_version` and `version_count` are of the versions that are ready. `runtime` is what new versions get."""

    name: str
    description: str
    tags: dict[str, str]
    runtime: str
    created_at: datetime
    created_by: str
    deleted_at: datetime | None
    latest_version: int | None
    version_count: int
    aliases: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVersion:
    """Everything a version begins with, except what the catalog gives it: number, times, author. Without a runtime it gets its model's."""

    model: str
    flavor: str
    estimator: str
    sha256: str
    size_bytes: int
    signature: dict[str, Any]
    methods: tuple[str, ...]
    environment: dict[str, Any]
    golden: bytes | None = None
    golden_rows: int = 0
    golden_from: str | None = None
    deterministic: bool = True
    runtime: str | None = None
    accept_skew: bool = False
    batching: bool = True
    cache: str = "auto"
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    source: dict[str, str] = field(default_factory=dict)
    diagram: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A version; `status` is `ready` or `deleted`. `id` is the row's, never used again; `number` counts per model.

    `runtime` is what was asked for, `effective_runtime` what serves; `fast` is None, `pending`, `ready` or `refused`, and
    `fast_report` says why. `cache` is `auto`, `on` or `off`.
    """

    id: int
    model: str
    number: int
    status: str
    flavor: str
    estimator: str
    sha256: str
    size_bytes: int
    signature: dict[str, Any]
    methods: tuple[str, ...]
    environment: dict[str, Any]
    golden_rows: int
    golden_from: str | None
    deterministic: bool
    runtime: str
    accept_skew: bool
    batching: bool
    cache: str
    fast: str | None
    fast_report: dict[str, Any] | None
    pinned: bool
    description: str
    tags: dict[str, str]
    metrics: dict[str, float]
    parameters: dict[str, Any]
    source: dict[str, str]
    aliases: tuple[str, ...]
    created_at: datetime
    created_by: str
    deleted_at: datetime | None
    load_error: str | None

    @property
    def effective_runtime(self) -> str:
        """Return what serves it: `fast` only where that was asked for and is ready."""
        return effective_runtime(self.runtime, self.fast)


def effective_runtime(runtime: str, fast: str | None) -> str:
    """Return which runtime serves a version of which `runtime` was asked for, and whose compiled form is in the state `fast`."""
    return FAST if (runtime, fast) == (FAST, FAST_READY) else EXACT


@dataclass(frozen=True, slots=True)
class LoadSpec:
    """What a host needs to load a version and replay its golden predictions, and why it last failed to.

    `runtime` is the effective one; `fast_golden` are the golden predictions of the compiled form, where that serves.
    """

    version_id: int
    model: str
    number: int
    sha256: str
    flavor: str
    runtime: str
    golden: bytes | None
    fast_golden: bytes | None
    deterministic: bool
    accept_skew: bool
    batching: bool
    pinned: bool
    signature: dict[str, Any]
    load_error: str | None


@dataclass(frozen=True, slots=True)
class CompileSpec:
    """What a host needs to make a version's compiled form and verify it against the estimator."""

    version_id: int
    model: str
    number: int
    sha256: str
    flavor: str
    golden: bytes | None
    accept_skew: bool
    signature: dict[str, Any]
    methods: tuple[str, ...]


class StoredVersion(NamedTuple):
    """A version as the sweep and `verify` see it: whose it is, and which bytes it needs. `ready` is false for a deleted one."""

    model: str
    number: int
    sha256: str
    version_id: int
    ready: bool


@dataclass(frozen=True, slots=True)
class Alias:
    """Where an alias points. `etag` is the id of the move that brought it there, without quotes."""

    model: str
    alias: str
    version: int
    etag: str
    moved_at: datetime
    moved_by: str


@dataclass(frozen=True, slots=True)
class Move:
    """One move of an alias; `kind` is `point`, `rollback` or `delete`, `to_version` None for the last."""

    id: int
    model: str
    alias: str
    kind: str
    from_version: int | None
    to_version: int | None
    at: datetime
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key's grants and the hash of its secret (32 bytes). No models means every model."""

    id: str
    name: str
    hash: bytes
    scopes: tuple[str, ...]
    models: tuple[str, ...]
    limits: tuple[str, ...]
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    replaced_by: str | None


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the audit trail: who, what, when, from, to, why."""

    id: int
    at: datetime
    actor: str
    host: str
    kind: str
    model: str | None
    version: int | None
    alias: str | None
    key_id: str | None
    from_: int | None
    to: int | None
    reason: str
    detail: dict[str, Any]
    generation: int


@dataclass(frozen=True, slots=True)
class Change:
    """What a write changed, for those who remember: at which generation, made on which host."""

    generation: int
    host: str
    kind: str
    model: str | None
    alias: str | None
    key_id: str | None
    version: int | None
    from_version: int | None = None


@dataclass(frozen=True, slots=True)
class Idempotent:
    """The answer that was given to an Idempotency-Key, and the fingerprint of its request."""

    fingerprint: str
    response: dict[str, Any]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ConsoleSession:
    """A browser that is signed in with a key."""

    key_id: str
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class TrafficSum:
    """How much something was asked, and how fast it answered.

    `errors` are answers from 400 on but 429, `failures` those from 500 on, `hits` came from the cache; all are `requests`. `refusals` (429)
    are none. The times are those of good answers, None without any.
    """

    requests: int
    errors: int
    failures: int
    hits: int
    refusals: int
    p50_seconds: float | None
    p99_seconds: float | None


@dataclass(frozen=True, slots=True)
class TrafficPoint:
    """The traffic of one step of time, which began then."""

    at: datetime
    sum: TrafficSum


@dataclass(frozen=True, slots=True)
class TrafficOf:
    """The traffic of one model, version or key."""

    subject: str
    sum: TrafficSum
