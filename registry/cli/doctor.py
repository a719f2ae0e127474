"""What `modelyard doctor` looks at on the machine itself, beside its neighbours: one finding per part, each saying what to do.

Changes nothing, and makes no folder. Asks the same things as the service would: the same folders and walls.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from config import Config
from registry.cli.finding import Finding
from registry.cli.neighbours import AS_THE_SERVICE, Neighbours
from registry.host.forklink import ENVIRONMENT, failed_walls
from registry.host.supervisor import ROOT
from registry.instance import Instance

SELF_TEST = "import json, sys; from registry.host import lock; print(json.dumps(lock.self_test(uid=int(sys.argv[1])).as_dict()))"
EXTRA_NAMES = "import json, sys; from registry.flavors import warming; print(json.dumps(warming.allow_extra_names(sys.argv[1:])))"
IMPORT_SECONDS = 120
#: What the embedded database, the logs of a start and the sockets need at least.
LEAST_FREE_BYTES = 100 << 20
LEAST_FREE_FILES = 1000


def examine(config: Config, instance: Instance) -> list[Finding]:
    """Return the findings of every part."""
    return [
        _system(),
        *Neighbours(config, instance).findings(),
        _folder("store", instance.artifacts, int(config.min_free_bytes), "uploads are refused"),
        _folder("disk", instance.folder, LEAST_FREE_BYTES, "the database can't grow"),
        _walls(config),
        *_extra_names(config),
    ]


def _system() -> Finding:
    shown = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    if sys.platform != "linux":
        return Finding("system", ok=False, text=shown, advice="workers can only be locked on Linux; run the image there")
    return Finding("system", ok=True, text=shown)


def _folder(part: str, folder: Path, least_bytes: int, otherwise: str) -> Finding:
    """Judge a folder: whether it can be used, and the room on its file system."""
    try:
        there = next(path for path in (folder, *folder.parents) if path.exists())
        room = os.statvfs(there)
    except OSError as error:
        return Finding(part, ok=False, text=f"{folder} can't be looked at ({error.strerror})", advice=AS_THE_SERVICE)
    if room.f_flag & os.ST_RDONLY:  # asked first, since nobody may write there, whoever it belongs to
        return Finding(part, ok=False, text=f"the file system of {there} is mounted read-only", advice="mount it for writing")
    if not os.access(there, os.R_OK | os.W_OK | os.X_OK):
        return Finding(part, ok=False, text=f"{there} can't be read and written", advice="give it to the user that runs the service")
    free_bytes, free_files = room.f_bavail * room.f_frsize, room.f_favail
    if free_bytes < least_bytes:
        text = f"{free_bytes >> 20} MiB free under {there}; below {least_bytes >> 20} MiB {otherwise}"
        return Finding(part, ok=False, text=text, advice="make room, or try 'modelyard sweep'")
    if room.f_files and free_files < LEAST_FREE_FILES:
        return Finding(part, ok=False, text=f"room for {free_files} more files under {there}", advice="remove files that nobody needs")
    return Finding(
        part, ok=True, text=f"{free_bytes / 2**30:.1f} GiB free under {there}" + ("" if there == folder else ", made by 'serve'")
    )


def _walls(config: Config) -> Finding:
    if config.sandbox == "off":
        return Finding("sandbox", ok=False, text="is switched off", advice="unset MODELYARD_SANDBOX before anyone else uploads")
    command = [sys.executable, "-c", SELF_TEST, str(config.worker_uid)]
    tested = subprocess.run(command, env=ENVIRONMENT, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - our own command line
    if tested.returncode != 0:
        return Finding(
            "sandbox",
            ok=False,
            text=f"the self-test failed: {tested.stderr.strip().splitlines()[-1] if tested.stderr else tested.returncode}",
        )
    return _judged(json.loads(tested.stdout), tested.stdout.strip())


def _judged(walls: dict[str, Any], shown: str) -> Finding:
    """Return what the self-test means: as the service would, it fails where seccomp or the limits don't stand."""
    if failed := failed_walls(walls):
        advice = "publish and predict answer 503; run it on a kernel, or in a container, that allows seccomp filters and resource limits"
        return Finding("sandbox", ok=False, text=f"{' and '.join(failed)} can't lock a worker, so {advice}: {shown}")
    if walls["failures"]:
        passed = "; ".join(walls["failures"])
        return Finding("sandbox", ok=False, text=f"the self-test got through one wall by itself ({passed}), while the others held: {shown}")
    if not walls["landlock"]:
        return Finding("sandbox", ok=True, text=f"stands without Landlock, which this kernel lacks or has switched off: {shown}")
    return Finding("sandbox", ok=True, text=shown)


def _extra_names(config: Config) -> list[Finding]:
    """Return a finding for each name that no artifact can use, and one for all that can be used; none where there are no names."""
    if not config.extra_names:
        return []
    command = [sys.executable, "-c", EXTRA_NAMES, *config.extra_names]
    try:
        tried = subprocess.run(command, env=ENVIRONMENT, cwd=ROOT, capture_output=True, text=True, timeout=IMPORT_SECONDS, check=False)  # noqa: S603 - our own command line
    except subprocess.TimeoutExpired:
        return [Finding("extra names", ok=False, text=f"importing them takes longer than {IMPORT_SECONDS} s, and so would every start")]
    if tried.returncode != 0:
        ended = tried.stderr.strip().splitlines()[-1] if tried.stderr.strip() else tried.returncode
        return [Finding("extra names", ok=False, text=f"importing them ended the process: {ended}")]
    problems = json.loads(tried.stdout.splitlines()[-1])
    findings = [Finding("extra names", ok=False, text=problem) for problem in problems]
    if allowed := [name for name in config.extra_names if not any(problem.startswith(f"{name}: ") for problem in problems)]:
        findings.append(Finding("extra names", ok=True, text=f"artifacts may run the code of {', '.join(allowed)}"))
    return findings
