"""The serving loop of a worker: read what has come, join what can be joined, compute, answer.

Runs behind the lock, in one thread: it opens no file, imports nothing and writes no log. Nothing waits for a batch to
fill; when a joined call raises, each request runs alone, so that one caller's bad row is never another's error.
Between two slices of a large request, small ones that have come meanwhile are answered.
"""

from __future__ import annotations

import select
import socket
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from registry import frames
from registry.errors import ModelyardError, PredictionFailed, PredictionTimeout, to_wire
from registry.host.connection import Connection
from registry.host.page import Activity, Page, now_ns
from registry.host.slices import Pace, Sliced

if TYPE_CHECKING:
    from registry.flavors import Loaded  # only the worker itself may import the flavors

REMEMBERED_QUESTIONS = 64
FLUSH_SECONDS = 5.0
MEASURED_SINGLES = 16  # one of so many calls of a single row

_pack = msgspec.msgpack.encode


@dataclass(slots=True, eq=False)
class Question:
    """A method and its parameters, as they stand in the header of many requests."""

    method: str
    params: dict[str, Any]
    pace: Pace


@dataclass(slots=True, eq=False)
class Request:
    """One parsed predict request; `sliced` once it is computed in slices."""

    connection: Connection
    question: Question
    inputs: frames.Inputs
    rows: int
    sliced: Sliced | None = None


