"""The mapped classes: how the registry lies in the database.

Only `registry/catalog` and `registry/schema.py` use them, and none of their objects leaves the catalog. A change
here needs a migration; a test compares the two.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    DateTime,
    Dialect,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from registry.extensions import Base


class UtcDateTime(TypeDecorator[datetime]):
    """A moment: aware in and out, UTC in the database. SQLite knows no time zone, so there it is stored without."""

    impl = DateTime(timezone=True)
    cache_ok = True

    @property
    def python_type(self) -> type[datetime]:
        """Return what paging takes cursors apart into."""
        return datetime

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return `value` in UTC; a naive one is a bug and raises ValueError."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone can't be stored")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's
        """Return `value` as an aware UTC time."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


# SQLite numbers rows by itself only where the type is INTEGER.
_big = BigInteger().with_variant(Integer(), "sqlite")
# Compared byte by byte everywhere: an operating system's collation differs from host to host and changes with upgrades.
_name = String(64).with_variant(String(64, collation="C"), "postgresql")

RowId = Annotated[int, mapped_column(_big, primary_key=True)]
ModelId = Annotated[int, mapped_column(_big, ForeignKey("models.id"))]
BigInt = Annotated[int, mapped_column(_big)]
Name = Annotated[str, mapped_column(_name)]
FreeText = Annotated[str, mapped_column(Text)]
Moment = Annotated[datetime, mapped_column(UtcDateTime)]
JsonObject = Annotated[dict[str, Any], mapped_column(JSON)]
JsonTexts = Annotated[list[str], mapped_column(JSON)]

#: Ids that are never given twice, not even after the newest row is gone.
_NEVER_REUSED = {"sqlite_autoincrement": True}


class Generation(Base):
    """The one row whose number every write raises first; holding its lock serializes all writes."""

    __tablename__ = "generation"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    number: Mapped[BigInt]


class RegisteredModel(Base):
    """A name owning versions. The row stays when the model is deleted, so that its numbers go on."""

    __tablename__ = "models"
    __table_args__ = (UniqueConstraint("name"), Index(None, "created_at", "id"), _NEVER_REUSED)
    id: Mapped[RowId]
    name: Mapped[Name]
    description: Mapped[FreeText]
    last_number: Mapped[int] = mapped_column(Integer)
    runtime: Mapped[str] = mapped_column(Text, server_default="exact")
    created_at: Mapped[Moment]
    created_by: Mapped[FreeText]
    deleted_at: Mapped[Moment | None]
    tags: Mapped[list[ModelTag]] = relationship(cascade="all, delete-orphan", lazy="raise")
    aliases: Mapped[list[Alias]] = relationship(lazy="raise", viewonly=True, order_by="Alias.alias")


class ModelTag(Base):
    """One tag of a model."""

    __tablename__ = "model_tags"
    __table_args__ = (ForeignKeyConstraint(["model_id"], ["models.id"], ondelete="CASCADE"),)
    model_id: Mapped[int] = mapped_column(_big, primary_key=True)
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    value: Mapped[FreeText]


