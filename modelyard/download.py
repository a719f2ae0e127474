"""Download an artifact: into a file beside its target, resumed where it broke, checked, and only then given its name.

Nothing stands under the target's name that hasn't the version's digest. Memory stays flat, whatever the size.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import time
import uuid
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import IO, Any

import httpx

from modelyard.errors import ConfigurationError, ConnectionFailed, DownloadDamaged, Problem, RangeNotSatisfiable
from modelyard.records import Version
from modelyard.transport import Transport

CHUNK_BYTES = 1 << 20
#: Windows has none: two downloads to one target may spoil each other's part there, which the digest then shows.
_fcntl: Any = importlib.import_module("fcntl") if importlib.util.find_spec("fcntl") is not None else None


def fetch(transport: Transport, version: Version, target: Path, open_bar: Callable[[], Any]) -> Path:
    """Write the artifact of `version` to `target` and return where it stands now.

    What an earlier call left half done goes on from there. A link is followed; what is neither a file nor a folder stays as it is.
    Raises DownloadDamaged, ConnectionFailed once all tries are used up, ConfigurationError where it can't be written, and what the
    service answers.
    """
    path = (target / _file_name(version) if target.is_dir() else target).resolve()
    if path.exists() and not path.is_file():
        raise ConfigurationError(f"{path} isn't a file, so nothing is written to it.")
    try:
        with _opened_part(path.with_name(f".{path.name}.{version.sha256[:16]}.part")) as (part, file):
            with contextlib.closing(open_bar()) as bar:
                _receive(transport, version, file, bar)
            _require_digest(version, part, file)
            part.replace(path)
    except OSError as error:
        raise ConfigurationError(f"{path} can't be written: {error.strerror}.") from error
    return path


@contextlib.contextmanager
def _opened_part(usual: Path) -> Iterator[tuple[Path, IO[bytes]]]:
    """Yield the part to write, held against other downloads; where another one holds it, a part of our own that doesn't outlive us."""
    while True:
        file = _open(usual)
        if not _hold(file):
            file.close()
            break
        if usual.exists() and os.fstat(file.fileno()).st_ino == usual.stat().st_ino:
            with file:
                yield usual, file
            return
        file.close()  # whoever held it gave it its name meanwhile: that file is finished, and nobody's to write
    own = usual.with_suffix(f".{uuid.uuid4().hex}.part")
    try:
        with _open(own) as file:
            yield own, file
    finally:
        own.unlink(missing_ok=True)


def _open(part: Path) -> IO[bytes]:
    """Open a part at its end, never through a link."""
    descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0), 0o666)
    return os.fdopen(descriptor, "r+b", buffering=0)


def _hold(file: IO[bytes]) -> bool:
    if _fcntl is None:
        return True
    try:
        _fcntl.flock(file, _fcntl.LOCK_EX | _fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _receive(transport: Transport, version: Version, file: IO[bytes], bar: Any) -> None:
    pauses = transport.pauses()
    if _size(file) > version.size_bytes:
        file.truncate(0)
    while (had := _size(file)) < version.size_bytes:
        bar.reset()
        bar.update(had)
        try:
            _receive_rest(transport, version, file, had, bar)
            if _size(file) <= had:
                raise DownloadDamaged(f"The service sends no more than {had} of the {version.size_bytes} bytes of {version.selector}.")
        except (httpx.RequestError, ConnectionFailed, Problem) as error:
            if _size(file) > had:
                pauses = transport.pauses()  # it moves: the tries are counted from here
            pause = next(pauses, None)
            wait = transport.wait(error, pause, repeatable=True) if isinstance(error, Problem) else pause
            if wait is None and isinstance(error, Problem):
                raise
            if wait is None:
                raise ConnectionFailed(f"The download broke off at {_size(file)} of {version.size_bytes} bytes: {error}") from error
            time.sleep(wait)


def _receive_rest(transport: Transport, version: Version, file: IO[bytes], had: int, bar: Any) -> None:
    path = f"/models/{version.model}/{version.version}/artifact"
    headers = {"Accept-Encoding": "identity"}
    if had:
        headers |= {"Range": f"bytes={had}-", "If-Range": f'"{version.sha256}"'}
    try:
        with transport.stream(path, headers) as answer:
            if answer.status_code != HTTPStatus.PARTIAL_CONTENT and had:
                file.truncate(0)
                bar.reset()
            for chunk in answer.iter_raw(CHUNK_BYTES):
                file.write(chunk)
                bar.update(len(chunk))
    except RangeNotSatisfiable:
        file.truncate(0)
        _receive_rest(transport, version, file, 0, bar)


def _size(file: IO[bytes]) -> int:
    return os.fstat(file.fileno()).st_size


def _require_digest(version: Version, part: Path, file: IO[bytes]) -> None:
    file.seek(0)
    digest = hashlib.sha256()
    while chunk := file.read(CHUNK_BYTES):
        digest.update(chunk)
    if digest.hexdigest() != version.sha256:
        part.unlink()
        raise DownloadDamaged(
            f"What came of {version.selector} has the digest {digest.hexdigest()}, not {version.sha256}; download it again."
        )


def _file_name(version: Version) -> str:
    suffix = {"skops": "skops", "onnx": "onnx"}.get(version.flavor, "joblib")
    return f"{version.model}-{version.version}.{suffix}"
