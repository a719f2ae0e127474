"""The migrations make what the mapped classes say, on either database, undone as a whole when they fail."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import CheckConstraint, Engine, create_engine, event, insert, inspect
from sqlalchemy.exc import OperationalError

from registry import schema, tables
from registry.extensions import Base


def test_the_database_goes_up_down_and_up_again(empty_engine: Engine) -> None:
    """Every revision can be undone, and nothing of it stays."""
    assert schema.current(empty_engine) is None
    schema.upgrade(empty_engine)
    assert schema.current(empty_engine) == schema.head()
    schema.downgrade(empty_engine, "base")
    assert schema.current(empty_engine) is None
    assert set(inspect(empty_engine).get_table_names()) <= {"alembic_version"}
    schema.upgrade(empty_engine)
    assert schema.current(empty_engine) == schema.head()


def test_upgrading_twice_changes_nothing(empty_engine: Engine) -> None:
    """`serve` upgrades at each start."""
    schema.upgrade(empty_engine)
    schema.upgrade(empty_engine)
    with empty_engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT id, number FROM generation").all() == [(1, 0)]


def test_the_migrations_make_exactly_the_mapped_tables(empty_engine: Engine) -> None:
    """Alembic finds nothing to add, drop or change."""
    schema.upgrade(empty_engine)
    with empty_engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), Base.metadata) == []


def test_the_checks_are_those_of_the_mapped_tables(empty_engine: Engine) -> None:
    """Alembic doesn't compare check constraints, so their names are compared here."""
    schema.upgrade(empty_engine)
    inspector = inspect(empty_engine)
    for table in Base.metadata.sorted_tables:
        mapped = {str(check.name) for check in table.constraints if isinstance(check, CheckConstraint)}
        assert {check["name"] for check in inspector.get_check_constraints(table.name)} == mapped, table.name


def test_what_was_cached_may_be_cached_after_the_upgrade_and_back(empty_engine: Engine) -> None:
    """The switch becomes a mode: true `auto`, false `off`, and again a switch on the way down; ids go on where they were."""
    model = "INSERT INTO models (name, description, last_number, created_at, created_by) VALUES ('m', '', 3, '2026-01-01', 'me')"
    version = (
        "INSERT INTO versions (model_id, number, status, flavor, estimator, sha256, size_bytes, signature, methods, environment, golden_rows,"
        " deterministic, runtime, accept_skew, batching, cache, pinned, description, metrics, parameters, source, created_at, created_by)"
        " VALUES (1, {number}, 'ready', 'sklearn', 'E', 'ab', 1, '{{}}', '[]', '{{}}', 0, true, 'exact', false, true, {cache}, false,"
        " '', '{{}}', '{{}}', '{{}}', '2026-01-01', 'me')"
    )
    _move_to(empty_engine, "0001_registry")
    with empty_engine.begin() as connection:
        connection.exec_driver_sql(model)
        for number, cache in ((1, "true"), (2, "false"), (3, "true")):
            connection.exec_driver_sql(version.format(number=number, cache=cache))
        connection.exec_driver_sql("DELETE FROM versions WHERE number = 3")
    schema.upgrade(empty_engine)
    with empty_engine.begin() as connection:
        read = connection.exec_driver_sql("SELECT cache, runtime, fast, fast_report, fast_golden FROM versions ORDER BY number")
        assert [tuple(row) for row in read] == [("auto", "exact", None, None, None), ("off", "exact", None, None, None)]
        assert connection.exec_driver_sql("SELECT runtime FROM models").scalar() == "exact"
        connection.exec_driver_sql(version.format(number=4, cache="'on'"))
        assert connection.exec_driver_sql("SELECT id FROM versions WHERE number = 4").scalar() == 4
        connection.exec_driver_sql("UPDATE versions SET runtime = 'fast', fast = 'ready' WHERE number = 1")
    schema.downgrade(empty_engine, "0001_registry")
    with empty_engine.connect() as connection:
        read = connection.exec_driver_sql("SELECT cache, runtime FROM versions ORDER BY number")
        assert [(bool(cache), runtime) for cache, runtime in read] == [(True, "exact"), (False, "exact"), (True, "exact")]


def test_large_columns_stay_last(sqlite_database_url: str) -> None:
    """SQLite walks past what stands before a column, and golden predictions take megabytes."""
    engine = create_engine(sqlite_database_url)
    names = [column["name"] for column in inspect(engine).get_columns("versions")]
    engine.dispose()
    assert names[-2:] == ["golden", "fast_golden"]


def _move_to(engine: Engine, revision: str) -> None:
    schema.upgrade(engine)
    schema.downgrade(engine, revision)


def test_there_is_one_head() -> None:
    """Two revisions that follow the same one would leave the order open."""
    config = Config()
    config.set_main_option("script_location", str(schema._MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_heads() == [schema.head()]


def test_processes_that_upgrade_together_take_turns(empty_database_url: str) -> None:
    """Hosts that start at once all end at the head, and none fails."""
    program = "import sys, sqlalchemy; from registry import schema; schema.upgrade(sqlalchemy.create_engine(sys.argv[1]))"
    root = Path(schema.__file__).parent.parent
    processes = [subprocess.Popen([sys.executable, "-c", program, empty_database_url], cwd=root) for _ in range(3)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0]
    engine = create_engine(empty_database_url)
    assert schema.current(engine) == schema.head()
    engine.dispose()


def test_a_migration_that_fails_leaves_what_was_there(empty_engine: Engine) -> None:
    """On SQLite too, where Alembic alone would leave half of the tables."""

    def fail(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "CREATE TABLE versions" in statement:
            raise RuntimeError("the disk is full")

    event.listen(empty_engine, "before_cursor_execute", fail)
    with pytest.raises(RuntimeError, match="the disk is full"):
        schema.upgrade(empty_engine)
    assert inspect(empty_engine).get_table_names() == []
    event.remove(empty_engine, "before_cursor_execute", fail)
    schema.upgrade(empty_engine)


def test_a_migration_gives_up_when_a_table_is_in_use(postgres_database_url: str) -> None:
    """Waiting for the lock would stop every query that comes after."""
    engine = create_engine(postgres_database_url)
    with engine.connect() as reader:
        reader.exec_driver_sql("SELECT count(*) FROM alias_stack")
        with pytest.raises(OperationalError, match="lock timeout"):
            schema.downgrade(engine, "base")
    assert schema.current(engine) == schema.head()
    engine.dispose()


def test_a_migration_that_breaks_references_is_undone(sqlite_database_url: str) -> None:
    """Foreign keys are off while SQLite's tables are rebuilt, so they are checked before the commit."""
    engine = create_engine(sqlite_database_url)
    with pytest.raises(schema.BrokenReferences, match="model_tags refers to rows of models"), schema._migrating(engine) as config:
        config.attributes["connection"].execute(insert(tables.ModelTag).values(model_id=7, name="a", value="b"))
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
        assert connection.exec_driver_sql("SELECT count(*) FROM model_tags").scalar() == 0
    engine.dispose()
