"""What readiness and `GET /serving` say of the walls: nothing before they were tried, and never more than stands."""

from __future__ import annotations

import os

from registry.api.standing import LOADER, shown_walls
from registry.host.lock import WallReport


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
