"""The serving loop of a worker: what it joins, what it splits, whom it answers first. In a thread, with a model that waits to be told."""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from registry import frames
from registry.errors import PredictionFailed
from registry.host.answering import Answering, encode_apart
from registry.host.page import Page

ROWS = 10_000
BAD = -1.0


class Doubling:
    """Answers twice the first column; notes each call's first value and rows, and waits for a permit where it has to."""

    estimator_name = "doubling"
    recorded: dict[str, str] = {}  # noqa: RUF012 - nobody writes to it

    def __init__(self) -> None:
        """Hold nobody up."""
        self.calls: list[tuple[float, int]] = []
        self.began = threading.Semaphore(0)
        self.permits: threading.Semaphore | None = None

    def runtime_of(self, method: str) -> str:
        """Return a runtime that differs by method."""
        return "fast" if method == "transform" else "exact"

    def call(self, _method: str, inputs: frames.Inputs, _params: dict[str, Any]) -> frames.Outputs:
        """Return an array, or for texts a list; a row of BAD fails the call."""
        if isinstance(inputs, frames.Texts):
            return frames.Outputs(([text.upper() for text in inputs.values],))
        assert isinstance(inputs, frames.Matrix)
        first = inputs.array[:, 0]
        self.calls.append((float(first[0]), inputs.rows))
        if self.permits is not None:
            self.began.release()
            assert self.permits.acquire(timeout=20)
        if BAD in first:
            raise PredictionFailed(log_detail="a bad row")
        return frames.Outputs((2 * first,))


class Loop:
    """A serving loop that runs in a thread."""

    def __init__(self, folder: Path, *, joins: bool = True, most_seconds: float = 30) -> None:
        """Start it."""
        self.model = Doubling()
        self._path = str(folder / "s")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self._path)
        self._listener.listen()
        self._control, theirs = socket.socketpair()
        descriptor = Page.create()
        self.page = Page(descriptor)
        os.close(descriptor)
        self._poll = select.epoll()
        self._connections: list[socket.socket] = [theirs]
        answering = Answering(self.model, self._listener, theirs, self.page, self._poll, joins=joins, most_seconds=most_seconds)
        self._thread = threading.Thread(target=answering.serve)
        self._thread.start()

    def connect(self) -> socket.socket:
        """Return a new connection."""
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(20)
        connection.connect(self._path)
        self._connections.append(connection)
        return connection

    def gate(self) -> Callable[[], None]:
        """Make each call wait; what is returned lets one go on."""
        permits = self.model.permits = threading.Semaphore(0)
        return permits.release

    def open_gate(self) -> None:
        """Let all calls go on."""
        permits, self.model.permits = self.model.permits, None
        if permits is not None:
            permits.release(100)

    def wait_for_call(self) -> None:
        """Wait until the next call has begun."""
        assert self.model.began.acquire(timeout=20)

    def drain(self) -> None:
        """Say drain, as the host process does."""
        self._control.sendall(b"drain")

    def end(self) -> None:
        """Wait for its end."""
        self._thread.join(20)
        assert not self._thread.is_alive()

    def close(self) -> None:
        """Drain it and close everything."""
        self.open_gate()
        self._control.close()
        self.end()
        for one in (*self._connections, self._listener, self._poll, self.page):
            one.close()


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Loop]:
    """One loop that joins and splits."""
    made = Loop(tmp_path)
    yield made
    made.close()


def matrix(marker: float, rows: int = 1) -> frames.Matrix:
    """Return rows that start with `marker`, and count on from it in steps of 1/65536."""
    return frames.Matrix(np.column_stack([marker + np.arange(rows) / 65536, np.zeros(rows)]))


def framed(inputs: frames.Inputs, method: str = "predict") -> bytes:
    """Return a request's frame."""
    return frames.encode_frame({"method": method, "params": {}}, frames.encode_inputs(inputs))


def answered(connection: socket.socket) -> tuple[dict[str, Any], Any]:
    """Return the next answer's header, and its outputs as plain values."""
    with connection.makefile("rb", buffering=0) as stream:
        header, body = frames.decode_frame(_read(stream, int.from_bytes(_read(stream, 4), "little")))
    return header, frames.decode_outputs(body).to_plain() if len(body) else None


def _read(stream: Any, count: int) -> bytes:
    pieces = []
    while count:
        pieces.append(stream.read(count))
        assert pieces[-1], "the loop closed the connection"
        count -= len(pieces[-1])
    return b"".join(pieces)


def ask(loop: Loop, inputs: frames.Inputs, method: str = "predict") -> tuple[dict[str, Any], Any]:
    """Ask over a new connection."""
    connection = loop.connect()
    connection.sendall(framed(inputs, method))
    return answered(connection)


def test_an_answer_says_which_runtime_computed_it(loop: Loop) -> None:
    """In its header, for each method."""
    assert ask(loop, matrix(1)) == ({"ok": True, "runtime": "exact"}, [2.0])
    assert ask(loop, matrix(1), "transform")[0]["runtime"] == "fast"


