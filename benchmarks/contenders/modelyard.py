"""Modelyard itself, from this repository: a real `modelyard serve` with everything on.

Key, limit, audit, metrics and logs are those of a default installation; the key's limit is only high enough not to refuse.
A version's cache and runtime differ between the services, so that each holds one loaded version in memory.
"""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import process_tree
from benchmarks.contenders.contract import JSON, Contender, Way

UNCACHED = {**JSON, "Cache-Control": "no-store"}
NPY = {"Content-Type": "application/x-npy", "Accept": "application/x-npy"}
LIMIT = "100000000/minute"
START_SECONDS = 60
FAST_SECONDS = 120
NAME = "bench"


def npy(rows: list[list[float]]) -> bytes:
    """Return rows as an npy file."""
    buffer = io.BytesIO()
    np.save(buffer, np.array(rows))
    return buffer.getvalue()


def labels_of_npy(body: bytes) -> list[int]:
    """Return the predictions in an npy file."""
    return [int(label) for label in np.load(io.BytesIO(body))]


class Refused(RuntimeError):
    """Something that this Modelyard doesn't do for this model; the text says why."""


class Modelyard(Contender):
    """One web process, and the runtime `exact`."""

    name = "modelyard"
    packages = ("modelyard", "scikit-learn", "numpy")
    ways = (
        Way(
            "modelyard", "Modelyard, cache bypassed", "1 web process, runtime exact, `Cache-Control: no-store`", headers=UNCACHED,
            expects={"X-Cache": "bypass"}, ours=True,
        ),
        Way("modelyard-default", "Modelyard, default settings", "1 web process, runtime exact, cache as shipped, all rows new to it", ours=True),
        Way(
            "modelyard-npy", "Modelyard, application/x-npy", "as above, rows and predictions as npy", headers=NPY, loads=("bulk",), ours=True,
            encode=npy, decode=labels_of_npy,
        ),
    )  # fmt: skip
    path = f"/models/{NAME}/1"
    math_threads = None
    joins_or_isolates = True
    web_processes = 1
    change: Mapping[str, Any] = {}

    def prepare(self) -> None:
        """Publish the model and make a key, with a service that is ended again. Raises Refused."""
        mark = f"prepare-{self.name}-{self.place.port}"
        log = self.place.folder / "prepare.log"
        with log.open("wb") as output:
            environment = {**process_tree.clean_environment(mark), **self.environment()}
            service = subprocess.Popen(self.command(), env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            self._wait(service)
            self._publish()
        except OSError as error:
            raise Refused(f"it could not be prepared: {error}; {log.read_text(errors='replace')[-300:]}") from error
        finally:
            process_tree.end(service, mark)

    def _wait(self, service: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and service.poll() is None:
            with contextlib.suppress(OSError):
                self._call("GET", "/health/ready")
                return
            time.sleep(0.05)
        raise OSError("it did not get ready")

    def _publish(self) -> None:
        self._call("POST", f"/models/{NAME}/versions", self.place.artifact.read_bytes())
        if self.change:
            try:
                self._call("PATCH", self.path, dict(self.change))
            except urllib.error.HTTPError as error:
                raise Refused(f"it doesn't take {json.dumps(self.change)}: {error}") from error
        if self.change.get("runtime") == "fast":
            self._await_fast()
        key = self._call("POST", "/keys", {"name": "benchmark", "scopes": ["read", "predict"], "limits": [LIMIT]})["key"]
        (self.place.folder / "predict.key").write_text(key)

    def _await_fast(self) -> None:
        """Wait until the compiled form is made. Raises Refused when it isn't."""
        deadline = time.monotonic() + FAST_SECONDS
        state = ""
        while time.monotonic() < deadline:
            version = self._call("GET", self.path)
            state = str(version.get("fast"))
            if state == "ready":
                return
            if state == "refused":
                raise Refused(f"fast was refused. {(version.get('fast_report') or {}).get('reason', '')}")
            time.sleep(0.2)
        raise Refused(f"no compiled form after {FAST_SECONDS} s; the version says fast: {state}")

    def _call(self, method: str, path: str, body: bytes | dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask the control API as admin. Raises OSError, HTTPError for a refusal."""
        kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        admin = self.place.folder / "instance" / "admin.key"
        headers = {"Authorization": f"Bearer {admin.read_text().strip()}", "Content-Type": kind}
        request = urllib.request.Request(f"http://127.0.0.1:{self.place.port}{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=120) as response:
            answer: dict[str, Any] = json.load(response)
        return answer

    def command(self) -> list[str]:
        """Return the command that a user of the repository types."""
        return [self.bin("modelyard"), "serve"]

    def environment(self) -> dict[str, str]:
        """Return the settings: where, and how many web processes."""
        return {
            "MODELYARD_INSTANCE_PATH": str(self.place.folder / "instance"),
            "MODELYARD_PORT": str(self.place.port),
            "MODELYARD_WEB_PROCESSES": str(self.web_processes),
        }

    def headers(self) -> dict[str, str]:
        """Return the key."""
        return {"Authorization": f"Bearer {(self.place.folder / 'predict.key').read_text()}"}


class ModelyardAllCores(Modelyard):
    """The number of web processes as shipped: one per core."""

    name = "modelyard-all-cores"
    ways = (
        Way(
            "modelyard-all-cores", "Modelyard, as shipped, a web process per core", "no setting changed, all rows new to the cache",
            ours=True,
        ),
    )  # fmt: skip
    web_processes = 0


class ModelyardHits(Modelyard):
    """Answers from the cache."""

    name = "modelyard-hits"
    ways = (
        Way(
            "modelyard-hits", "Modelyard, cache hits", "1 web process, the version's cache switched on (`auto` may find that it doesn't pay)",
            loads=("hits",), models=("iris",), expects={"X-Cache": "hit"}, ours=True,
        ),
    )  # fmt: skip
    change: Mapping[str, Any] = {"cache": True}


class ModelyardFast(Modelyard):
    """The runtime `fast`."""

    name = "modelyard-fast"
    ways = (
        Way("modelyard-fast", "Modelyard, runtime fast", "1 web process, `Cache-Control: no-store`", headers=UNCACHED, ours=True),
        Way(
            "modelyard-fast-npy", "Modelyard, runtime fast, application/x-npy", "as above, rows and predictions as npy",
            headers={**NPY, "Cache-Control": "no-store"}, loads=("bulk",), ours=True, encode=npy, decode=labels_of_npy,
        ),
    )  # fmt: skip
    change: Mapping[str, Any] = {"runtime": "fast"}


def commit(root: Path) -> str:
    """Return the commit that runs, with a plus where files differ from it."""
    git = ["git", "-C", str(root)]
    head = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    changed = subprocess.run(
        [*git, "status", "--porcelain", "registry", "config.py"], capture_output=True, text=True, check=False
    ).stdout.strip()
    return (head or "unknown") + ("+" if changed else "")
