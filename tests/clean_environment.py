"""A Python environment of its own, filled from the packages of this one: what a lock file names, and nothing else.

Needs no network: files are copied from where `make test` installed them.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import venv
from importlib import metadata
from importlib.util import cache_from_source
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCKED = re.compile(r"^([a-z0-9-]+)(?:\[[a-z0-9,-]+\])?==(\S+)", re.MULTILINE)


def lay_packages(lock: Path, target: Path) -> None:
    """Put the packages that `lock` names into `target`, as they are installed in this environment."""
    target.mkdir(parents=True, exist_ok=True)
    for name, version in LOCKED.findall(lock.read_text(encoding="utf-8")):
        installed = metadata.distribution(name)
        assert installed.version == version, f"{name} {installed.version} is installed, {version} is locked: run make test"
        lay_package(name, target)


def lay_package(name: str, target: Path, *, only_metadata: bool = False) -> None:
    """Put one package into `target`, compiled as an installer leaves it, or only what says what it is and which commands it has."""
    distribution = metadata.distribution(name)
    for file in distribution.files or []:
        source = Path(str(distribution.locate_file(file)))
        if ".." in file.parts or "__pycache__" in file.parts or not source.is_file():
            continue
        if only_metadata and not file.parts[0].endswith(".dist-info"):
            continue
        _copy(source, target / file)
        if source.suffix == ".py" and (compiled := Path(cache_from_source(str(source)))).is_file():
            _copy(compiled, Path(cache_from_source(str(target / file))))  # still valid: the source keeps its time


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)


class CleanEnvironment:
    """A virtual environment without pip and without packages, in a folder of its own, with an empty home."""

    def __init__(self, folder: Path) -> None:
        """Make it."""
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        venv.create(folder / "venv", with_pip=False, symlinks=True)
        self.bin = folder / "venv" / "bin"
        self.python = self.bin / "python"
        self.packages = folder / "venv" / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"

    def install(self, archive: Path) -> None:
        """Install a wheel or source distribution as a user would, but for its dependencies, which are laid apart."""
        words = ["--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--quiet", str(archive)]
        pip = subprocess.run(
            [sys.executable, "-m", "pip", "--python", str(self.python), "install", *words], capture_output=True, text=True, check=False
        )
        assert pip.returncode == 0, pip.stdout + pip.stderr

    def environment(self, **variables: str) -> dict[str, str]:
        """Return an environment in which nothing of this one is found."""
        return {"HOME": str(self.home), "PATH": f"{self.bin}:/usr/bin:/bin", "LANG": "C.UTF-8", **variables}

    def run(self, *command: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it, in its home."""
        return subprocess.run(
            command, cwd=self.home, env=self.environment(**variables), capture_output=True, text=True, timeout=100, check=False
        )
