"""What is counted of traffic in a process: each request once, times within the stated error, and all of it bounded."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from registry import traffic
from registry.traffic import GAMMA, LONGEST_SECONDS, RELATIVE_ERROR, SHORTEST_SECONDS, Answer, Batch, Figures, Tally, bucket_of, quantile

MINUTE = 1_800_000_000
SECOND = float(MINUTE)


def answer(
    model: str = "iris", version: int = 3, key_id: str = "key", at: float = SECOND, seconds: float = 0.001, *, hit: bool = False
) -> Answer:
    """Return a good answer."""
    return Answer(at, seconds, model, version, key_id, hit)


def written(tally: Tally) -> dict[tuple[str, str, int], Figures]:
    """Take everything out of a tally, as the database would add it up."""
    found: dict[tuple[str, str, int], Figures] = {}
    while (batch := tally.batch()) is not None:
        for one in batch.series:
            found.setdefault((one.kind, one.subject, one.at), Figures()).add(one.figures)
        tally.settle(batch)
    return found


def test_a_quantile_is_within_the_stated_error() -> None:
    """Over the whole range, against the sorted times themselves."""
    chosen = random.Random(7)
    for middle in (0.0002, 0.003, 0.08, 5.0):
        times = sorted(middle * chosen.lognormvariate(0, 0.7) for _ in range(5000))
        latency: dict[int, int] = {}
        for seconds in times:
            traffic.add_latency(latency, {bucket_of(seconds): 1})
        for share in (0.0, 0.5, 0.9, 0.99, 1.0):
            exact = min(max(times[int(share * (len(times) - 1))], SHORTEST_SECONDS), LONGEST_SECONDS)
            found = quantile(latency, share)
            assert found is not None
            assert abs(found - exact) <= 1.001 * RELATIVE_ERROR * exact


def test_times_beyond_the_range_count_as_its_ends() -> None:
    """So the buckets are bounded, whatever a clock says."""
    assert bucket_of(0.0) == bucket_of(-1.0) == bucket_of(SHORTEST_SECONDS) == 0
    assert bucket_of(LONGEST_SECONDS) == bucket_of(1e9) < 150
    assert bucket_of(SHORTEST_SECONDS * GAMMA**0.5) == 1
    assert quantile({}, 0.5) is None
    assert quantile({0: 1}, 0.5) == SHORTEST_SECONDS


def test_a_histogram_survives_its_packing() -> None:
    """In a few bytes for each bucket."""
    latency = {bucket_of(0.0001 * number): number for number in range(1, 1000)}
    packed = traffic.pack_latency(latency)
    assert traffic.unpack_latency(packed) == latency
    assert len(packed) < 4 * len(latency) + 4


def test_each_request_is_counted_once_in_each_kind() -> None:
    """Whichever threads count it."""
    tally = Tally()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: tally.add_answers([answer(hit=number % 2 == 0)]), range(1000)))
    tally.add_problem(SECOND + 59, 422, "iris", 3, "key")
    tally.add_problem(SECOND + 59, 504, "iris", 4, "key")
    tally.add_problem(SECOND + 59, 429, "iris", None, "key")
    found = written(tally)
    whole = found["all", "", MINUTE]
    assert (whole.requests, whole.errors, whole.failures, whole.hits, whole.refusals) == (1002, 2, 1, 500, 1)
    assert whole.latency == {bucket_of(0.001): 1000}
    assert found["model", "iris", MINUTE] == found["key", "key", MINUTE] == whole
    assert found["version", "iris/3", MINUTE].requests == 1001
    assert found["version", "iris/4", MINUTE].failures == 1
    assert set(found) == {
        (kind, name, MINUTE)
        for kind, name in [("all", ""), ("model", "iris"), ("key", "key"), ("version", "iris/3"), ("version", "iris/4")]
    }
    assert not tally.has_any()


def test_minutes_are_kept_apart() -> None:
    """By when the answer was given, not when it was counted."""
    tally = Tally()
    tally.add_answers([answer(at=SECOND + 59.9), answer(at=SECOND + 60.0)])
    assert {key[2]: figures.requests for key, figures in written(tally).items()} == {MINUTE: 1, MINUTE + 60: 1}


def test_what_came_to_no_model_is_counted_under_its_key_alone() -> None:
    """A name must not become a series because a caller sent it."""
    tally = Tally()
    tally.add_problem(SECOND, 404, None, None, "key")
    assert {key[:2] for key in written(tally)} == {("all", ""), ("key", "key")}
    assert not tally.knows("iris")
    tally.add_answers([answer()])
    assert tally.knows("iris")


def test_series_beyond_the_most_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that were there first keep their own, and the next minute begins anew."""
    monkeypatch.setattr(traffic, "MOST_SERIES", 2)
    tally = Tally()
    tally.add_answers([answer(model) for model in ("a", "b", "c", "d", "a", "c")])
    tally.add_answers([answer("c", at=SECOND + 60)])
    counts = {key: figures.requests for key, figures in written(tally).items()}
    assert {key: counts[key] for key in counts if key[0] == "model"} == {
        ("model", "a", MINUTE): 2, ("model", "b", MINUTE): 1, ("model", "", MINUTE): 3, ("model", "c", MINUTE + 60): 1,
    }  # fmt: skip
    assert {key: counts[key] for key in counts if key[0] == "version" and key[2] == MINUTE} == {
        ("version", "a/3", MINUTE): 2, ("version", "b/3", MINUTE): 1, ("version", "", MINUTE): 3,
    }  # fmt: skip
    assert counts["all", "", MINUTE] == 6


