"""A disk that changes bytes, and one that is full."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.misbehaving import EXTRA_NAMES, model
from tests.running import RunningService, running
from tests.slow_models import sleeping_at_load

BODY = {"data": [[1.0, 2.0, 3.0, 4.0]]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the folder of the artifacts, on a disk of 4 MiB where one can be mounted."""
    place = tmp_path_factory.mktemp("disk") / "artifacts"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], capture_output=True, check=False)
    yield place
    if place.is_mount():
        subprocess.run(["umount", place], check=True)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[RunningService]:
    """One service for the tests of this module."""
    settings = {"web_processes": "2", "cache": "off", "min_free_bytes": "0", "artifacts_path": str(folder)}
    with running(tmp_path_factory.mktemp("disk") / "instance", **settings, extra_names=EXTRA_NAMES) as started:
        yield started


def path_of(folder: Path, sha256: str) -> Path:
    """Return where an artifact lies."""
    return folder / sha256[:2] / sha256[2:4] / sha256


def flip(folder: Path, sha256: str) -> None:
    """Change one byte of a kept artifact."""
    path = path_of(folder, sha256)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o640)
    path.write_bytes(data)


def upload(service: RunningService, name: str, artifact: bytes) -> tuple[int, str]:
    """Return status and slug of a refused upload, over a connection of its own."""
    with service.client() as client:
        refused = client.post(f"/models/{name}/versions", content=artifact, headers={"Content-Type": "application/octet-stream"})
    return refused.status_code, refused.json()["type"].rpartition("/")[2]


def shown(service: RunningService, path: str) -> dict[str, Any]:
    """Return what GET answers."""
    with service.client() as client:
        answer: dict[str, Any] = client.get(path).json()
    return answer


def test_a_flipped_byte_makes_a_version_unloadable_and_is_noted_until_it_loads_again(service: RunningService, folder: Path) -> None:
    """500 model-unloadable, once in the audit trail and on the version; good bytes heal it and clear the note."""
    artifact = model("raises")
    version = service.publish("flipped", artifact)
    service.publish("other", sleeping_at_load(0, marker=9))
    flip(folder, version["artifact"]["sha256"])
    with service.client() as client:
        answers = [client.post("/models/flipped/1", json=BODY) for _ in range(10)]
        assert {(answer.status_code, answer.json()["type"].rpartition("/")[2]) for answer in answers} == {(500, "model-unloadable")}
        assert client.post("/models/other/1", json=BODY).status_code == 200, "other versions go on"
    assert shown(service, "/models/flipped/1")["load_error"] == "The artifact's bytes on disk aren't those that were uploaded."
    assert [event["kind"] for event in shown(service, "/events?model=flipped")["items"]].count("version.load-failed") == 1
    assert any(
        "flipped/1 does not load" in str(line.get("event")) and "sha256 is" in str(line.get("event")) for line in service.log_lines()
    )

    healed = service.publish("flipped", artifact)
    assert healed["artifact"]["sha256"] == version["artifact"]["sha256"]
    with service.client() as client:
        assert client.post("/models/flipped/1/load", json={}).status_code == 200
        assert client.post("/models/flipped/1", json=BODY).json()["prediction"] == [10.0]
    assert shown(service, "/models/flipped/1")["load_error"] is None


def test_missing_bytes_make_a_version_unloadable_and_are_noted(service: RunningService, folder: Path) -> None:
    """The same for an artifact that is gone."""
    version = service.publish("gone", sleeping_at_load(0, marker=10))
    path_of(folder, version["artifact"]["sha256"]).unlink()
    with service.client() as client:
        assert client.post("/models/gone/1", json=BODY).json()["type"].endswith("/model-unloadable")
        pointed = client.put("/models/gone/aliases/production", json={"version": 1})
    assert (pointed.status_code, pointed.json()["type"].rpartition("/")[2]) == (409, "target-not-servable")
    assert shown(service, "/models/gone/1")["load_error"] == "The artifact's bytes are missing on this host."


def test_a_disk_that_fills_up_during_an_upload_refuses_it_and_keeps_nothing(service: RunningService, folder: Path) -> None:
    """507 from the disk itself; the part that came is removed, and what fits is still taken."""
    if not folder.is_mount():
        pytest.skip("a small file system can't be mounted here")
    assert upload(service, "large", os.urandom(8 << 20)) == (507, "no-room")
    assert list((folder / ".quarantine").iterdir()) == []
    with service.client() as client:
        assert client.get("/models/large").status_code == 404
    service.publish("fits", sleeping_at_load(0, marker=11))


def test_a_load_error_and_a_full_disk_over_a_restart(service: RunningService, folder: Path) -> None:
    """A new host process clears the note after a good load; under MODELYARD_MIN_FREE_BYTES uploads get 507, and all else goes on."""
    artifact = sleeping_at_load(0, marker=12)
    sha256 = service.publish("sum", artifact)["artifact"]["sha256"]
    flip(folder, sha256)
    with service.client() as client:
        assert client.post("/models/sum/1", json=BODY).status_code == 500
    assert service.stop() == 0
    path_of(folder, sha256).write_bytes(artifact)
    service.settings["min_free_bytes"] = str(2**62)
    service.start()
    assert shown(service, "/models/sum/1")["load_error"] is not None
    with service.client() as client:
        assert client.post("/models/sum/1", json=BODY).json()["prediction"] == [10.0]
    assert shown(service, "/models/sum/1")["load_error"] is None
    assert upload(service, "sum", model("exits")) == (507, "no-room")
    assert len(shown(service, "/models/sum/versions")["items"]) == 1
