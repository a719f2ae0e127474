"""What the side-by-side benchmark makes of its raw figures: wrk's output, the bars, the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import bars, load, report

RESULT = '{"requests": 3000, "seconds": 1.500000, "p50_us": 250.0, "p99_us": 4000.0, "connect": 0, "read": 1, "write": 0, "timeout": 0, "status": 2}'


def sample(way: str, rate: float, **changed: Any) -> dict[str, Any]:
    """Return one sample of a row as the harness records it."""
    figures = {
        "requests": 100,
        "seconds": 1.0,
        "per_second": rate,
        "p50_ms": 1000 / rate,
        "p99_ms": 5.0,
        "errors": 0,
        "cpu_per_1000": 0.5,
        "unmet": "",
    }
    return {"way": way, "model": "iris", "load": "row-8", "repetition": 0, **figures, **changed}


def way(*, ours: bool = False, floor: bool = False, joins: bool = False) -> dict[str, Any]:
    """Return what a run says of one way of asking."""
    return {"contender": "one", "title": "Title", "settings": "none", "floor": floor, "ours": ours, "versions": "one 1", "estimator": "", "math_threads": 1, "joins": joins}  # fmt: skip


def a_run(*samples: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """Return a run with some samples."""
    return {
        "date": "2026-01-01", "command": "bench", "commit": "abc", "wrk": "4", "repetitions": 3, "models": {"iris": "flowers", "linear": "lines"}, "loads": {"row-8": "one row", "bulk": "many rows"},
        "machine": {"cpu": "c", "cores": 2, "memory_gb": 1, "kernel": "6", "python": "3", "load_average": 0.0},
        "ways": {
            "modelyard": {**way(ours=True), "title": "Modelyard"}, "fastapi": {**way(), "title": "FastAPI"}, "hello-flask": {**way(floor=True), "title": "Hello"},
            "modelyard-default": way(ours=True), "litserve": {**way(joins=True), "title": "LitServe"}, "modelyard-hits": way(ours=True),
        },
        "samples": list(samples), "starts": [], "memory": [], "bare": [], "lengths": [], "absent": [], "remarks": [], **changed,
    }  # fmt: skip


def bar(run: dict[str, Any], words: str) -> bars.Bar:
    """Return the one bar whose text has these words."""
    (found,) = [each for each in bars.all_bars(bars.Figures(run)) if words in each.text]
    return found


def test_the_last_line_of_wrk_is_read_and_every_kind_of_error_counts() -> None:
    """Rates count good answers only; times become milliseconds."""
    read = load.parse(f"Running 2s test\n  Thread Stats\n\n{RESULT}\n")
    assert (read.requests, read.errors, read.p50_ms, read.p99_ms) == (3000, 3, 0.25, 4.0)
    assert read.per_second == pytest.approx(2997 / 1.5)


def test_wrk_without_a_result_is_an_error() -> None:
    """A server that nobody could reach has no rate."""
    with pytest.raises(ValueError, match="unable to connect"):
        load.parse("unable to connect to 127.0.0.1:1 Connection refused")


def test_a_server_that_answered_nothing_failed() -> None:
    """Its latency would read as zero."""
    assert load.parse(RESULT.replace("3000", "0").replace('"read": 1', '"read": 0').replace('"status": 2', '"status": 0')).errors == 1


def test_each_text_body_is_cut_at_its_mark_and_keeps_its_length(tmp_path: Path) -> None:
    """What the script puts in has as many digits as the mark."""
    body = json.dumps({"data": [[1.5, float(f"0.2{load.TEXT_MARK.decode()}")]]}).encode()
    load.write_requests(tmp_path / "requests", "/predict", [body], {"A": "b"})
    first, sizes, rest = (tmp_path / "requests").read_bytes().split(b"\n", 2)
    before, after = (int(size) for size in sizes.split())
    assert first == b"text 1"
    assert rest[before : before + after] == b"]]}"
    assert f"Content-Length: {len(body)}".encode() in rest
    assert rest[:before].endswith(b"0.2")
    assert before - rest.index(b"\r\n\r\n") - 4 + after + len(load.TEXT_MARK) == len(body)


def test_a_binary_body_is_cut_before_the_low_bytes_of_its_last_number(tmp_path: Path) -> None:
    """So that its sign and exponent stay."""
    load.write_requests(tmp_path / "requests", "/predict", [b"header" + b"12345678"], {})
    assert (tmp_path / "requests").read_bytes().startswith(b"binary 1\n")
    assert (tmp_path / "requests").read_bytes().endswith(b"header78")


def test_a_bar_compares_medians_of_repetitions() -> None:
    """One slow repetition doesn't decide."""
    run = a_run(
        *(sample("modelyard", rate) for rate in (1.0, 3300.0, 3200.0)), *(sample("fastapi", rate) for rate in (2000.0, 2000.0, 9000.0))
    )
    found = bar(run, "FastAPI")
    assert found.found == pytest.approx(1.6)
    assert found.verdict == "reached"


