"""The processes of a running service, found in /proc, and waiting for what must come about."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx

from tests.running import RunningService

T = TypeVar("T")


def eventually(ask: Callable[[], T], seconds: float = 20.0, *, what: str = "it") -> T:
    """Ask again and again until the answer is true, and return it; AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = ask()
        if answer:
            return answer
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come about within {seconds:g} s")


class Processes:
    """Pids by what they are; read afresh at each question."""

    def __init__(self, service: RunningService) -> None:
        """Look at the processes below this service's host process."""
        assert service.process is not None
        self.host = service.process.pid

    @property
    def all(self) -> set[int]:
        """Return the host process and all below it."""
        found, rest, below = set(), [self.host], _children_of_all()
        while rest:
            pid = rest.pop()
            found.add(pid)
            rest += below.get(pid, [])
        return found

    @property
    def granian(self) -> int:
        """Return Granian's main process."""
        return self._one("granian")

    @property
    def web(self) -> list[int]:
        """Return the web processes."""
        return children(self.granian)

    @property
    def forkserver(self) -> int:
        """Return the fork server."""
        return self._one("registry.host.forkserver")

    @property
    def workers(self) -> list[int]:
        """Return the workers."""
        return children(self.forkserver)

    def valkey(self, name: str) -> int:
        """Return the embedded Valkey `limits` or `cache`."""
        return self._one(f"{name}.sock")

    def _one(self, word: str) -> int:
        return eventually(lambda: next((pid for pid in children(self.host) if word in command_line(pid)), 0), what=f"a process with {word}")


def children(pid: int) -> list[int]:
    """Return the pids of a process's children, those that ended and weren't reaped left out."""
    return sorted(_children_of_all().get(pid, []))


def _children_of_all() -> dict[int, list[int]]:
    """Return the children of every process. Read without Path, since tests ask for it fifty times a second."""
    found: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as stat:  # noqa: PTH123
                state, parent = stat.read().rpartition(")")[2].split()[:2]
                if state != "Z":
                    found.setdefault(int(parent), []).append(int(name))
    return found


def command_line(pid: int) -> str:
    """Return a process's command line, empty when it has ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


def is_running(pid: int) -> bool:
    """Tell whether a process is there and hasn't ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Send a signal."""
    os.kill(pid, number)


class Hammering:
    """Threads that send requests until told to stop, and what they were answered."""

    def __init__(self, service: RunningService, send: Callable[[httpx.Client, int], httpx.Response], threads: int = 4) -> None:
        """`send(client, count)` sends one request."""
        self._service = service
        self._send = send
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]
        self.answers: list[httpx.Response] = []
        self.errors: list[Exception] = []

    def _run(self) -> None:
        with self._service.client() as client:
            count = 0
            while not self._stop.is_set():
                count += 1
                try:
                    self.answers.append(self._send(client, count))
                except httpx.HTTPError as error:
                    self.errors.append(error)

    @property
    def failed(self) -> list[str]:
        """Return what went wrong."""
        return [answer.text for answer in list(self.answers) if answer.status_code != 200] + [repr(error) for error in self.errors]

    def wait_for_more(self, count: int = 20) -> None:
        """Wait until so many further requests were answered."""
        wanted = len(self.answers) + count
        eventually(lambda: len(self.answers) >= wanted, 60, what=f"{count} more answers")

    def __enter__(self) -> Self:
        """Begin, and wait for the first answers."""
        for thread in self._threads:
            thread.start()
        self.wait_for_more(1)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop and wait for the last answers."""
        self._stop.set()
        for thread in self._threads:
            thread.join(90)


@contextlib.contextmanager
def in_background(work: Callable[[], Any]) -> Iterator[list[Any]]:
    """Run `work` in a thread during a block; the list has its result, or its exception, after the block."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(work())
        except Exception as error:  # noqa: BLE001 - the test looks at it
            outcome.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield outcome
    finally:
        thread.join(90)
