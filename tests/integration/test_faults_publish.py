"""SIGKILL during a publish, at each of its steps: no version without bytes, no bytes lost, the next publish works."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import socket
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.misbehaving import EXTRA_NAMES
from tests.processes import Processes, eventually, in_background, is_running, kill
from tests.running import RunningService, running
from tests.slow_models import sleeping, sleeping_at_load

HEADERS = {"Content-Type": "application/octet-stream"}
MARKERS = itertools.count(1)


def never_seen(seconds: float = 0) -> bytes:
    """Return an artifact whose bytes no other has, and that takes so long to load."""
    return sleeping_at_load(seconds, marker=next(MARKERS))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """One service that is killed again and again."""
    settings = {"web_processes": "1", "extra_names": EXTRA_NAMES}
    with running(tmp_path_factory.mktemp("publish") / "instance", measured=False, **settings) as started:
        started.publish("model", sleeping(0))
        yield started


def artifacts(service: RunningService) -> set[str]:
    """Return the digests of the kept artifacts."""
    return {path.name for path in (service.instance / "artifacts").glob("??/??/*")}


def damaged(service: RunningService) -> list[str]:
    """Return the versions without their bytes, and the kept artifacts that aren't what their name says: what `verify` looks for."""
    stored = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (service.instance / "artifacts").glob("??/??/*")}
    return [*(rows(service) - stored.keys()), *(name for name, digest in stored.items() if name != digest)]


def quarantined(service: RunningService) -> list[Path]:
    """Return the uploads under way, and what those that were cut off left."""
    return list((service.instance / "artifacts" / ".quarantine").glob("*.part"))


def receiving(service: RunningService) -> Iterator[None]:
    """Send half of an upload and stall."""
    left_before = len(quarantined(service))
    artifact = never_seen()
    with socket.create_connection(("127.0.0.1", service.port)) as connection:
        head = f"POST /models/model/versions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {service.admin_key}\r\n"
        head += f"Content-Type: application/octet-stream\r\nContent-Length: {len(artifact)}\r\n\r\n"
        connection.sendall(head.encode() + artifact[: len(artifact) // 2])
        eventually(lambda: len(quarantined(service)) > left_before, what="the upload in quarantine")
        yield


def judging(service: RunningService) -> Iterator[None]:
    """Publish what takes a minute to load."""
    with in_background(lambda: publish(service, never_seen(60))):
        eventually(lambda: Processes(service).workers, what="the worker that judges")
        yield


def committing(service: RunningService) -> Iterator[None]:
    """Publish while another holds the database's write lock: the bytes are kept, the row waits."""
    kept = artifacts(service)
    holder = sqlite3.connect(service.instance / "modelyard.db", isolation_level=None)
    with contextlib.closing(holder), in_background(lambda: publish(service, never_seen())):
        holder.execute("BEGIN IMMEDIATE")
        eventually(lambda: artifacts(service) - kept, what="the kept bytes")
        yield


def answering(service: RunningService) -> Iterator[None]:
    """Publish, and go on as soon as the row is there, whether the answer went out or not."""
    before = rows(service)
    with in_background(lambda: publish(service, never_seen())):
        eventually(lambda: len(rows(service)) > len(before), what="the row")
        yield


def publish(service: RunningService, artifact: bytes) -> int:
    """Publish and return the status."""
    with service.client() as client:
        return client.post("/models/model/versions", content=artifact, headers=HEADERS).status_code


def rows(service: RunningService) -> set[str]:
    """Return the digests that the versions in the database name."""
    with contextlib.closing(sqlite3.connect(service.instance / "modelyard.db")) as database:
        return {row[0] for row in database.execute("SELECT sha256 FROM versions")}


def answers(service: RunningService) -> bool:
    """Tell whether the service answers."""
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(f"{service.url}/health/ready", timeout=5).status_code == 200
    return False


@pytest.mark.parametrize("step", [receiving, judging, committing, answering], ids=lambda step: step.__name__)
@pytest.mark.parametrize("victim", ["host", "web"])
def test_a_kill_during_publish_loses_nothing(
    service: RunningService, victim: str, step: Callable[[RunningService], Iterator[None]]
) -> None:
    """Every version has its bytes, those kept before are still there, and the next publish gets the next number."""
    eventually(lambda: answers(service), 40, what="the service")
    kept, versions = artifacts(service), len(rows(service))
    processes = Processes(service)
    with contextlib.contextmanager(step)(service):
        everyone = processes.all
        if victim == "host":
            assert service.stop(9) == -9
            eventually(lambda: not any(map(is_running, everyone)), what="the end of all processes")
        else:
            killed = processes.web[0]
            kill(killed)
            eventually(lambda: not is_running(killed))
    if victim == "host":
        service.start()
    eventually(lambda: answers(service), 40, what="the service")
    assert artifacts(service) >= kept
    assert artifacts(service) >= rows(service), "a version without bytes"
    assert len(rows(service)) - versions == (1 if step is answering else 0)
    published = service.publish("model", never_seen())
    assert published["version"] == len(rows(service))
    assert damaged(service) == []


def test_what_cut_off_uploads_left_is_swept(service: RunningService) -> None:
    """Afterwards the store holds what versions name and nothing else."""
    eventually(lambda: answers(service), 40, what="the service")
    swept = service.run("sweep", "--grace-seconds", "0")
    assert swept.returncode == 0, swept.stderr
    assert artifacts(service) == rows(service)
    assert quarantined(service) == []
    assert service.run("verify").returncode == 0
