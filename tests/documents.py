"""The code blocks of a page, and running them in order as its reader would: Python in one session, bash in one shell.

A block of Python or bash is run unless `<!-- not run: why -->` stands above it. What a `text` or `json` block right below it shows is
what must come out, `…` standing for what differs from run to run. `<!-- run: bash` and lines up to `-->` is set-up that no reader sees.
"""

from __future__ import annotations

import contextlib
import difflib
import gc
import io
import re
import subprocess
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

RUN = ("python", "bash")
SHOWN = ("text", "json")
BASH_SECONDS = 60
#: A block, set-up that isn't shown, or the note that what follows isn't run.
PIECE = re.compile(
    r"^(?P<fence>```+)(?P<language>\w*)[^\n]*\n(?P<code>.*?)^(?P=fence)[ \t]*$"
    r"|^<!-- run: (?P<hidden_language>\w+)\n(?P<hidden>.*?)^-->"
    r"|^<!-- not run: (?P<reason>[^\n]+?) -->",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Block:
    """One block to run: its code, the line where that begins, what must come out (None: anything), and why it isn't run (None: it is)."""

    language: str
    code: str
    line: int
    shown: str | None = None
    reason: str | None = None


def blocks_of(page: Path) -> list[Block]:
    """Return the blocks of Python and bash in the order of the page."""
    text = page.read_text(encoding="utf-8")
    found: list[Block] = []
    before: re.Match[str] | None = None
    for piece in PIECE.finditer(text):
        above = before if before is not None and not text[before.end() : piece.start()].strip() else None
        if piece["language"] in RUN or piece["hidden_language"] in RUN:
            group = "code" if piece["hidden"] is None else "hidden"
            line = text.count("\n", 0, piece.start(group))
            reason = above["reason"] if above is not None else None
            found.append(Block(piece["language"] or piece["hidden_language"], piece[group], line, reason=reason))
        elif piece["language"] in SHOWN and above is not None and above["language"] in RUN:
            found[-1] = replace(found[-1], shown=piece["code"])
        before = piece
    return found


class Session:
    """One reader at one page: a Python session and a shell that go on from block to block."""

    def __init__(self, page: Path, replacements: dict[str, str], environment: dict[str, str], folder: Path) -> None:
        """Prepare. `replacements` are made in code and in what must come out; the shell begins with `environment` in `folder`."""
        self._page = page
        self._replacements = replacements
        self._environment = environment
        self._folder = folder
        self._state = folder.with_name(f"{folder.name}.state")
        self._names: dict[str, Any] = {"__name__": "__main__"}

    def run(self, block: Block) -> None:
        """Run one block and compare; AssertionError with page and line where something else comes out."""
        code = self._replaced(block.code)
        came = self._python(code, block.line) if block.language == "python" else self._bash(code, block.line)
        if block.shown is not None:
            shown = self._replaced(block.shown)
            assert pattern_of(shown).fullmatch(tidied(came)), f"{self._page}:{block.line}: comes out otherwise\n{difference(shown, came)}"

    def close(self) -> None:
        """Let go of what the page's Python left open."""
        with warnings.catch_warnings(action="ignore", category=ResourceWarning):
            self._names.clear()
            gc.collect()

    def _python(self, code: str, line: int) -> str:
        output = io.StringIO()
        compiled = compile("\n" * line + code, str(self._page), "exec")  # the lines of a traceback are those of the page
        # whoever reads a page closes no client that the interpreter closes at its end
        with contextlib.redirect_stdout(output), warnings.catch_warnings(action="ignore", category=ResourceWarning):
            exec(compiled, self._names)
        return output.getvalue()

    def _bash(self, code: str, line: int) -> str:
        """Run in a shell that begins where the last one ended, with its variables and its folder; what goes wrong shows as on a terminal."""
        going_on = f'[ ! -e "{self._state}" ] || . "{self._state}"\n'
        keeping = f'\n{{ declare -p | grep -v "^declare -[^ ]*r"; printf "cd %q\\n" "$PWD"; }} > "{self._state}"\n'
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f"{going_on}{code}{keeping}"],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=BASH_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{self._page}:{line}: ends with status {done.returncode}\n{done.stdout}"
        return done.stdout

    def _replaced(self, text: str) -> str:
        for old, new in self._replacements.items():
            text = text.replace(old, new)
        return text


def pattern_of(shown: str) -> re.Pattern[str]:
    """Return what must come out: `…` within a line stands for anything in it, a line of `…` alone for any number of lines."""
    lines = ["(?:.*\n)*?" if line.strip() == "…" else ".*?".join(map(re.escape, line.split("…"))) + "\n" for line in _lines(shown)]
    return re.compile("".join(lines))


def tidied(text: str) -> str:
    """Return a text without blanks at the ends of its lines and without empty lines around it."""
    return "".join(f"{line}\n" for line in _lines(text))


def difference(shown: str, came: str) -> str:
    """Return both texts line against line."""
    return "\n".join(difflib.unified_diff(_lines(shown), _lines(came), "shown", "came", lineterm=""))


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip("\n").splitlines()]


def pages(folder: Path) -> Iterator[Path]:
    """Yield the pages below a folder, in the order of their names."""
    yield from sorted(folder.rglob("*.md"))
