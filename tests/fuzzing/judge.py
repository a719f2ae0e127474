"""Runs inputs in forked children, a batch in each, and finds out which input is to blame for what went wrong.

A child has little memory and time, like a worker. Crash, hang, exception, escape and change of shared state are findings.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import resource
import signal
import struct
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

from tests.fuzzing.examining import WAYS
from tests.fuzzing.oracle import Oracle, Shared

#: Each takes a picture of all that is shared before and after it, which costs as much as fifty inputs.
BATCH = 1000
HEADROOM_BYTES = 512 << 20
CPU_SECONDS, WALL_SECONDS = 5, 90
_OWN_FAILURE = 99
_INDEX = struct.Struct("<q")


class Case(NamedTuple):
    """One input, where it came from, and how it is to be examined."""

    label: str
    data: bytes
    way: str


@dataclass(slots=True)
class Finding:
    """What went wrong, and with which input."""

    kind: str  # crash, hang, exception, escape or change
    what: str
    case: Case


@dataclass(slots=True)
class Report:
    """What a run came to."""

    count: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    slowest: float = 0.0
    most_memory_bytes: int = 0


def judge(cases: Iterable[Case], report: Report, *, until: float = float("inf")) -> None:
    """Examine every case, or as many as there is time for; add to the report."""
    stream = iter(cases)
    while time.monotonic() < until and (batch := list(islice(stream, BATCH))):
        for _ in _judged(batch, report):
            pass


def findings_of(case: Case) -> list[Finding]:
    """Return what goes wrong with one input alone."""
    report = Report()
    list(_judged([case], report))
    return report.findings


def _judged(batch: Sequence[Case], report: Report) -> Iterator[None]:
    """Examine a batch: again from behind an input that ended its child, and in halves where shared state was changed."""
    start = 0
    while start < len(batch):
        part = batch[start:]
        ended, answer = _in_child(part)
        done = answer["done"]
        _add(part[:done], answer, report)
        if ended is None:
            if answer["changes"]:
                _blame(part, answer["changes"], report)
            return
        if done == len(part) or ended[1].endswith(f"status {_OWN_FAILURE}"):
            raise RuntimeError(f"the judge's child {ended[1]}")
        report.findings.append(Finding(ended[0], ended[1], part[done]))
        report.count += 1
        start += done + 1
        yield


def _add(part: Sequence[Case], answer: dict[str, Any], report: Report) -> None:
    report.count += len(part)
    report.outcomes.update(answer["outcomes"])
    report.slowest = max(report.slowest, answer["slowest"])
    report.most_memory_bytes = max(report.most_memory_bytes, answer["memory"])
    report.findings += [Finding(kind, what, part[index]) for index, kind, what in answer["found"]]


def _blame(part: Sequence[Case], changes: list[str], report: Report) -> None:
    """Find the input that changed what is shared."""
    while len(part) > 1:
        half = part[: len(part) // 2]
        changed = _in_child(half)[1]["changes"]
        part = half if changed else part[len(half) :]
    report.findings.append(Finding("change", ", ".join(changes[:8]), part[0]))


def _in_child(part: Sequence[Case]) -> tuple[tuple[str, str] | None, dict[str, Any]]:
    """Examine inputs in a child; return how it ended, None when well, and what is known of those before the one that ended it."""
    progress = mmap.mmap(-1, 8)
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receiving)
        _child(part, progress, sending)
    os.close(sending)
    with os.fdopen(receiving, "rb") as stream:
        lines = stream.read().splitlines()
    _, status = os.waitpid(child, 0)
    answer = _summed([json.loads(line) for line in lines if line.endswith(b"}")])
    if status == 0:
        return None, answer
    answer["done"] = min(answer["done"], _INDEX.unpack_from(progress)[0])
    return _ending(status), answer


def _ending(status: int) -> tuple[str, str]:
    if not os.WIFSIGNALED(status):
        return "crash", f"ended with status {os.waitstatus_to_exitcode(status)}"
    number = os.WTERMSIG(status)
    kind = "hang" if number in (signal.SIGALRM, signal.SIGPROF, signal.SIGXCPU) else "crash"
    return kind, signal.Signals(number).name


def _summed(lines: list[dict[str, Any]]) -> dict[str, Any]:
    answer: dict[str, Any] = {"done": 0, "outcomes": Counter(), "found": [], "slowest": 0.0, "memory": 0, "changes": []}
    for line in lines:
        if "changes" in line:
            answer["changes"] = line["changes"]
            answer["memory"] = line["memory"]
            continue
        answer["done"] = line["index"] + 1
        answer["outcomes"][line["outcome"]] += 1
        answer["slowest"] = max(answer["slowest"], line["seconds"])
        answer["found"] += [(line["index"], kind, what) for kind, what in line["found"]]
    return answer


# -- in the child ----------------------------------------------------------------------------------------------------------


def _child(part: Sequence[Case], progress: mmap.mmap, sending: int) -> None:
    try:
        _confine()
        shared, oracle = Shared(), Oracle()
        before = _peak_bytes()
        for index, case in enumerate(part):
            _INDEX.pack_into(progress, 0, index)
            _send(sending, {"index": index, **_examined(case, oracle)})
        _send(sending, {"changes": shared.changes(), "memory": _peak_bytes() - before})
        os._exit(0)
    except BaseException as error:  # noqa: BLE001 - nothing may go on in a child as if it were the parent
        os.write(2, f"the judge itself failed: {error!r}\n".encode())
        os._exit(_OWN_FAILURE)


def _examined(case: Case, oracle: Oracle) -> dict[str, Any]:
    found = []
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    signal.setitimer(signal.ITIMER_REAL, WALL_SECONDS)
    start = time.perf_counter()
    oracle.watching = True
    try:
        outcome = WAYS[case.way](case.data)
    except BaseException as error:  # noqa: BLE001 - whatever it is, it must not happen
        outcome = f"raised {type(error).__name__}"
        found.append(("exception", _described(error)))
    oracle.watching = False
    seconds = time.perf_counter() - start
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    found += [("escape", event) for event in oracle.take()]
    return {"outcome": outcome, "found": found, "seconds": seconds}


def _described(error: BaseException) -> str:
    places = []
    trace = error.__traceback__
    while trace is not None:
        places.append(f"{trace.tb_frame.f_code.co_name}:{trace.tb_lineno}")
        trace = trace.tb_next
    return f"{type(error).__name__}: {str(error)[:200]} in {' > '.join(places[-4:])}"


def _send(sending: int, line: dict[str, Any]) -> None:
    data = json.dumps(line).encode() + b"\n"
    while data:
        data = data[os.write(sending, data) :]


def _confine() -> None:
    """Take memory, core files and the standard streams away; let timers end the process."""
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with open("/proc/self/statm", encoding="ascii") as stream:  # noqa: PTH123
        size = int(stream.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + HEADROOM_BYTES, size + HEADROOM_BYTES))
    for number in (signal.SIGALRM, signal.SIGPROF, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1):
        os.dup2(nothing, descriptor)
    sys.setrecursionlimit(1000)


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
