"""One upload on its way in: a private file in quarantine that is hashed and counted as it is written.

It is removed unless the store keeps it. Must never grow past its limits by more than one chunk.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from registry.errors import ArtifactTooLarge, ChecksumMismatch, NoRoom

CHECK_ROOM_EVERY_BYTES = 4 << 20
ROOM_RETRY_SECONDS = 60.0
QUARANTINE_SUFFIX = ".part"

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class Incoming:
    """An upload under way. `path` lies in quarantine, mode 600, and is locked (flock) as long as it is being received.

    Whoever admits the bytes must open `path` anew, for reading: the descriptor that writes it must never reach a model.
    """

    def __init__(self, quarantine_folder: Path, *, max_bytes: int, min_free_bytes: int, expected_bytes: int = 0) -> None:
        """Make the file. Raises ArtifactTooLarge or NoRoom when `expected_bytes` can't be taken."""
        self.path = quarantine_folder / f"{secrets.token_hex(16)}{QUARANTINE_SUFFIX}"
        self.size_bytes = 0
        self._max_bytes = max_bytes
        self._min_free_bytes = min_free_bytes
        self._hash = hashlib.sha256()
        self._unchecked_bytes = 0
        self._require_allowed(expected_bytes)
        require_room(quarantine_folder, min_free_bytes + expected_bytes)
        self._descriptor = open_new(self.path)

    @property
    def sha256(self) -> str:
        """Return the digest of what was written so far, 64 lower-case hexadecimal digits."""
        return self._hash.hexdigest()

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Append `chunk`. Raises ArtifactTooLarge before it is written, NoRoom when the disk is full or nearly."""
        self._require_allowed(self.size_bytes + len(chunk))
        self._unchecked_bytes += len(chunk)
        if self._unchecked_bytes >= CHECK_ROOM_EVERY_BYTES:
            require_room(self.path.parent, self._min_free_bytes)
            self._unchecked_bytes = 0
        write_all(self._descriptor, chunk)
        self._hash.update(chunk)
        self.size_bytes += len(chunk)

    def require_sha256(self, expected: str | None) -> None:
        """Raise ChecksumMismatch unless the digest is `expected` (hexadecimal in either case), or none was announced."""
        if expected is not None and expected.strip().lower() != self.sha256:
            raise ChecksumMismatch(
                f"The upload's sha256 is {self.sha256}, and {expected} was announced.",
                members={"sha256": self.sha256, "expected": expected},
            )

    def seal(self, mode: int) -> None:
        """Give the file its final mode and bring it to the disk. Raises NoRoom."""
        os.utime(self._descriptor)  # the upload may have begun long ago, and the sweep counts from here
        os.fchmod(self._descriptor, mode)
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise_no_room(error)

    def close(self) -> None:
        """Remove the file if it still is in quarantine, and release it."""
        with suppress(FileNotFoundError):
            self.path.unlink()
        os.close(self._descriptor)

    def _require_allowed(self, size_bytes: int) -> None:
        if size_bytes > self._max_bytes:
            raise ArtifactTooLarge(f"An artifact may have {self._max_bytes} bytes.", members={"max_bytes": self._max_bytes})


def open_new(path: Path) -> int:
    """Make a file of mode 600 and lock it, so that nobody takes it for a leftover; return its descriptor. Raises NoRoom."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise_no_room(error)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def write_all(descriptor: int, chunk: bytes | bytearray | memoryview) -> None:
    """Write the whole of `chunk`. Raises NoRoom when the disk is full."""
    rest = memoryview(chunk).cast("B")
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except OSError as error:
            raise_no_room(error)


def require_room(folder: Path, bytes_needed: int) -> None:
    """Raise NoRoom unless the file system has `bytes_needed` free bytes for this user."""
    state = os.statvfs(folder)
    free = state.f_bavail * state.f_frsize
    if free < bytes_needed:
        raise NoRoom(retry_after_seconds=ROOM_RETRY_SECONDS, log_detail=f"{free} bytes are free in {folder}, {bytes_needed} are needed")


def raise_no_room(error: OSError) -> NoReturn:
    """Raise NoRoom for a full disk or quota, and `error` itself otherwise."""
    if error.errno in _FULL:
        raise NoRoom(retry_after_seconds=ROOM_RETRY_SECONDS, log_detail=str(error)) from error
    raise error
