"""What the console needs: who is signed in, how an estimator is built, and how much each model, version and key is asked.

Revision ID: 0003_console
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003_console"
down_revision = "0002_fast_runtime"
branch_labels = None
depends_on = None

# As in the first revision: SQLite numbers rows by itself only where the type is INTEGER, and names are compared byte by byte.
big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def text_of_bytes(length: int) -> sa.types.TypeEngine[str]:
    """Return a text that is compared byte by byte everywhere."""
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    """Add the tables and an index; what was published before has no diagram."""
    op.create_table(
        "console_sessions",
        sa.Column("token_sha256", sa.String(64), nullable=False),
        sa.Column("key_id", text_of_bytes(64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("token_sha256", name=op.f("pk_console_sessions")),
    )
    op.create_index("ix_console_sessions_expires_at", "console_sessions", ["expires_at"])
    op.create_index("ix_console_sessions_key_id", "console_sessions", ["key_id"])
    op.create_table(
        "version_diagrams",
        sa.Column("version_id", big, nullable=False),
        sa.Column("diagram", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("version_id", name=op.f("pk_version_diagrams")),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name=op.f("fk_version_diagrams_version_id_versions"), ondelete="CASCADE"),
    )
    op.create_table(
        "traffic",
        sa.Column("id", big, nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("subject", text_of_bytes(80), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("span_seconds", sa.Integer(), nullable=False),
        sa.Column("writer", sa.String(16), nullable=False),
        *(sa.Column(name, big, nullable=False) for name in ("requests", "errors", "failures", "hits", "refusals")),
        sa.Column("latency", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_traffic")),
        sa.UniqueConstraint("kind", "subject", "at", "span_seconds", "writer", name=op.f("uq_traffic_kind_subject_at_span_seconds_writer")),
        sa.CheckConstraint("kind IN ('all', 'model', 'version', 'key')", name=op.f("ck_traffic_known_kind")),
    )
    op.create_index("ix_traffic_span_seconds_at", "traffic", ["span_seconds", "at"])
    op.create_index("ix_traffic_kind_span_seconds_at", "traffic", ["kind", "span_seconds", "at"])
    op.create_index("ix_moves_model_id_id", "moves", ["model_id", "id"])


def downgrade() -> None:
    """Drop them: everybody is signed out, and the figures of traffic and the diagrams are lost."""
    op.drop_index("ix_moves_model_id_id", "moves")
    for table in ("traffic", "version_diagrams", "console_sessions"):
        op.drop_table(table)
