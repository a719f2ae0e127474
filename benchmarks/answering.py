"""What the serving loop of a worker costs, without its model: CPU time for each request of a single row.

    .venv/bin/python benchmarks/answering.py [--requests 20000] [--rounds 3]

A forked process runs the loop over a UNIX socket, with a model that does nothing. Its CPU time, less that of a process which
answers nothing, is divided by the requests: with one connection, with 8 that ask one after another, and with 8 that ask at once.
"""

from __future__ import annotations

import argparse
import os
import select
import socket
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from registry import frames
from registry.host.answering import Answering
from registry.host.page import Page

ANSWER = frames.Outputs((np.zeros(4096),))


class Nothing:
    """A loaded model that answers zeros."""

    estimator_name = "nothing"
    recorded: dict[str, str] = {}  # noqa: RUF012 - nobody writes to it

    def runtime_of(self, _method: str) -> str:
        """Return `exact`."""
        return "exact"

    def call(self, _method: str, inputs: frames.Inputs, _params: dict[str, Any]) -> frames.Outputs:
        """Return a zero for each row."""
        return ANSWER.take(0, inputs.rows)


def answer(listener: socket.socket, control: socket.socket) -> None:
    """Run the serving loop; what a child process does."""
    descriptor = Page.create()
    Answering(Nothing(), listener, control, Page(descriptor), select.epoll(), joins=True, most_seconds=30).serve()


def cpu_seconds(ask: Callable[[list[socket.socket]], None]) -> float:
    """Return the CPU time of a loop that is asked over 8 connections."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{folder}/s")
        listener.listen()
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            ours.close()
            answer(listener, theirs)
            os._exit(0)
        connections = [socket.socket(socket.AF_UNIX) for _ in range(8)]
        for connection in connections:
            connection.connect(f"{folder}/s")
        ask(connections)
        ours.close()
        _, status, usage = os.wait4(pid, 0)
        for connection in (*connections, theirs):
            connection.close()
    if status:
        raise SystemExit(f"the loop ended with status {status}")
    return usage.ru_utime + usage.ru_stime


def one_after_another(connections: list[socket.socket], frame: bytes, requests: int) -> None:
    """Send a request once the one before it is answered."""
    for number in range(requests):
        connection = connections[number % len(connections)]
        connection.sendall(frame)
        connection.recv(4096)


def at_once(connections: list[socket.socket], frame: bytes, requests: int) -> None:
    """Send on all connections, then read all answers."""
    for _ in range(requests // len(connections)):
        for connection in connections:
            connection.sendall(frame)
        for connection in connections:
            connection.recv(4096)


def main() -> None:
    """Measure in interleaved rounds and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    count = chosen.requests
    frame = frames.encode_frame({"method": "predict", "params": {}}, frames.encode_inputs(frames.Matrix(np.zeros((1, 4)))))
    ways: dict[str, Callable[[list[socket.socket]], None]] = {
        "1 connection": lambda connections: one_after_another(connections[:1], frame, count),
        "8 connections, one after another": lambda connections: one_after_another(connections, frame, count),
        "8 connections at once": lambda connections: at_once(connections, frame, count),
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(chosen.rounds):
        nothing = cpu_seconds(lambda _connections: None)
        for name, way in ways.items():
            found[name].append(1e6 * (cpu_seconds(way) - nothing) / count)
    for name, figures in found.items():
        print(f"{name:34} {statistics.median(figures):6.1f} µs of CPU a request ({min(figures):.1f} to {max(figures):.1f})")


if __name__ == "__main__":
    main()
