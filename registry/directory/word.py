"""Eight bytes that the processes of one host share: whoever changes the registry raises them, and all others notice.

It says only that something changed; what did is read from the catalog. It exists so that this costs a request no system call.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import threading
from pathlib import Path

_BYTES = 8


class SharedWord:
    """A number in a small file that every process of the host maps."""

    def __init__(self, path: Path) -> None:
        """Map the file, making it where no host process did (tests, command line)."""
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if os.fstat(self._file).st_size < _BYTES:
            os.ftruncate(self._file, _BYTES)
        # As one native item, so that it is read and written in one piece: `struct` would go byte by byte.
        self._word = memoryview(mmap.mmap(self._file, _BYTES)).cast("Q")
        self._lock = threading.Lock()

    def read(self) -> int:
        """Return the word."""
        return self._word[0]

    def raise_to(self, generation: int) -> None:
        """Make the word at least `generation`, and in any case higher than it was.

        It rises even where the generation doesn't: a database restored from a backup counts again what it counted before.
        """
        with self._lock:  # the file's lock is one of processes, not of threads
            fcntl.lockf(self._file, fcntl.LOCK_EX)
            try:
                self._word[0] = max(generation, self._word[0] + 1)
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN)
