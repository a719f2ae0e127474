"""Runs in a Python of its own, warmed up as the fork server is: every hostile file in a child, loaded in each of three ways.

`loader`: our own admission, without any other wall. `locked`: joblib and predict behind the real lock. `plain`: joblib and
predict, without any wall. Prints one JSON object: for each way and file what was answered and what traces were left.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import pickle
import resource
import select
import shutil
import signal
import socket
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from registry import flavors
from registry.errors import ArtifactRefused
from registry.host.lock import Limits, lock_worker
from tests.conformance.hostile import corpus
from tests.conformance.hostile.case import Hostile, Trap
from tests.locked import NOBODY

MEMORY_BYTES = 512 << 20
BUDGET_BYTES = 256 << 20
METHODS = ("predict", "predict_proba", "decision_function", "transform", "score_samples")
#: How many files one child takes, one after the other: many only where none may do harm.
TOGETHER = {"loader": 25, "plain": 1, "locked": 1}
#: Those that hang do so with all the processor that they can get; a file that fires is given time to.
LOADER_SECONDS, FIRING_SECONDS, QUIET_SECONDS, LOCKED_SECONDS = 20, 5, 0.5, 2


def admitted(hostile: Hostile) -> str:
    """Answer how our own admission judges a file."""
    try:
        flavors.admit(io.BytesIO(hostile.blob), {}, BUDGET_BYTES)
    except ArtifactRefused as error:
        return f"refused {json.dumps([error.slug, error.detail, error.members.get('found')], default=str)}"
    return "admitted"


def loaded_plainly(hostile: Hostile) -> str:
    """Answer how far plain joblib, and then predicting, gets."""
    try:
        model = joblib.load(io.BytesIO(hostile.blob))
    except (pickle.UnpicklingError, EOFError, ValueError) as error:
        try:
            model = pickle.loads(hostile.blob)
        except Exception as second:  # noqa: BLE001 - whatever the file raises
            return f"load raised {error!r}, then {second!r}"[:300]
    except Exception as error:  # noqa: BLE001 - whatever the file raises
        return f"load raised {error!r}"[:300]
    rows = hostile.rows if hostile.rows is not None else np.zeros((4, int(getattr(model, "n_features_in_", 3) or 3)))
    return "; ".join(_called(model, method, rows) for method in METHODS)[:400]


def _called(model: Any, method: str, rows: Any) -> str:
    try:
        return f"{method} {type(getattr(model, method)(rows)).__name__}"
    except Exception as error:  # noqa: BLE001 - whatever the file raises
        return f"{method} raised {type(error).__name__} {error}"[:100]


def unlocked() -> None:
    """Bound only what a mistake could do to the machine, and how long a client waits for the listener, which never answers."""
    socket.setdefaulttimeout(1.0)
    limit = _pages(0) + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def locked() -> None:
    """Lock the child as a worker is."""
    lock_worker(Limits(memory_bytes=MEMORY_BYTES, parent_pid=os.getppid(), uid=NOBODY))


#: In this order: what plain joblib lets happen comes last.
JOBS: dict[str, tuple[Callable[[], None], Callable[[Hostile], str]]] = {
    "loader": (unlocked, admitted),
    "locked": (locked, loaded_plainly),
    "plain": (unlocked, loaded_plainly),
}


def run(files: list[Hostile], trap: Trap, how: str) -> dict[str, dict[str, Any]]:
    """Run files in one child; the last of them may be the one that ended it."""
    ours, theirs = socket.socketpair()  # behind the lock nothing can be written to a pipe
    pid = os.fork()
    if pid == 0:
        ours.close()
        _be_child(files, theirs, how)
    theirs.close()
    pidfd, results = os.pidfd_open(pid), {}
    with ours, ours.makefile("rb", buffering=0) as reports:
        for hostile in files:
            started = time.monotonic()
            answer, memory, more = _next(reports, pidfd, _patience(hostile, how))
            seconds = round(time.monotonic() - started, 2)
            results[hostile.name] = {
                "kind": hostile.kind, "fires": hostile.fires, "outcome": hostile.outcome, "answer": answer, "memory": memory, "seconds": seconds,
            }  # fmt: skip
            if not more:
                break
    _end(pid)
    os.close(pidfd)
    for hostile in files[: len(results)]:
        results[hostile.name]["traces"] = found = trap.traces(hostile.canary)
        if found:
            trap.renew(hostile.canary)  # the next way begins without them
    return results


def _patience(hostile: Hostile, how: str) -> float:
    if how == "loader":
        return LOADER_SECONDS
    if not hostile.fires:
        return QUIET_SECONDS
    return LOCKED_SECONDS if how == "locked" else FIRING_SECONDS


def _be_child(files: list[Hostile], report: socket.socket, how: str) -> None:
    prepare, job = JOBS[how]
    try:
        os.setpgid(0, 0)
        null = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(null, standard)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.chdir(files[0].canary.folder)
        prepare()
        for hostile in files:
            before = _highest(how)
            try:
                answer = job(hostile)
            except BaseException as error:  # noqa: BLE001 - the file may raise anything
                answer = f"raised {type(error).__name__} {error}"[:300]
            report.sendall(json.dumps([answer[:3000], _highest(how) - before]).encode() + b"\n")
    finally:
        os._exit(0)


def _next(reports: Any, pidfd: int, seconds: float) -> tuple[str, int, bool]:
    """Return the child's next answer and its growth, and whether it goes on."""
    if not select.select([reports, pidfd], [], [], seconds)[0]:
        return "hung", 0, False
    line = reports.readline() if select.select([reports], [], [], 0)[0] else b""
    if not line:
        select.select([pidfd], [], [], seconds)  # it may have become another program
        return "ended", 0, False
    answer, grown = json.loads(line)
    return answer, grown, True


def _end(pid: int) -> None:
    """End the child with whatever it started."""
    for kill in (os.kill, os.killpg):  # it may not have made its group yet, or have left it
        with contextlib.suppress(ProcessLookupError):
            kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _highest(how: str) -> int:
    """Return the most that was ever resident, in bytes; behind the lock that can't be asked."""
    return 0 if how == "locked" else max(_pages(1), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10)


def _pages(column: int) -> int:
    """Return a column of /proc/self/statm in bytes: 0 is the address space, 1 what is resident."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[column]) * resource.getpagesize()


def run_all(files: list[Hostile], trap: Trap, how: str) -> dict[str, dict[str, Any]]:
    """Run files in one way; without our loader only those that can do something."""
    rest = files if how == "loader" else [one for one in files if one.fires or one.kind == "predict"]
    results: dict[str, dict[str, Any]] = {}
    while rest:
        results.update(run(rest[: TOGETHER[how]], trap, how))
        rest = [one for one in rest if one.name not in results]
    return results


def main() -> None:
    """Build the corpus once and run it in each of the three ways."""
    warnings.simplefilter("ignore")
    flavors.warm_up()
    folder = Path(tempfile.mkdtemp(prefix="hostile-", dir="/tmp"))  # no TemporaryDirectory: a file can make its child run the clean-up
    trap = Trap(folder)
    files = corpus.build_all(trap)
    gc.freeze()
    results = {how: run_all(files, trap, how) for how in JOBS}
    trap.close()
    shutil.rmtree(folder, ignore_errors=True)
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
