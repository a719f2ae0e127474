"""Statements about how much was asked: what the web processes write down, its rolling up, and the sums that the console shows.

What a process wrote is kept apart until it is rolled up; then it is part of a minute, a quarter of an hour, an hour and a day, each
kept for a time of its own. So a reader adds the rows of one span to those not yet rolled up, and nothing is counted twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, func, insert, or_, select, text, union_all, update
from sqlalchemy.dialects import postgresql, sqlite

from registry import tables
from registry.catalog.records import TrafficOf, TrafficPoint, TrafficSum
from registry.extensions import SQLITE_BEGIN, db
from registry.traffic import MODEL, VERSION, Batch, Figures, pack_latency, quantile, unpack_latency

#: Spans that are kept, in seconds, and how long.
KEPT = {60: timedelta(hours=2), 900: timedelta(hours=26), 3600: timedelta(days=8), 86400: timedelta(days=9)}
#: What stands for a span in rows that aren't rolled up, and in those that remember how far a writer is.
FRESH, MARK = 0, -1
#: Steps of what the console shows.
WINDOWS = {"hour": (60, 60), "day": (96, 900), "week": (168, 3600)}

#: So many rows, of so many subjects, are rolled up in a transaction, and so many dropped: SQLite has one writer, and others wait for it.
ROLL_UP_BATCH = 1000
_ROLL_UP_SUBJECTS = 100
_EXPIRE_BATCH = 500
_ROLL_UP_EVERY = timedelta(seconds=50)
_MARK_KEPT = timedelta(days=1)
_ROLLED_UP = ""
_ROLLER = "roll-up"
#: Any number that nothing else locks.
_ROLL_UP_LOCK = 0x6D79_7472
_COUNTS = ("requests", "errors", "failures", "hits", "refusals")
_FIGURES = (*(getattr(tables.Traffic, name) for name in _COUNTS), tables.Traffic.latency)
_UNIQUE = ("kind", "subject", "at", "span_seconds", "writer")

Window = tuple[int, datetime, datetime | None]


def traffic_window(name: str, now: datetime) -> tuple[datetime, datetime, int]:
    """Return since, until and step in seconds of the last `hour`, `day` or `week`; the last of its steps is under way."""
    steps, seconds = WINDOWS[name]
    until = _floor(now, seconds) + timedelta(seconds=seconds)
    return until - timedelta(seconds=steps * seconds), until, seconds


# -- writing ------------------------------------------------------------------------------------------------------------


def add_traffic(batch: Batch, now: datetime) -> None:
    """Write what a process counted, unless this very batch was written: its commit's answer may have been lost."""
    _begin()
    mark = (tables.Traffic.span_seconds == MARK) & (tables.Traffic.writer == batch.writer)
    last = db.session.execute(select(tables.Traffic.requests).where(mark)).scalar_one_or_none()
    if last is not None and last >= batch.number:
        return
    _set_mark(batch.writer, batch.number, now, is_new=last is None)
    name = f"{batch.writer}{batch.number:08x}"
    rows = [_row(one.kind, one.subject, datetime.fromtimestamp(one.at, UTC), FRESH, name, one.figures) for one in batch.series]
    db.session.execute(insert(tables.Traffic), rows)


def take_roll_up(now: datetime) -> bool:
    """Tell whether it is time to roll up, and note that it is done now: by one process of all hosts, about once a minute."""
    if not _lock_roll_up():
        return False
    mark = (tables.Traffic.span_seconds == MARK) & (tables.Traffic.writer == _ROLLER)
    last = db.session.execute(select(tables.Traffic.at).where(mark)).scalar_one_or_none()
    if last is not None and abs(now - last) < _ROLL_UP_EVERY:
        return False
    _set_mark(_ROLLER, 0, now, is_new=last is None)
    return True


def roll_up_traffic(now: datetime) -> bool:
    """Roll some fresh rows up, or drop some that are too old; tell whether there may be more. Whatever comes late is rolled up next."""
    if not _lock_roll_up():
        return False
    rows = _fresh_rows()
    if not rows:
        return _expire(now)
    minutes: dict[tuple[str, datetime], Figures] = {}
    for _, _, subject, at, *figures in rows:
        minutes.setdefault((subject, at), Figures()).add(_figures(figures))
    found: dict[tuple[str, datetime, int], Figures] = {}
    for (subject, at), of_minute in minutes.items():
        for span in KEPT:
            found.setdefault((subject, _floor(at, span), span), Figures()).add(of_minute)
    _merge(rows[0].kind, found)
    db.session.execute(delete(tables.Traffic).where(tables.Traffic.id.in_([row.id for row in rows])))
    return True


