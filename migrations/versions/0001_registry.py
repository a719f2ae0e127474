"""The first tables of the registry.

Revision ID: 0001_registry
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001_registry"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make every table and the one row of the generation number."""
    create_api_keys()
    create_events()
    create_generation()
    create_idempotent_responses()
    create_models()
    create_model_tags()
    create_moves()
    create_versions()
    create_aliases()
    create_version_tags()
    create_alias_stack()
    op.execute("INSERT INTO generation (id, number) VALUES (1, 0)")


def downgrade() -> None:
    """Drop every table, those that refer to others first."""
    for table in (
        "alias_stack",
        "version_tags",
        "aliases",
        "versions",
        "moves",
        "model_tags",
        "models",
        "idempotent_responses",
        "generation",
        "events",
        "api_keys",
    ):
        op.drop_table(table)


def big() -> sa.types.TypeEngine[int]:
    """Return the type of ids: SQLite numbers rows by itself only where the type is INTEGER."""
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def name() -> sa.types.TypeEngine[str]:
    """Return the type of names, compared byte by byte on either database."""
    return sa.String(64).with_variant(sa.String(64, collation="C"), "postgresql")


def moment() -> sa.DateTime:
    """Return the type of a time in UTC."""
    return sa.DateTime(timezone=True)


def create_api_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", name(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("models", sa.JSON(), nullable=False),
        sa.Column("limits", sa.JSON(), nullable=False),
        sa.Column("created_at", moment(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("expires_at", moment(), nullable=True),
        sa.Column("revoked_at", moment(), nullable=True),
        sa.Column("replaced_by", name(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
    )
    op.create_index("ix_api_keys_created_at_id", "api_keys", ["created_at", "id"])


def create_events() -> None:
    op.create_table(
        "events",
        sa.Column("id", big(), nullable=False),
        sa.Column("at", moment(), nullable=False),
        sa.Column("generation", big(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("alias", sa.Text(), nullable=True),
        sa.Column("key_id", sa.Text(), nullable=True),
        sa.Column("from_number", sa.Integer(), nullable=True),
        sa.Column("to_number", sa.Integer(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_actor_at_id", "events", ["actor", "at", "id"])
    op.create_index("ix_events_at_id", "events", ["at", "id"])
    op.create_index("ix_events_generation_id", "events", ["generation", "id"])
    op.create_index("ix_events_kind_at_id", "events", ["kind", "at", "id"])
    op.create_index("ix_events_model_at_id", "events", ["model", "at", "id"])


def create_generation() -> None:
    op.create_table(
        "generation",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", big(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_generation_one_row")),
        sa.PrimaryKeyConstraint("id", name="pk_generation"),
    )


def create_idempotent_responses() -> None:
    op.create_table(
        "idempotent_responses",
        sa.Column("key_id", name(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("response", sa.JSON(), nullable=False),
        sa.Column("created_at", moment(), nullable=False),
        sa.PrimaryKeyConstraint("key_id", "idempotency_key", name="pk_idempotent_responses"),
    )
    op.create_index("ix_idempotent_responses_created_at", "idempotent_responses", ["created_at"])


def create_models() -> None:
    op.create_table(
        "models",
        sa.Column("id", big(), nullable=False),
        sa.Column("name", name(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("last_number", sa.Integer(), nullable=False),
        sa.Column("created_at", moment(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("deleted_at", moment(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_models"),
        sa.UniqueConstraint("name", name="uq_models_name"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_models_created_at_id", "models", ["created_at", "id"])


def create_model_tags() -> None:
    op.create_table(
        "model_tags",
        sa.Column("model_id", big(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_model_tags_model_id_models", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("model_id", "name", name="pk_model_tags"),
    )


def create_moves() -> None:
    op.create_table(
        "moves",
        sa.Column("id", big(), nullable=False),
        sa.Column("model_id", big(), nullable=False),
        sa.Column("alias", name(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("from_number", sa.Integer(), nullable=True),
        sa.Column("to_number", sa.Integer(), nullable=True),
        sa.Column("at", moment(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_moves_model_id_models"),
        sa.PrimaryKeyConstraint("id", name="pk_moves"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_moves_model_id_alias_id", "moves", ["model_id", "alias", "id"])


def create_versions() -> None:
    op.create_table(
        "versions",
        sa.Column("id", big(), nullable=False),
        sa.Column("model_id", big(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("flavor", sa.Text(), nullable=False),
        sa.Column("estimator", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", big(), nullable=False),
        sa.Column("signature", sa.JSON(), nullable=False),
        sa.Column("methods", sa.JSON(), nullable=False),
        sa.Column("environment", sa.JSON(), nullable=False),
        sa.Column("golden_rows", sa.Integer(), nullable=False),
        sa.Column("golden_from", sa.Text(), nullable=True),
        sa.Column("deterministic", sa.Boolean(), nullable=False),
        sa.Column("runtime", sa.Text(), nullable=False),
        sa.Column("accept_skew", sa.Boolean(), nullable=False),
        sa.Column("batching", sa.Boolean(), nullable=False),
        sa.Column("cache", sa.Boolean(), nullable=False),
        sa.Column("pinned", sa.Boolean(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("source", sa.JSON(), nullable=False),
        sa.Column("created_at", moment(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("deleted_at", moment(), nullable=True),
        sa.Column("load_error", sa.Text(), nullable=True),
        sa.Column("golden", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint("status IN ('ready', 'deleted')", name=op.f("ck_versions_known_status")),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_versions_model_id_models"),
        sa.PrimaryKeyConstraint("id", name="pk_versions"),
        sa.UniqueConstraint("model_id", "number", name="uq_versions_model_id_number"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_versions_model_id_status_number", "versions", ["model_id", "status", "number"])
    op.create_index("ix_versions_pinned_id", "versions", ["pinned", "id"])
    op.create_index("ix_versions_sha256", "versions", ["sha256"])
    op.create_index("ix_versions_status_deleted_at", "versions", ["status", "deleted_at"])


def create_aliases() -> None:
    op.create_table(
        "aliases",
        sa.Column("model_id", big(), nullable=False),
        sa.Column("alias", name(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("move_id", big(), nullable=False),
        sa.Column("moved_at", moment(), nullable=False),
        sa.Column("moved_by", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id", "number"], ["versions.model_id", "versions.number"], name="fk_aliases_model_id_number_versions"
        ),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name="fk_aliases_model_id_models"),
        sa.ForeignKeyConstraint(["move_id"], ["moves.id"], name="fk_aliases_move_id_moves"),
        sa.PrimaryKeyConstraint("model_id", "alias", name="pk_aliases"),
    )
    op.create_index("ix_aliases_model_id_number", "aliases", ["model_id", "number"])


def create_version_tags() -> None:
    op.create_table(
        "version_tags",
        sa.Column("version_id", big(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name="fk_version_tags_version_id_versions", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("version_id", "name", name="pk_version_tags"),
    )


def create_alias_stack() -> None:
    op.create_table(
        "alias_stack",
        sa.Column("model_id", big(), nullable=False),
        sa.Column("alias", name(), nullable=False),
        sa.Column("depth", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id", "alias"], ["aliases.model_id", "aliases.alias"], name="fk_alias_stack_model_id_alias_aliases", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("model_id", "alias", "depth", name="pk_alias_stack"),
    )
