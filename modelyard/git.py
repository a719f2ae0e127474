"""What git knows of the working folder: the commit that a model was made from, for a version's `source`.

Runs git itself and changes nothing. Never tells a password that stands in a remote's address.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from modelyard.errors import ConfigurationError

GIT_SECONDS = 10
_CREDENTIALS = re.compile(r"(?<=://)[^/@]*@")


def read_source(folder: Path | None = None) -> dict[str, str]:
    """Return `commit`, `branch`, `remote` and `dirty` ("true" or "false") as far as git tells them. Raises ConfigurationError outside a repository."""
    commit = _ask(folder, "rev-parse", "--verify", "HEAD")
    if commit is None:
        raise ConfigurationError(f"{folder or Path.cwd()} is in no git repository with a commit, so no commit can be named.")
    source = {"commit": commit, "dirty": "true" if _ask(folder, "status", "--porcelain", "--untracked-files=no") else "false"}
    branch, remote = _ask(folder, "branch", "--show-current"), _ask(folder, "config", "--get", "remote.origin.url")
    if branch:
        source["branch"] = branch
    if remote:
        source["remote"] = _CREDENTIALS.sub("", remote)
    return source


def _ask(folder: Path | None, *words: str) -> str | None:
    """Return what git prints, or None where it fails."""
    command = ["git", *words]
    try:
        asked = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=GIT_SECONDS, check=False)  # noqa: S603 - our own command line
    except FileNotFoundError:
        raise ConfigurationError("git isn't installed, so no commit can be named.") from None
    except subprocess.TimeoutExpired:
        raise ConfigurationError(f"git did not answer within {GIT_SECONDS} s.") from None
    return asked.stdout.strip() if asked.returncode == 0 else None