def _fresh_rows() -> Sequence[Any]:
    """Return fresh rows of some subjects of one kind: many of a subject together, since each subject's rows of a span are written once."""
    is_fresh = tables.Traffic.span_seconds == FRESH
    kind = db.session.scalar(select(tables.Traffic.kind).where(is_fresh).order_by(tables.Traffic.at).limit(1))
    if kind is None:
        return []
    some = select(tables.Traffic.subject).where(tables.Traffic.kind == kind, is_fresh).distinct().limit(_ROLL_UP_SUBJECTS)
    columns = (tables.Traffic.id, tables.Traffic.kind, tables.Traffic.subject, tables.Traffic.at, *_FIGURES)
    own = (_of(kind, db.session.scalars(some)), tables.Traffic.span_seconds + 0 == FRESH)  # not by that index: see `_within`
    return db.session.execute(select(*columns).where(*own).order_by(tables.Traffic.subject).limit(ROLL_UP_BATCH)).all()


def _merge(kind: str, found: dict[tuple[str, datetime, int], Figures]) -> None:
    """Add figures of one kind to what the rolled up rows hold."""
    there = select(tables.Traffic.subject, tables.Traffic.at, tables.Traffic.span_seconds, *_FIGURES).where(
        _of(kind, {key[0] for key in found}),
        tables.Traffic.at.in_({key[1] for key in found}),
        tables.Traffic.span_seconds.in_(KEPT),
        tables.Traffic.writer == _ROLLED_UP,
    )
    for subject, at, span, *figures in db.session.execute(there):
        if (subject, at, span) in found:
            found[subject, at, span].add(_figures(figures))
    rows = [_row(kind, subject, at, span, _ROLLED_UP, figures) for (subject, at, span), figures in found.items()]
    made = (sqlite.insert if db.engine.dialect.name == "sqlite" else postgresql.insert)(tables.Traffic)
    new = {name: made.excluded[name] for name in (*_COUNTS, "latency")}
    db.session.execute(made.on_conflict_do_update(index_elements=_UNIQUE, set_=new), rows)


def _expire(now: datetime) -> bool:
    """Drop some of the rows that were kept long enough; tell whether there are more."""
    for span, kept in (*KEPT.items(), (MARK, _MARK_KEPT)):
        old = (tables.Traffic.span_seconds == span) & (tables.Traffic.at < now - kept - timedelta(seconds=max(span, 0)))
        ids = db.session.scalars(select(tables.Traffic.id).where(old).limit(_EXPIRE_BATCH)).all()
        if ids:
            db.session.execute(delete(tables.Traffic).where(tables.Traffic.id.in_(ids)))
            return True
    return False


def _begin() -> None:
    """Begin a transaction that writes; SQLite takes its lock at once, since one that read first could only fail."""
    db.session.rollback()
    db.session.connection(execution_options={SQLITE_BEGIN: "IMMEDIATE"})


def _lock_roll_up() -> bool:
    """Begin a transaction that no other process can begin meanwhile, and tell whether it could."""
    _begin()
    if db.engine.dialect.name == "sqlite":
        return True
    return bool(db.session.execute(text("SELECT pg_try_advisory_xact_lock(:number)"), {"number": _ROLL_UP_LOCK}).scalar_one())


def _set_mark(writer: str, number: int, now: datetime, *, is_new: bool) -> None:
    if is_new:
        db.session.execute(insert(tables.Traffic).values(_row("all", "", now, MARK, writer, Figures(requests=number))))
        return
    mark = (tables.Traffic.span_seconds == MARK) & (tables.Traffic.writer == writer)
    db.session.execute(update(tables.Traffic).where(mark).values(requests=number, at=now))


def _row(kind: str, subject: str, at: datetime, span: int, writer: str, figures: Figures) -> dict[str, Any]:
    counts = {name: getattr(figures, name) for name in _COUNTS}
    of_row = {"kind": kind, "subject": subject, "at": at, "span_seconds": span, "writer": writer}
    return {**of_row, **counts, "latency": pack_latency(figures.latency)}


# -- reading ------------------------------------------------------------------------------------------------------------


