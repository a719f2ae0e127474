"""Readiness and `GET /serving` of a running service: which walls stand, with the lock and with it switched off."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from registry.host import landlock
from tests.running import RunningService, running

OWN = {"unpickler": True, "object_check": True, "golden_replay": True}


@pytest.fixture(params=["on", "off"])
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RunningService]:
    """Give a service with the lock, or one with it switched off."""
    if request.param == "on":
        yield request.getfixturevalue("shared_service")
        return
    with running(tmp_path / "instance", measured=False, sandbox="off", web_processes="1") as started:
        yield started


def test_readiness_and_serving_show_which_walls_stand(service: RunningService) -> None:
    """The same in both; without the lock the service is degraded, and claims the loader's walls alone."""
    sandbox = service.settings.get("sandbox", "on")
    ready = httpx.get(f"{service.url}/health/ready")
    walls = ready.json()["walls"]
    assert service.host_report()["walls"] == walls
    assert ready.status_code == 200
    assert walls["architecture"] == os.uname().machine
    assert walls["failures"] == []
    assert walls == {**walls, **OWN, **dict.fromkeys(("sandbox", "seccomp", "rlimits", "filter_tested"), sandbox == "on")}
    if sandbox == "on":
        assert (walls["landlock"], walls["uid"] is None) == (landlock.find_version(), os.geteuid() != 0)
        assert ready.json()["parts"]["sandbox"] == ("up" if walls["landlock"] else "degraded")
    else:
        assert (walls["landlock"], walls["uid"]) == (False, False)
        assert (ready.json()["status"], ready.json()["parts"]["sandbox"]) == ("degraded", "degraded")
