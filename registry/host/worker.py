"""The worker: a locked process that holds one loaded version and answers its predict requests.

One thread with a selector: read what has come, join what can be joined, compute, answer. Born locked; it opens
no file, imports nothing, starts no thread and writes no log, since none of that is possible behind the lock.
"""

from __future__ import annotations

import hashlib
import os
import selectors
import socket
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from registry import flavors, frames
from registry.errors import ModelUnloadable, ModelyardError, PredictionFailed, TooLargeForBudget, to_wire
from registry.flavors import Loaded
from registry.host import lock
from registry.host.page import Activity, Page, now_ns

READ_BYTES = 1 << 18
MAX_JOINED_ROWS = 4096
HASH_BYTES = 1 << 20


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


def run(order: dict[str, Any], descriptors: list[int], parent: int) -> int:
    """Lock this process, do the job that comes over the control socket, and return the exit status.

    `descriptors` are artifact, control socket, shared page and, for a load, the listening socket.
    """
    artifact, control_fd, page_fd, *listening = descriptors
    keep_only([0, 1, 2, *descriptors])
    stream = open(artifact, "rb", closefd=False)  # noqa: SIM115 - lives as long as the process
    control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=control_fd)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=listening[0]) if listening else None
    page = Page(page_fd)
    selector = selectors.DefaultSelector()
    lock.enter(order["lock"], parent)
    job, _ = receive_job(control)
    try:
        if job["job"] == "admit":
            control.sendall(frames.encode_frame({"admitted": admit(stream, job)}))
            return 0
        loaded = load(stream, job)
    except ModelyardError as error:
        control.sendall(frames.encode_frame(to_wire(error)))
        return 1
    control.sendall(frames.encode_frame({"loaded": True}))
    assert listener is not None  # noqa: S101 - a load always brings its listening socket
    Worker(loaded, listener, control, page, selector, joins=job["joins"]).serve()
    return 0


def keep_only(descriptors: list[int]) -> None:
    """Close every descriptor but these."""
    start = 3
    for descriptor in sorted(descriptors):
        if descriptor >= start:
            os.closerange(start, descriptor)
            start = descriptor + 1
    os.closerange(start, os.sysconf("SC_OPEN_MAX"))


def receive_job(control: socket.socket) -> tuple[dict[str, Any], memoryview]:
    """Read exactly one frame from the host process."""
    length = int.from_bytes(_read_exactly(control, 4), "little")
    return frames.decode_frame(_read_exactly(control, length))


def admit(stream: BinaryIO, job: dict[str, Any]) -> dict[str, Any]:
    """Judge an uploaded artifact; see `flavors.admit`."""
    return flavors.admit(stream, job["manifest"]).as_dict()


def load(stream: BinaryIO, job: dict[str, Any]) -> Loaded:
    """Verify the digest, load the model and replay its golden predictions. Raises ModelUnloadable and what the flavor raises."""
    digest = hashlib.sha256()
    while chunk := stream.read(HASH_BYTES):
        digest.update(chunk)
    if digest.hexdigest() != job["sha256"]:
        raise ModelUnloadable("The artifact's bytes on disk aren't those that were uploaded.", log_detail=f"sha256 is {digest.hexdigest()}")
    stream.seek(0)
    try:
        loaded = flavors.open_flavor(job["flavor"]).load(stream)
        if job["golden"] is not None:
            flavors.replay(loaded, job["golden"])
    except ModelUnloadable as error:
        if ran_out_of_memory(error):
            raise TooLargeForBudget("The version needs more memory to load than one worker may have.", retry_after_seconds=60) from None
        raise
    return loaded


def ran_out_of_memory(error: BaseException | None) -> bool:
    """Tell whether an error goes back to a MemoryError, which the worker's limit causes and no fault of the artifact."""
    while error is not None:
        if isinstance(error, MemoryError):
            return True
        error = error.__cause__
    return False


class Worker:
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


def _read_exactly(sock: socket.socket, count: int) -> bytes:
    chunks = bytearray()
    while len(chunks) < count:
        chunk = sock.recv(count - len(chunks))
        if not chunk:
            raise ConnectionError("the host process is gone")
        chunks += chunk
    return bytes(chunks)
