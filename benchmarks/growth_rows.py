"""Registered versions by the thousand: rows copied from one published version inside the database, their artifact shared.

Publishing 100,000 versions one by one would take an hour and tell no more about a registry that holds them.
"""

from __future__ import annotations

from sqlalchemy import Engine, create_engine, make_url, text

from registry.tables import RegisteredModel, Version

VERSIONS_EACH = 10
_COUNT = "WITH RECURSIVE counted(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM counted WHERE i < {last}) "


def new_database(server_url: str, name: str) -> str:
    """Make a database on a server and return its URL."""
    engine = create_engine(make_url(server_url).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return make_url(server_url).set(database=name).render_as_string(hide_password=False)


def engine_of(url: str) -> Engine:
    """Return an engine on a service's database."""
    return create_engine(make_url(url).set(drivername="postgresql+psycopg") if url.startswith("postgres") else url)


def grow(engine: Engine, model: str, versions: int, *, each: int = VERSIONS_EACH, prefix: str = "grown") -> None:
    """Copy the first version of `model` until there are so many copies, `each` to a model called `prefix-<number>`."""
    with engine.begin() as connection:
        there = connection.scalar(text(f"SELECT count(*) FROM models WHERE name LIKE '{prefix}-%'")) or 0
        wanted = versions // each
        if wanted <= there:
            return
        connection.execute(text(_copied_models(there, wanted, each, prefix)), {"model": model})
        connection.execute(text(_copied_versions(each, prefix)), {"model": model, "first": f"{prefix}-{there:07d}"})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))


def _copied_models(first: int, last: int, each: int, prefix: str) -> str:
    own = {"name": f"'{prefix}-' || {_padded('i')}", "last_number": str(each)}
    names = [column.name for column in RegisteredModel.__table__.columns if column.name != "id"]
    chosen = ", ".join(own.get(name, f"source.{name}") for name in names)
    counted = _COUNT.format(first=first, last=last - 1)
    return f"{counted}INSERT INTO models ({', '.join(names)}) SELECT {chosen} FROM counted, models source WHERE source.name = :model"


def _copied_versions(each: int, prefix: str) -> str:
    own = {"model_id": "copied.id", "number": "i"}
    names = [column.name for column in Version.__table__.columns if column.name != "id"]
    chosen = ", ".join(own.get(name, f"source.{name}") for name in names)
    return (
        f"{_COUNT.format(first=1, last=each)}INSERT INTO versions ({', '.join(names)}) SELECT {chosen} FROM counted, models copied, versions source "
        f"WHERE copied.name LIKE '{prefix}-%' AND copied.name >= :first AND source.number = 1 "
        "AND source.model_id = (SELECT id FROM models WHERE name = :model)"
    )


def _padded(name: str) -> str:
    return f"substr('000000' || {name}, length('000000' || {name}) - 6)"
