"""The artifacts of all versions as files named by their sha256, written once and never changed.

`keep` makes bytes durable before anyone may refer to them. Sweeping and keeping exclude each other by a lock on the
whole store, so that bytes that are kept can't be swept in the same moment. Nothing here parses an artifact.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from registry.artifacts.incoming import QUARANTINE_SUFFIX, Incoming, raise_no_room

ARTIFACT_MODE = 0o440
LOCK_NAME = ".lock"
TRASH_NAME = ".trash"

_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_HASH_BYTES = 1 << 20


class ArtifactStore:
    """A folder of artifacts, `ab/cd/<sha256>` each; several processes and hosts may share it.

    The quarantine must lie on the same file system, since an artifact moves out of it by a rename.
    """

    def __init__(self, folder: Path, quarantine_folder: Path, max_bytes: int, min_free_bytes: int) -> None:
        """Make the folders, private to this user. Raises ValueError when they lie on different file systems."""
        self.folder = folder
        self.quarantine_folder = quarantine_folder
        self._max_bytes = max_bytes
        self._min_free_bytes = min_free_bytes
        self.trash_folder = folder / TRASH_NAME
        for each in (folder, quarantine_folder, self.trash_folder):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / LOCK_NAME).touch(mode=0o600)  # now, since on a full disk it couldn't be made when it is needed
        if folder.stat().st_dev != quarantine_folder.stat().st_dev:
            raise ValueError(f"{quarantine_folder} must lie on the same file system as {folder}")

    @contextmanager
    def receive(self, expected_bytes: int = 0) -> Iterator[Incoming]:
        """Open an upload; what isn't kept is removed at the end.

        Raises ArtifactTooLarge or NoRoom at once when `expected_bytes`, where it is known, can't be taken.
        """
        incoming = Incoming(
            self.quarantine_folder, max_bytes=self._max_bytes, min_free_bytes=self._min_free_bytes, expected_bytes=expected_bytes
        )
        try:
            yield incoming
        finally:
            incoming.close()

    def keep(self, incoming: Incoming) -> None:
        """Make the bytes durable under their digest; a good copy that is there already stays and is as new. Raises NoRoom."""
        target = self.path_of(incoming.sha256)
        with self.locked(exclusive=False):
            # A copy that went bad on disk is replaced: who uploads good bytes heals the versions that share them.
            if self.verify(incoming.sha256):
                os.utime(target)
            else:
                incoming.seal(ARTIFACT_MODE)
                _move(incoming.path, target)
            # Also where the copy was there: whoever moved it may not have got so far yet.
            for folder in (target.parent, target.parent.parent, self.folder):
                sync_folder(folder)

    def open(self, sha256: str) -> BinaryIO:
        """Open an artifact for reading. Raises FileNotFoundError."""
        return self.path_of(sha256).open("rb")

    def path_of(self, sha256: str) -> Path:
        """Return where an artifact lies or would lie. Raises ValueError for what is no digest."""
        if _DIGEST.fullmatch(sha256) is None:
            raise ValueError("not a sha256 in lower-case hexadecimal")
        return self.folder / sha256[:2] / sha256[2:4] / sha256

    def trash_path_of(self, sha256: str) -> Path:
        """Return where the sweep puts an artifact before it deletes it."""
        return self.trash_folder / self.path_of(sha256).name

    def verify(self, sha256: str) -> bool:
        """Read an artifact and tell whether it is there with the right bytes."""
        try:
            with self.open(sha256) as stream:
                return _digest_of(stream) == sha256
        except FileNotFoundError:
            return False

    def age_seconds(self, sha256: str) -> float | None:
        """Return how long ago an artifact was kept last, or None when it isn't there."""
        try:
            return time.time() - self.path_of(sha256).stat().st_mtime
        except FileNotFoundError:
            return None

    def iter_digests(self) -> Iterator[str]:
        """Yield the digest of each artifact, in order, whole or not."""
        for path in _sorted(self.folder, "[0-9a-f][0-9a-f]"):
            for inner in _sorted(path, "[0-9a-f][0-9a-f]"):
                yield from (file.name for file in _sorted(inner, f"{path.name}{inner.name}*") if _DIGEST.fullmatch(file.name))

    def empty_quarantine(self, older_than_seconds: float) -> int:
        """Remove what uploads left behind that were cut off, and return how many; one that is under way stays."""
        removed = 0
        for path in _sorted(self.quarantine_folder, f"*{QUARANTINE_SUFFIX}"):
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime >= older_than_seconds and _remove_unlocked(path):
                    removed += 1
        return removed

    @contextmanager
    def locked(self, *, exclusive: bool) -> Iterator[None]:
        """Hold the lock of the whole store: shared to keep, exclusive to remove."""
        descriptor = os.open(self.folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
            yield
        finally:
            os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Bring a folder's entries to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _move(path: Path, target: Path) -> None:
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.replace(target)
    except OSError as error:
        raise_no_room(error)


def _sorted(folder: Path, pattern: str) -> list[Path]:
    return sorted(folder.glob(pattern))


def _digest_of(stream: BinaryIO) -> str:
    digest = hashlib.sha256()
    while chunk := stream.read(_HASH_BYTES):
        digest.update(chunk)
    return digest.hexdigest()


def _remove_unlocked(path: Path) -> bool:
    """Remove a file unless the upload that writes it holds its lock."""
    with path.open("rb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared, since a sealed file can't be opened for writing
        except BlockingIOError:
            return False
        path.unlink()
        return True
