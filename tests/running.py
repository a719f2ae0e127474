"""A real Modelyard in a process of its own, for tests that talk to it over HTTP."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import joblib

from tests.command_forks import command_forks

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 60
#: For clients that speak plain HTTP: by default each would read all certificates of the world, which takes longer than a request.
NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def free_port() -> int:
    """Return a port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def dumped(estimator: Any, **options: Any) -> bytes:
    """Return an estimator as a joblib file's bytes."""
    buffer = io.BytesIO()
    joblib.dump(estimator, buffer, **options)
    return buffer.getvalue()


class RunningService:
    """One `modelyard serve`, its address, its admin key and what it printed."""

    def __init__(self, instance: Path, port: int | None = None, *, measured: bool = True, **settings: str) -> None:
        """Prepare; `start` begins. `settings` are MODELYARD_ variables without the prefix, in lower case.

        Not `measured` keeps coverage, which takes half as long again, from following the service into its processes.
        """
        self.instance = instance
        self.measured = measured
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.output = instance.parent / f"{instance.name}-{self.port}.out"
        self.settings = {"web_processes": "2", "log_level": "info", **settings}
        self.process: subprocess.Popen[bytes] | None = None

    def environment(self) -> dict[str, str]:
        """Return the environment of `modelyard` commands for this instance."""
        own = {f"MODELYARD_{name.upper()}": value for name, value in self.settings.items()}
        left_out = ("MODELYARD_",) if self.measured else ("MODELYARD_", "COVERAGE_")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
        return {**inherited, **own, "MODELYARD_INSTANCE_PATH": str(self.instance), "MODELYARD_PORT": str(self.port)}

    def start(self, *, wait: bool = True) -> RunningService:
        """Start the host process and wait until it is ready."""
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "registry.cli", "serve"], cwd=ROOT, env=self.environment(), stdout=output, stderr=subprocess.STDOUT
            )
        if wait:
            self.wait_until_ready()
        return self

    def wait_until_ready(self, statuses: tuple[str, ...] = ("up", "degraded")) -> None:
        """Wait until `/health/ready` says so; AssertionError with the log when it doesn't."""
        deadline = time.monotonic() + START_SECONDS
        with httpx.Client(base_url=self.url, timeout=5, verify=NO_CERTIFICATES) as client:
            while time.monotonic() < deadline:
                if self.process is not None and self.process.poll() is not None:
                    break
                with contextlib.suppress(httpx.HTTPError, ValueError):
                    if client.get("/health/ready").json()["status"] in statuses:
                        return
                time.sleep(0.05)
        raise AssertionError(f"the service did not become ready:\n{self.log()[-6000:]}")

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run another `modelyard` command on the same instance."""
        done = command_forks().run(command, ROOT, {**self.environment(), **environment})
        return subprocess.CompletedProcess(command, done.returncode, done.stdout.decode(), done.stderr.decode())

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal to the host process, wait for its end and return its status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(60)

    def log(self) -> str:
        """Return everything that the service printed."""
        return self.output.read_text(errors="replace")

    def wait_for_log(self, text: str, *, times: int = 1, seconds: float = 20) -> None:
        """Wait until `text` was printed so many times; AssertionError when it wasn't."""
        deadline = time.monotonic() + seconds
        while self.log().count(text) < times:
            assert time.monotonic() < deadline, f"{text!r} was not printed:\n{self.log()[-3000:]}"
            time.sleep(0.05)

    def log_lines(self) -> list[dict[str, Any]]:
        """Return the JSON lines of the log."""
        lines = []
        for line in self.log().splitlines():
            with contextlib.suppress(ValueError):
                lines.append(json.loads(line))
        return [line for line in lines if isinstance(line, dict)]

    @property
    def admin_key(self) -> str:
        """Return the first key."""
        return (self.instance / "admin.key").read_text().strip()

    def client(self, key: str | None = None, **options: Any) -> httpx.Client:
        """Return an HTTP client that sends `key`, by default the admin's."""
        headers = {"Authorization": f"Bearer {key or self.admin_key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, verify=NO_CERTIFICATES, **options)

    def publish(self, name: str, estimator: Any, manifest: dict[str, Any] | None = None, *, key: str | None = None) -> dict[str, Any]:
        """Publish an estimator, or the bytes of one, and return the version."""
        artifact = estimator if isinstance(estimator, bytes) else dumped(estimator)
        files: dict[str, Any] = {"artifact": ("model.joblib", artifact)}
        if manifest is not None:
            files["manifest"] = (None, json.dumps(manifest), "application/json")
        with self.client(key) as client:
            response = client.post(f"/models/{name}/versions", files=files)
        assert response.status_code == 201, response.text
        version: dict[str, Any] = response.json()
        return version

    def make_key(self, *scopes: str, **grants: Any) -> str:
        """Make an API key and return its text."""
        with self.client() as client:
            response = client.post("/keys", json={"name": "test", "scopes": list(scopes), "limits": ["1000000/minute"], **grants})
        assert response.status_code == 201, response.text
        return str(response.json()["key"])

    def host_report(self) -> dict[str, Any]:
        """Return `GET /serving`."""
        with self.client() as client:
            report: dict[str, Any] = client.get("/serving").json()
        return report


@contextlib.contextmanager
def running(instance: Path, port: int | None = None, *, measured: bool = True, **settings: str) -> Iterator[RunningService]:
    """Start a service for the length of a block."""
    service = RunningService(instance, port, measured=measured, **settings)
    try:
        yield service.start()
    finally:
        if service.process is not None:
            service.stop()
