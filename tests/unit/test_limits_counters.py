"""The counters behind the limits: shared while their storage is there, leased in blocks, this process's own while it isn't."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from time import monotonic

import pytest
from limits import RateLimitItem
from structlog.testing import capture_logs

from registry import observability
from registry.api import counters as counting
from registry.api.counters import Counters
from registry.api.leases import FEWEST_IN_A_SLICE, LEASE_SECONDS, PARTS_OF_THE_REST, SLICE_SECONDS, Grant, Standing, Wish
from registry.api.limits import parse_limits
from registry.errors import RateLimited

FIVE, MANY = ("5/minute",), ("100000/minute",)
HUNDRED_THOUSAND = "100000/1/minute"


class Clock:
    """A clock that stands still until a test moves it."""

    now = 1000.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


class Shared:
    """Shared counts in memory, which can be away. Windows begin with their first request, as in Redis."""

    def __init__(self, clock: Clock) -> None:
        """Start with them there, and nothing asked."""
        self._clock = clock
        self._windows: dict[str, tuple[int, float]] = {}
        self.away = False
        self.asked = 0
        self.lock = threading.Lock()

    def taken(self, limit: str, key_id: str = "key") -> int:
        """Return how many tokens of a limit such as `5/1/minute` all processes have taken."""
        return self._windows[f"LIMITER/{key_id}/{limit}"][0]

    def put(self, limit: str, taken: int) -> None:
        """Let other processes have taken so many."""
        self._windows[f"LIMITER/key/{limit}"] = (taken, self._windows[f"LIMITER/key/{limit}"][1])

    def take(self, needed: int, wishes: Sequence[Wish]) -> list[Grant]:
        """Answer as the script does, unless away."""
        with self.lock:
            self.asked += 1
            if self.away:
                raise ConnectionError("nobody there")
            grants: list[Grant] = []
            for wish in wishes:
                grants.append(self._grant(needed, wish))
                needed = min(needed, grants[-1].granted)
            return grants

    def _grant(self, needed: int, wish: Wish) -> Grant:
        taken, ends = self._windows.get(wish.key, (0, 0.0))
        if ends <= self._clock.now:
            taken, ends = 0, self._clock.now + wish.seconds
        taken -= wish.unused if wish.window == int(1000 * ends) else 0
        left = max(0, wish.limit - taken)
        granted = min(left, max(needed, min(wish.wanted, left // PARTS_OF_THE_REST)) if needed else 0)
        self._windows[wish.key] = (taken + granted, ends)
        return Grant(granted, taken + granted, int(1000 * ends), ends - self._clock.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Give the counters' clock."""
    made = Clock()
    monkeypatch.setattr(counting, "monotonic", made)
    return made


@pytest.fixture
def shared(clock: Clock) -> Shared:
    """Give counts that are there."""
    return Shared(clock)


@pytest.fixture
def counters(shared: Shared) -> Counters:
    """Count in them, and give nothing back behind a test's back."""
    made = Counters(shared)
    made._sweeper = threading.Timer(0, made._sweep)  # as if it ran already
    return made


