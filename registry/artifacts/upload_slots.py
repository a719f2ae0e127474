"""Bounds on how many uploads a host takes at once, over all its web processes, and how many of one key.

A slot is a lock on a file (flock): it holds between processes that know nothing of each other, and ends with the
process that crashed while it had it. No slot is ever waited for.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from registry.errors import ModelyardError, NoUploadSlot, TooManyUploads

RETRY_AFTER_SECONDS = 5.0

_KEY_ID = re.compile(r"[0-9A-Za-z_-]{1,64}", re.ASCII)


class UploadSlots:
    """The upload slots of one host, as lock files in a folder that all its web processes share."""

    def __init__(self, folder: Path, per_host: int, per_key: int) -> None:
        """Make the folder, private to this user."""
        self._folder = folder
        self._per_host = per_host
        self._per_key = per_key
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    @contextmanager
    def take(self, key_id: str) -> Iterator[None]:
        """Hold a slot of the key and one of the host. Raises TooManyUploads, NoUploadSlot, ValueError for what is no key id."""
        if _KEY_ID.fullmatch(key_id) is None:
            raise ValueError("not a key id")
        with ExitStack() as held:
            self._hold(held, f"key-{key_id}", self._per_key, TooManyUploads)
            self._hold(held, "host", self._per_host, NoUploadSlot)
            yield

    def _hold(self, held: ExitStack, name: str, count: int, refusal: type[ModelyardError]) -> None:
        for number in range(count):
            path = self._folder / f"{name}.{number}"
            descriptor = _lock(path)
            if descriptor is not None:
                held.callback(_release, path, descriptor)
                return
        raise refusal(retry_after_seconds=RETRY_AFTER_SECONDS)


def _lock(path: Path) -> int | None:
    """Return a descriptor that holds the lock of the file at `path`, or None when another holds it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        if _is_at(path, descriptor):
            return descriptor
        os.close(descriptor)  # its holder removed the file between our open and our lock: this lock would bind nobody


def _release(path: Path, descriptor: int) -> None:
    """Remove the file while its lock is held, so that a folder of keys that came once doesn't grow; then let go."""
    with suppress(FileNotFoundError):
        path.unlink()
    os.close(descriptor)


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(there, os.fstat(descriptor))
