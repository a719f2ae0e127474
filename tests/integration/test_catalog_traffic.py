"""Figures of traffic in the database, on either kind: written once, rolled up without loss, read within bounds."""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, tzinfo

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, select, update

from registry import catalog, tables
from registry.catalog import TrafficSum
from registry.catalog import traffic as statements_of_traffic
from registry.errors import RegistryUnavailable
from registry.extensions import commit, db, reading
from registry.flows.keep_traffic import roll_up, write_traffic
from registry.traffic import RELATIVE_ERROR, Tally

pytestmark = pytest.mark.usefixtures("catalog_app")

MINUTE = timedelta(minutes=1)


@pytest.fixture
def now() -> datetime:
    """Return the middle of this minute."""
    return datetime.now(UTC).replace(second=30, microsecond=0)


def count(tally: Tally, at: datetime, requests: int = 1, *, model: str = "iris", version: int = 3, seconds: float = 0.002) -> None:
    """Count good answers."""
    tally.add_answers([(at.timestamp(), seconds, model, version, "key", False)] * requests)


def write(at: datetime, requests: int = 1, **answer: object) -> None:
    """Write good answers as a process that then ends."""
    tally = Tally()
    count(tally, at, requests, **answer)  # type: ignore[arg-type]
    write_traffic(tally)


def roll_up_now() -> None:
    """Roll everything up, whenever that was done last."""
    db.session.execute(delete(tables.Traffic).where(tables.Traffic.writer == "roll-up"))
    db.session.commit()
    roll_up()


def rows(span: int) -> int:
    """Return how many rows there are of a span."""
    return db.session.scalar(select(func.count()).where(tables.Traffic.span_seconds == span)) or 0


def sums(now: datetime, name: str = "hour", kind: str = "model", subject: str = "iris") -> list[int]:
    """Return the requests of each step of what the console shows."""
    since, until, step = catalog.traffic_window(name, now)
    points = catalog.list_traffic(kind, subject, since=since, until=until, step_seconds=step)
    assert [point.at for point in points] == [since + number * timedelta(seconds=step) for number in range(len(points))]
    return [point.sum.requests for point in points]


def test_what_two_processes_counted_is_added_up(now: datetime) -> None:
    """In every kind, with the times of both; before it is rolled up and after."""
    tally = Tally()
    count(tally, now, 99, seconds=0.002)
    tally.add_problem(now.timestamp(), 422, "iris", 3, "key")
    tally.add_problem(now.timestamp(), 503, "iris", 3, "key")
    tally.add_problem(now.timestamp(), 429, "iris", None, "key")
    write_traffic(tally)
    write(now, 1, seconds=0.5)
    for _ in range(2):
        (found,) = {
            catalog.traffic_of(kind, [subject], since=now - MINUTE)[subject]
            for kind, subject in (("all", ""), ("model", "iris"), ("key", "key"))
        }
        assert (found.requests, found.errors, found.failures, found.hits, found.refusals) == (102, 2, 1, 0, 1)
        assert found.p50_seconds == pytest.approx(0.002, rel=RELATIVE_ERROR)
        assert found.p99_seconds == pytest.approx(0.002, rel=RELATIVE_ERROR)
        version = catalog.traffic_of("version", ["iris/3"], since=now - MINUTE)["iris/3"]
        assert (version.requests, version.refusals) == (102, 0)
        assert sums(now) == [0] * 59 + [102]
        roll_up_now()
    assert rows(0) == 0


def test_a_batch_is_written_once_however_often_it_is_tried(now: datetime) -> None:
    """Even where its rows were rolled up before the second try, which a lost answer to its commit causes."""
    tally = Tally()
    count(tally, now, 5)
    batch = tally.batch()
    assert batch is not None
    for _ in range(2):
        catalog.add_traffic(batch, now)
        db.session.commit()
        catalog.add_traffic(batch, now)
        db.session.commit()
        roll_up_now()
    tally.settle(batch)
    count(tally, now, 2)
    write_traffic(tally)
    assert sums(now)[-1] == 7


