"""What a hostile file is, and the canary that it may set off.

A canary is a folder that any user may write to, with one file in it, and the port of the test's own listener. Nothing
in the corpus does more than change that folder, connect to that port, crash, hang or use memory.
"""

from __future__ import annotations

import shutil
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

SENTINEL = "sentinel"

#: "refused" files must be refused; "tamed" ones may be taken, once what hurts was rebuilt or dropped.
Outcome = Literal["refused", "tamed"]


@dataclass(frozen=True, slots=True)
class Canary:
    """Where one hostile file leaves its trace."""

    folder: Path
    port: int

    @property
    def marker(self) -> str:
        """Return the path that the file creates."""
        return str(self.folder / "marker")

    @property
    def sentinel(self) -> str:
        """Return the path of a file that is there before."""
        return str(self.folder / SENTINEL)

    @property
    def command(self) -> str:
        """Return the shell command that leaves the trace."""
        return f"touch {self.marker}"

    @property
    def source(self) -> str:
        """Return the Python expression that leaves the trace."""
        return f"open({self.marker!r}, 'w').close()"

    @property
    def address(self) -> tuple[str, int]:
        """Return the listener's address."""
        return ("127.0.0.1", self.port)

    @property
    def url(self) -> str:
        """Return the listener's address as a URL."""
        return f"http://127.0.0.1:{self.port}/data"


@dataclass(frozen=True, slots=True)
class Hostile:
    """One file: its bytes, and what must come of it.

    `fires` says that plain loading, then predicting, leaves a trace; a service answers an upload with `status`.
    `rows` is what the model is asked to predict, where zeros for its columns won't do.
    """

    name: str
    kind: str
    blob: bytes
    canary: Canary
    fires: bool = False
    outcome: Outcome = "refused"
    status: int = 422
    rows: Any = None


class Trap:
    """The canaries of one run: a folder below `root` for each file, and one listener for all."""

    def __init__(self, root: Path) -> None:
        """Open the listener; `root` is made writable for everyone."""
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        root.chmod(0o777)
        assert root.parent.stat().st_mode & 0o005 == 0o005, f"nobody could reach {root}, so a missing trace would show nothing"
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._listener.setblocking(False)
        self.port = int(self._listener.getsockname()[1])

    def canary(self, name: str) -> Canary:
        """Make the canary of the file of that name."""
        canary = Canary(self.root / name, self.port)
        self.renew(canary)
        return canary

    def renew(self, canary: Canary) -> None:
        """Make a canary's folder as it was before anything touched it."""
        shutil.rmtree(canary.folder, ignore_errors=True)
        canary.folder.mkdir()
        canary.folder.chmod(0o777)
        sentinel = Path(canary.sentinel)
        sentinel.write_text("here")
        sentinel.chmod(0o666)

    def traces(self, canary: Canary) -> list[str]:
        """Return what changed in the canary's folder, and how often anyone connected since this was last asked."""
        found = [f"connection {number}" for number in range(self._accepted())]
        names = {path.name for path in canary.folder.iterdir()} if canary.folder.is_dir() else set()
        found += sorted(names ^ {SENTINEL})
        if SENTINEL in names and (canary.folder / SENTINEL).read_text() != "here":
            found.append("changed")
        return found

    def close(self) -> None:
        """Close the listener."""
        self._listener.close()

    def _accepted(self) -> int:
        count = 0
        while True:
            try:
                self._listener.accept()[0].close()
            except BlockingIOError:
                return count
            count += 1
