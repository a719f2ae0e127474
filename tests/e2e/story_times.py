"""Spreads what happened within seconds over the weeks that a story tells of, and writes down how much was asked meanwhile.

Only ever for the database of a service that isn't running, made for tests and pictures.
"""

from __future__ import annotations

import math
import random
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from flask import Flask

from registry import catalog
from registry.extensions import configure_sqlite, db
from registry.traffic import Batch, Figures, Series, bucket_of

#: Where moments stand that people see.
COLUMNS = (
    ("models", "created_at"), ("models", "deleted_at"), ("versions", "created_at"), ("versions", "deleted_at"), ("moves", "at"),
    ("aliases", "moved_at"), ("api_keys", "created_at"), ("api_keys", "revoked_at"), ("events", "at"),
)  # fmt: skip
#: Every span at a grain that the console shows it in: seconds, and from how long ago to how long ago; to the time when it is looked at.
GRAINS = (
    (3600, timedelta(days=7), timedelta(hours=25)),
    (900, timedelta(hours=25), timedelta(minutes=75)),
    (60, timedelta(minutes=75), timedelta(minutes=-3)),
)
#: What a day looks like, hour by hour, to somebody who sells things to people who sleep; it is always the same hour now.
NOW_HOUR = 14
DAY = (2, 1, 1, 1, 1, 2, 5, 10, 16, 20, 22, 23, 21, 20, 20, 19, 18, 19, 21, 20, 16, 11, 7, 4)


@dataclass
class Times:
    """When each step really ran, and when it is told to have run."""

    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    steps: list[tuple[datetime, datetime, datetime]] = field(default_factory=list)

    @contextmanager
    def ago(self, *, days: float = 0, hours: float = 0, minutes: float = 0) -> Iterator[None]:
        """Tell that what happens in a block happened so long ago."""
        begun = datetime.now(UTC)
        yield
        self.steps.append((begun, datetime.now(UTC), self.now - timedelta(days=days, hours=hours, minutes=minutes)))

    def begin(self, *, days: float) -> None:
        """Tell that what happened since the story was opened, and in no step, happened so long ago."""
        self.steps.append((self.now, datetime.now(UTC), self.now - timedelta(days=days)))

    def told(self, really: datetime) -> datetime:
        """Return when something is told to have happened."""
        for begun, ended, told in self.steps:
            if begun <= really <= ended:
                return told + (really - begun)
        return really


def spread(database: Path, times: Times) -> None:
    """Move every moment in the database to when it is told to have been."""
    connection = sqlite3.connect(database)
    with connection:
        for table, column in COLUMNS:
            for row, text in connection.execute(f"SELECT rowid, {column} FROM {table} WHERE {column} IS NOT NULL").fetchall():
                told = times.told(datetime.fromisoformat(text).replace(tzinfo=UTC)).replace(tzinfo=None)
                connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (told.isoformat(" ", "microseconds"), row))
    connection.close()


@dataclass(frozen=True)
class Demand:
    """How much one version is asked by one key: requests a minute at noon, how long they take, how many fail or are refused."""

    model: str
    version: int
    key_id: str
    per_minute: float
    seconds: float = 0.0015
    hits: float = 0.3
    errors: float = 0.004
    refusals: float = 0.0
    since: timedelta = timedelta(days=7)
    until: timedelta = timedelta(0)


def write_traffic(database: Path, demands: list[Demand], now: datetime) -> None:
    """Write down what was asked over the last week, as the web processes do, and roll it up."""
    app = Flask("story")
    app.config["SQLALCHEMY_DATABASE_URI"] = f"sqlite:///{database}"
    db.init_app(app)
    with app.app_context():
        configure_sqlite(db.engine)
        series = _series(demands, now)
        for number, begin in enumerate(range(0, len(series), 1000), 1):
            catalog.add_traffic(Batch("story", number, series[begin : begin + 1000], is_full=False), now)
            db.session.commit()
        more = True
        while more:
            more = catalog.roll_up_traffic(now)
            db.session.commit()
        db.session.remove()
        db.engine.dispose()


def _series(demands: list[Demand], now: datetime) -> list[Series]:
    chance = random.Random(4)
    found: dict[tuple[str, str, int], Figures] = {}
    for seconds, oldest, newest in GRAINS:
        at = int((now - oldest).timestamp()) // seconds * seconds
        end = int((now - newest).timestamp()) // seconds * seconds
        for start in range(at, end, seconds):
            for demand in demands:
                ago = max(timedelta(0), now - datetime.fromtimestamp(start, UTC))
                if not demand.until <= ago <= demand.since:
                    continue
                figures = _figures(demand, NOW_HOUR - (now.timestamp() - start) / 3600, seconds, chance)
                subjects = (("all", ""), ("model", demand.model), ("version", f"{demand.model}/{demand.version}"), ("key", demand.key_id))
                for kind, subject in subjects:
                    found.setdefault((kind, subject, start), Figures()).add(figures)
    return [Series(kind, subject, start, figures) for (kind, subject, start), figures in found.items()]


def _figures(demand: Demand, hour: float, seconds: int, chance: random.Random) -> Figures:
    hour %= 24
    share = (DAY[int(hour)] * (1 - hour % 1) + DAY[(int(hour) + 1) % 24] * (hour % 1)) / max(DAY)
    wave = 1 + 0.08 * math.sin(hour * 9) + chance.gauss(0, 0.09)
    asked = max(0, round(demand.per_minute * share * wave * seconds / 60))
    errors = sum(chance.random() < demand.errors for _ in range(min(asked, 400))) * max(1, asked // 400)
    figures = Figures(asked, errors, errors // 6, round(asked * demand.hits * chance.uniform(0.85, 1.15)), round(asked * demand.refusals))
    samples = min(asked - errors, 60)
    for _ in range(samples):
        bucket = bucket_of(demand.seconds * chance.lognormvariate(0, 0.45) * (4 if chance.random() < 0.02 else 1))
        figures.latency[bucket] = figures.latency.get(bucket, 0) + max(1, (asked - errors) // samples)
    return figures
