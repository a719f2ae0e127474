"""Whether a look-up in Redis pays, decided from what was measured: here from figures that are given."""

from __future__ import annotations

import time

import pytest

from registry.serving.worth import FIRST_LOOKUPS, REMEMBERED_LOOKUPS, SAMPLED, Worth

VERSION = 7
INPUTS = [f"inputs {number}".encode() for number in range(20 * SAMPLED)]


def learned(*, ask: float, compute: float, hit_every: int, lookups: int = 2 * FIRST_LOOKUPS) -> Worth:
    """Return figures after so many look-ups; every so many'th was a hit (0: none)."""
    worth = Worth()
    for number in range(lookups):
        hit = hit_every > 0 and number % hit_every == 0
        worth.note_lookup(VERSION, time.perf_counter() - ask, hit=hit)
        if not hit:
            worth.note_computed(VERSION, time.perf_counter() - compute)
    return worth


def share(worth: Worth) -> float:
    """Return the share of inputs that are looked up."""
    return sum(worth.pays(VERSION, inputs) for inputs in INPUTS) / len(INPUTS)


def test_an_unknown_version_is_looked_up_until_enough_is_known() -> None:
    """Without look-ups nothing would ever be known."""
    assert share(Worth()) == 1.0
    assert share(learned(ask=1.0, compute=0.001, hit_every=0, lookups=FIRST_LOOKUPS - 1)) == 1.0


@pytest.mark.parametrize(
    ("ask", "compute", "hit_every", "pays"),
    [
        (0.1, 10.0, 2, True),
        (0.1, 0.05, 2, False),
        (0.1, 10.0, 0, False),
        (0.1, 10.0, 1000, False),
        (0.1, 0.21, 1, True),
    ],
    ids=["slow and often asked again", "quicker than asking", "never asked again", "hardly ever asked again", "always asked again"],
)
def test_a_look_up_pays_where_it_saves_more_than_it_takes(ask: float, compute: float, hit_every: int, *, pays: bool) -> None:
    """Weigh the time to compute by how often it was saved."""
    assert (share(learned(ask=ask, compute=compute, hit_every=hit_every)) == 1.0) is pays


def test_where_it_does_not_pay_a_sample_chosen_by_content_goes_on() -> None:
    """About one in SAMPLED, and the same inputs again each time: else what comes back would never be found."""
    worth = learned(ask=0.1, compute=0.05, hit_every=2)
    chosen = [inputs for inputs in INPUTS if worth.pays(VERSION, inputs)]
    assert 0.3 / SAMPLED < len(chosen) / len(INPUTS) < 3 / SAMPLED
    assert [inputs for inputs in INPUTS if worth.pays(VERSION, inputs)] == chosen
    assert [inputs for inputs in INPUTS if learned(ask=0.1, compute=0.05, hit_every=2).pays(VERSION, inputs)] == chosen


def test_old_figures_give_way_to_new_ones() -> None:
    """A version that begins to be asked the same things is noticed."""
    worth = learned(ask=0.1, compute=10.0, hit_every=0, lookups=REMEMBERED_LOOKUPS)
    assert share(worth) < 1.0
    for _ in range(REMEMBERED_LOOKUPS):
        worth.note_lookup(VERSION, time.perf_counter() - 0.1, hit=True)
    assert share(worth) == 1.0


def test_versions_are_judged_apart() -> None:
    """By their own figures."""
    worth = learned(ask=0.1, compute=0.05, hit_every=2)
    assert worth.pays(VERSION + 1, b"anything")
