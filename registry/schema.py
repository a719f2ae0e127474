"""Brings a database to the tables that this code expects, and says where it stands.

It exists so that `modelyard serve` and the command line migrate without an `alembic.ini`, a working directory or a
logging setup, in one transaction on either database: a failed upgrade leaves what was there. No other module runs migrations.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

from registry.extensions import SQLITE_BEGIN, configure_sqlite
from registry.outage import patiently

_MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"


class BrokenReferences(RuntimeError):
    """A migration left rows that refer to rows that aren't there; it was undone."""


def upgrade(engine: Engine) -> None:
    """Bring the database to `head()`. Waits while another process does the same; raises what the database raises."""
    with _migrating(engine) as config:
        command.upgrade(config, "head")


def downgrade(engine: Engine, revision: str) -> None:
    """Take the database back to `revision`, or to nothing with `base`. What the newer tables held is lost."""
    with _migrating(engine) as config:
        command.downgrade(config, revision)


def current(engine: Engine) -> str | None:
    """Return the revision that the database is at, or None where no migration ever ran."""
    configure_sqlite(engine)
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def head() -> str:
    """Return the revision that this code needs."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    if revision is None:
        raise RuntimeError("there are no migrations")
    return revision


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config


@contextmanager
def _migrating(engine: Engine) -> Iterator[Config]:
    """Yield the configuration for commands that run on one connection in one transaction."""
    configure_sqlite(engine)
    options = {SQLITE_BEGIN: "IMMEDIATE"}
    with (
        engine.connect().execution_options(**options) as connection,
        patiently(connection),
        _foreign_keys_off(connection),
        connection.begin(),
    ):
        config = _config()
        config.attributes["connection"] = connection
        yield config
        _require_references(connection)


@contextmanager
def _foreign_keys_off(connection: Connection) -> Iterator[None]:
    # SQLite alters a table by building a new one and dropping the old, which would cascade; inside a transaction this can't be switched.
    driver = connection.connection.driver_connection
    if connection.dialect.name != "sqlite" or driver is None:
        yield
        return
    driver.execute("PRAGMA foreign_keys = OFF").close()
    try:
        yield
    finally:
        driver.execute("PRAGMA foreign_keys = ON").close()


def _require_references(connection: Connection) -> None:
    if connection.dialect.name != "sqlite":
        return
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if broken is not None:
        raise BrokenReferences(f"table {broken[0]} refers to rows of {broken[2]} that don't exist")