class Version(Base):
    """A published version. `status` is `ready` or `deleted`; the row goes when it is swept, the number never comes back.

    `runtime` is what was asked for; `fast` says how far its compiled form is: None, `pending`, `ready` or `refused`.
    """

    __tablename__ = "versions"
    __table_args__ = (
        UniqueConstraint("model_id", "number"),
        Index(None, "model_id", "status", "number"),
        Index(None, "sha256"),
        Index(None, "pinned", "id"),
        Index(None, "fast", "id"),
        Index(None, "status", "deleted_at"),
        CheckConstraint("status IN ('ready', 'deleted')", name="known_status"),
        _NEVER_REUSED,
    )
    id: Mapped[RowId]
    model_id: Mapped[ModelId]
    number: Mapped[int] = mapped_column(Integer)
    status: Mapped[str] = mapped_column(String(16))
    flavor: Mapped[FreeText]
    estimator: Mapped[FreeText]
    sha256: Mapped[str] = mapped_column(String(64))
    size_bytes: Mapped[BigInt]
    signature: Mapped[JsonObject]
    methods: Mapped[JsonTexts]
    environment: Mapped[JsonObject]
    golden_rows: Mapped[int] = mapped_column(Integer)
    golden_from: Mapped[FreeText | None]
    deterministic: Mapped[bool]
    runtime: Mapped[FreeText]
    accept_skew: Mapped[bool]
    batching: Mapped[bool]
    cache: Mapped[str] = mapped_column(String(4))
    pinned: Mapped[bool]
    description: Mapped[FreeText]
    metrics: Mapped[JsonObject]
    parameters: Mapped[JsonObject]
    source: Mapped[JsonObject]
    created_at: Mapped[Moment]
    created_by: Mapped[FreeText]
    deleted_at: Mapped[Moment | None]
    load_error: Mapped[FreeText | None]
    fast: Mapped[str | None] = mapped_column(String(8))
    fast_report: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    # Last and read by themselves: they may be large, and SQLite walks past everything that stands before a column.
    golden: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True, deferred_raiseload=True)
    fast_golden: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True, deferred_raiseload=True)
    model: Mapped[RegisteredModel] = relationship(lazy="raise")
    tags: Mapped[list[VersionTag]] = relationship(cascade="all, delete-orphan", lazy="raise")
    aliases: Mapped[list[Alias]] = relationship(lazy="raise", viewonly=True, order_by="Alias.alias")


class VersionDiagram(Base):
    """How a version's estimator is built, as its admission saw it: apart, since only a page about one version reads it."""

    __tablename__ = "version_diagrams"
    __table_args__ = (ForeignKeyConstraint(["version_id"], ["versions.id"], ondelete="CASCADE"),)
    version_id: Mapped[int] = mapped_column(_big, primary_key=True)
    diagram: Mapped[JsonObject]


class VersionTag(Base):
    """One tag of a version."""

    __tablename__ = "version_tags"
    __table_args__ = (ForeignKeyConstraint(["version_id"], ["versions.id"], ondelete="CASCADE"),)
    version_id: Mapped[int] = mapped_column(_big, primary_key=True)
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    value: Mapped[FreeText]


class Alias(Base):
    """Where an alias points now; `move_id` is its newest move."""

    __tablename__ = "aliases"
    __table_args__ = (
        ForeignKeyConstraint(["model_id"], ["models.id"]),
        ForeignKeyConstraint(["model_id", "number"], ["versions.model_id", "versions.number"]),
        ForeignKeyConstraint(["move_id"], ["moves.id"]),
        Index(None, "model_id", "number"),
    )
    model_id: Mapped[int] = mapped_column(_big, primary_key=True)
    alias: Mapped[str] = mapped_column(_name, primary_key=True)
    number: Mapped[int] = mapped_column(Integer)
    move_id: Mapped[BigInt]
    moved_at: Mapped[Moment]
    moved_by: Mapped[FreeText]


class StackEntry(Base):
    """One place where an alias pointed before; the deepest is 0. No foreign key: the version may have been swept."""

    __tablename__ = "alias_stack"
    __table_args__ = (ForeignKeyConstraint(["model_id", "alias"], ["aliases.model_id", "aliases.alias"], ondelete="CASCADE"),)
    model_id: Mapped[int] = mapped_column(_big, primary_key=True)
    alias: Mapped[str] = mapped_column(_name, primary_key=True)
    depth: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(Integer)


class Move(Base):
    """One move of an alias. Rows are only ever added."""

    __tablename__ = "moves"
    __table_args__ = (Index(None, "model_id", "alias", "id"), Index(None, "model_id", "id"), _NEVER_REUSED)
    id: Mapped[RowId]
    model_id: Mapped[ModelId]
    alias: Mapped[Name]
    kind: Mapped[str] = mapped_column(String(16))
    from_number: Mapped[int | None] = mapped_column(Integer)
    to_number: Mapped[int | None] = mapped_column(Integer)
    at: Mapped[Moment]
    by: Mapped[FreeText]
    reason: Mapped[FreeText]


