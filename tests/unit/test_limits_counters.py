"""The counters behind the limits: shared while their storage is there, this process's own while it isn't."""

from __future__ import annotations

import threading
import time

import pytest
from limits import RateLimitItem
from limits.storage import MemoryStorage
from structlog.testing import capture_logs

from registry import observability
from registry.api import limits
from registry.api.limits import Counters, Standing, parse_limits


class Storage(MemoryStorage):
    """A storage that can be away."""

    def __init__(self) -> None:
        """Start with it there, and nothing asked."""
        super().__init__()
        self._there = MemoryStorage()
        self.away = False
        self.asked = 0

    def _answer(self) -> MemoryStorage:
        self.asked += 1
        if self.away:
            raise ConnectionError("nobody there")
        return self._there

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        """Count, unless away."""
        return self._answer().incr(key, expiry, amount)

    def get(self, key: str) -> int:
        """Read, unless away."""
        return self._answer().get(key)

    def get_expiry(self, key: str) -> float:
        """Tell when the window ends, unless away."""
        return self._answer().get_expiry(key)


@pytest.fixture
def storage() -> Storage:
    """Give a storage that is there."""
    return Storage()


@pytest.fixture
def counters(storage: Storage) -> Counters:
    """Count in it."""
    return Counters(storage)


@pytest.fixture
def five() -> RateLimitItem:
    """Give a limit of five a minute."""
    return parse_limits(("5/minute",))[0]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at once whether a storage is back."""
    monkeypatch.setattr(limits, "RETRY_SECONDS", 0.0)


def failures() -> float:
    """Return how many calls were done without."""
    return float(observability.REDIS_FAILURES.labels("limits")._value.get())


def test_each_request_takes_one_until_nothing_remains(counters: Counters, five: RateLimitItem) -> None:
    """Go below zero when it is over."""
    assert [counters.add(five, "key").remaining for _ in range(7)] == [4, 3, 2, 1, 0, -1, -2]


def test_subjects_and_limits_are_counted_apart(counters: Counters, five: RateLimitItem) -> None:
    """Share a count only where key and limit are the same."""
    (thousand,) = parse_limits(("1000/day",))
    for _ in range(3):
        counters.add(five, "key")
    assert counters.add(five, "other").remaining == 4
    assert counters.add(thousand, "key") == Standing(1000, 999, 86_400)


def test_two_processes_on_one_storage_share_a_count(storage: Storage, five: RateLimitItem) -> None:
    """Count with one, and see it in the other."""
    one, other = Counters(storage), Counters(storage)
    assert [counters.add(five, "key").remaining for counters in (one, other) * 3] == [4, 3, 2, 1, 0, -1]


def test_peeking_counts_nothing_and_never_shows_less_than_none(counters: Counters, five: RateLimitItem) -> None:
    """Look twice and see the same."""
    assert counters.peek(five, "key") == counters.peek(five, "key") == Standing(5, 5, 60)
    for _ in range(7):
        counters.add(five, "key")
    assert counters.peek(five, "key").remaining == 0


@pytest.mark.parametrize("uses", [1, 2])
def test_peeking_from_another_process_shows_when_the_window_ends(
    storage: Storage, five: RateLimitItem, monkeypatch: pytest.MonkeyPatch, uses: int
) -> None:
    """Tell the end of the window under way, also after a single request, and don't move it for later requests."""
    now = time.time()
    one, other = Counters(storage), Counters(storage)
    for _ in range(uses):
        one.add(five, "key")
    monkeypatch.setattr(time, "time", lambda: now + 40)
    assert 19 <= other.peek(five, "key").reset_seconds <= 21
    assert 19 <= other.add(five, "key").reset_seconds <= 21


def test_the_end_of_a_window_is_asked_for_once(storage: Storage, five: RateLimitItem) -> None:
    """Cost one call a request, whoever began the window."""
    Counters(storage).add(five, "key")
    late = Counters(storage)
    storage.asked = 0
    for _ in range(4):
        assert 59 <= late.add(five, "key").reset_seconds <= 60
    assert storage.asked == 5


