"""What git knows of the working folder: the commit that a model was made from, for a version's `source`.

Runs git itself and changes nothing. Never tells a password that stands in a remote's address.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from modelyard.errors import ConfigurationError

GIT_SECONDS = 10
_AFTER_SCHEME = re.compile(r"(?P<scheme>[a-z+]+://)?(?P<rest>.*)", re.DOTALL)


def read_source(folder: Path | None = None) -> dict[str, str]:
    """Return `commit`, `branch`, `remote` and `dirty` ("true" or "false") as far as git tells them. Raises ConfigurationError outside a repository."""
    commit = _ask(folder, "rev-parse", "--verify", "HEAD")
    if commit is None:
        reason = _run(folder, "rev-parse", "--verify", "HEAD").stderr.strip().splitlines()
        raise ConfigurationError(
            f"{folder or Path.cwd()} is in no git repository with a commit, so no commit can be named ({reason[0] if reason else 'git says no more'})."
        )
    source = {"commit": commit, "dirty": "true" if _ask(folder, "status", "--porcelain", "--untracked-files=no") else "false"}
    branch, remote = _ask(folder, "branch", "--show-current"), _ask(folder, "config", "--get", "remote.origin.url")
    if branch:
        source["branch"] = branch
    if remote:
        source["remote"] = without_credentials(remote)
    return source


def without_credentials(remote: str) -> str:
    """Return a remote's address without whoever is named before its last `@`, and without a query; `git@` alone is nobody's secret."""
    match = _AFTER_SCHEME.fullmatch(remote)
    scheme, rest = (match["scheme"] or "", match["rest"]) if match else ("", remote)
    who, at, place = rest.rpartition("@")
    place = re.split(r"[?#]", place)[0]
    return f"{scheme}{who}{at}{place}" if who == "git" else f"{scheme}{place}"


def _ask(folder: Path | None, *words: str) -> str | None:
    """Return what git prints, or None where it fails."""
    asked = _run(folder, *words)
    return asked.stdout.strip() if asked.returncode == 0 else None


def _run(folder: Path | None, *words: str) -> subprocess.CompletedProcess[str]:
    command = ["git", *words]
    try:
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=GIT_SECONDS, check=False)  # noqa: S603 - our own command line
    except FileNotFoundError:
        raise ConfigurationError("git isn't installed, so no commit can be named.") from None
    except subprocess.TimeoutExpired:
        raise ConfigurationError(f"git did not answer within {GIT_SECONDS} s.") from None
