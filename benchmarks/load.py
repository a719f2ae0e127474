"""Loads a server with wrk and says what came back.

Each request has a row that was never sent before (a counter in its last digits), so that nothing is answered from a cache
unless that is what is measured. Answers other than 2xx and broken connections are counted, never ignored.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).with_name("load.lua")
#: Digits at the end of a number that the script replaces by its counter.
TEXT_MARK = b"777777777"
#: The low bytes of the number that stand at the end of a binary body, which the script replaces likewise.
BINARY_MARK_BYTES = 6
WRK_MISSING = "wrk, the load generator, isn't installed: `apt-get install wrk` on Debian and Ubuntu, `brew install wrk` on macOS"


@dataclass(frozen=True)
class Load:
    """How a server is asked: by how many connections, how many rows at once, and whether the same row over and over."""

    name: str
    title: str
    connections: int
    bulk: bool = False
    same: bool = False


LOADS = {
    load.name: load
    for load in (
        Load("row-1", "1 row, 1 connection", 1),
        Load("row-8", "1 row, 8 connections", 8),
        Load("row-64", "1 row, 64 connections", 64),
        Load("bulk", "1,000 rows, 1 connection", 1, bulk=True),
        Load("hits", "the same row, 8 connections", 8, same=True),
    )
}


@dataclass(frozen=True)
class Sample:
    """What one run of wrk gave. Times are in milliseconds."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    errors: int

    @property
    def per_second(self) -> float:
        """Return the rate of good answers."""
        return max(0, self.requests - self.errors) / self.seconds


def head(path: str, length: int, headers: dict[str, str]) -> bytes:
    """Return the request line and headers of one request."""
    lines = [f"{'POST' if length else 'GET'} {path} HTTP/1.1", "Host: 127.0.0.1", *(f"{name}: {value}" for name, value in headers.items())]
    if length:
        lines.append(f"Content-Length: {length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def write_requests(file: Path, path: str, bodies: Sequence[bytes], headers: dict[str, str], *, same: bool = False) -> None:
    """Write the file that the wrk script reads; all bodies are text with TEXT_MARK, or all binary, or sent as they are."""
    binary = not same and TEXT_MARK not in bodies[0]
    parts = []
    for body in bodies:
        if same:
            parts.append((head(path, len(body), headers) + body, b""))
        elif binary:
            parts.append((head(path, len(body), headers) + body[:-8], body[-8 + BINARY_MARK_BYTES :]))
        else:
            before, after = body.split(TEXT_MARK, 1)
            parts.append((head(path, len(body), headers) + before, after))
    kind = "same" if same else "binary" if binary else "text"
    sizes = "".join(f"{len(before)} {len(after)}\n" for before, after in parts)
    file.write_bytes(f"{kind} {len(parts)}\n{sizes}".encode() + b"".join(before + after for before, after in parts))


def parse(output: str) -> Sample:
    """Read the line that the script prints at the end. Raises ValueError when there is none."""
    lines = [line for line in output.splitlines() if line.startswith('{"requests"')]
    if not lines:
        raise ValueError(f"wrk printed no result: {output.strip()[-300:]}")
    found = json.loads(lines[-1])
    errors = sum(int(found[kind]) for kind in ("connect", "read", "write", "timeout", "status"))
    errors += found["requests"] == 0  # no answer in all that time
    return Sample(int(found["requests"]), found["seconds"], found["p50_us"] / 1000, found["p99_us"] / 1000, errors)


def run(port: int, requests: Path, connections: int, seconds: float, first_number: int) -> Sample:
    """Load the server on a port of loopback for so long. Raises ValueError when wrk fails."""
    command = [
        "wrk", "-t1", f"-c{connections}", "-d600s", "--timeout", "10s", "-s", str(SCRIPT), f"http://127.0.0.1:{port}/",
        "--", str(requests), str(first_number),
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as wrk:
        with contextlib.suppress(subprocess.TimeoutExpired):
            wrk.wait(seconds)  # wrk itself counts in whole seconds; interrupted, it ends as if its time were up
        wrk.send_signal(signal.SIGINT)
        output, said = wrk.communicate(timeout=60)
    if wrk.returncode != 0:
        raise ValueError(f"wrk failed: {said.strip()[-300:]}")
    return parse(output)
