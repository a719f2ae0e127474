"""What Alembic runs around the revisions: it takes the connection that `registry/schema.py` hands over.

There is no offline mode and no URL here. On PostgreSQL one process migrates at a time, and a migration that would
queue behind a long query for a table's lock gives up instead of stopping everyone behind it.
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from registry import tables

#: Any constant of 64 bits that nobody else uses in this database.
ADVISORY_LOCK = 0x6D6F64656C796172  # "modelyar"
LOCK_TIMEOUT = "3s"
#: Another host's whole migration.
ADVISORY_LOCK_TIMEOUT = "10min"


def migrate(connection: Connection) -> None:
    """Run the revisions that were asked for in the transaction of `connection`."""
    sqlite = connection.dialect.name == "sqlite"
    context.configure(connection=connection, target_metadata=tables.RegisteredModel.metadata, render_as_batch=sqlite)
    with context.begin_transaction():
        if not sqlite:
            take_turn(connection)
        context.run_migrations()


def take_turn(connection: Connection) -> None:
    """Wait until no other process migrates this database; the lock goes with the transaction."""
    connection.exec_driver_sql("SET LOCAL statement_timeout = 0")  # the application's is for requests
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{ADVISORY_LOCK_TIMEOUT}'")
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})")
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")


migrate(context.config.attributes["connection"])