def list_traffic(kind: str, subject: str, *, since: datetime, until: datetime, step_seconds: int) -> list[TrafficPoint]:
    """Return a sum for each step from the one that `since` lies in; zeros where nothing was. A step is a multiple of a minute."""
    start = _floor(since, step_seconds)
    count = max(0, -(-(until - start) // timedelta(seconds=step_seconds)))
    steps = [Figures() for _ in range(count)]
    asked = select(tables.Traffic.at, *_FIGURES).where(
        _of(kind, [subject]), _within(_steps(start, step_seconds)), tables.Traffic.at < until
    )
    for at, *figures in db.session.execute(asked):
        steps[_number_of(at, start, step_seconds)].add(_figures(figures))
    return [TrafficPoint(start + timedelta(seconds=step_seconds * number), _sum(figures)) for number, figures in enumerate(steps)]


def top_traffic(kind: str, *, since: datetime, limit: int, patterns: tuple[str, ...] = ()) -> list[TrafficOf]:
    """Return the subjects most asked, and how much; those beyond what a process counts apart have the empty subject.

    With `patterns` only models, or versions of models, that fit one of them.
    """
    asked = tables.Traffic.requests + tables.Traffic.refusals
    parts = []
    for window in _cover(since):
        part = select(tables.Traffic.subject, asked.label("asked")).where(tables.Traffic.kind == kind, _during(window))
        parts.append(part.where(_fits(kind, patterns)) if patterns else part)
    rows = union_all(*parts).subquery()
    most = select(rows.c.subject).group_by(rows.c.subject).order_by(func.sum(rows.c.asked).desc(), rows.c.subject).limit(limit)
    subjects = list(db.session.scalars(most))
    sums = traffic_of(kind, subjects, since=since)
    return [TrafficOf(subject, sums[subject]) for subject in subjects]


def traffic_of(kind: str, subjects: Sequence[str], *, since: datetime) -> dict[str, TrafficSum]:
    """Return how much each of some subjects was asked; zeros for those that weren't."""
    found = {subject: Figures() for subject in subjects}
    asked = select(tables.Traffic.subject, *_FIGURES).where(_of(kind, subjects), _within(_cover(since)))
    for subject, *figures in db.session.execute(asked) if found else ():
        found[subject].add(_figures(figures))
    return {subject: _sum(figures) for subject, figures in found.items()}


def spark_traffic(kind: str, subjects: Sequence[str], *, since: datetime, step_seconds: int) -> dict[str, list[int]]:
    """Return the requests of each step from the one that `since` lies in to the one that is under way, oldest first."""
    start = _floor(since, step_seconds)
    count = _number_of(datetime.now(UTC), start, step_seconds) + 1
    found = {subject: [0] * count for subject in subjects}
    asked = select(tables.Traffic.subject, tables.Traffic.at, tables.Traffic.requests)
    for subject, at, requests in (
        db.session.execute(asked.where(_of(kind, subjects), _within(_steps(start, step_seconds)))) if found else ()
    ):
        number = _number_of(at, start, step_seconds)
        if number < count:  # else another host's clock is ahead
            found[subject][number] += requests
    return found


def _steps(start: datetime, step_seconds: int) -> list[Window]:
    """Return the rows from which steps of so many seconds are summed: those of the longest span that fits into a step."""
    span = max(span for span in KEPT if step_seconds % span == 0)
    return [(span, start, None), (FRESH, start, None)]


def _cover(since: datetime) -> list[Window]:
    """Return the fewest rows that cover the time since then: minutes until a quarter begins, quarters until an hour does, and so on."""
    age = datetime.now(UTC) - since
    spans = [span for span, kept in KEPT.items() if age <= kept] or [max(KEPT)]
    start = _floor(since, spans[0])
    windows: list[Window] = [(FRESH, start, None)]
    for span, longer in zip(spans, [*spans[1:], None], strict=True):
        end = None if longer is None else _floor(start + timedelta(seconds=longer - 1), longer)
        if end is None or end > start:
            windows.append((span, start, end))
            start = end or start
    return windows


def _of(kind: str, subjects: Iterable[str]) -> ColumnElement[bool]:
    return and_(tables.Traffic.kind == kind, tables.Traffic.subject.in_(list(subjects)))


def _within(windows: list[Window]) -> ColumnElement[bool]:
    """Return the condition on rows of given subjects: in terms that no index by span fits, since a subject's own rows are few.

    SQLite would take such an index for each window, and read everybody's rows.
    """
    span = tables.Traffic.span_seconds + 0
    parts = []
    for seconds, start, end in windows:
        part = and_(span == seconds, tables.Traffic.at >= start)
        parts.append(part if end is None else and_(part, tables.Traffic.at < end))
    return and_(tables.Traffic.at >= min(start for _, start, _ in windows), or_(*parts))


def _during(window: Window) -> ColumnElement[bool]:
    span, start, end = window
    during = and_(tables.Traffic.span_seconds == span, tables.Traffic.at >= start)
    return during if end is None else and_(during, tables.Traffic.at < end)


def _fits(kind: str, patterns: tuple[str, ...]) -> ColumnElement[bool]:
    if kind not in {MODEL, VERSION}:
        raise ValueError(f"patterns are of models, not of {kind}")
    end = "/%" if kind == VERSION else ""
    liked = [pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_").replace("*", "%") + end for pattern in patterns]
    fits = or_(*(tables.Traffic.subject.like(pattern, escape="\\") for pattern in liked))
    return and_(tables.Traffic.subject != "", fits)  # what is counted together may be of models that the key can't see


def _figures(columns: Sequence[Any]) -> Figures:
    requests, errors, failures, hits, refusals, latency = columns
    return Figures(requests, errors, failures, hits, refusals, unpack_latency(latency))


def _sum(figures: Figures) -> TrafficSum:
    return TrafficSum(
        figures.requests,
        figures.errors,
        figures.failures,
        figures.hits,
        figures.refusals,
        quantile(figures.latency, 0.5),
        quantile(figures.latency, 0.99),
    )


def _floor(at: datetime, seconds: int) -> datetime:
    whole = int(at.timestamp())
    return datetime.fromtimestamp(whole - whole % seconds, UTC)


def _number_of(at: datetime, start: datetime, step_seconds: int) -> int:
    return (at - start) // timedelta(seconds=step_seconds)