@pytest.fixture
def five() -> RateLimitItem:
    """Give a limit of five a minute."""
    return parse_limits(FIVE)[0]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at once whether a storage is back."""
    monkeypatch.setattr(counting, "RETRY_SECONDS", 0.0)


def failures() -> float:
    """Return how many calls were done without."""
    return float(observability.REDIS_FAILURES.labels("limits")._value.get())


def remaining(counters: Counters, texts: tuple[str, ...], key_id: str = "key") -> int:
    """Count once, and return what is left: -1 for a refusal."""
    try:
        standing = counters.count(key_id, texts)
    except RateLimited:
        return -1
    assert standing is not None
    return standing.remaining


def left(counters: Counters, texts: tuple[str, ...]) -> list[int]:
    """Return what is left of each limit, without counting."""
    return [standing.remaining for _, standing in counters.standings("key", texts)]


def test_each_request_takes_one_until_nothing_remains(counters: Counters) -> None:
    """Refuse when it is over."""
    assert [remaining(counters, FIVE) for _ in range(7)] == [4, 3, 2, 1, 0, -1, -1]


def test_a_lone_process_sees_each_request_take_exactly_one_however_large_the_blocks(counters: Counters, shared: Shared) -> None:
    """Admit as many as the limit, and ask for few of them."""
    texts = ("3000/minute",)
    assert [remaining(counters, texts) for _ in range(3002)] == [*reversed(range(3000)), -1, -1]
    assert shared.asked < 3000 / 30


def test_what_is_counted_seldom_is_counted_singly(counters: Counters, shared: Shared, clock: Clock) -> None:
    """Hold nothing while a tenth of a second sees fewer than eight."""
    for number in range(100):
        assert remaining(counters, MANY) == 99_999 - number
        assert shared.taken(HUNDRED_THOUSAND) == shared.asked == number + 1
        clock.now += SLICE_SECONDS / (FEWEST_IN_A_SLICE - 2)


def test_a_block_is_what_a_tenth_of_a_second_needed(counters: Counters, shared: Shared, clock: Clock) -> None:
    """Take about 200 at a time at 2,000 a second, and about 20 at 200."""
    for gap, requests, most in ((0.0005, 3000, 220), (0.005, 400, 22)):
        before = shared.asked
        for _ in range(requests):
            remaining(counters, MANY)
            clock.now += gap
        share = counters._accounts["key"].shares[0]
        assert most / 2 <= share.lease.granted <= most
        assert shared.asked - before <= 20 + 2 * requests / most


def test_a_block_is_never_more_than_an_eighth_of_what_is_left(counters: Counters, shared: Shared) -> None:
    """Shrink to one at a time toward the end."""
    texts, before, blocks = ("1000/minute",), 0, []
    for _ in range(1000):
        remaining(counters, texts)
        after = shared.taken("1000/1/minute")
        if after != before:
            blocks.append((after - before, 1000 - before))
        before = after
    assert all(block == 1 or block <= rest // 8 for block, rest in blocks)
    assert [block for block, _ in blocks[-8:]] == [1] * 8


def test_subjects_and_limits_are_counted_apart(counters: Counters, five: RateLimitItem) -> None:
    """Share a count only where key and limit are the same."""
    (thousand,) = parse_limits(("1000/day",))
    for _ in range(3):
        counters.add(five, "key")
    assert counters.add(five, "other").remaining == 4
    assert counters.add(thousand, "key") == Standing(1000, 999, 86_400)
    assert counters.count("third", FIVE) == Standing(5, 4, 60)


def test_two_processes_share_a_count(shared: Shared) -> None:
    """Count with one, and see it in the other."""
    one, other = Counters(shared), Counters(shared)
    assert [remaining(counters, FIVE) for counters in (one, other) * 4] == [4, 3, 2, 1, 0, -1, -1, -1]


def test_what_a_short_window_refuses_is_not_counted_in_a_longer_one(counters: Counters) -> None:
    """Whatever the order in which they are written; asked together, one round trip counts both."""
    texts = ("1000/day", "3/minute")
    assert [remaining(counters, texts) for _ in range(5)] == [2, 1, 0, -1, -1]
    assert left(counters, texts) == [0, 997]


def test_both_limits_are_asked_in_one_round_trip(counters: Counters, shared: Shared) -> None:
    """Once for each of a few requests, and once for both standings."""
    texts = ("50/minute", "90/hour")
    assert [remaining(counters, texts) for _ in range(4)] == [49, 48, 47, 46]
    assert left(counters, texts) == [46, 86]
    assert shared.asked == 5


def test_the_tightest_limit_is_told_of(counters: Counters) -> None:
    """Name the one of which less is left, the longer one too."""
    assert counters.count("key", ("7/minute", "5/hour")) == Standing(5, 4, 3600)
    assert counters.count("key", ()) is None


def test_looking_counts_nothing_and_never_shows_less_than_none(counters: Counters) -> None:
    """Look twice and see the same."""
    assert left(counters, FIVE) == left(counters, FIVE) == [5]
    for _ in range(7):
        remaining(counters, FIVE)
    assert left(counters, FIVE) == [0]


def test_what_is_leased_and_not_used_is_shown_as_left(counters: Counters, shared: Shared) -> None:
    """Show here what is left by this process's knowledge, elsewhere what the shared count has left."""
    last = [remaining(counters, MANY) for _ in range(50)][-1]
    assert left(counters, MANY) == [last] == [99_950]
    assert left(Counters(shared), MANY) == [100_000 - shared.taken(HUNDRED_THOUSAND)] < [99_950]


def test_an_old_lease_goes_back_with_the_next_request(counters: Counters, shared: Shared, clock: Clock) -> None:
    """Count on without a gap, and hold nothing more."""
    before = [remaining(counters, MANY) for _ in range(50)][-1]
    assert shared.taken(HUNDRED_THOUSAND) > 51
    clock.now += 10
    assert remaining(counters, MANY) == before - 1
    assert shared.taken(HUNDRED_THOUSAND) == 51


