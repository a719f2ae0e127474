"""Limits leased from a real Valkey: by several processes over several windows, by many threads, and one left to itself."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from limits.storage import RedisStorage
from limits.strategies import FixedWindowRateLimiter

from registry.api.counters import Counters
from registry.api.leases import Wish
from registry.api.limit_texts import parse_limits
from registry.api.shared_counts import SharedCounts
from registry.errors import RateLimited
from registry.host.valkey import start_valkey
from tests.counting_process import CountingProcess, admitted
from tests.outside import wait_until

pytestmark = pytest.mark.alone

PROCESSES = 4
MILLISECOND = 0.001


class Valkey:
    """A Valkey on a socket, and the counts in it."""

    def __init__(self, folder: Path) -> None:
        """Connect to it."""
        self.url = f"redis+unix://{folder / 'limits.sock'}"
        self.storage = RedisStorage(self.url)
        self.counts = SharedCounts(self.storage)
        self.client = redis.Redis(unix_socket_path=str(folder / "limits.sock"))

    def key(self, key_id: str, limit: str) -> str:
        """Return the name of a count."""
        return f"LIMITS:{parse_limits((limit,))[0].key_for(key_id)}"

    def taken(self, key_id: str, limit: str) -> int:
        """Return how many tokens all have taken in this window."""
        return int(self.client.get(self.key(key_id, limit)) or 0)

    def ends(self, key_id: str, limit: str) -> int:
        """Return when the window ends, in milliseconds since 1970; negative when there is none."""
        return int(self.client.pexpiretime(self.key(key_id, limit)))


@pytest.fixture(scope="module")
def valkey() -> Iterator[Valkey]:
    """Start one for this module."""
    with tempfile.TemporaryDirectory(prefix="mylimits-", dir="/tmp") as folder:
        child = start_valkey("limits", Path(folder), memory_bytes=64 << 20, evicts=False)
        started = Valkey(Path(folder))
        yield started
        started.client.close()
        started.storage.get_connection().close()
        child.kill()
        child.wait()


@pytest.fixture(scope="module")
def crew(valkey: Valkey) -> Iterator[list[CountingProcess]]:
    """Start the processes that count."""
    processes = [CountingProcess(valkey.url) for _ in range(PROCESSES)]
    for process in processes:
        assert process.answer() == "ready"
    yield processes
    for process in processes:
        process.kill()


@pytest.fixture
def counters(valkey: Valkey) -> Iterator[Counters]:
    """Count as one process does."""
    made = Counters(valkey.counts)
    yield made
    if made._sweeper is not None:
        made._sweeper.cancel()  # the Valkey may be gone when it would give back


class Windows:
    """The windows of one count, as Redis has them while a test runs."""

    def __init__(self, valkey: Valkey, key_id: str, limit: str) -> None:
        """Note when they end."""
        self._ends: set[int] = set()
        self._seconds = parse_limits((limit,))[0].get_expiry()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, args=(valkey, key_id, limit))

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch for the length of a block."""
        self._thread.start()
        try:
            yield
        finally:
            self._over.set()
            self._thread.join()

    def _watch(self, valkey: Valkey, key_id: str, limit: str) -> None:
        while not self._over.wait(0.005):
            self._ends.add(valkey.ends(key_id, limit))

    def counts(self, times: list[tuple[float, float]]) -> list[tuple[int, int]]:
        """Return for each window how many were surely admitted in it, and how many may have been."""
        rows = []
        for ends in sorted(end / 1000 for end in self._ends if end > 0):
            begins = ends - self._seconds
            surely = sum(begins + MILLISECOND <= began and admitted < ends for began, admitted in times)
            perhaps = sum(begins <= admitted and began <= ends + MILLISECOND for began, admitted in times)
            rows.append((surely, perhaps))
        return rows


def all_count(processes: list[CountingProcess], *words: object) -> list[tuple[float, float]]:
    """Let them all count at once, and return the times of what was admitted."""
    for process in processes:
        process.order("count", *words)
    return [(began, ended) for process in processes for began, ended in process.answer()]


def test_four_processes_admit_the_limit_in_each_window_and_never_more(valkey: Valkey, crew: list[CountingProcess]) -> None:
    """Over whole windows, however they share them; in the last one, which is cut off, at most as many."""
    windows = Windows(valkey, "busy", "2000/second")
    with windows.watched():
        times = all_count(crew, "busy", "2000/second", 2.5)
    counts = windows.counts(times)
    assert len(counts) >= 3
    assert all(surely <= 2000 for surely, _ in counts)
    assert all(perhaps >= 2000 for _, perhaps in counts[:-1])


def test_four_processes_keep_small_limits_and_two_at_once_exactly(valkey: Valkey, crew: list[CountingProcess]) -> None:
    """Sixty are sixty; and of a long limit nothing is lost to what the short one refuses."""
    assert len(all_count(crew, "small", "60/hour", 0.2)) == 60
    assert len(all_count(crew, "two", "400/second,700/hour", 1.7)) == 700
    assert (valkey.taken("small", "60/hour"), valkey.taken("two", "700/hour")) == (60, 700)


