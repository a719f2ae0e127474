"""The answers in a web process's own memory: found again, bounded by bytes, and gone when their time is up."""

from __future__ import annotations

import time

import pytest

from registry.serving.answer import Answer
from registry.serving.hottest import OVERHEAD_BYTES, Hottest

ANSWER = Answer(b"x" * 500, "exact")
ENTRY_BYTES = OVERHEAD_BYTES + 500 + 4


def test_an_answer_is_found_under_its_key_alone() -> None:
    """And is the same."""
    hottest = Hottest(100 * ENTRY_BYTES, 60)
    hottest.put(b"a", ANSWER)
    assert hottest.get(b"a") == ANSWER
    assert hottest.get(b"b") is None


def test_what_is_asked_for_stays_and_what_is_not_goes() -> None:
    """While a thousand others pass through room for twenty."""
    hottest = Hottest(20 * ENTRY_BYTES, 60)
    hottest.put(b"hot", ANSWER)
    hottest.put(b"cold", ANSWER)
    for number in range(1000):
        hottest.put(b"%4d" % number, ANSWER)
        assert hottest.get(b"hot") == ANSWER
    assert hottest.get(b"cold") is None
    assert hottest.get(b"   0") is None
    assert hottest.get(b" 999") == ANSWER


@pytest.mark.parametrize("key_bytes", [0, 3000])
def test_no_more_bytes_are_held_than_allowed(key_bytes: int) -> None:
    """Counting the keys as well."""
    most = 100 * ENTRY_BYTES
    hottest = Hottest(most, 60)
    for number in range(500):
        hottest.put(b"%4d" % number + b"k" * key_bytes, ANSWER)
    held = sum(hottest.get(b"%4d" % number + b"k" * key_bytes) is not None for number in list(range(500))[::-1])
    assert 0 < held * (ENTRY_BYTES + key_bytes) <= most


def test_an_entry_that_is_put_again_is_counted_once() -> None:
    """So a hot key doesn't push the others out."""
    hottest = Hottest(20 * ENTRY_BYTES, 60)
    hottest.put(b"other", ANSWER)
    for _ in range(100):
        hottest.put(b"hot", ANSWER)
    assert hottest.get(b"other") == ANSWER


def test_what_is_too_large_is_not_kept_and_without_room_nothing_is() -> None:
    """One answer must not push out everything else."""
    hottest = Hottest(20 * ENTRY_BYTES, 60)
    hottest.put(b"large", Answer(b"x" * 5000, "exact"))
    assert hottest.get(b"large") is None
    none = Hottest(0, 60)
    none.put(b"a", ANSWER)
    assert none.get(b"a") is None


def test_an_answer_whose_time_is_up_is_gone() -> None:
    """Also where it was asked for meanwhile."""
    hottest = Hottest(20 * ENTRY_BYTES, 0.01)
    hottest.put(b"a", ANSWER)
    time.sleep(0.02)
    assert hottest.get(b"a") is None