def test_requests_that_queued_are_one_call(loop: Loop) -> None:
    """Each gets its own rows; another method and another width are calls of their own."""
    let_one_go = loop.gate()
    asked = {marker: loop.connect() for marker in range(1, 6)}
    asked[1].sendall(framed(matrix(1)))
    loop.wait_for_call()
    asked[2].sendall(framed(matrix(2, 2)))
    asked[3].sendall(framed(matrix(3), "transform"))
    asked[4].sendall(framed(matrix(4)))
    asked[5].sendall(framed(frames.Matrix(np.full((1, 3), 5.0))))
    let_one_go()
    loop.open_gate()
    outputs = {marker: answered(connection)[1] for marker, connection in asked.items()}
    assert outputs == {1: [2.0], 2: [4.0, 4.0 + 2 / 65536], 3: [6.0], 4: [8.0], 5: [10.0]}
    assert sorted(loop.model.calls) == [(1.0, 1), (2.0, 3), (3.0, 1), (5.0, 1)]


def test_a_bad_row_fails_alone_among_joined_requests(loop: Loop) -> None:
    """The others are answered."""
    let_one_go = loop.gate()
    first, good, bad = loop.connect(), loop.connect(), loop.connect()
    first.sendall(framed(matrix(1)))
    loop.wait_for_call()
    good.sendall(framed(matrix(2)))
    bad.sendall(framed(matrix(BAD)))
    let_one_go()
    loop.open_gate()
    assert answered(good)[1] == [4.0]
    assert answered(bad)[0]["error"] == "prediction-failed"
    assert len(loop.model.calls) == 4


def test_a_small_request_is_answered_before_a_large_one_ends(loop: Loop) -> None:
    """It waits for one slice alone, and the large one's answer is whole."""
    let_one_go = loop.gate()
    large, small = loop.connect(), loop.connect()
    large.sendall(framed(matrix(1, ROWS)))
    for marker in (2.0, 3.0):
        loop.wait_for_call()
        small.sendall(framed(matrix(marker)))
        let_one_go()
        loop.wait_for_call()
        let_one_go()
        assert answered(small)[1] == [2 * marker]
    assert [marker for marker, rows in loop.model.calls if rows == 1 and marker.is_integer()] == [1.0, 2.0, 3.0]
    assert sum(rows for _, rows in loop.model.calls) < ROWS / 2
    assert loop.page.read().busy_since_ns, "between slices it isn't idle"
    loop.open_gate()
    assert answered(large)[1] == (2 * matrix(1, ROWS).array[:, 0]).tolist()


def test_large_requests_take_turns(loop: Loop) -> None:
    """Slice by slice, so that the second needn't wait for the end of the first."""
    let_one_go = loop.gate()
    first, one, other = loop.connect(), loop.connect(), loop.connect()
    first.sendall(framed(matrix(9)))
    loop.wait_for_call()
    one.sendall(framed(matrix(1, ROWS)))
    other.sendall(framed(matrix(2, ROWS)))
    let_one_go()
    loop.open_gate()
    for marker, connection in ((1, one), (2, other)):
        assert answered(connection)[1] == (2 * matrix(marker, ROWS).array[:, 0]).tolist()
    turns = [int(marker) for marker, _ in loop.model.calls[1:5]]
    assert turns in ([1, 2, 1, 2], [2, 1, 2, 1])


def test_a_slice_that_fails_is_its_requests_error_alone(loop: Loop) -> None:
    """The other large request and the loop go on."""
    bad = matrix(1, ROWS)
    bad.array[700, 0] = BAD
    failing, other = loop.connect(), loop.connect()
    failing.sendall(framed(bad))
    other.sendall(framed(matrix(2, ROWS)))
    assert answered(failing)[0]["error"] == "prediction-failed"
    assert len(answered(other)[1]) == ROWS


def test_a_large_request_whose_connection_closed_is_dropped(loop: Loop) -> None:
    """No further slice is computed for it."""
    let_one_go = loop.gate()
    large, small = loop.connect(), loop.connect()
    large.sendall(framed(matrix(1, ROWS)))
    loop.wait_for_call()
    large.close()
    small.sendall(framed(matrix(2)))
    let_one_go()
    loop.open_gate()
    assert answered(small)[1] == [4.0]
    assert ask(loop, matrix(3))[1] == [6.0]
    assert [marker for marker, _ in loop.model.calls] == [1.0, 2.0, 3.0]


def test_the_slices_of_a_request_have_the_time_of_one_prediction(tmp_path: Path) -> None:
    """When it is over, that request alone hears of it; the process needn't be ended for it."""
    loop = Loop(tmp_path, most_seconds=1e-9)
    try:
        assert ask(loop, matrix(1, ROWS))[0]["error"] == "prediction-timeout"
        assert loop.model.calls == [(1.0, 1)]
        assert ask(loop, matrix(2))[1] == [4.0]
    finally:
        loop.close()


