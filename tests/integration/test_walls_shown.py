"""Readiness and `GET /serving` of a running service: which walls stand, with the lock and with it switched off."""

from __future__ import annotations

import os
from pathlib import Path

import httpx
import pytest

from registry.host import landlock
from tests.running import running

OWN = {"unpickler": True, "object_check": True, "golden_replay": True}


@pytest.mark.parametrize("sandbox", ["on", "off"])
def test_readiness_and_serving_show_which_walls_stand(sandbox: str, tmp_path: Path) -> None:
    """The same in both; without the lock the service is degraded, and claims the loader's walls alone."""
    with running(tmp_path / "instance", sandbox=sandbox, web_processes="1") as service:
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