def test_writing_goes_on_where_a_failure_left_it(now: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that was away gets everything later, and nothing twice."""
    tally = Tally()
    count(tally, now, 3)

    def fail() -> None:
        raise RegistryUnavailable

    with monkeypatch.context() as patch:
        patch.setattr("registry.flows.keep_traffic.commit", fail)
        with pytest.raises(RegistryUnavailable):
            write_traffic(tally)
    count(tally, now, 4)
    write_traffic(tally)
    assert sums(now)[-1] == 3
    write_traffic(tally)
    assert sums(now)[-1] == 7


def test_rolling_up_loses_and_doubles_nothing(now: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    """In small pieces, with rows that come late, and cut short in the middle; each window then sums up to the same."""
    monkeypatch.setattr(statements_of_traffic, "ROLL_UP_BATCH", 7)
    times = [now - number * MINUTE for number in (0, 1, 14, 15, 16, 55)]
    for at in times:
        write(at, 2)
    before = {name: sum(sums(now, name)) for name in ("hour", "day", "week")}
    roll_up_now()
    assert rows(0) == 0
    write(times[3], 1)
    roll_up_now()
    assert catalog.roll_up_traffic(now) is False
    db.session.rollback()
    write(times[3], 10)
    catalog.roll_up_traffic(now)
    db.session.rollback()
    assert before == {"hour": 12, "day": 12, "week": 12}
    assert {name: sum(sums(now, name)) for name in before} == {"hour": 23, "day": 23, "week": 23}
    for age in (timedelta(hours=1), timedelta(hours=20), timedelta(days=6)):
        assert catalog.traffic_of("version", ["iris/3", "iris/4"], since=now - age) == {
            "iris/3": TrafficSum(23, 0, 0, 0, 0, pytest.approx(0.002, rel=0.05), pytest.approx(0.002, rel=0.05)),
            "iris/4": TrafficSum(0, 0, 0, 0, 0, None, None),
        }


def test_it_is_rolled_up_once_a_minute_over_all_hosts(now: datetime) -> None:
    """Whoever comes sooner leaves it."""
    assert catalog.take_roll_up(now)
    db.session.commit()
    assert not catalog.take_roll_up(now + timedelta(seconds=40))
    db.session.commit()
    assert catalog.take_roll_up(now + timedelta(seconds=60))
    db.session.commit()


def test_rows_go_when_their_time_is_over(now: datetime) -> None:
    """Minutes after two hours, quarters after a day, hours and days after a week; sums over what is kept stay right."""
    for age in (
        timedelta(minutes=5),
        timedelta(hours=3),
        timedelta(hours=30),
        timedelta(days=6),
        timedelta(days=8, hours=2),
        timedelta(days=20),
    ):
        write(now - age)
    roll_up_now()
    roll_up_now()
    series = 4
    assert [rows(span) // series for span in (60, 900, 3600)] == [1, 2, 4]
    assert rows(86400) // series >= 4
    assert rows(-1) <= 7
    assert [sum(sums(now, name)) for name in ("hour", "day", "week")] == [1, 2, 4]
    for name, expected in (("hour", 1), ("day", 2), ("week", 4)):
        assert catalog.traffic_of("model", ["iris"], since=catalog.traffic_window(name, now)[0])["iris"].requests == expected
    roll_up_now()
    db.session.execute(update(tables.Traffic).where(tables.Traffic.span_seconds == -1).values(at=now - timedelta(days=2)))
    db.session.commit()
    roll_up_now()
    assert rows(-1) == 1


def test_the_most_asked_come_first_and_patterns_hide_the_others(now: datetime) -> None:
    """Refusals count as being asked; what is counted together shows only without patterns."""
    for model, requests in (("iris", 3), ("iris_2", 5), ("churn", 9), ("", 20)):
        write(now, requests, model=model)
    tally = Tally()
    for _ in range(30):
        tally.add_problem(now.timestamp(), 429, "refused", None, "other")
    write_traffic(tally)

    def top(kind: str, **options: object) -> list[str]:
        return [of.subject for of in catalog.top_traffic(kind, since=now - timedelta(days=3), limit=4, **options)]  # type: ignore[arg-type]

    for _ in range(2):
        assert top("model") == ["refused", "", "churn", "iris_2"]
        assert top("model", patterns=("iris*",)) == ["iris_2", "iris"]
        assert top("model", patterns=("iris_2", "churn")) == ["churn", "iris_2"]
        assert top("model", patterns=("*",)) == ["refused", "churn", "iris_2", "iris"]
        assert top("version", patterns=("ir*",)) == ["iris_2/3", "iris/3"]
        assert top("version", patterns=("iri_",)) == []
        assert top("key") == ["key", "other"]
        roll_up_now()
    assert catalog.top_traffic("model", since=now - MINUTE, limit=1)[0].sum.refusals == 30


def test_a_sparkline_has_a_number_for_each_step(now: datetime) -> None:
    """Oldest first, the step under way last, zeros where nothing was."""
    write(now - 20 * MINUTE, 4)
    write(now, 2)
    for _ in range(2):
        found = catalog.spark_traffic("model", ["iris", "churn"], since=now - timedelta(hours=1), step_seconds=300)
        assert len(found["iris"]) == len(found["churn"]) == 13
        assert (found["iris"][-1], found["iris"][-5], sum(found["iris"]), sum(found["churn"])) == (2, 4, 6, 0)
        roll_up_now()
    assert catalog.spark_traffic("model", [], since=now, step_seconds=60) == catalog.traffic_of("model", [], since=now) == {}


def test_processes_that_roll_up_and_write_at_once_lose_nothing(catalog_app: Flask, now: datetime) -> None:
    """Whoever doesn't get the lock goes away, and nobody waits for another."""

    def work(number: int) -> None:
        with catalog_app.app_context():
            for _ in range(5):
                write(now, 2, model=f"m{number % 3}")
                with contextlib.suppress(RegistryUnavailable), reading():
                    catalog.roll_up_traffic(now)
                    commit()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    roll_up_now()
    assert rows(0) == 0
    assert sums(now, kind="all", subject="")[-1] == 60
    assert [of.sum.requests for of in catalog.top_traffic("model", since=now - MINUTE, limit=9)] == [20, 20, 20]


class At(datetime):
    """A clock that a test sets."""

    moment = datetime(2026, 3, 29, tzinfo=UTC)

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        """Return what the test set."""
        return cls.moment.astimezone(tz)


MINUTES_OF_WEEK = 8 * 24 * 60
#: Seconds that the clock goes on, what is then written (minutes ago, version, requests), steps of rolling up, and minutes looked back.
STEPS = st.lists(
    st.tuples(
        st.integers(0, 100_000),
        st.lists(st.tuples(st.integers(0, 90) | st.integers(0, MINUTES_OF_WEEK), st.integers(1, 2), st.integers(1, 4)), max_size=6),
        st.integers(0, 6),
        st.integers(0, MINUTES_OF_WEEK - 60),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.integers(0, 10**7), steps=STEPS)
def test_every_sum_is_what_a_simple_model_says(start: int, steps: list[tuple[int, list[tuple[int, int, int]], int, int]]) -> None:
    """Whatever is written when, however far it is rolled up, and wherever in a minute, quarter, hour or day a window begins."""
    db.session.execute(delete(tables.Traffic))
    db.session.commit()
    kept: Counter[tuple[int, int]] = Counter()
    now = datetime(2026, 3, 29, tzinfo=UTC) + timedelta(seconds=start)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statements_of_traffic, "datetime", At)
        for name, most in (("ROLL_UP_BATCH", 5), ("_ROLL_UP_SUBJECTS", 1), ("_EXPIRE_BATCH", 3)):
            patch.setattr(statements_of_traffic, name, most)
        for seconds, written, rolled, back in steps:
            At.moment = now = now + timedelta(seconds=seconds)
            for age, version, requests in written:
                at = now - age * MINUTE
                write(at, requests, version=version)
                kept[int(at.timestamp()) // 60 * 60, version] += requests
            for _ in range(rolled):
                catalog.roll_up_traffic(now)
                db.session.commit()
            require_sums(kept, now, timedelta(minutes=back))


def require_sums(kept: Counter[tuple[int, int]], now: datetime, back: timedelta) -> None:
    """Raise AssertionError where what is read isn't what was written."""

    def expected(since: float, until: float, version: int | None = None) -> int:
        return sum(count for (at, of), count in kept.items() if since <= at < until and version in (None, of))

    for name in ("hour", "day", "week"):
        since, until, step = catalog.traffic_window(name, now)
        starts = [since.timestamp() + number * step for number in range(int((until - since).total_seconds()) // step)]
        assert sums(now, name) == [expected(at, at + step) for at in starts]
        assert sum(sums(now, name, "version", "iris/2")) == expected(since.timestamp(), until.timestamp(), 2)
        assert catalog.traffic_of("model", ["iris"], since=since)["iris"].requests == expected(since.timestamp(), math.inf)
    span = next(span for span, time in statements_of_traffic.KEPT.items() if back <= time)
    first = (now - back).timestamp() // span * span
    top = catalog.top_traffic("version", since=now - back, limit=2)
    assert {of.subject: of.sum.requests for of in top} == {
        f"iris/{version}": count for version in (1, 2) if (count := expected(first, math.inf, version))
    }