class ApiKey(Base):
    """An API key: what it may do, and the hash of its secret; never the secret."""

    __tablename__ = "api_keys"
    __table_args__ = (Index(None, "created_at", "id"),)
    id: Mapped[str] = mapped_column(_name, primary_key=True)
    name: Mapped[FreeText]
    hash: Mapped[bytes] = mapped_column(LargeBinary)
    scopes: Mapped[JsonTexts]
    models: Mapped[JsonTexts]
    limits: Mapped[JsonTexts]
    created_at: Mapped[Moment]
    created_by: Mapped[FreeText]
    expires_at: Mapped[Moment | None]
    revoked_at: Mapped[Moment | None]
    replaced_by: Mapped[Name | None]


class Event(Base):
    """One line of the audit trail. Names stand as text, so that it outlives what it tells of. Rows are only ever added."""

    __tablename__ = "events"
    __table_args__ = (
        Index(None, "generation", "id"),
        Index(None, "at", "id"),
        Index(None, "model", "at", "id"),
        Index(None, "actor", "at", "id"),
        Index(None, "kind", "at", "id"),
        _NEVER_REUSED,
    )
    id: Mapped[RowId]
    at: Mapped[Moment]
    generation: Mapped[BigInt]
    host: Mapped[FreeText]
    actor: Mapped[FreeText]
    kind: Mapped[str] = mapped_column(String(32))
    model: Mapped[FreeText | None]
    version: Mapped[int | None] = mapped_column(Integer)
    alias: Mapped[FreeText | None]
    key_id: Mapped[FreeText | None]
    from_number: Mapped[int | None] = mapped_column(Integer)
    to_number: Mapped[int | None] = mapped_column(Integer)
    reason: Mapped[FreeText]
    detail: Mapped[JsonObject]


class IdempotentResponse(Base):
    """What was answered to a request with an Idempotency-Key."""

    __tablename__ = "idempotent_responses"
    __table_args__ = (Index(None, "created_at"),)
    key_id: Mapped[str] = mapped_column(_name, primary_key=True)
    idempotency_key: Mapped[str] = mapped_column(Text, primary_key=True)
    fingerprint: Mapped[FreeText]
    response: Mapped[JsonObject]
    created_at: Mapped[Moment]


class ConsoleSession(Base):
    """A browser that is signed in: the SHA-256 of what its cookie holds, and the key that it signed in with."""

    __tablename__ = "console_sessions"
    __table_args__ = (Index(None, "expires_at"), Index(None, "key_id"))
    token_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    key_id: Mapped[Name]
    created_at: Mapped[Moment]
    expires_at: Mapped[Moment]


class Traffic(Base):
    """What was asked of one subject in `span_seconds` from `at`: as one web process saw it, or rolled up from all (`writer` is empty).

    `kind` says what `subject` names: `all` (nothing), `model`, `version` (as `iris/3`) or `key`. `latency` is a packed histogram.
    `span_seconds` is 0 in rows that aren't rolled up yet (`at` is their minute), and -1 in rows that say which batch of a writer was
    written last.
    """

    __tablename__ = "traffic"
    __table_args__ = (
        UniqueConstraint("kind", "subject", "at", "span_seconds", "writer"),
        Index(None, "span_seconds", "at"),
        Index(None, "kind", "span_seconds", "at"),
        CheckConstraint("kind IN ('all', 'model', 'version', 'key')", name="known_kind"),
    )
    id: Mapped[RowId]
    kind: Mapped[str] = mapped_column(String(8))
    subject: Mapped[str] = mapped_column(String(80).with_variant(String(80, collation="C"), "postgresql"))
    at: Mapped[Moment]
    span_seconds: Mapped[int] = mapped_column(Integer)
    writer: Mapped[str] = mapped_column(String(16))
    requests: Mapped[BigInt]
    errors: Mapped[BigInt]
    failures: Mapped[BigInt]
    hits: Mapped[BigInt]
    refusals: Mapped[BigInt]
    latency: Mapped[bytes] = mapped_column(LargeBinary)
