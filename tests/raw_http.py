"""HTTP as bytes on a socket, for requests that a well-behaved client can't send, and what every problem must have."""

from __future__ import annotations

import contextlib
import json
import socket
from dataclasses import dataclass
from typing import Any

from tests.running import RunningService

TYPE_PREFIX = "https://modelyard.dev/problems/"


@dataclass(frozen=True, slots=True)
class Answer:
    """One response as it came: status 0 where the connection ended without any."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def slug(self) -> str:
        """Return the problem's slug, once all that a problem must have is there."""
        return slug_of(self.status, self.headers, self.body)


def slug_of(status: int, headers: Any, body: bytes) -> str:
    """Return the slug of a problem after checking its members, its request id, and Retry-After where it must be."""
    assert headers["content-type"] == "application/problem+json", (status, body[:200])
    problem = json.loads(body)
    assert {"type", "title", "status", "detail", "instance", "request_id"} <= problem.keys()
    assert (problem["status"], problem["request_id"]) == (status, headers["x-request-id"])
    assert problem["type"].startswith(TYPE_PREFIX)
    if status in {429, 503}:
        assert int(headers["retry-after"]) >= 1
    return str(problem["type"].removeprefix(TYPE_PREFIX))


def request_bytes(method: str, path: str, key: str | None, headers: dict[str, str] | None = None) -> bytes:
    """Return the head of a request; `path` is sent as it stands."""
    lines = [f"{method} {path} HTTP/1.1", "Host: modelyard", "Connection: close"]
    if key is not None:
        lines.append(f"Authorization: Bearer {key}")
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


def connect(service: RunningService, timeout: float = 20) -> socket.socket:
    """Return a connection to a service."""
    connection = socket.create_connection(("127.0.0.1", service.port), timeout)
    connection.settimeout(timeout)
    return connection


def read_answer(connection: socket.socket) -> Answer:
    """Read until the other side closes, or one response of announced length is complete."""
    data = b""
    with contextlib.suppress(ConnectionError):
        while not _is_complete(data):
            chunk = connection.recv(65536)
            if not chunk:
                break
            data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    if not head:
        return Answer(0, {}, b"")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Answer(int(first.split(" ")[1]), headers, body)


def exchange(service: RunningService, data: bytes, *, half_close: bool = False, timeout: float = 20) -> Answer:
    """Send bytes on a connection of their own and return the answer; `half_close` ends our side as an aborting client does."""
    with connect(service, timeout) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(data)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
        return read_answer(connection)


def ask(service: RunningService, method: str, path: str, body: bytes | None = None, key: str | None = None, **headers: str) -> Answer:
    """Send one request whose path isn't normalised; `headers` with underscores for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if body is not None:
        named["Content-Length"] = str(len(body))
    return exchange(service, request_bytes(method, path, key or service.admin_key, named) + (body or b""))


def chunked(*chunks: bytes, end: bool = True) -> bytes:
    """Return chunks as they travel under `Transfer-Encoding: chunked`."""
    return b"".join(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n" for chunk in chunks) + (b"0\r\n\r\n" if end else b"")


def _is_complete(data: bytes) -> bool:
    head, separator, body = data.partition(b"\r\n\r\n")
    if not separator:
        return False
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return len(body) >= int(line.split(b":")[1])
    return False