def test_the_notes_of_windows_stay_bounded(counters: Counters, five: RateLimitItem) -> None:
    """Forget them all before they become too many."""
    counters._window_ends.update({str(number): 0.0 for number in range(10_001)})
    counters.add(five, "key")
    assert len(counters._window_ends) == 1


def test_a_storage_that_is_away_is_done_without_said_once_and_counted(storage: Storage, counters: Counters, five: RateLimitItem) -> None:
    """Count in this process, ask no more before the time, log one line."""
    counters.add(five, "key")
    storage.away, storage.asked = True, 0
    before = failures()
    with capture_logs() as lines:
        assert [counters.add(five, "key").remaining for _ in range(7)] == [4, 3, 2, 1, 0, -1, -2]
        assert counters.peek(five, "key").remaining == 0
    assert [line["event"] for line in lines] == ["shared limit counters are away; counting in this process"]
    assert lines[0]["reason"] == "ConnectionError"
    assert (storage.asked, failures() - before) == (1, 1)


@pytest.mark.usefixtures("impatient")
def test_a_storage_that_stays_away_is_said_once_however_often_it_is_asked(
    storage: Storage, counters: Counters, five: RateLimitItem
) -> None:
    """Count every failed call, and log the first."""
    storage.away = True
    before = failures()
    with capture_logs() as lines:
        for _ in range(5):
            counters.add(five, "key")
    assert len(lines) == 1
    assert failures() - before == storage.asked >= 5


@pytest.mark.usefixtures("impatient")
def test_a_storage_that_is_back_is_used_again_with_its_own_counts(storage: Storage, counters: Counters, five: RateLimitItem) -> None:
    """Go on where the shared count stood, and say so once."""
    for _ in range(2):
        counters.add(five, "key")
    storage.away = True
    for _ in range(4):
        counters.add(five, "key")
    storage.away = False
    with capture_logs() as lines:
        assert [counters.add(five, "key").remaining for _ in range(3)] == [2, 1, 0]
    assert [line["event"] for line in lines] == ["shared limit counters are back"]


@pytest.mark.usefixtures("impatient")
def test_a_second_time_away_is_said_again(storage: Storage, counters: Counters, five: RateLimitItem) -> None:
    """Log each time it goes and each time it comes."""
    with capture_logs() as lines:
        for away in (True, False, True, False):
            storage.away = away
            counters.add(five, "key")
    assert [line["event"].rpartition(" ")[2] for line in lines] == ["process", "back", "process", "back"]


def test_many_threads_lose_no_count_and_say_it_once(storage: Storage, counters: Counters) -> None:
    """Add from eight threads while the storage is away."""
    (many,) = parse_limits(("1000/minute",))
    storage.away = True
    barrier = threading.Barrier(8)

    def add() -> None:
        barrier.wait()
        for _ in range(50):
            counters.add(many, "key")

    with capture_logs() as lines:
        threads = [threading.Thread(target=add) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert counters.peek(many, "key").remaining == 600
    assert len(lines) == 1


def test_limits_are_read_shortest_window_first() -> None:
    """Refuse by the short one before the long one is counted."""
    assert [str(item) for item in parse_limits(("1000/day", "5/minute", "7 per 2 hours"))] == [
        "5 per 1 minute",
        "7 per 2 hour",
        "1000 per 1 day",
    ]
    assert parse_limits(()) == ()


@pytest.mark.parametrize(
    "text", ["", "5", "minute", "0/minute", "-5/minute", "5/fortnight", "5/minute;6/hour", "2000000000/minute", "5/99 years"]
)
def test_what_is_no_limit_is_refused(text: str) -> None:
    """Raise ValueError for junk, for two in one, and for what is out of bounds."""
    with pytest.raises(ValueError, match=r".*"):
        parse_limits((text,))
