"""A process that counts requests against limits in a Valkey, as a web process does, and says what was admitted.

It reads orders, one a line, and answers each with a line of JSON: `count <key id> <limits> <seconds>` counts as fast as it can for
so long; `hold <key id> <limits>` counts until it has leased tokens that it didn't use.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from limits.storage import RedisStorage

from registry.api.counters import Counters
from registry.api.shared_counts import SharedCounts
from registry.errors import RateLimited

ROOT = Path(__file__).resolve().parents[1]
REST_SECONDS = 0.001


class CountingProcess:
    """One such process, seen from the test."""

    def __init__(self, url: str) -> None:
        """Start it; it is ready with its first answer."""
        command = [sys.executable, "-m", "tests.counting_process", url]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def order(self, *words: object) -> None:
        """Give an order; its answer comes later."""
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        """Wait for the answer to the order that was given first."""
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def kill(self) -> None:
        """End it by SIGKILL."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()


def admitted(counters: Counters, key_id: str, limits: tuple[str, ...]) -> bool:
    """Count one request."""
    try:
        counters.count(key_id, limits)
    except RateLimited:
        return False
    return True


def count(counters: Counters, key_id: str, limits: tuple[str, ...], seconds: float) -> list[tuple[float, float]]:
    """Return when each admitted request began and was admitted, by the clock that all processes share."""
    times: list[tuple[float, float]] = []
    until = time.time() + seconds
    while (began := time.time()) < until:
        if admitted(counters, key_id, limits):
            times.append((began, time.time()))
        else:
            time.sleep(REST_SECONDS)
    return times


def hold(counters: Counters, key_id: str, limits: tuple[str, ...]) -> dict[str, int]:
    """Return how many were admitted, and how many tokens are held without being used."""
    requests = 0
    while True:
        requests += admitted(counters, key_id, limits)
        unused = max(share.lease.unused() for share in counters._accounts[key_id].shares)
        if unused:
            return {"admitted": requests, "unused": unused}


def main(url: str) -> None:
    """Do as ordered until there are no more orders."""
    counters = Counters(SharedCounts(RedisStorage(url)))
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        order, key_id, limits, *seconds = line.split()
        does: Any = {"count": count, "hold": hold}[order]
        print(json.dumps(does(counters, key_id, tuple(limits.split(",")), *map(float, seconds))), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
