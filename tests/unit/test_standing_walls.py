"""What readiness and `GET /serving` say of the walls: nothing before they were tried, and never more than stands."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import Any

import pytest

from registry.api.health import _sandbox
from registry.api.standing import LOADER, shown_walls
from registry.cli.doctor import _judged
from registry.host.lock import WallReport
from registry.host.supervisor import wall_warnings


def test_nothing_is_said_before_a_fork_server_has_tried_the_walls() -> None:
    """Neither without a host process nor while its fork server starts."""
    assert shown_walls(None) is None
    assert shown_walls({"ready": False, "walls": None}) is None


def test_with_the_sandbox_off_the_loaders_walls_stand_alone() -> None:
    """Whatever a setting says, a file is read by the same loader; nothing of the lock is claimed."""
    shown = shown_walls({"ready": True, "walls": None})
    assert shown is not None
    assert {name for name, value in shown.items() if value is True} == set(LOADER)
    assert not any(shown[name] for name in ("sandbox", "seccomp", "landlock", "uid", "rlimits", "filter_tested"))
    assert shown["architecture"] == os.uname().machine


def test_what_the_self_test_found_is_shown_as_it_is() -> None:
    """Also a wall that fell, and what got through it."""
    found = WallReport(seccomp=False, landlock=None, uid=65534, rlimits=True, failures=("seccomp: trace",), architecture="aarch64")
    shown = shown_walls({"ready": True, "walls": found.as_dict()})
    assert shown == {"sandbox": True, **LOADER, **found.as_dict()}


def test_the_loaders_walls_go_by_their_own_names() -> None:
    """So that one of the lock can't hide behind one of them."""
    found = WallReport(seccomp=True, landlock=7, uid=None, rlimits=True)
    assert not set(found.as_dict()) & {"sandbox", *LOADER}


@pytest.mark.parametrize(
    ("walls", "readiness", "doctor"),
    [
        ({}, "up", (True, '"seccomp"')),
        ({"landlock": None}, "degraded", (True, "without Landlock")),
        ({"failures": ("uid: become_root",)}, "degraded", (False, "uid: become_root")),
        ({"seccomp": False}, "down", (False, "seccomp can't lock a worker")),
        ({"rlimits": False}, "down", (False, "rlimits can't lock a worker")),
    ],
)
def test_readiness_and_doctor_judge_the_walls_as_the_host_process_does(
    walls: dict[str, Any], readiness: str, doctor: tuple[bool, str]
) -> None:
    """Down, and a finding that says what to do, where publish and predict would answer 503."""
    found = replace(WallReport(seccomp=True, landlock=7, uid=65534, rlimits=True), **walls).as_dict()
    assert _sandbox({"ready": True, "walls": found}) == readiness
    finding = _judged(found, json.dumps(found))
    assert (finding.ok, doctor[1] in finding.text) == (doctor[0], True)


@pytest.mark.parametrize(
    ("walls", "words"),
    [
        ({}, []),
        ({"landlock": None}, ["no Landlock"]),
        ({"architecture": "aarch64", "filter_run_at_release": False}, ["aarch64 was never run"]),
        (None, ["SANDBOX IS OFF"]),
    ],
)
def test_each_start_warns_of_a_wall_that_is_missing_or_untried(walls: dict[str, Any] | None, words: list[str]) -> None:
    """One line for each, and none where all is well."""
    found = (
        None
        if walls is None
        else replace(WallReport(seccomp=True, landlock=7, uid=65534, rlimits=True, filter_run_at_release=True), **walls).as_dict()
    )
    warnings = wall_warnings(found)
    assert len(warnings) == len(words)
    assert all(word in warning for word, warning in zip(words, warnings, strict=True))
