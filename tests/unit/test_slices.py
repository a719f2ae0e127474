"""How a large request is cut into slices, and its answer put together again."""

from __future__ import annotations

import numpy as np
import pytest

from registry import frames
from registry.errors import PredictionFailed
from registry.host.slices import FIRST_ROWS, GROWTH, SLICE_NS, WHOLE_ROWS, Pace, Sliced, put_together

MS = 1_000_000


def settled(call_ns: int, row_ns: int) -> int:
    """Return the rows of a slice after a few slices of a model that takes so long for a call, and so long more for each row."""
    pace = Pace()
    pace.note(1, call_ns + row_ns)
    for _ in range(30):
        pace.note(pace.rows, call_ns + pace.rows * row_ns)
    return pace.rows


def test_a_slice_takes_about_five_milliseconds() -> None:
    """Where a call by itself costs little."""
    assert 450 < settled(MS // 10, MS // 100) < 550
    assert settled(MS // 10, MS) in range(4, 7)


def test_where_a_call_costs_much_a_slice_is_worth_four_of_them() -> None:
    """A quarter of the time for the call itself, and three for its rows: splitting must not multiply the cost."""
    assert 1400 < settled(3 * MS, 6_000) < 1600


def test_a_slow_row_is_computed_with_few_others() -> None:
    """A model that needs 100 ms for a row holds up nobody for much longer than that."""
    assert settled(0, 100 * MS) <= 4


def test_slices_grow_fast_and_shrink_faster() -> None:
    """By a factor at most upwards, for one measurement can be wrong; downwards as far as needed, for somebody waits."""
    pace = Pace()
    pace.note(1, 1000)
    pace.note(FIRST_ROWS, 1100)
    assert pace.rows == FIRST_ROWS * GROWTH
    pace.note(FIRST_ROWS * GROWTH, 100 * SLICE_NS)
    assert pace.rows == 1


def test_a_call_of_few_rows_says_nothing_about_many() -> None:
    """Where a slice has thousands, two rows that took a little longer change nothing."""
    pace = Pace()
    pace.note(1, 2 * SLICE_NS)
    pace.rows = 4096
    pace.note(2, 3 * SLICE_NS)
    assert pace.rows == 4096


def test_a_measurement_that_was_wrong_is_forgotten() -> None:
    """What a call costs by itself follows what single rows take."""
    pace = Pace()
    pace.note(1, 100 * MS)
    for _ in range(30):
        pace.note(1, MS // 10)
    assert pace.call_ns < MS


def test_only_what_takes_more_than_two_slices_is_split() -> None:
    """And small requests are joined also where a slice has few rows."""
    pace = Pace()
    assert (pace.splits(WHOLE_ROWS), pace.splits(WHOLE_ROWS + 1)) == (False, True)
    pace.rows = 10_000
    assert (pace.splits(20_000), pace.splits(20_001)) == (False, True)
    pace.rows = 10
    assert pace.joined_rows == 64
    pace.rows = 100_000
    assert pace.joined_rows == 4096


def test_a_request_is_split_only_where_it_is_known_to_take_long() -> None:
    """So that its numbers are those of one call, to the last bit, in nearly every case, and it costs what one call does."""
    pace = Pace()
    assert not pace.splits(1000), "nothing is known"
    pace.note(100, 10 * MS)
    assert (pace.rows < 100, pace.splits(200), pace.splits(1000)) == (True, False, True), "they take 20 ms and 100"
    pace = Pace()
    pace.note(100, 100 * MS)
    assert (pace.splits(40), pace.splits(200)) == (False, True)


def test_there_are_never_many_more_slices_than_sixty_four() -> None:
    """However few rows a slice should have."""
    pace, sliced, slices = Pace(), Sliced(frames.Texts(["x"] * 10_000)), 1
    pace.rows, pace.call_ns = 1, 1
    while not sliced.add(frames.Outputs((list(range(sliced.next_inputs(pace).rows)),)), 1):
        slices += 1
    assert slices <= 66


@pytest.mark.parametrize(
    "inputs",
    [
        frames.Matrix(np.arange(20.0).reshape(10, 2)),
        frames.Texts([f"text {row}" for row in range(10)]),
        frames.Table(("a", "b"), (np.arange(10), [None, *"abcdefghi"])),
    ],
)
def test_all_slices_together_are_the_whole(inputs: frames.Inputs) -> None:
    """In order, each row once."""
    pace, sliced = Pace(), Sliced(inputs)
    pieces = [sliced.next_inputs(pace)]
    assert pieces[0].rows == 1, "nobody knows yet what a call costs"
    pace.note(1, SLICE_NS)
    while not sliced.add(frames.Outputs((np.zeros(pieces[-1].rows),)), 10):
        pieces.append(sliced.next_inputs(pace))
    assert [piece.rows for piece in pieces] == [1, 4, 4, 1]
    assert frames.encode_inputs(frames.join(pieces)) == frames.encode_inputs(inputs)
    assert (sliced.outputs().rows, sliced.spent_ns) == (10, 40)


@pytest.mark.parametrize(
    "whole",
    [
        frames.Outputs((np.arange(9.0),)),
        frames.Outputs((np.arange(18, dtype=np.float32).reshape(9, 2),)),
        frames.Outputs((list("abcdefghi"),)),
        frames.Outputs((np.arange(9), np.arange(18.0).reshape(9, 2), [None, *"abcdefgh"]), multi=True),
    ],
)
def test_outputs_put_together_are_those_of_the_whole(whole: frames.Outputs) -> None:
    """Bit for bit, with every part and type."""
    pieces = [whole.take(0, 1), whole.take(1, 5), whole.take(5, 9)]
    assert frames.encode_outputs(put_together(pieces)) == frames.encode_outputs(whole)


def test_numbers_beside_texts_are_put_together_as_a_list() -> None:
    """Where a model answers numbers in one slice and texts in another."""
    pieces = [frames.Outputs((np.array([1, 2]),)), frames.Outputs((["three"],))]
    assert put_together(pieces).to_plain() == [1, 2, "three"]


def test_outputs_that_dont_fit_together_are_a_failed_prediction() -> None:
    """Of other widths, or other parts."""
    for wrong in (frames.Outputs((np.zeros((1, 3)),)), frames.Outputs((np.zeros(1), np.zeros(1)), multi=True)):
        sliced = Sliced(frames.Matrix(np.zeros((2, 1))))
        sliced.add(frames.Outputs((np.zeros((1, 2)),)), 1)
        sliced.add(wrong, 1)
        with pytest.raises(PredictionFailed):
            sliced.outputs()


def test_an_answer_that_cant_be_sent_fails_before_it_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices must not fill the memory that one call would have been refused."""
    monkeypatch.setattr(frames, "MAX_FRAME_BYTES", 100)
    sliced = Sliced(frames.Matrix(np.zeros((1000, 1))))
    with pytest.raises(PredictionFailed):
        sliced.add(frames.Outputs((np.zeros(20),)), 1)


def test_rows_past_the_end_are_left_out() -> None:
    """The last slice is shorter."""
    assert frames.take_rows(frames.Texts(["a", "b"]), 1, 5).rows == 1
