"""Download an artifact: into a file beside its target, resumed where it broke, checked, and only then given its name.

Nothing stands under the target's name that hasn't the version's digest. Memory stays flat, whatever the size.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx

from modelyard.errors import ConfigurationError, ConnectionFailed, DownloadDamaged, RangeNotSatisfiable
from modelyard.records import Version
from modelyard.transport import Transport

CHUNK_BYTES = 1 << 20


def fetch(transport: Transport, version: Version, target: Path, open_bar: Callable[[], Any]) -> Path:
    """Write the artifact of `version` to `target` and return where it stands now.

    What an earlier call left half done goes on from there. Raises DownloadDamaged, ConnectionFailed once all tries are used up,
    ConfigurationError where it can't be written, and what the service answers.
    """
    path = target / _file_name(version) if target.is_dir() else target
    part = path.with_name(f".{path.name}.{version.sha256[:16]}.part")
    try:
        with contextlib.closing(open_bar()) as bar:
            _receive(transport, version, part, bar)
        _require_digest(version, part)
        part.replace(path)
    except OSError as error:
        raise ConfigurationError(f"{path} can't be written: {error.strerror}.") from error
    return path


def _receive(transport: Transport, version: Version, part: Path, bar: Any) -> None:
    pauses = transport.pauses()
    while True:
        had = _size(part)
        bar.reset()
        bar.update(had)
        if had >= version.size_bytes:
            return
        try:
            _receive_rest(transport, version, part, had, bar)
            if _size(part) <= had:
                raise DownloadDamaged(f"The service sends no more than {had} of the {version.size_bytes} bytes of {version.selector}.")
        except (httpx.TransportError, ConnectionFailed) as error:
            pause = next(pauses, None)
            if _size(part) > had:
                pauses, pause = transport.pauses(), 0.0  # it moves: the tries are counted from here
            if pause is None:
                raise ConnectionFailed(f"The download broke off at {had} of {version.size_bytes} bytes: {error}") from error
            time.sleep(pause)


def _receive_rest(transport: Transport, version: Version, part: Path, had: int, bar: Any) -> None:
    path = f"/models/{version.model}/{version.version}/artifact"
    headers = {"Accept-Encoding": "identity"}
    if had:
        headers |= {"Range": f"bytes={had}-", "If-Range": f'"{version.sha256}"'}
    try:
        with transport.stream(path, headers) as answer, part.open("ab") as file:
            if answer.status_code != HTTPStatus.PARTIAL_CONTENT and had:
                file.truncate(0)
                bar.reset()
            for chunk in answer.iter_raw(CHUNK_BYTES):
                file.write(chunk)
                bar.update(len(chunk))
    except RangeNotSatisfiable:
        part.unlink()
        _receive_rest(transport, version, part, 0, bar)


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _require_digest(version: Version, part: Path) -> None:
    with part.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != version.sha256:
        part.unlink()
        raise DownloadDamaged(f"What came of {version.selector} has the digest {digest}, not {version.sha256}; download it again.")


def _file_name(version: Version) -> str:
    suffix = {"skops": "skops", "onnx": "onnx"}.get(version.flavor, "joblib")
    return f"{version.model}-{version.version}.{suffix}"
