"""How much each model, version and key was asked: counted in this process's memory, until it is written into the database.

Must cost a prediction next to nothing, so answers come many at a time from the thread that writes them down. Never holds more
than MOST_CELLS figures, and never a name that a caller made up.
"""

from __future__ import annotations

import math
import secrets
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from heapq import nsmallest
from http import HTTPStatus
from typing import NamedTuple

import msgspec

from registry import observability

MINUTE = 60
#: The kinds of series: of everything, of a model, of a version (as `iris/3`) and of a key.
ALL, MODEL, VERSION, KEY = KINDS = ("all", "model", "version", "key")
#: The subject of what has none of its own: everything, and those beyond MOST_SERIES.
OTHERS, OTHER_VERSIONS = "", 0
#: So many models, versions and keys a minute have series of their own in each process; those beyond are counted together.
MOST_SERIES = 2000
#: So many figures are held while the database is away, of so many minutes.
MOST_CELLS = 10_000
MOST_MINUTES = 60
#: So many figures are written at once: SQLite has one writer, and others wait for it.
BATCH = 250
#: So many models are remembered as being there.
MOST_KNOWN = 10_000

#: A quantile is off by at most so much: each bucket's upper bound is GAMMA times its lower one (as DDSketch has it, Masson, Rim
#: and Lee, VLDB 2019). Times beyond the range count as its ends.
RELATIVE_ERROR = 0.05
GAMMA = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
SHORTEST_SECONDS, LONGEST_SECONDS = 50e-6, 120.0
_LOG_GAMMA = math.log(GAMMA)
_LOG_SHORTEST = math.log(SHORTEST_SECONDS)
_LAST_BUCKET = math.ceil((math.log(LONGEST_SECONDS) - _LOG_SHORTEST) / _LOG_GAMMA)

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(dict[int, int]).decode
_log, _ceil = math.log, math.ceil


@dataclass(slots=True)
class Figures:
    """What came of the requests of one series in one span. `errors` are answers from 400 on but 429, `failures` those from 500 on.

    `refusals` (429) are no `requests`. `latency` counts good answers by bucket of the time that they took.
    """

    requests: int = 0
    errors: int = 0
    failures: int = 0
    hits: int = 0
    refusals: int = 0
    latency: dict[int, int] = field(default_factory=dict)

    def add(self, other: Figures) -> None:
        """Add other figures to these."""
        self.requests += other.requests
        self.errors += other.errors
        self.failures += other.failures
        self.hits += other.hits
        self.refusals += other.refusals
        add_latency(self.latency, other.latency)


class Answer(NamedTuple):
    """One good prediction. `at` is seconds of the epoch when it ended."""

    at: float
    seconds: float
    model: str
    version: int
    key_id: str
    is_hit: bool


class Series(NamedTuple):
    """Figures of one subject in the minute that began at `at` (seconds of the epoch)."""

    kind: str
    subject: str
    at: int
    figures: Figures


class Batch(NamedTuple):
    """Series to be written in one transaction: the `number`th of this writer, a process. After one that isn't full, nothing waits."""

    writer: str
    number: int
    series: list[Series]
    is_full: bool


class _Cell(NamedTuple):
    """What is counted together. None is what a request didn't come to; OTHERS and OTHER_VERSIONS are those beyond MOST_SERIES."""

    minute: int
    model: str | None
    version: int | None
    key_id: str


