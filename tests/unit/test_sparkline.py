"""Sparklines, the timeline of moves, and the metrics side by side: what the console draws, as plain values."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, cast

from registry.catalog import Move, Version
from registry.console.metric_columns import lower_is_better, metric_columns
from registry.console.sparkline import HEIGHT, WIDTH, sparkline
from registry.console.timeline import MOST_LANES, timeline

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def move(number: int, alias: str, from_version: int | None, to_version: int | None, kind: str = "point") -> Move:
    """Return the move of that number, an hour after the one before."""
    return Move(number, "iris", alias, kind, from_version, to_version, NOON + timedelta(hours=number), "key", "why")


def version(number: int, deleted: bool = False, **metrics: float) -> Version:
    """Return as much of a version as the metrics' columns look at."""
    fields: dict[str, Any] = dict.fromkeys(Version.__dataclass_fields__)
    return Version(**{**fields, "number": number, "metrics": metrics, "deleted_at": NOON if deleted else None})


def test_a_sparkline_spans_its_box_and_says_what_it_shows() -> None:
    """The highest count is at the top, none at the bottom, and the words tell sum and peak."""
    drawn = sparkline([0, 5, 130], period="24 hours", step="15 minutes")
    assert drawn.line == f"0,{HEIGHT - 2} 50,25.1 {WIDTH},2"
    assert drawn.area.startswith(f"0,{HEIGHT - 2} 0,")
    assert drawn.area.endswith(f"{WIDTH},{HEIGHT - 2}")
    assert drawn.text == "requests in the last 24 hours: 135 in all, at most 130 in 15 minutes"
    assert not drawn.is_flat


def test_a_sparkline_of_nothing_is_flat() -> None:
    """Neither zeros nor no counts at all divide by zero."""
    for counts in ([], [0], [0, 0, 0]):
        drawn = sparkline(counts, period="hour", step="minute")
        assert (drawn.is_flat, drawn.text) == (True, "no requests in the last hour")


def test_each_alias_has_a_lane_and_ends_where_it_points() -> None:
    """Production comes first, deleted aliases last; nodes stand in the order of time, whichever lane they are in."""
    moves = [
        move(5, "production", 2, 1, "rollback"), move(4, "canary", 3, None, "delete"), move(3, "canary", None, 3),
        move(2, "production", 1, 2), move(1, "staging", None, 4),
    ]  # fmt: skip
    drawn = timeline(moves, {"production": 1, "staging": 4})
    assert [(lane.alias, lane.version, lane.before) for lane in drawn.lanes] == [
        ("production", 1, 1), ("staging", 4, None), ("canary", None, None),
    ]  # fmt: skip
    assert [node.text for node in drawn.lanes[0].nodes] == ["2", "↶1"]
    assert drawn.lanes[2].nodes[-1].text == "×"  # noqa: RUF001 - what people see
    assert [lane.pointer for lane in drawn.lanes] == ["@production → 1", "@staging → 4", "@canary, deleted"]
    by_time = sorted((node.x, node.move.id) for lane in drawn.lanes for node in lane.nodes)
    assert [number for _, number in by_time] == [1, 2, 3, 4, 5]
    assert drawn.lanes[2].nodes[-1].x < drawn.width - drawn.pointer
    assert (drawn.at(0), drawn.at(drawn.width)) == ("0.000%", "100.000%")
    assert [tick.day for tick in drawn.ticks] == ["1 Mar 2026", "", "", "", "1 Mar"]


def test_days_beneath_neighbours_do_not_run_into_each_other() -> None:
    """Two moves of one day, both of which say it, stand further apart than two in the midst of many."""
    two, three = (timeline([move(number, "production", None, 1) for number in range(count, 0, -1)], {"production": 1}) for count in (2, 3))
    assert [[tick.day for tick in drawn.ticks] for drawn in (two, three)] == [["1 Mar 2026", "1 Mar"], ["1 Mar 2026", "", "1 Mar"]]
    apart = [drawn.ticks[1].x - drawn.ticks[0].x for drawn in (two, three)]
    assert apart[0] > apart[1]


def test_large_numbers_and_many_aliases_fit_into_the_timeline() -> None:
    """Marks of ten digits don't overlap, and lanes beyond the bound are counted."""
    moves = [move(number, f"alias-{number}", 2**31 - 2, 2**31 - 1) for number in range(20, 0, -1)]
    drawn = timeline(moves, {"production": 7})
    assert (len(drawn.lanes), drawn.left_out) == (MOST_LANES, 21 - MOST_LANES)
    assert drawn.lanes[0].nodes == ()
    nodes = sorted((node for lane in drawn.lanes for node in lane.nodes), key=lambda node: node.x)
    assert all(one.x + one.width // 2 < other.x - other.width // 2 for one, other in pairwise(nodes))


def test_the_best_of_a_column_is_the_lowest_where_the_name_speaks_of_an_error() -> None:
    """Names tell the direction; deleted versions and columns without a difference get no mark."""
    versions = [version(3, accuracy=0.9, log_loss=0.2, same=1.0), version(2, accuracy=0.8, log_loss=0.1, same=1.0)]
    columns = {column.name: column for column in metric_columns([*versions, version(1, deleted=True, accuracy=0.99, log_loss=0.01)]).shown}
    assert columns["accuracy"].is_best(0.9)
    assert columns["log_loss"].is_best(0.1)
    assert not columns["same"].is_best(1.0)
    assert [name for name in ("rmse", "val_loss", "error-rate", "neg_mean_squared_error", "f1", "glossy", "terror") if lower_is_better(name)] == [
        "rmse", "val_loss", "error-rate",
    ]  # fmt: skip


def test_the_most_common_metrics_are_shown_and_the_rest_counted() -> None:
    """A page has so many columns, however many metrics its versions have."""
    versions = [version(2, **{f"m{number:02}": 1.0 for number in range(30)}), version(1, common=1.0), version(3, common=2.0)]
    found = metric_columns(versions)
    assert (found.shown[0].name, len(found.shown), found.left_out) == ("common", 8, 23)
    assert metric_columns([cast("Version", replace(versions[0], metrics={}))]).shown == ()
