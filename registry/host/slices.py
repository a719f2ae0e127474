"""Large requests cut into slices, so that small ones needn't wait for the end of a large one.

How many rows a slice has follows from the measured time of a call. Knows no socket; must never change what is answered:
the slices' outputs put together are those of the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from registry import frames
from registry.errors import PredictionFailed

#: What a slice aims at: so long that a call's own cost matters little, so short that nobody notices who waits for it.
SLICE_NS = 5_000_000
#: A slice may take so many times what a call costs by itself, also where that is more than SLICE_NS.
CALLS_WORTH = 4
#: A request has at most about so many slices, whatever was measured: splitting must not multiply what it costs.
MOST_SLICES = 64
#: A request is computed whole unless it is known to take longer than this, or nothing is known and it has more rows: a call's own cost
#: comes again with each slice, and cut differently, the last bits of some models' numbers differ (BLAS), so that whoever compares a
#: thousand rows with the estimator in a notebook wouldn't see the same ones.
WHOLE_NS = 50_000_000
WHOLE_ROWS = 4096
FIRST_ROWS = 4
GROWTH = 8
JOINED_ROWS = range(64, 4096)
_KEPT = 0.75


class Pace:
    """What the calls of one method cost in CPU time, and so how many rows are computed at a stretch.

    CPU time, because on a busy machine the time that passes says more about the others.
    """

    __slots__ = ("_cost_ns", "_measured_rows", "call_ns", "rows")

    def __init__(self) -> None:
        """Nothing is known yet: start with few rows, which grow fast."""
        self.call_ns = 0
        self.rows = FIRST_ROWS
        self._cost_ns = 0.0
        self._measured_rows = 0.0

    @property
    def joined_rows(self) -> int:
        """Return how many rows different requests may have together in one call."""
        return min(max(self.rows, JOINED_ROWS.start), JOINED_ROWS.stop)

    def splits(self, rows: int) -> bool:
        """Tell whether a request of so many rows is worth splitting: whether it takes more than two slices, and is large or slow."""
        if rows <= 2 * self.rows:
            return False
        known = self._measured_rows > 0
        return rows * self._cost_ns > WHOLE_NS * self._measured_rows if known else rows > WHOLE_ROWS

    def note(self, rows: int, cpu_ns: int) -> None:
        """Learn from a call: one of a single row tells what a call costs by itself, one of many rows what a row adds to that."""
        if rows == 1:
            self.call_ns += (cpu_ns - self.call_ns) // 4 if self.call_ns else cpu_ns
            return
        limit_ns = max(SLICE_NS, CALLS_WORTH * self.call_ns)
        if rows * GROWTH > self.rows or cpu_ns > limit_ns:
            self.call_ns = min(self.call_ns, cpu_ns)
            self._cost_ns = _KEPT * self._cost_ns + cpu_ns - self.call_ns
            self._measured_rows = _KEPT * self._measured_rows + rows
            fitting = (limit_ns - self.call_ns) * self._measured_rows / max(self._cost_ns, 1.0)
            self.rows = max(1, int(min(fitting, GROWTH * rows)))


class Sliced:
    """A request's rows on their way through the model, slice by slice; `spent_ns` is what they took so far."""

    __slots__ = ("_done_rows", "_inputs", "_parts", "_size_bytes", "spent_ns")

    def __init__(self, inputs: frames.Inputs) -> None:
        """Begin with the first row."""
        self._inputs = inputs
        self._parts: list[frames.Outputs] = []
        self._size_bytes = 0
        self._done_rows = 0
        self.spent_ns = 0

    def next_inputs(self, pace: Pace) -> frames.Inputs:
        """Return the rows to compute next: a single one where nobody knows yet what a call costs by itself."""
        start, whole = self._done_rows, self._inputs.rows
        rows = max(pace.rows, whole // MOST_SLICES) if pace.call_ns else 1
        self._done_rows = min(whole, start + rows)
        return frames.take_rows(self._inputs, start, self._done_rows)

    def add(self, outputs: frames.Outputs, elapsed_ns: int) -> bool:
        """Take down what the next slice gave; True with the last one. Raises PredictionFailed where all is too large to be sent."""
        self._parts.append(outputs)
        self.spent_ns += elapsed_ns
        self._size_bytes += sum(part.nbytes for part in outputs.parts if isinstance(part, np.ndarray))
        if self._size_bytes > frames.MAX_FRAME_BYTES:
            raise PredictionFailed(log_detail=f"the answer takes more than {frames.MAX_FRAME_BYTES} bytes")
        return self._done_rows == self._inputs.rows

    def outputs(self) -> frames.Outputs:
        """Return the outputs of all slices as one. Raises PredictionFailed where they don't fit together, or into memory."""
        try:
            return put_together(self._parts)
        except (MemoryError, ValueError) as error:
            raise PredictionFailed(log_detail=f"the slices' outputs can't be put together: {error}") from error


def put_together(many: Sequence[frames.Outputs]) -> frames.Outputs:
    """Return the rows of all of `many`, in order. Raises ValueError where they differ in their parts or widths."""
    columns = zip(*(one.parts for one in many), strict=True)
    return frames.Outputs(tuple(_joined(pieces) for pieces in columns), many[0].multi)


def _joined(pieces: Sequence[frames.OutputPart]) -> frames.OutputPart:
    arrays = [piece for piece in pieces if isinstance(piece, np.ndarray)]
    if len(arrays) == len(pieces):
        return np.concatenate(arrays)
    plain: list[Any] = []
    for piece in pieces:
        plain += piece.tolist() if isinstance(piece, np.ndarray) else piece
    return plain
