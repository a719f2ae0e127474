"""What counting one request against a key's limit costs: asking Redis each time, with the cache in one pipeline, leased, in memory.

    .venv/bin/python benchmarks/rate_limits.py [--rounds 9] [--quick]

A Valkey of its own on a UNIX socket. The ways take turns in each round; medians over the rounds of the caller's CPU time, the
wall-clock time and the server's CPU time, all in microseconds for one request, with the round trips of 1,000 requests and the
CPU time as a ratio to asking each time. One thread.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import psutil
import redis
from limits.storage import MemoryStorage, RedisStorage

from registry.api.counters import Counters
from registry.api.limit_texts import parse_limits
from registry.api.shared_counts import SharedCounts
from registry.errors import RateLimited
from registry.host.valkey import start_valkey

ONE, TWO, DEFAULT = ("900000000/day",), ("900000/second", "900000000/day"), ("6000/minute",)
KEY_ID = "benchmark"
ASKING = "asking each time"


@dataclass
class Way:
    """One way to count, and what it has cost so far: (CPU, wall, server's CPU) in microseconds a request, and round trips."""

    name: str
    call: Callable[[], object]
    requests: int
    costs: list[tuple[float, float, float]] = field(default_factory=list)
    trips: list[float] = field(default_factory=list)


class Bench:
    """The server, and the ways to count in it."""

    def __init__(self, folder: Path) -> None:
        """Start it."""
        self._child = start_valkey("limits", folder, memory_bytes=64 << 20, evicts=False)
        self._server = psutil.Process(self._child.pid)
        self._storage = RedisStorage(f"redis+unix://{folder / 'limits.sock'}")
        self._client = redis.Redis(unix_socket_path=str(folder / "limits.sock"))
        self._client.set("cached", b"x" * 200)
        self._own = MemoryStorage()
        self._numbers = itertools.count()

    def ways(self, requests: int) -> list[Way]:
        """Return each way, with how often a round calls it."""
        (item,) = parse_limits(ONE)
        key, seconds = item.key_for(KEY_ID), item.get_expiry()
        leased = Counters(SharedCounts(self._storage))
        return [
            Way(ASKING, lambda: self._storage.incr(key, seconds), requests),
            Way("asking each time, two limits", lambda: self._ask(TWO), requests),
            Way("asking, then the cache", lambda: (self._storage.incr(key, seconds), self._client.get("cached")), requests),
            Way("asking and the cache in one pipeline", lambda: self._pipeline(key, seconds), requests),
            Way("leased", lambda: leased.count(KEY_ID, ONE), 10 * requests),
            Way("leased, two limits", lambda: leased.count(KEY_ID, TWO), 10 * requests),
            Way("leased, 6000/minute, to its end", self._default_limit(leased), 6000),
            Way("singly, for many slow keys", lambda: leased.count(f"slow-{next(self._numbers) % 1000}", ONE), requests),
            Way("refused", self._refused(leased), 2 * requests),
            Way("in memory", lambda: self._own.incr(key, seconds), 2 * requests),
        ]

    def measure(self, way: Way) -> None:
        """Call it for one round."""
        trips, server = self._asked(), self._server_seconds()
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(way.requests):
            way.call()
        seconds = (time.process_time() - cpu, time.perf_counter() - wall, self._server_seconds() - server)
        cpu_us, wall_us, server_us = (1e6 * part / way.requests for part in seconds)
        way.costs.append((cpu_us, wall_us, server_us))
        way.trips.append(1000 * (self._asked() - trips - 1) / way.requests)

    def stop(self) -> None:
        """End the server."""
        self._client.close()
        self._child.kill()
        self._child.wait()

    def _ask(self, texts: tuple[str, ...]) -> None:
        for item in parse_limits(texts):
            self._storage.incr(item.key_for(KEY_ID), item.get_expiry())

    def _pipeline(self, key: str, seconds: int) -> None:
        with self._client.pipeline(transaction=False) as pipe:
            self._storage.lua_incr_expire([self._storage.prefixed_key(key)], [seconds, 1], client=pipe)
            pipe.get("cached").execute()

    def _default_limit(self, counters: Counters) -> Callable[[], object]:
        """Return a call that counts for a key of its own until its limit is used up, and then for another."""
        keys = (f"default-{number}" for number in itertools.count() for _ in range(6000))
        return lambda: counters.count(next(keys), DEFAULT)

    def _refused(self, counters: Counters) -> Callable[[], object]:
        def call() -> None:
            try:
                counters.count("refused", ("1/day",))
            except RateLimited:
                return

        return call

    def _asked(self) -> int:
        """Return how often the server has read from a connection: once a round trip, this one too."""
        return int(self._client.info("stats")["total_reads_processed"])

    def _server_seconds(self) -> float:
        times = self._server.cpu_times()
        return float(times.user + times.system)


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--quick", action="store_true", help="three short rounds")
    options = parser.parse_args()
    rounds, requests = (3, 500) if options.quick else (options.rounds, 4000)
    with tempfile.TemporaryDirectory(prefix="mylimits-", dir="/tmp") as folder:
        bench = Bench(Path(folder))
        try:
            ways = bench.ways(requests)
            for _ in range(rounds):
                for way in ways:
                    bench.measure(way)
        finally:
            bench.stop()
    report(ways)


def report(ways: list[Way]) -> None:
    """Print the medians."""
    medians = {way.name: [statistics.median(part) for part in zip(*way.costs, strict=True)] for way in ways}
    base = medians[ASKING][0]
    print(f"{'':38} {'CPU us':>8} {'wall us':>8} {'server us':>10} {'trips/1000':>11} {'CPU ratio':>10}")
    for way in ways:
        cpu, wall, server = medians[way.name]
        print(f"{way.name:38} {cpu:8.2f} {wall:8.2f} {server:10.2f} {statistics.median(way.trips):11.1f} {cpu / base:10.3f}")


if __name__ == "__main__":
    main()