class Answering:
    """The serving loop of one loaded version."""

    def __init__(
        self,
        loaded: Loaded,
        listener: socket.socket,
        control: socket.socket,
        page: Page,
        poll: select.epoll,
        *,
        joins: bool,
        most_seconds: float,
    ) -> None:
        """Take over the sockets. `joins` allows several requests in one call, and one request in several calls.

        `most_seconds` is what the slices of one request may take together; a single call is bounded by the host process's watch.
        """
        self._loaded = loaded
        self._listener = listener
        self._control = control
        self._page = page
        self._poll = poll
        self._joins = joins
        self._most_ns = int(most_seconds * 1e9)
        self._draining = False
        self._requests = 0
        self._calls = 0
        self._last_used_ns = now_ns()
        self._connections: dict[int, Connection] = {}
        self._questions: dict[bytes, Question] = {}
        self._ok: dict[str, bytes] = {}
        self._small: list[Request] = []
        self._large: deque[Request] = deque()

    def serve(self) -> None:
        """Answer until the host process says drain or is gone; then answer what was read, and return."""
        self._listener.setblocking(False)
        self._control.setblocking(False)
        self._poll.register(self._listener, select.EPOLLIN)
        self._poll.register(self._control, select.EPOLLIN)
        self._report_idle()
        while not self._draining:
            self._turn(0 if self._large else None)
        self._turn(0)
        while self._large:  # without reading any more, or a drain would have no end
            self._answer_slice()
        self._report_idle()
        self._flush_all()
        for connection in list(self._connections.values()):
            self._drop(connection)

    def _turn(self, timeout: float | None) -> None:
        """Do one round: read everything that has come, compute and answer it group by group, then one slice of a large request."""
        for descriptor, events in self._poll.poll(timeout):
            connection = self._connections.get(descriptor)
            if connection is None:
                self._hear_or_accept(descriptor)
                continue
            if events & select.EPOLLOUT:
                self._flush(connection)
            if events & ~select.EPOLLOUT and not connection.closed:
                self._read(connection)
        while self._small:
            self._answer_group(self._take_group())
        if self._large:
            self._answer_slice()
        if not self._large:
            self._report_idle()

    # -- the page ------------------------------------------------------------------------------------------------

    def _report_idle(self) -> None:
        self._page.write(Activity(0, self._last_used_ns, self._requests, self._calls, 0))

    # -- computing -----------------------------------------------------------------------------------------------

    def _take_group(self) -> list[Request]:
        """Remove and return the first request and those that may be computed with it."""
        first, *others = self._small
        if not self._joins or not others:
            self._small = others
            return [first]
        group, rest, rows = [first], [], first.rows
        most = first.question.pace.joined_rows
        for other in others:
            if rows + other.rows <= most and first.question is other.question and frames.joinable(first.inputs, other.inputs):
                group.append(other)
                rows += other.rows
            else:
                rest.append(other)
        self._small = rest
        return group

    def _answer_group(self, group: list[Request]) -> None:
        self._requests += len(group)
        if len(group) > 1:
            try:
                outputs = self._compute(group[0].question, frames.join([request.inputs for request in group]), len(group))
            except (ModelyardError, MemoryError):
                pass  # one of them is bad: each runs alone, so that it can't be another's error
            else:
                for request, body in zip(group, encode_apart(outputs, [request.rows for request in group]), strict=True):
                    self._send_outputs(request, body)
                return
        for request in group:
            self._answer_alone(request)

    def _answer_alone(self, request: Request) -> None:
        try:
            body = frames.encode_outputs(self._compute(request.question, request.inputs, 1))
        except (ModelyardError, MemoryError) as error:
            self._send_error(request.connection, _failed(error))
        else:
            self._send_outputs(request, body)

    def _answer_slice(self) -> None:
        """Compute the next slice of the large request whose turn it is; with its last one, answer it."""
        request = self._large.popleft()
        sliced = request.sliced
        assert sliced is not None  # noqa: S101 - set before it was queued
        if request.connection.closed:  # whoever asked is gone
            return
        began_ns = now_ns()
        try:
            outputs = self._compute(request.question, sliced.next_inputs(request.question.pace), 1, sliced.spent_ns)
            elapsed_ns = self._last_used_ns - began_ns
            if not sliced.add(outputs, elapsed_ns):
                self._require_time(sliced.spent_ns + elapsed_ns)
                self._large.append(request)
                return
            body = frames.encode_outputs(sliced.outputs())
        except (ModelyardError, MemoryError) as error:
            self._send_error(request.connection, _failed(error))
        else:
            self._send_outputs(request, body)
        self._requests += 1

    def _compute(self, question: Question, inputs: frames.Inputs, waiting: int, spent_ns: int = 0) -> frames.Outputs:
        """Call the model, for requests that took `spent_ns` before; the page says so meanwhile. Raises what the model raises."""
        now = now_ns()
        self._page.write(Activity(now - spent_ns, now, self._requests, self._calls, waiting + len(self._small) + len(self._large)))
        self._calls += 1
        rows, pace = inputs.rows, question.pace
        if self._joins and (rows > 1 or not pace.call_ns or not self._calls % MEASURED_SINGLES):
            before_ns = time.thread_time_ns()
            outputs = self._loaded.call(question.method, inputs, question.params)
            pace.note(rows, time.thread_time_ns() - before_ns)
        else:
            outputs = self._loaded.call(question.method, inputs, question.params)
        self._last_used_ns = now_ns()
        return outputs

    def _require_time(self, expected_ns: int) -> None:
        """Raise PredictionTimeout for slices that would take too long with the next one: before the watch ends the worker for it."""
        if expected_ns > self._most_ns:
            raise PredictionTimeout(f"The model did not answer within {self._most_ns / 1e9:g} s.")

    # -- the sockets ---------------------------------------------------------------------------------------------

    def _hear_or_accept(self, descriptor: int) -> None:
        if descriptor == self._control.fileno():
            self._hear()
        elif descriptor == self._listener.fileno() and not self._draining:
            self._accept()

    def _accept(self) -> None:
        with suppress(BlockingIOError):
            while True:
                sock, _ = self._listener.accept()
                self._connections[sock.fileno()] = Connection(sock)
                self._poll.register(sock, select.EPOLLIN)

    def _hear(self) -> None:
        """Hear from the host process: any message means drain, and so does its end."""
        try:
            self._control.recv(64)
        except BlockingIOError:
            return
        self._draining = True
        self._poll.unregister(self._control)
        self._poll.unregister(self._listener)

    def _read(self, connection: Connection) -> None:
        try:
            whole = connection.read()
        except OSError:
            self._drop(connection)
            return
        for frame in whole:
            self._queue(connection, frame)

    def _queue(self, connection: Connection, frame: bytes | bytearray) -> None:
        """Parse one frame and queue its request, among the large ones where it is worth splitting."""
        stop = frames.LENGTHS.size + frames.LENGTHS.unpack_from(frame)[1]
        view = memoryview(frame)
        try:
            question = self._question(bytes(view[frames.LENGTHS.size : stop]))
            inputs = frames.decode_inputs(view[stop:])
        except (msgspec.MsgspecError, frames.FrameError, KeyError, TypeError) as error:
            self._send_error(connection, PredictionFailed(log_detail=f"unreadable frame: {error}"))
            return
        request = Request(connection, question, inputs, inputs.rows)
        if self._joins and question.pace.splits(request.rows):
            request.sliced = Sliced(inputs)
            self._large.append(request)
        else:
            self._small.append(request)

    def _question(self, header: bytes) -> Question:
        """Return what a header asks; equal headers give the same object. Raises MsgspecError, KeyError, TypeError."""
        question = self._questions.get(header)
        if question is None:
            values = msgspec.msgpack.decode(header)
            question = Question(values["method"], values["params"], Pace())
            if len(self._questions) >= REMEMBERED_QUESTIONS:
                self._questions.clear()
            self._questions[header] = question
        return question

    def _send_outputs(self, request: Request, body: bytes) -> None:
        runtime = self._loaded.runtime_of(request.question.method)
        header = self._ok.get(runtime)
        if header is None:
            header = self._ok[runtime] = _pack({"ok": True, "runtime": runtime})
        self._send(request.connection, header, body)

    def _send_error(self, connection: Connection, error: ModelyardError) -> None:
        self._send(connection, _pack(to_wire(error)), b"")

    def _send(self, connection: Connection, header: bytes, body: bytes) -> None:
        if connection.closed:
            return
        try:
            connection.send(b"".join((frames.LENGTHS.pack(4 + len(header) + len(body), len(header)), header, body)))
        except OSError:
            self._drop(connection)
            return
        if connection.outgoing:
            self._poll.modify(connection.descriptor, select.EPOLLIN | select.EPOLLOUT)

    def _flush(self, connection: Connection) -> None:
        """Send more of what didn't go out at once."""
        try:
            connection.flush()
        except OSError:
            self._drop(connection)
            return
        if not connection.outgoing:
            self._poll.modify(connection.descriptor, select.EPOLLIN)

    def _flush_all(self) -> None:
        """Send the answers that are still to go out, for so long as is left to a worker that ends."""
        deadline = time.monotonic() + FLUSH_SECONDS
        while any(connection.outgoing for connection in self._connections.values()) and time.monotonic() < deadline:
            for descriptor, _ in self._poll.poll(0.1):
                connection = self._connections[descriptor]
                if connection.outgoing:
                    self._flush(connection)
                if not connection.outgoing:
                    self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        if not connection.closed:
            del self._connections[connection.descriptor]
            self._poll.unregister(connection.descriptor)
            connection.close()


def encode_apart(outputs: frames.Outputs, counts: list[int]) -> list[bytes]:
    """Return the encoded outputs of requests with so many rows each, in order, cut from one joined answer."""
    if len(outputs.parts) != 1 or not isinstance(outputs.parts[0], np.ndarray):
        encoded, start = [], 0
        for count in counts:
            encoded.append(frames.encode_outputs(outputs.take(start, start + count)))
            start += count
        return encoded
    raw = outputs.parts[0].tobytes()
    row_bytes = len(raw) // max(outputs.rows, 1)
    heads: dict[int, bytes] = {}  # what stands before the numbers is the same for as many rows
    encoded, start = [], 0
    for count in counts:
        size = count * row_bytes
        if count not in heads:
            whole = frames.encode_outputs(outputs.take(0, count))
            heads[count] = whole[: len(whole) - size]
        encoded.append(heads[count] + raw[start : start + size])
        start += size
    return encoded


def _failed(error: ModelyardError | MemoryError) -> ModelyardError:
    """Return what a caller is told: an answer too large for the worker's memory is its request's failure, not the worker's end."""
    return (
        error if isinstance(error, ModelyardError) else PredictionFailed(log_detail="the answer takes more memory than the worker may have")
    )
