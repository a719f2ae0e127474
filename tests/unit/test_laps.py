"""Where the time of a load went, as a worker says it and the log shows it."""

from __future__ import annotations

from registry.host.laps import NAMES, Laps, shown
from registry.host.page import now_ns


def test_laps_are_what_passed_between_them() -> None:
    """In milliseconds, from the time on that the host process gave."""
    laps = Laps(now_ns() - 2_000_000)
    laps.note("fork")
    laps.note("lock")
    assert laps.milliseconds["fork"] >= 2
    assert laps.milliseconds["lock"] >= 0
    assert shown({"fork": 2.04, "lock": 0.5}) == "fork 2.0, lock 0.5"


def test_nothing_but_known_names_and_numbers_gets_into_the_log() -> None:
    """What a worker says may be the model's word."""
    assert shown({"fork": "x" * 1000, "lock": 1.0, "evil\n": 2.0, "load": None}) == "lock 1.0"
    assert [shown(nothing) for nothing in (None, "fork", ["fork"], {})] == [""] * 4
    assert len(NAMES) == len(set(NAMES))
