"""A compiled form per version, a model's own runtime, and a cache that may decide by itself.

Revision ID: 0002_fast_runtime
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002_fast_runtime"
down_revision = "0001_registry"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; what was cached may be cached still, where that pays."""
    op.add_column("models", sa.Column("runtime", sa.Text(), nullable=False, server_default="exact"))
    if op.get_bind().dialect.name == "sqlite":
        rebuild_up()
    else:
        op.execute("ALTER TABLE versions ALTER COLUMN cache TYPE varchar(4) USING CASE WHEN cache THEN 'auto' ELSE 'off' END")
        for column in new_columns():
            op.add_column("versions", column)
    op.create_index("ix_versions_fast_id", "versions", ["fast", "id"])


def downgrade() -> None:
    """Drop the columns: compiled forms are lost, and every version is served by the exact runtime."""
    op.execute("UPDATE versions SET runtime = 'exact'")
    op.drop_index("ix_versions_fast_id", "versions")
    if op.get_bind().dialect.name == "sqlite":
        rebuild_down()
    else:
        for column in new_columns():
            op.drop_column("versions", column.name)
        op.execute("ALTER TABLE versions ALTER COLUMN cache TYPE boolean USING cache <> 'off'")
    op.drop_column("models", "runtime")


def new_columns() -> list[sa.Column[object]]:
    return [
        sa.Column("fast", sa.String(length=8), nullable=True),
        sa.Column("fast_report", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("fast_golden", sa.LargeBinary(), nullable=True),
    ]


def rebuild_up() -> None:
    """Make the table anew: SQLite walks past what stands before a column, so the large ones must stay last."""
    last_id = read_last_id()
    with op.batch_alter_table("versions", recreate="always", table_kwargs={"sqlite_autoincrement": True}) as batch:
        batch.alter_column("cache", existing_type=sa.Boolean(), type_=sa.String(length=4), existing_nullable=False)
        fast, report, golden = new_columns()
        batch.add_column(fast, insert_before="golden")
        batch.add_column(report, insert_before="golden")
        batch.add_column(golden)
    op.execute("UPDATE versions SET cache = CASE cache WHEN '0' THEN 'off' ELSE 'auto' END")
    write_last_id(last_id)


def rebuild_down() -> None:
    last_id = read_last_id()
    op.execute("UPDATE versions SET cache = CASE cache WHEN 'off' THEN '0' ELSE '1' END")
    with op.batch_alter_table("versions", recreate="always", table_kwargs={"sqlite_autoincrement": True}) as batch:
        batch.alter_column("cache", existing_type=sa.String(length=4), type_=sa.Boolean(), existing_nullable=False)
        for column in new_columns():
            batch.drop_column(column.name)
    write_last_id(last_id)


def read_last_id() -> int | None:
    """Return the highest id ever given; a table made anew would count from its highest row."""
    return op.get_bind().exec_driver_sql("SELECT seq FROM sqlite_sequence WHERE name = 'versions'").scalar()


def write_last_id(last_id: int | None) -> None:
    connection = op.get_bind()
    connection.exec_driver_sql("DELETE FROM sqlite_sequence WHERE name = 'versions'")
    if last_id is not None:
        connection.exec_driver_sql("INSERT INTO sqlite_sequence (name, seq) VALUES ('versions', ?)", (last_id,))