def test_a_version_of_a_model_that_has_no_place_has_none_either(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where fewer versions than models were counted: it would be a version of nothing, and anybody's."""
    monkeypatch.setattr(traffic, "MOST_SERIES", 2)
    tally = Tally()
    for model in ("a", "b"):
        tally.add_problem(SECOND, 429, model, None, "key")
    tally.add_answers([answer("c"), answer("d"), answer("a")])
    counts = {key[:2]: figures.requests for key, figures in written(tally).items()}
    assert {key: counts[key] for key in counts if key[0] == "version"} == {("version", ""): 2, ("version", "a/3"): 1}
    assert counts["model", ""] == 2


def test_figures_of_a_model_are_written_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many keys asked it, in whichever order: so few rows are written, the oldest minute first."""
    monkeypatch.setattr(traffic, "BATCH", 6)
    tally = Tally()
    for minute in (0, 60):
        tally.add_answers([answer(model, key_id=f"key{key}", at=SECOND + minute) for key in range(6) for model in ("b", "a")])
    batches = []
    while (batch := tally.batch()) is not None:
        batches.append([one for one in batch.series if one.kind == "model"])
        tally.settle(batch)
    assert [[(one.subject, one.at - MINUTE, one.figures.requests) for one in batch] for batch in batches] == [
        [("a", 0, 6)], [("b", 0, 6)], [("a", 60, 6)], [("b", 60, 6)],
    ]  # fmt: skip


def test_a_long_outage_fills_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """More figures than may be held go together, and those that are too old go, said once; nothing that can be kept is lost."""
    said: list[str] = []
    monkeypatch.setattr(traffic.observability.log, "warning", said.append)
    monkeypatch.setattr(traffic, "MOST_CELLS", 5)
    tally = Tally()
    tally.add_answers([answer(f"m{number}") for number in range(20)])
    assert len(tally._cells) <= 6
    monkeypatch.setattr(traffic, "BATCH", 1)
    assert tally.batch() is not None  # which can't be written
    for late in (62, 63):
        tally.add_answers([answer(at=SECOND + 60 * late)])
    assert len(said) == 1
    assert {key[2] for key in written(tally)} == {MINUTE, MINUTE + 60 * 62, MINUTE + 60 * 63}


def test_a_clock_that_jumps_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forward as after a machine's sleep, or back: with the database there, nothing is too old."""
    monkeypatch.setattr(traffic.observability.log, "warning", pytest.fail)
    tally = Tally()
    for hours in (0, 5, 4, 0):
        tally.add_answers([answer(at=SECOND + 3600 * hours)])
    counts = {key[2]: figures.requests for key, figures in written(tally).items() if key[0] == "all"}
    assert counts == {MINUTE: 2, MINUTE + 4 * 3600: 1, MINUTE + 5 * 3600: 1}


def test_a_batch_is_the_same_until_it_is_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that writing it again can be seen to be the same; what is counted meanwhile goes into the next."""
    monkeypatch.setattr(traffic, "BATCH", 2)
    tally = Tally()
    tally.add_answers([answer("a"), answer("b"), answer("c")])
    first = tally.batch()
    assert isinstance(first, Batch)
    tally.add_answers([answer("a")])
    assert tally.batch() is first
    assert (first.number, first.is_full, len(first.writer)) == (1, True, 8)
    tally.settle(first)
    second = tally.batch()
    assert second is not None
    assert (second.number, second.writer) == (2, first.writer)