def test_an_old_lease_goes_back_without_a_request(counters: Counters, shared: Shared, clock: Clock) -> None:
    """Look after half a second, give back what is old, and look again as long as anything is held."""
    before = [remaining(counters, MANY) for _ in range(50)][-1]
    held = shared.taken(HUNDRED_THOUSAND)
    counters._sweep()
    assert (shared.taken(HUNDRED_THOUSAND), counters._sweeper is None) == (held, False)
    counters._sweeper.cancel()  # type: ignore[union-attr]
    clock.now += LEASE_SECONDS
    counters._sweep()
    assert (shared.taken(HUNDRED_THOUSAND), counters._sweeper, counters._lent) == (50, None, set())
    assert remaining(counters, MANY) == before - 1


def test_a_refused_short_window_keeps_nothing_of_a_longer_one(counters: Counters, shared: Shared, clock: Clock) -> None:
    """Give its old tokens back in the very call that is refused."""
    texts = ("200/second", "100000/minute")
    for _ in range(150):
        remaining(counters, texts)
    assert shared.taken(HUNDRED_THOUSAND) > 150
    shared.put("200/1/second", 200 + counters._accounts["key"].shares[0].lease.unused())
    clock.now += LEASE_SECONDS
    assert remaining(counters, texts) == -1
    assert shared.taken(HUNDRED_THOUSAND) == 150


def test_a_lease_is_void_when_its_window_ends(counters: Counters, shared: Shared, clock: Clock) -> None:
    """Take none of its tokens into the next window, and give none back to it."""
    texts = ("10000/second",)
    for _ in range(50):
        remaining(counters, texts)
        clock.now += 0.0001
    clock.now = 1000.9
    for _ in range(50):
        remaining(counters, texts)
    assert counters._accounts["key"].shares[0].lease.unused() > 0
    clock.now = 1001.0
    assert remaining(counters, texts) == 9_999
    assert shared.taken("10000/1/second") == counters._accounts["key"].shares[0].lease.granted


def test_a_token_that_goes_back_can_be_used_by_no_thread_that_was_slow(counters: Counters, clock: Clock) -> None:
    """Empty the lease before its tokens are given back, for a thread that looked at the clock before."""
    for _ in range(50):
        remaining(counters, MANY)
    share = counters._accounts["key"].shares[0]
    tokens, held = share.lease.tokens, share.lease.unused()
    assert share.wish(clock.now).unused == held > 0
    assert next(tokens, None) is None


def test_a_refusal_is_believed_for_a_while_and_then_asked_for_again(counters: Counters, shared: Shared, clock: Clock) -> None:
    """Cost no round trip meanwhile, and see what others gave back."""
    for _ in range(6):
        remaining(counters, FIVE)
    asked = shared.asked
    assert [remaining(counters, FIVE) for _ in range(20)] == [-1] * 20
    assert shared.asked == asked
    shared.put("5/1/minute", 4)
    clock.now += LEASE_SECONDS
    assert [remaining(counters, FIVE) for _ in range(2)] == [0, -1]


def test_the_seconds_to_the_end_are_those_of_the_window_under_way(counters: Counters, shared: Shared, clock: Clock) -> None:
    """Tell the same in each process, whoever began the window, and for a refusal too."""
    remaining(counters, FIVE)
    clock.now += 40.5
    other = Counters(shared)
    assert other.standings("key", FIVE)[0][1] == Standing(5, 4, 20)
    assert [standing.reset_seconds for standing in (counters.count("key", FIVE), other.count("key", FIVE)) if standing] == [20, 20]
    while remaining(counters, FIVE) >= 0:
        pass
    clock.now += 10
    with pytest.raises(RateLimited) as refusal:
        counters.count("key", FIVE)
    assert refusal.value.retry_after_seconds == 10
    assert refusal.value.members == {"limit": 5, "remaining": 0, "reset_seconds": 10}


def test_another_limit_of_the_same_key_is_another_count(counters: Counters, shared: Shared) -> None:
    """Follow a key whose limits are changed, and go on where each stood."""
    assert remaining(counters, FIVE) == 4
    assert remaining(counters, ("7/minute",)) == 6
    assert remaining(counters, FIVE) == 3


