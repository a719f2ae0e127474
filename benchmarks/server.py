"""One contender's server while it runs: started, timed until its first good answer, checked, loaded, ended.

An answer is compared with the estimator's before anything is measured: a rate of wrong answers is no rate.
"""

from __future__ import annotations

import http.client
import itertools
import os
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from benchmarks import load, process_tree
from benchmarks.contenders.contract import Contender, Way
from benchmarks.estimators import Model

COMPARED_ROWS = 5
POLL_SECONDS = 0.005
_numbers = itertools.count(1)


class Failed(RuntimeError):
    """A server that can't be measured; the text says why in one line."""


def free_ports(first: int) -> int:
    """Return a port from which on ten are free."""
    for port in range(first, 60_000, 10):
        if all(_is_free(port + offset) for offset in range(4)):
            return port
    raise Failed("no port is free")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class Server:
    """A contender with one model, in a folder of its own."""

    def __init__(self, contender: Contender, model: Model) -> None:
        """Prepare; `start` begins."""
        self.contender = contender
        self.model = model
        self.place = contender.place
        self.mark = f"{contender.name}-{model.name}-{os.getpid()}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Start the server and return the seconds until its first good answer. Raises Failed."""
        environment = {**process_tree.clean_environment(self.mark), **self._threads(), **self.contender.environment()}
        log = self.place.folder / "server.log"
        started = time.perf_counter()
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                self.contender.command(), env=environment, cwd=self.place.folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip
        way, rows = self.contender.ways[0], self.model.single_rows()[:1]
        while time.perf_counter() - started < self.contender.start_seconds:
            if self.process.poll() is not None:
                break
            if self._answers(way, rows):
                return time.perf_counter() - started
            time.sleep(POLL_SECONDS)
        said = log.read_text(errors="replace").strip().splitlines()[-1:] or ["nothing"]
        raise Failed(f"it gave no good answer within {time.perf_counter() - started:.0f} s; it last said: {said[0][:200]}")

    def _threads(self) -> dict[str, str]:
        threads = self.contender.math_threads
        return {} if threads is None else {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}

    def _answers(self, way: Way, rows: list[list[float]]) -> bool:
        try:
            return self.ask(way, rows)[0] == http.client.OK
        except (OSError, http.client.HTTPException):
            return False

    def ask(self, way: Way, rows: list[list[float]]) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Ask once and return status, headers and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.place.port, timeout=60)
        try:
            connection.request("POST", self.contender.path, self._body(way, rows), self._headers(way))
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def check(self, way: Way) -> None:
        """Compare answers to one row and to several with the estimator's. Raises Failed."""
        for rows in (self.model.single_rows()[:1], self.model.single_rows()[:COMPARED_ROWS]):
            status, _, body = self.ask(way, rows)
            if status != http.client.OK:
                raise Failed(f"it answered {status}: {body[:200].decode(errors='replace')}")
            if way.floor:
                continue
            expected, answered = self.model.answers(rows), self._read(way, body)
            if answered != expected:
                raise Failed(f"it answered {answered} where the estimator says {expected}")

    def _read(self, way: Way, body: bytes) -> Any:
        try:
            return (way.decode or self.contender.answer)(body)
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise Failed(f"its answer can't be read ({error!r}): {body[:100].decode(errors='replace')}") from error

    def unmet(self, way: Way) -> str:
        """Return which headers of an answer are not as the way of asking expects, or an empty text."""
        if not way.expects:
            return ""
        headers = self.ask(way, self.model.single_rows()[:1])[1]
        return ", ".join(
            f"{name} was {headers.get(name)!r}, not {wanted!r}" for name, wanted in way.expects.items() if headers.get(name) != wanted
        )

    def load(self, way: Way, how: load.Load, seconds: float) -> dict[str, Any]:
        """Load the server and return the figures. Raises Failed where wrk does."""
        requests = self._requests(way, how)
        tree = self.tree()
        before = process_tree.cpu_seconds(tree)
        try:
            sample = load.run(self.place.port, requests, how.connections, seconds, next(_numbers) * 1_000_000 % 1_000_000_000)
        except ValueError as error:
            raise Failed(str(error)) from error
        cpu = process_tree.cpu_seconds(tree) - before
        return {
            "requests": sample.requests, "seconds": sample.seconds, "per_second": sample.per_second, "p50_ms": sample.p50_ms,
            "p99_ms": sample.p99_ms, "errors": sample.errors, "cpu_per_1000": 1000 * cpu / max(1, sample.requests - sample.errors),
        }  # fmt: skip

    def _requests(self, way: Way, how: load.Load) -> Path:
        """Write what wrk sends, once."""
        file = self.place.folder / f"{way.name}-{how.name}.requests"
        if not file.exists():
            batches = self.model.bulks() if how.bulk else [[row] for row in self.model.single_rows()]
            batches = batches[:1] if how.same else [[*rows[:-1], marked(rows[-1], binary=way.encode is not None)] for rows in batches]
            bodies = [self._body(way, rows) for rows in batches]
            load.write_requests(file, self.contender.path, bodies, self._headers(way), same=how.same)
        return file

    def _body(self, way: Way, rows: list[list[float]]) -> bytes:
        return (way.encode or self.contender.body)(rows)

    def _headers(self, way: Way) -> dict[str, str]:
        return {**way.headers, **self.contender.headers()}

    def tree(self) -> set[int]:
        """Return the processes of the server."""
        assert self.process is not None
        return process_tree.members(self.process.pid, self.mark)

    def ask_to_end(self) -> None:
        """Tell the server to end, without waiting for it."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def end(self) -> None:
        """End the server with all that it started."""
        if self.process is not None:
            process_tree.end(self.process, self.mark)
            self.process = None


def marked(row: list[float], *, binary: bool) -> list[float]:
    """Return a row whose last number has the digits that the wrk script replaces; a binary one is replaced by position."""
    if binary:
        return row
    return [*row[:-1], float(f"{row[-1]:.1f}{load.TEXT_MARK.decode()}")]
