"""What the lane has answered and not yet written down: its log lines and counts, written by one thread, many at a time.

A write to the log costs a request more than its own work, for each lets go of the interpreter and has to get it back among others.
So answers are written down some milliseconds later. Must never lose one while the process lives, and never hold more than MOST.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from multiprocessing.util import Finalize
from typing import NamedTuple

from registry import observability
from registry.traffic import Tally

#: An answer is written down after so long, unless as many as may be held have gathered before.
GATHER_SECONDS = 0.005
MOST = 10_000


class Answered(NamedTuple):
    """One good prediction: what its log line says, and what is counted of it. `at` is seconds of the epoch when it ended."""

    at: float
    seconds: float
    request_id: str
    path: str
    route: str
    key_id: str
    model: str
    version: int
    cache: str
    tier: str
    rows: int
    validate_seconds: float
    predict_seconds: float


class Ledger:
    """The answers of one web process that are yet to be written down. Safe to use from many threads."""

    def __init__(self, traffic: Tally | None = None) -> None:
        """Start nothing: the thread begins with the first answer, in the process that gives it. Answers are counted in `traffic`, too."""
        self._traffic = traffic or Tally()
        self._answers: deque[Answered] = deque()
        self._due = threading.Event()
        self._writing = threading.Lock()
        self._writer: threading.Thread | None = None

    def add(self, answered: Answered) -> None:
        """Write an answer down soon."""
        self._answers.append(answered)
        if not self._due.is_set():
            self._due.set()
            if self._writer is None:
                self._start()
        elif len(self._answers) > MOST:  # whoever reads the log is slow: then answering waits for it
            self._try_to_settle()

    def settle(self) -> None:
        """Write down now what has gathered."""
        with self._writing:
            count = len(self._answers)
            gathered = [self._answers.popleft() for _ in range(count)]
            try:
                observability.write_lines([_line(one) for one in gathered])
            finally:
                _count(gathered)
                self._traffic.add_answers((one.at, one.seconds, one.model, one.version, one.key_id, one.cache == "hit") for one in gathered)

    def _start(self) -> None:
        with self._writing:
            if self._writer is None:
                self._writer = threading.Thread(target=self._run, daemon=True, name="ledger")
                self._writer.start()
                # What ends a web process, which is one of multiprocessing's, calls this: before what writes the figures of traffic.
                Finalize(None, self.settle, exitpriority=1)

    def _run(self) -> None:
        while True:
            self._due.wait()
            time.sleep(GATHER_SECONDS)
            self._due.clear()  # before the settling: what comes meanwhile raises it again
            self._try_to_settle()

    def _try_to_settle(self) -> None:
        try:
            self.settle()
        except Exception:  # noqa: BLE001 - a writer that ends would fill the memory, and an answer was given already
            observability.log.exception("answers could not be written down")


def _count(gathered: list[Answered]) -> None:
    routes = Counter(one.route for one in gathered)
    for route, count in routes.items():
        observability.requests_counter("POST", route, 200).inc(count)
    for (cache, tier), count in Counter((one.cache, one.tier) for one in gathered).items():
        observability.cache_counter(cache, tier).inc(count)
    for (model, version), count in Counter((one.model, one.version) for one in gathered).items():
        observability.answered(model, version)[0].inc(count)
    for one in gathered:
        observability.answered(one.model, one.version)[1].observe(one.seconds)


def _line(one: Answered) -> dict[str, object]:
    return {
        "request_id": one.request_id,
        "method": "POST",
        "path": one.path,
        "status": 200,
        "ms": round(1000 * one.seconds, 3),
        "key_id": one.key_id,
        "model": one.model,
        "version": one.version,
        "cache": one.cache,
        "rows": one.rows,
        "validate_ms": round(1000 * one.validate_seconds, 3),
        "predict_ms": round(1000 * one.predict_seconds, 3),
        "event": "request",
        "level": "info",
        "timestamp": observability.timestamp(one.at),
    }
