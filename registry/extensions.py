"""The Flask extensions, unbound, and how the database engine is set up.

Nothing here connects to anything: `create_app` binds the objects. Never holds a setting or a query.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Flask
from flask_limiter import Limiter
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Connection, Engine, MetaData, event
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import DeclarativeBase

from registry import outage
from registry.errors import RegistryUnavailable

#: Execution option of a connection: how its SQLite transactions begin, such as `IMMEDIATE`; deferred when absent.
SQLITE_BEGIN = "sqlite_begin"

_SQLITE_PRAGMAS = (
    "PRAGMA busy_timeout = 10000",  # first: switching to WAL may itself have to wait
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA foreign_keys = ON",
)


class Base(DeclarativeBase):
    """Base of the mapped classes. Constraints are named by a rule, so that a migration can name what it drops."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


db = SQLAlchemy(model_class=Base, disable_autonaming=True)

#: What the driver raises while the database is away.
DATABASE_AWAY = (OperationalError, InterfaceError, PoolTimeoutError)


def _no_default_subject() -> str:
    raise LookupError("a limit needs the caller or the address that it counts")  # an empty subject would switch the limit off


#: Holds storage and strategy of every limit; `api/limits.py` calls them, since the caller is known only after authentication.
limiter = Limiter(key_func=_no_default_subject)


@contextmanager
def reading() -> Iterator[None]:
    """Give the connection back as soon as the query is done. Raises RegistryUnavailable when the database is away."""
    try:
        yield
    except DATABASE_AWAY as error:
        raise database_away(error) from None
    finally:
        roll_back_session()


def commit() -> None:
    """Commit the session. Raises RegistryUnavailable when the database is away."""
    try:
        db.session.commit()
    except DATABASE_AWAY as error:
        roll_back_session()
        raise database_away(error) from None


def roll_back_session() -> None:
    """Undo what wasn't committed and give the connection back, even when it is broken."""
    try:
        db.session.rollback()
    except DATABASE_AWAY:
        db.session.remove()


def database_away(error: BaseException) -> RegistryUnavailable:
    """Return the error that callers see; the driver's text goes to the log only, since it may name hosts and users."""
    return RegistryUnavailable(
        "The registry's database can't be reached.", retry_after_seconds=5, log_detail=f"{type(error).__name__}: {error}"
    )


def engine_options(url: str) -> dict[str, Any]:
    """Return the pool's settings: small waits, connections checked before use, and PostgreSQL's own limits, shorter than our patience."""
    if url.startswith("sqlite"):
        return {"pool_size": 32, "max_overflow": 256, "pool_timeout": 10}
    return {
        "pool_size": 8,
        "max_overflow": 24,
        "pool_timeout": 5,
        "pool_pre_ping": True,
        "connect_args": {"connect_timeout": 2, "options": "-c statement_timeout=4500 -c lock_timeout=4000"},
    }


def init_database(app: Flask, url: str) -> None:
    """Bind `db` to an application and a database; connects on first use."""
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = engine_options(url)
    db.init_app(app)
    with app.app_context():
        configure_sqlite(db.engine)
        outage.guard(db.engine)


def configure_sqlite(engine: Engine) -> None:
    """Make a SQLite engine safe for many threads and processes: WAL, foreign keys, a busy timeout of 10 seconds.

    Call it before the engine's first connection; doing so twice, or for another database, changes nothing.
    """
    if engine.dialect.name != "sqlite" or event.contains(engine, "connect", _set_pragmas):
        return
    event.listen(engine, "connect", _set_pragmas)
    event.listen(engine, "begin", _begin)


def _set_pragmas(driver_connection: Any, _record: Any) -> None:
    # The driver would begin a transaction before writes only, so that what was read before could have changed; `_begin` does it for both.
    driver_connection.isolation_level = None
    for pragma in _SQLITE_PRAGMAS:
        driver_connection.execute(pragma).close()


def _begin(connection: Connection) -> None:
    # Deferred: a reader never waits, and a transaction whose first statement writes waits for the lock with a fresh view.
    connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get(SQLITE_BEGIN, 'DEFERRED')}")
