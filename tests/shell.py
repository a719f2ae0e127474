"""The command line as people and programs call it: a process of its own each time, in a pipe or on a terminal of a given width."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.command_forks import command_forks
from tests.running import ROOT

SECONDS = 60
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True, slots=True)
class Shell:
    """A folder and an environment in which `modelyard` is called."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    def command(self, words: Sequence[str]) -> list[str]:
        """Return the command line of `modelyard` with these words."""
        return [sys.executable, "-m", "modelyard.cli", *words]

    def environment(self, **variables: str) -> dict[str, str]:
        """Return the environment: ours without any setting, a home of its own, and what the shell and the call say."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MODELYARD_", "NO_COLOR", "FORCE_COLOR"))}
        home = {"XDG_CONFIG_HOME": str(self.folder / "config"), "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}
        return {**inherited, **home, **self.variables, **variables}

    def run(self, *words: str, stdin: str | bytes = b"", **variables: str) -> subprocess.CompletedProcess[str]:
        """Call `modelyard` without a terminal and return how it ended."""
        given = stdin.encode() if isinstance(stdin, str) else stdin
        done = command_forks().run(words, self.folder, self.environment(**variables), given)
        return subprocess.CompletedProcess(words, done.returncode, done.stdout.decode(), done.stderr.decode())

    def succeed(self, *words: str, stdin: str | bytes = b"", **variables: str) -> str:
        """Call a command that must end well, and return what it printed."""
        done = self.run(*words, stdin=stdin, **variables)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def ask(self, *words: str, stdin: str | bytes = b"") -> Any:
        """Call a command with --json and return the document."""
        return json.loads(self.succeed(*words, "--json", stdin=stdin))

    def fail(self, *words: str, stdin: str | bytes = b"", **variables: str) -> tuple[int, str]:
        """Call a command that must fail, and return exit code and what stood on standard error: no traceback."""
        done = self.run(*words, stdin=stdin, **variables)
        assert done.returncode != 0, done.stdout
        assert "Traceback" not in done.stderr
        return done.returncode, done.stderr

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Start a command that goes on, in a pipe."""
        return subprocess.Popen(
            self.command(words), cwd=self.folder, env=self.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def on_terminal(self, *words: str, columns: int = 200, typed: str = "", **variables: str) -> tuple[int, str]:
        """Call a command on a terminal, type into it, and return exit code and all that it showed."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        environment = {name: value for name, value in self.environment(**variables).items() if name not in {"COLUMNS", "LINES"}}
        process = subprocess.Popen(
            self.command(words), cwd=self.folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)
        shown = _read_all(ours, typed.encode())
        return process.wait(SECONDS), shown.decode(errors="replace").replace("\r\n", "\n")


def without_colours(text: str) -> str:
    """Return what a terminal shows, without what only colours it."""
    return ESCAPE.sub("", text)


def _read_all(terminal: int, typed: bytes) -> bytes:
    """Return what is shown until the process closes its end; type once something is asked."""
    shown, deadline = b"", time.monotonic() + SECONDS
    with contextlib.suppress(OSError):  # the other end is closed
        while time.monotonic() < deadline:
            if select.select([terminal], [], [], 1)[0]:
                part = os.read(terminal, 65536)
                if not part:
                    break
                shown += part
                if typed and shown.rstrip().endswith(b":"):
                    os.write(terminal, typed)
                    typed = b""
    os.close(terminal)
    return shown
