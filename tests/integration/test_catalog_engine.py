"""The settings that the catalog relies on in each database."""

from __future__ import annotations

import pytest
from sqlalchemy import event

from registry import tables
from registry.extensions import configure_sqlite, db


@pytest.mark.usefixtures("sqlite_catalog_app")
def test_sqlite_is_set_up_for_many_writers() -> None:
    """On every connection of the pool."""
    expected = {"journal_mode": "wal", "foreign_keys": 1, "busy_timeout": 10000, "synchronous": 1}
    with db.engine.connect() as first, db.engine.connect() as second:
        for connection in (first, second):
            for pragma, value in expected.items():
                assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() == value, pragma


@pytest.mark.usefixtures("sqlite_catalog_app")
def test_setting_sqlite_up_twice_listens_once() -> None:
    """A second BEGIN would fail."""
    configure_sqlite(db.engine)
    with db.engine.begin() as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1


@pytest.mark.usefixtures("postgres_catalog_app")
def test_another_database_is_left_alone() -> None:
    """PostgreSQL needs none of it."""
    configure_sqlite(db.engine)
    assert not event.contains(db.engine, "begin", configure_sqlite)
    with db.engine.begin() as connection:
        assert connection.exec_driver_sql("SELECT 1").scalar() == 1


@pytest.mark.usefixtures("postgres_catalog_app")
def test_names_compare_byte_by_byte_on_postgresql() -> None:
    """Whatever collation the database was made with."""
    collations = db.session.connection().exec_driver_sql(
        "SELECT table_name, column_name, collation_name FROM information_schema.columns WHERE collation_name IS NOT NULL AND table_schema = 'public'"
    )
    found = {(table, column): collation for table, column, collation in collations}
    for column in (tables.RegisteredModel.__table__.c.name, tables.Alias.__table__.c.alias, tables.ApiKey.__table__.c.id):
        assert found[str(column.table), column.name] == "C"
