"""The serving loop of a worker: read what has come, join what can be joined, compute, answer.

Runs behind the lock, in one thread: it opens no file, imports nothing and writes no log. Nothing waits for a batch to
fill; when a joined call raises, each request runs alone, so that one caller's bad row is never another's error.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from registry import frames
from registry.errors import ModelyardError, PredictionFailed, to_wire
from registry.host.page import Activity, Page, now_ns

if TYPE_CHECKING:
    from registry.flavors import Loaded  # only the worker itself may import the flavors

READ_BYTES = 1 << 18
MAX_JOINED_ROWS = 4096


@dataclass(slots=True, eq=False)
class Connection:
    """One web thread's connection: bytes in and bytes still to go out."""

    sock: socket.socket
    incoming: bytearray = field(default_factory=bytearray)
    outgoing: deque[memoryview] = field(default_factory=deque)


@dataclass(slots=True, eq=False)
class Request:
    """One parsed predict request."""

    connection: Connection
    method: str
    params: dict[str, Any]
    inputs: frames.Inputs

    def joinable(self, other: Request) -> bool:
        """Tell whether both may be computed in one call."""
        return self.method == other.method and self.params == other.params and frames.joinable(self.inputs, other.inputs)


class Answering:
    """The serving loop of one loaded version."""

    def __init__(
        self, loaded: Loaded, listener: socket.socket, control: socket.socket, page: Page, selector: selectors.BaseSelector, *, joins: bool
    ) -> None:
        """Take over the sockets; `joins` allows several requests in one call."""
        self._loaded = loaded
        self._listener = listener
        self._control = control
        self._page = page
        self._selector = selector
        self._joins = joins
        self._draining = False
        self._requests = 0
        self._calls = 0
        self._connections: set[Connection] = set()

    def serve(self) -> None:
        """Answer until the host process says drain or is gone; then answer what was read, and return."""
        self._listener.setblocking(False)
        self._control.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self._control, selectors.EVENT_READ, self._hear)
        self._report(0)
        while not self._draining:
            self._turn(None)
        self._turn(0)
        deadline = time.monotonic() + 5
        while any(connection.outgoing for connection in self._connections) and time.monotonic() < deadline:
            self._turn(0.1)

    def _turn(self, timeout: float | None) -> None:
        """Do one round: read everything that has come, then compute and answer it group by group."""
        requests: list[Request] = []
        for key, mask in self._selector.select(timeout):
            if not isinstance(key.data, Connection):
                key.data()
                continue
            if mask & selectors.EVENT_WRITE:
                self._flush(key.data)
            if mask & selectors.EVENT_READ:
                self._read(key.data, requests)
        while requests:
            group = self._take_group(requests)
            self._report(len(requests) + len(group), busy=True)
            self._answer_group(group)
            self._requests += len(group)
        self._report(0)

    def _report(self, waiting: int, *, busy: bool = False) -> None:
        now = now_ns()
        self._page.write(Activity(now if busy else 0, now, self._requests, self._calls, waiting))

    def _take_group(self, requests: list[Request]) -> list[Request]:
        """Remove and return the first request and those that may be computed with it, up to MAX_JOINED_ROWS rows."""
        first = requests.pop(0)
        group, rows = [first], first.inputs.rows
        if not self._joins:
            return group
        for other in list(requests):
            if rows + other.inputs.rows <= MAX_JOINED_ROWS and first.joinable(other):
                requests.remove(other)
                group.append(other)
                rows += other.inputs.rows
        return group

    def _answer_group(self, group: list[Request]) -> None:
        if len(group) > 1:
            try:
                outputs = self._call(group[0], frames.join([request.inputs for request in group]))
            except ModelyardError:
                pass  # one of them is bad: each runs alone, so that it can't be another's error
            else:
                start = 0
                for request in group:
                    stop = start + request.inputs.rows
                    self._send(request.connection, {"ok": True}, frames.encode_outputs(outputs.take(start, stop)))
                    start = stop
                return
        for request in group:
            self._answer_alone(request)

    def _answer_alone(self, request: Request) -> None:
        self._report(1, busy=True)
        try:
            outputs = self._call(request, request.inputs)
        except ModelyardError as error:
            self._send(request.connection, to_wire(error))
        else:
            self._send(request.connection, {"ok": True}, frames.encode_outputs(outputs))

    def _call(self, request: Request, inputs: frames.Inputs) -> frames.Outputs:
        self._calls += 1
        return self._loaded.call(request.method, inputs, request.params)

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except BlockingIOError:
            return
        sock.setblocking(False)
        connection = Connection(sock)
        self._connections.add(connection)
        self._selector.register(sock, selectors.EVENT_READ, connection)

    def _hear(self) -> None:
        """Hear from the host process: any message means drain, and so does its end."""
        try:
            self._control.recv(READ_BYTES)
        except BlockingIOError:
            return
        self._draining = True
        self._selector.unregister(self._control)
        self._selector.unregister(self._listener)

    def _read(self, connection: Connection, requests: list[Request]) -> None:
        try:
            data = connection.sock.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(connection)
            return
        connection.incoming += data
        for payload in _whole_frames(connection.incoming):
            request = self._parse(connection, payload)
            if request is not None:
                requests.append(request)

    def _parse(self, connection: Connection, payload: bytes) -> Request | None:
        try:
            header, body = frames.decode_frame(payload)
            return Request(connection, header["method"], header["params"], frames.decode_inputs(body))
        except (frames.FrameError, KeyError) as error:
            self._send(connection, to_wire(PredictionFailed(log_detail=f"unreadable frame: {error}")))
            return None

    def _send(self, connection: Connection, header: dict[str, Any], body: bytes = b"") -> None:
        connection.outgoing.append(memoryview(frames.encode_frame(header, body)))
        self._flush(connection)

    def _flush(self, connection: Connection) -> None:
        if connection not in self._connections:
            connection.outgoing.clear()
            return
        while connection.outgoing:
            try:
                sent = connection.sock.send(connection.outgoing[0])
            except BlockingIOError:
                self._selector.modify(connection.sock, selectors.EVENT_READ | selectors.EVENT_WRITE, connection)
                return
            except OSError:
                self._drop(connection)
                return
            if sent < len(connection.outgoing[0]):
                connection.outgoing[0] = connection.outgoing[0][sent:]
            else:
                connection.outgoing.popleft()
        if self._selector.get_key(connection.sock).events != selectors.EVENT_READ:
            self._selector.modify(connection.sock, selectors.EVENT_READ, connection)

    def _drop(self, connection: Connection) -> None:
        connection.outgoing.clear()
        if connection in self._connections:
            self._connections.remove(connection)
            self._selector.unregister(connection.sock)
            connection.sock.close()


def _whole_frames(buffer: bytearray) -> list[bytes]:
    """Cut the complete frames off the front of `buffer` and return their payloads."""
    payloads = []
    start = 0
    while len(buffer) - start >= frames.LENGTH_BYTES:
        length = int.from_bytes(buffer[start : start + 4], "little")
        if len(buffer) - start - 4 < length:
            break
        payloads.append(bytes(buffer[start + 4 : start + 4 + length]))
        start += 4 + length
    del buffer[:start]
    return payloads