def test_the_notes_of_keys_stay_bounded_and_no_count_is_lost(counters: Counters, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget them all before they become too many, and ask again."""
    monkeypatch.setattr(counting, "MOST_ACCOUNTS", 3)
    assert [remaining(counters, FIVE, f"key-{number % 5}") for number in range(10)] == [4] * 5 + [3] * 5
    assert len(counters._accounts) <= 3


def test_counts_that_are_away_are_done_without_said_once_and_counted(shared: Shared, counters: Counters) -> None:
    """Count in this process, ask no more before the time, log one line."""
    remaining(counters, FIVE)
    shared.away, shared.asked = True, 0
    before = failures()
    with capture_logs() as lines:
        assert [remaining(counters, FIVE) for _ in range(7)] == [4, 3, 2, 1, 0, -1, -1]
        assert left(counters, FIVE) == [0]
        assert counters.add(parse_limits(FIVE)[0], "address").remaining == 4
    assert [line["event"] for line in lines] == ["shared limit counters are away; counting in this process"]
    assert lines[0]["reason"] == "ConnectionError"
    assert (shared.asked, failures() - before) == (1, 1)


def test_a_lease_taken_before_is_used_first(shared: Shared, counters: Counters) -> None:
    """Ask nobody until it is empty, and count in this process then."""
    for _ in range(50):
        remaining(counters, MANY)
    unused = counters._accounts["key"].shares[0].lease.unused()
    shared.away = True
    with capture_logs() as lines:
        assert [remaining(counters, MANY) for _ in range(unused)][-1] == 100_000 - 50 - unused
        assert lines == []
        assert remaining(counters, MANY) == 99_999
    assert len(lines) == 1


@pytest.mark.usefixtures("impatient")
def test_counts_that_stay_away_are_said_once_however_often_they_are_asked(shared: Shared, counters: Counters) -> None:
    """Count every failed call, and log the first."""
    shared.away = True
    before = failures()
    with capture_logs() as lines:
        for _ in range(5):
            remaining(counters, FIVE)
    assert len(lines) == 1
    assert failures() - before == shared.asked == 5


@pytest.mark.usefixtures("impatient")
def test_counts_that_are_back_are_used_again(shared: Shared, counters: Counters) -> None:
    """Go on where the shared count stood, and say so once."""
    for _ in range(2):
        remaining(counters, FIVE)
    shared.away = True
    for _ in range(4):
        remaining(counters, FIVE)
    shared.away = False
    with capture_logs() as lines:
        assert [remaining(counters, FIVE) for _ in range(3)] == [2, 1, 0]
    assert [line["event"] for line in lines] == ["shared limit counters are back"]


@pytest.mark.usefixtures("impatient")
def test_a_second_time_away_is_said_again(shared: Shared, counters: Counters) -> None:
    """Log each time they go and each time they come."""
    with capture_logs() as lines:
        for away in (True, False, True, False):
            shared.away = away
            remaining(counters, FIVE)
    assert [line["event"].rpartition(" ")[2] for line in lines] == ["process", "back", "process", "back"]


def test_many_threads_lose_no_count_and_say_it_once(shared: Shared, counters: Counters) -> None:
    """Count from eight threads while the shared counts are away."""
    shared.away = True
    with capture_logs() as lines:
        in_threads(8, lambda: [remaining(counters, ("1000/minute",)) for _ in range(50)])
    assert left(counters, ("1000/minute",)) == [600]
    assert len(lines) == 1


def test_threads_that_find_a_lease_empty_wait_for_the_one_that_asks(shared: Shared, counters: Counters) -> None:
    """Let one thread ask for all that wait, though the limit is a small one; each gets a token of its own."""
    seen: list[int] = []
    remaining(counters, ("90/minute",))
    with shared.lock:  # nobody is answered until all wait
        threads = start_threads(40, lambda: seen.append(remaining(counters, ("90/minute",))))
        account = counters._accounts["key"]
        deadline = monotonic() + 10
        while account.needed() < 40 and monotonic() < deadline:
            threading.Event().wait(0.001)
    for thread in threads:
        thread.join()
    assert sorted(seen) == list(range(49, 89))
    assert shared.asked <= 3  # the first request, the first thread, and all others together


def start_threads(count: int, call: Callable[[], object]) -> list[threading.Thread]:
    """Start them."""
    threads = [threading.Thread(target=call) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads


def in_threads(count: int, call: Callable[[], object]) -> None:
    """Call it in so many threads, and wait for all."""
    for thread in start_threads(count, call):
        thread.join()


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
