"""A bar that shows how far a large upload or download is, on a terminal and in a notebook.

Silent where nobody looks: in pipes, logs and other programs. Written to standard error, never to standard output.
"""

from __future__ import annotations

import importlib.util
import sys
from typing import IO, Any

import tqdm as terminal_bars

#: Smaller ones are over before a bar could be read.
SHOWN_FROM_BYTES = 4 << 20


def open_bar(label: str, size_bytes: int, *, wanted: bool | None) -> Any:
    """Return a bar of tqdm's; `wanted` None shows one where somebody looks and it takes a while. It has `update`, `reset`, `close`."""
    shown = wanted if wanted is not None else size_bytes >= SHOWN_FROM_BYTES and (_in_notebook() or sys.stderr.isatty())
    options: dict[str, Any] = {"total": size_bytes, "desc": label, "unit": "B", "unit_scale": True, "unit_divisor": 1024, "leave": False}
    if shown and _in_notebook() and importlib.util.find_spec("ipywidgets") is not None:
        from tqdm import notebook  # noqa: PLC0415 - optional extra: widgets are there in notebooks alone

        return notebook.tqdm(**options)
    return terminal_bars.tqdm(**options, disable=not shown)


def _in_notebook() -> bool:
    shell = sys.modules.get("IPython")
    running = shell.get_ipython() if shell is not None else None
    return type(running).__name__ == "ZMQInteractiveShell"


class Watched:
    """A file that moves a bar as it is read, for a library that reads it to its end and may begin again."""

    def __init__(self, file: IO[bytes], bar: Any) -> None:
        """Read `file` through this; both stay the caller's to close."""
        self._file = file
        self._bar = bar

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        read = self._file.read(size)
        self._bar.update(len(read))
        return read

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move in the file; the bar begins again."""
        self._bar.reset()
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the place in the file."""
        return self._file.tell()

    def fileno(self) -> int:
        """Return the descriptor, by which its length is found."""
        return self._file.fileno()