class Tally:
    """The figures of one web process that are yet to be written. Safe to use from many threads."""

    def __init__(self) -> None:
        """Begin empty, as a writer of a random name."""
        self._writer = secrets.token_hex(4)
        self._lock = threading.Lock()
        self._cells: dict[tuple[int, str | None, int | None, str], Figures] = {}
        self._known: set[str | tuple[str, int]] = set()
        self._minute = 0
        self._seen: dict[str, set[object]] = {MODEL: set(), VERSION: set(), KEY: set()}
        self._is_dropping = False
        self._under_way: Batch | None = None
        self._number = 0

    def add_answers(self, answers: Iterable[Answer | tuple[float, float, str, int, str, bool]]) -> None:
        """Count good predictions."""
        with self._lock:
            for at, seconds, model, version, key_id, is_hit in answers:
                key = (int(at) // MINUTE, model, version, key_id)
                figures = self._cells.get(key) or self._open(key)
                figures.requests += 1
                figures.hits += is_hit
                bucket = bucket_of(seconds)
                figures.latency[bucket] = figures.latency.get(bucket, 0) + 1

    def add_problem(self, at: float, status: int, model: str | None, version: int | None, key_id: str) -> None:
        """Count a request that was answered with an error. `model` and `version` were resolved, or are None."""
        with self._lock:
            key = (int(at) // MINUTE, model, version, key_id)
            figures = self._cells.get(key) or self._open(key)
            if status == HTTPStatus.TOO_MANY_REQUESTS:
                figures.refusals += 1
                return
            figures.requests += 1
            figures.errors += 1
            figures.failures += status >= HTTPStatus.INTERNAL_SERVER_ERROR

    def knows(self, model: str, version: int | None = None) -> bool:
        """Tell whether this process has counted something of a model, or of a version of it: so it is there, or was."""
        return (model if version is None else (model, version)) in self._known

    def has_any(self) -> bool:
        """Tell whether anything is to be written."""
        return bool(self._cells) or self._under_way is not None

    def batch(self) -> Batch | None:
        """Return what is to be written next, oldest first: the same until it is `settle`d, so that it can be tried again."""
        with self._lock:
            if self._under_way is None and self._cells:
                taken = nsmallest(BATCH, self._cells, key=_place)  # a model's together: they make one row
                self._number += 1
                series = _series({_Cell(*key): self._cells.pop(key) for key in taken})
                self._under_way = Batch(self._writer, self._number, series, is_full=len(taken) == BATCH)
            return self._under_way

    def settle(self, batch: Batch) -> None:
        """Forget a batch that was written."""
        with self._lock:
            self._is_dropping = False
            if self._under_way is batch:
                self._under_way = None

    def _open(self, key: tuple[int, str | None, int | None, str]) -> Figures:
        """Return new figures for a key, or those which it shares with others."""
        minute, model, version, key_id = key
        if minute != self._minute:
            self._minute = minute
            for seen in self._seen.values():
                seen.clear()
            if self._under_way is not None:  # else nothing waits for the database: the clock went on, or the machine was asleep
                self._drop_before(minute - MOST_MINUTES)
        if model:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known.update((model,) if version is None else (model, (model, version)))
        if len(self._cells) >= MOST_CELLS:
            key = (minute, model and OTHERS, version and OTHER_VERSIONS, OTHERS)
        else:
            if model and not self._has_place(MODEL, model):
                model, version = OTHERS, version and OTHER_VERSIONS
            elif version and not self._has_place(VERSION, (model, version)):
                version = OTHER_VERSIONS
            key = (minute, model, version, key_id if self._has_place(KEY, key_id) else OTHERS)
        return self._cells.setdefault(key, Figures())

    def _has_place(self, kind: str, subject: object) -> bool:
        seen = self._seen[kind]
        if subject in seen:
            return True
        if len(seen) >= MOST_SERIES:
            return False
        seen.add(subject)
        return True

    def _drop_before(self, minute: int) -> None:
        old = [key for key in self._cells if key[0] < minute]
        for key in old:
            del self._cells[key]
        if old and not self._is_dropping:
            self._is_dropping = True
            observability.log.warning("figures of traffic are dropped, since the database has been away for too long")


def _place(key: tuple[int, str | None, int | None, str]) -> tuple[int, str, int]:
    """Return where a cell is among those to be written: by minute, then by model and version."""
    minute, model, version, _ = key
    return minute, model or OTHERS, version or OTHER_VERSIONS


def _series(cells: Mapping[_Cell, Figures]) -> list[Series]:
    """Return the one-dimensional series of cells."""
    found: dict[tuple[str, str, int], Figures] = {}
    for cell, figures in cells.items():
        subjects = [(ALL, OTHERS), (KEY, cell.key_id)]
        if cell.model is not None:
            subjects.append((MODEL, cell.model))
        if cell.version is not None:
            subjects.append((VERSION, f"{cell.model}/{cell.version}" if cell.version else OTHERS))
        for kind, subject in subjects:
            found.setdefault((kind, subject, MINUTE * cell.minute), Figures()).add(figures)
    return [Series(*key, figures) for key, figures in found.items()]


def bucket_of(seconds: float) -> int:
    """Return the bucket that counts what took so long."""
    if seconds <= SHORTEST_SECONDS:
        return 0
    return min(_ceil((_log(seconds) - _LOG_SHORTEST) / _LOG_GAMMA), _LAST_BUCKET)


def quantile(latency: Mapping[int, int], share: float) -> float | None:
    """Return the seconds that this share of all answers took at most, within RELATIVE_ERROR; None without any."""
    rank = share * (sum(latency.values()) - 1)
    below = 0
    for bucket, count in sorted(latency.items()):
        below += count
        if below > rank:
            return SHORTEST_SECONDS * GAMMA**bucket * 2 / (1 + GAMMA) if bucket else SHORTEST_SECONDS
    return None


def add_latency(latency: dict[int, int], other: Mapping[int, int]) -> None:
    """Add the counts of other buckets to those of `latency`."""
    for bucket, count in other.items():
        latency[bucket] = latency.get(bucket, 0) + count


def pack_latency(latency: Mapping[int, int]) -> bytes:
    """Return buckets and counts as they are kept."""
    return _pack(latency)


def unpack_latency(packed: bytes) -> dict[int, int]:
    """Return what was packed."""
    return _unpack(packed)
