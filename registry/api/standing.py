"""Which walls stand around uploaded models, as readiness and `GET /serving` show them.

The loader's own walls are part of the code that loads, so that no setting takes them away; the lock's are what the fork
server's self-test found. Must never show a wall that was not tried as one that stands.
"""

from __future__ import annotations

import os
from typing import Any, cast

from registry.api.answers import Walls

#: Walls that every worker has, also with the sandbox off.
LOADER = {"unpickler": True, "object_check": True, "golden_replay": True}
#: What stands of the lock where MODELYARD_SANDBOX=off leaves it out.
UNLOCKED = {
    "seccomp": False,
    "landlock": False,
    "uid": False,
    "rlimits": False,
    "failures": [],
    "filter_tested": False,
    "filter_run_at_release": False,
}


def shown_walls(report: dict[str, Any] | None) -> Walls | None:
    """Return each wall and whether it stands, from the host process's report; None while no fork server has tried them."""
    if report is None or not report["ready"]:
        return None
    tested = report["walls"]  # None where the sandbox is off
    lock = UNLOCKED | {"architecture": os.uname().machine} if tested is None else tested
    return cast("Walls", {"sandbox": tested is not None, **LOADER, **lock})