def test_the_watch_sees_what_all_slices_of_a_request_took(loop: Loop) -> None:
    """Busy since the first one began, as far as it was computed for."""
    let_one_go = loop.gate()
    large = loop.connect()
    large.sendall(framed(matrix(1, ROWS)))
    loop.wait_for_call()
    began = loop.page.read().busy_since_ns
    let_one_go()
    loop.wait_for_call()
    now = loop.page.read()
    assert began <= now.busy_since_ns < now.last_used_ns
    assert now.waiting == 1


def test_without_batching_nothing_is_joined_and_nothing_split(tmp_path: Path) -> None:
    """Each request is exactly one call."""
    loop = Loop(tmp_path, joins=False)
    try:
        let_one_go = loop.gate()
        connections = [loop.connect() for _ in range(3)]
        connections[0].sendall(framed(matrix(1, ROWS)))
        loop.wait_for_call()
        for connection in connections[1:]:
            connection.sendall(framed(matrix(2)))
        let_one_go()
        loop.open_gate()
        assert [len(answered(connection)[1]) for connection in connections] == [ROWS, 1, 1]
        assert loop.model.calls == [(1.0, ROWS), (2.0, 1), (2.0, 1)]
    finally:
        loop.close()


def test_a_drain_ends_with_everything_answered_that_was_read(loop: Loop) -> None:
    """Also a large request, of which one slice was computed."""
    let_one_go = loop.gate()
    large, small = loop.connect(), loop.connect()
    large.sendall(framed(matrix(1, ROWS)))
    loop.wait_for_call()
    small.sendall(framed(matrix(2)))
    loop.drain()
    let_one_go()
    loop.open_gate()
    loop.end()
    assert len(answered(large)[1]) == ROWS
    assert answered(small)[1] == [4.0]
    last = loop.page.read()
    assert (last.busy_since_ns, last.waiting, last.requests, last.calls) == (0, 0, 2, len(loop.model.calls))


@pytest.mark.parametrize("cuts", [(3,), (3, 7), (9,), (4, 8, 12)])
def test_a_frame_may_come_in_pieces(loop: Loop, cuts: tuple[int, ...]) -> None:
    """Wherever it is cut; another connection is answered meanwhile."""
    connection = loop.connect()
    frame = framed(matrix(1, 2))
    start = 0
    for cut in (*cuts, len(frame)):
        connection.sendall(frame[start:cut])
        start = cut
        assert ask(loop, matrix(5))[1] == [10.0]
    assert answered(connection)[1] == [2.0, 2.0 + 2 / 65536]


def test_frames_that_come_at_once_are_all_answered(loop: Loop) -> None:
    """Also where the last of them is cut."""
    connection = loop.connect()
    frame = framed(matrix(1))
    connection.sendall(2 * frame + frame[:11])
    assert [answered(connection)[1] for _ in range(2)] == [[2.0]] * 2
    connection.sendall(frame[11:])
    assert answered(connection)[1] == [2.0]


@pytest.mark.parametrize("frame", [frames.encode_frame({"what": 1}), frames.LENGTHS.pack(6, 2) + b"\xc1\xc1", framed(matrix(1))[:-8]])
def test_a_frame_that_cant_be_read_is_answered_as_failed(loop: Loop, frame: bytes) -> None:
    """And the connection goes on."""
    connection = loop.connect()
    connection.sendall((len(frame) - 4).to_bytes(4, "little") + frame[4:])
    assert answered(connection)[0]["error"] == "prediction-failed"
    connection.sendall(framed(matrix(1)))
    assert answered(connection)[1] == [2.0]


def test_an_answer_that_nobody_fetches_holds_up_nobody(loop: Loop) -> None:
    """What doesn't fit into the socket goes out once there is room, also while the loop drains."""
    lazy = loop.connect()
    text = "x" * (1 << 20)
    lazy.sendall(framed(frames.Texts([text])))
    lazy.sendall(framed(frames.Texts([text])))
    assert ask(loop, matrix(1))[1] == [2.0]
    assert answered(lazy)[1] == [text.upper()]
    loop.drain()
    assert answered(lazy)[1] == [text.upper()]
    loop.end()


@pytest.mark.parametrize(
    "outputs",
    [
        frames.Outputs((np.arange(6.0),)),
        frames.Outputs((np.arange(12, dtype=np.int32).reshape(6, 2),)),
        frames.Outputs((np.arange(18.0).reshape(3, 6).T,)),
        frames.Outputs((list("abcdef"),)),
        frames.Outputs((np.arange(6), np.arange(12.0).reshape(6, 2)), multi=True),
    ],
)
def test_a_joined_answer_is_cut_into_what_each_would_have_got(outputs: frames.Outputs) -> None:
    """The same bytes as encoded by itself."""
    apart = [outputs.take(0, 1), outputs.take(1, 4), outputs.take(4, 5), outputs.take(5, 6)]
    assert encode_apart(outputs, [1, 3, 1, 1]) == [frames.encode_outputs(one) for one in apart]