def test_a_killed_process_loses_what_it_had_leased_until_the_window_ends_and_nothing_else(
    valkey: Valkey, crew: list[CountingProcess]
) -> None:
    """Kill it in the middle of a window with tokens unused: the others get the rest of this window, and all of the next."""
    limit = "3000/second"
    victim = crew.pop()
    windows = Windows(valkey, "killed", limit)
    with windows.watched():
        victim.order("hold", "killed", limit)
        report = victim.answer()
        victim.kill()
        times = all_count(crew, "killed", limit, 2.2)
    first, second, *_ = windows.counts(times)
    assert report["unused"] > 0
    assert 3000 - report["unused"] <= first[1] + report["admitted"]
    assert first[0] + report["admitted"] <= 3000
    assert second[0] <= 3000 <= second[1]


def test_many_threads_admit_the_limit_exactly(valkey: Valkey, counters: Counters) -> None:
    """Large, small, and two at once, from forty threads."""
    for number, (limits, admits) in enumerate([(("3000/hour",), 3000), (("70/hour",), 70), (("500/minute", "900/hour"), 500)]):
        key_id = f"threads-{number}"
        with ThreadPoolExecutor(40) as pool:
            results = list(pool.map(lambda _, key_id=key_id, limits=limits: admitted(counters, key_id, limits), range(admits + 300)))
        assert sum(results) == admits


def test_each_request_of_a_lone_process_takes_one(valkey: Valkey, counters: Counters) -> None:
    """Show one less each time, and nothing when refused; Redis counts what `limits` itself would have counted."""
    standings = [counters.count("lone", ("900/hour",)) for _ in range(900)]
    assert [standing and standing.remaining for standing in standings] == list(reversed(range(900)))
    with pytest.raises(RateLimited):
        counters.count("lone", ("900/hour",))
    assert valkey.taken("lone", "900/hour") == 900
    assert not FixedWindowRateLimiter(valkey.storage).test(parse_limits(("900/hour",))[0], "lone")


def test_what_an_idle_process_leased_goes_back(valkey: Valkey, counters: Counters) -> None:
    """Without any request, so that another process finds it."""
    for _ in range(100):
        counters.count("idle", ("5000/hour",))
    assert valkey.taken("idle", "5000/hour") > 100
    wait_until(lambda: valkey.taken("idle", "5000/hour") == 100, "the lease goes back")
    assert [standing.remaining for _, standing in Counters(valkey.counts).standings("idle", ("5000/hour",))] == [4900]


def test_tokens_of_a_window_that_is_over_come_back_to_no_other(valkey: Valkey) -> None:
    """Neither after its end nor after Redis was emptied; nor do they make a window that isn't there."""

    def ask(needed: int, unused: int, window: int) -> tuple[int, int]:
        grant = valkey.counts.take(needed, [Wish("late", 1000, 1800, 0, unused, window)])[0]  # half the first window's length
        return grant.granted, grant.taken

    first = valkey.counts.take(1, [Wish("late", 1000, 3600, 100, 0, 0)])[0]
    assert (first.granted, first.taken) == (100, 100)
    assert 3599 < first.seconds_left <= 3600
    assert ask(0, 30, first.window) == (0, 70)
    valkey.client.flushall()
    assert ask(0, 60, first.window) == (0, 0)
    assert valkey.client.exists("LIMITS:late") == 0
    assert ask(1, 0, 0) == (1, 1)
    assert ask(1, 60, first.window) == (1, 2)


def test_a_count_that_others_left_without_an_end_gets_one(valkey: Valkey) -> None:
    """Never refuse for ever."""
    valkey.client.set("LIMITS:endless", 1000)
    grant = valkey.counts.take(1, [Wish("endless", 1000, 60, 0, 0, 0)])[0]
    assert grant.granted == 0
    assert 0 < valkey.client.ttl("LIMITS:endless") <= 60


def test_after_a_limit_that_has_nothing_none_is_taken_from(valkey: Valkey) -> None:
    """Refuse by the first; where it has few, no more are needed from the next, which may still lend a block."""
    wishes = [Wish("few", 3, 60, 0, 0, 0), Wish("more", 1000, 60, 0, 0, 0), Wish("block", 1000, 60, 100, 0, 0)]
    assert [grant.granted for grant in valkey.counts.take(5, wishes)] == [3, 3, 100]
    assert [grant.granted for grant in valkey.counts.take(5, wishes)] == [0, 0, 0]
    assert [valkey.client.get(f"LIMITS:{wish.key}") for wish in wishes] == [b"3", b"3", b"100"]


def test_a_script_that_redis_has_forgotten_is_sent_again(valkey: Valkey, counters: Counters) -> None:
    """Count on, and not in this process."""
    valkey.client.script_flush()
    assert admitted(counters, "script", ("5/hour",))
    assert valkey.taken("script", "5/hour") == 1