def test_a_missed_bar_says_by_how_much() -> None:
    """In parts of what was needed."""
    assert bar(a_run(sample("modelyard", 800), sample("fastapi", 1000)), "FastAPI").verdict == "**missed by 50%**"


def test_a_bar_that_must_stay_below_says_by_how_much_it_is_over() -> None:
    """CPU time to the best other that joins or isolates; FastAPI does neither."""
    run = a_run(
        sample("modelyard-default", 1, cpu_per_1000=0.75), sample("litserve", 1, cpu_per_1000=0.6), sample("fastapi", 1, cpu_per_1000=0.1)
    )
    found = bar(run, "CPU")
    assert (found.found, found.verdict) == (pytest.approx(1.25), "**missed by 25%**")


@pytest.mark.parametrize("fault", [{"errors": 1}, {"unmet": "X-Cache was 'miss', not 'hit'"}])
def test_a_row_that_failed_or_measured_something_else_passes_no_bar(fault: dict[str, Any]) -> None:
    """However fast it was."""
    found = bar(a_run(sample("modelyard", 1e6, **fault), sample("fastapi", 1)), "FastAPI")
    assert (found.found, found.reached, found.verdict) == (None, False, "not measured")


def test_floors_and_our_own_rows_are_no_other_servers() -> None:
    """The best other is one that predicts."""
    run = a_run(sample("modelyard", 10), sample("fastapi", 2), sample("hello-flask", 99))
    assert bars.Figures(run).others("iris", "row-8", "per_second") == {"fastapi": 2}


def test_a_bar_that_a_run_was_not_asked_for_is_counted_but_not_shown() -> None:
    """While one whose contender failed is shown."""
    page = report.page(a_run(sample("modelyard", 2), models={"iris": "flowers"}, loads={"row-8": "one row"}), [])
    assert "| fastapi was not measured | not measured |" in page
    assert "gradient boosting" not in page
    assert "more bars need contenders" in page


def test_the_rest_after_the_bare_predict_is_not_judged_within_its_noise() -> None:
    """A ratio of two rests that are noise says nothing."""
    bulk = {"model": "linear", "load": "bulk"}
    samples = (sample("modelyard-default", 1, p50_ms=1.5, **bulk), sample("fastapi", 1, p50_ms=2.0, **bulk))
    assert bar(a_run(*samples, bare=[{"model": "linear", "bulk_ms": 1.0}]), "linear, JSON").found == pytest.approx(0.5)
    noisy = [{"model": "linear", "bulk_ms": each} for each in (0.2, 1.0, 1.8)]
    assert bar(a_run(*samples, bare=noisy), "linear, JSON").verdict == "not measured"


def test_the_page_shows_rates_ratios_and_failures() -> None:
    """The fastest first; a row with errors has no rate."""
    run = a_run(
        sample("modelyard", 2000),
        sample("fastapi", 500),
        sample("litserve", 900, errors=4),
        absent=[{"way": "fastapi", "model": "forest", "reason": "a|b"}],
    )
    page = report.page(run, ["side-by-side-iris.png"])
    assert "| **Modelyard** | 2,000 | 2,000 to 2,000 | 1.00 | 0.50 |" in page
    assert "| FastAPI | 500 | 500 to 500 | 0.25 | 2.00 |" in page
    assert "| LitServe | failed |" in page
    assert "![iris](side-by-side-iris.png)" in page
    assert "| FastAPI | forest | a/b |" in page


def test_the_page_keeps_what_others_wrote_beside_it() -> None:
    """Only what stands between its marks is replaced."""
    once = report.merged("# Growth\n", "first\n")
    assert report.merged(once, "second\n") == once.replace("first", "second")
    assert once.endswith("# Growth\n")
