"""The timeline of a model's aliases, as places in a drawing: a lane for each alias, its moves from left to right, where it points now.

Pure: the template only draws what stands here. What it shows is told by the table of moves as well, and never otherwise.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from registry.catalog import Move
from registry.naming import PRODUCTION

MOST_LANES = 10
_COLOURS = 6
_LANE, _TOP, _LEFT, _FOOT = 44, 26, 40, 26
_STEP, _DIGIT, _PADDING = 54, 8, 18
_LETTER, _SMALL_LETTER, _LONGEST_NAME = 8, 7, 22


@dataclass(frozen=True, slots=True)
class Node:
    """One move: where it stands, how wide its mark is, and the move itself."""

    x: int
    width: int
    text: str
    move: Move


@dataclass(frozen=True, slots=True)
class Lane:
    """One alias: its height in the drawing, its nodes, and the version it points at now (None once it is deleted).

    `pointer` is what stands at its end. `before` is where it pointed before the first of them, or None.
    """

    alias: str
    pointer: str
    colour: int
    y: int
    nodes: tuple[Node, ...]
    version: int | None
    before: int | None


@dataclass(frozen=True, slots=True)
class Tick:
    """The time beneath a column; the day only where another begins."""

    x: int
    time: str
    day: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """The whole drawing: its least width, `pointer` pixels of which are for the longest pointer at its right end; places are of that width.

    A wider page stretches it. `left_out` counts aliases for which there is no room.
    """

    lanes: tuple[Lane, ...]
    ticks: tuple[Tick, ...]
    width: int
    height: int
    pointer: int
    left_out: int

    def at(self, x: int) -> str:
        """Return a place as a share of the width."""
        return f"{100 * x / self.width:.3f}%"


def timeline(moves: Sequence[Move], aliases: Mapping[str, int]) -> Timeline:
    """Lay out moves, newest first as they are listed, and where each alias points now."""
    oldest_first = list(reversed(moves))
    step = max([_STEP, *(_width(move) + 10 for move in oldest_first), *_widths_of_days(oldest_first)])
    places = {move.id: _LEFT + step // 2 + number * step for number, move in enumerate(oldest_first)}
    end = _LEFT + step // 2 + len(places) * step
    names = _names(moves, aliases)
    shown = [move for move in oldest_first if move.alias in names[:MOST_LANES]]
    lanes = tuple(_lane(alias, number, shown, places, aliases.get(alias)) for number, alias in enumerate(names[:MOST_LANES]))
    pointer = _LETTER * max((len(lane.pointer) for lane in lanes), default=0) + 36
    height = _TOP + len(lanes) * _LANE + _FOOT
    return Timeline(lanes, _ticks(oldest_first, places), end + pointer, height, pointer, max(0, len(names) - MOST_LANES))


def _names(moves: Sequence[Move], aliases: Mapping[str, int]) -> list[str]:
    """Return aliases in the order of their lanes: production, then those that are there, then deleted ones; moved last, first."""
    newest_first = list(dict.fromkeys([*(move.alias for move in moves), *aliases]))
    return sorted(newest_first, key=lambda alias: (alias != PRODUCTION, alias not in aliases))


def _lane(alias: str, number: int, moves: Sequence[Move], places: Mapping[int, int], version: int | None) -> Lane:
    own = [move for move in moves if move.alias == alias]
    nodes = tuple(Node(places[move.id], _width(move), _text(move), move) for move in own)
    before = own[0].from_version if own else version
    label = alias if len(alias) <= _LONGEST_NAME else alias[: _LONGEST_NAME - 1] + "…"
    pointer = f"@{label}, deleted" if version is None else f"@{label} → {version}"
    return Lane(alias, pointer, number % _COLOURS + 1, _TOP + number * _LANE, nodes, version, before if own else None)


def _text(move: Move) -> str:
    """Return what stands in a node: not by colour alone, a rollback and a deletion are told by a sign."""
    if move.to_version is None:
        return "×"  # noqa: RUF001 - a cross that people see
    return f"↶{move.to_version}" if move.kind == "rollback" else str(move.to_version)


def _width(move: Move) -> int:
    return max(30, _DIGIT * len(_text(move)) + _PADDING)


def _ticks(moves: Sequence[Move], places: Mapping[int, int]) -> tuple[Tick, ...]:
    """Return a tick for each move; the last says its day in any case, since the drawing is first seen from there."""
    return tuple(Tick(places[move.id], f"{move.at:%H:%M}", day) for move, day in zip(moves, _days(moves), strict=True))


def _days(moves: Sequence[Move]) -> list[str]:
    """Return what stands beneath each move, oldest first: its day, its year too where that is another, or nothing."""
    days = []
    for before, move in zip([None, *moves], moves, strict=False):
        new_year = before is None or before.at.year != move.at.year
        new_day = before is None or before.at.date() != move.at.date() or move is moves[-1]
        days.append(f"{move.at:%-d %b %Y}" if new_year else f"{move.at:%-d %b}" if new_day else "")
    return days


def _widths_of_days(moves: Sequence[Move]) -> list[int]:
    """Return how far apart each two neighbours must be, lest their days run into each other."""
    days = _days(moves)
    return [_SMALL_LETTER * (len(one) + len(other)) // 2 + 12 for one, other in itertools.pairwise(days) if one and other]
