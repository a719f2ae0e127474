"""One virtual environment per contender, made on demand from a locked list with hashes.

Contenders pin what contradicts each other, so none shares an environment with another or with Modelyard. What can't be
installed is told by its reason and ends nobody else's run.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / ".bench"
REQUIREMENTS = ROOT / "benchmarks" / "requirements"
OWN_BIN = Path(sys.executable).parent


class CannotInstall(RuntimeError):
    """An environment that could not be made; the text says why in one line."""


def folder(name: str) -> Path:
    """Return the folder of an environment."""
    return WORK / "venvs" / name


def bin_folder(name: str | None) -> Path:
    """Return where an environment's commands are; None means Modelyard's own."""
    return OWN_BIN if name is None else folder(name) / "bin"


def ensure(name: str) -> None:
    """Make an environment unless it is there as locked. Raises CannotInstall."""
    lock = REQUIREMENTS / f"{name}.lock"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    stamp = folder(name) / "installed.sha256"
    if stamp.is_file() and stamp.read_text().strip() == digest:
        return
    print(f"Installing {name} into {folder(name).relative_to(ROOT)} ...", flush=True)
    shutil.rmtree(folder(name), ignore_errors=True)
    _run(name, sys.executable, "-m", "venv", str(folder(name)))
    python = str(folder(name) / "bin" / "python")
    _run(name, python, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "--require-hashes", "-r", str(lock))
    stamp.write_text(digest + "\n")


def _run(name: str, *command: str) -> None:
    log = WORK / f"{name}.install.log"
    with log.open("wb") as output:
        status = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, preexec_fn=lambda: os.nice(10), check=False).returncode
    if status != 0:
        said = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        reason = next((line for line in reversed(said) if "ERROR" in line), said[-1] if said else f"exit status {status}")
        raise CannotInstall(f"{reason.strip()[:200]} (see {log.relative_to(ROOT)})")


def versions(name: str | None) -> dict[str, str]:
    """Return the installed packages of an environment with their versions."""
    places = {str(path) for path in bin_folder(name).parent.glob("lib/python*/site-packages")}
    return {found.name.lower(): found.version for found in distributions(path=sorted(places))}
