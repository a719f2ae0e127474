"""The instance folder: what one host keeps on its disk, and the addresses that follow from it.

Secrets are made once, mode 600, on embedded defaults; where a shared database is configured they must be given and
are never made up. Socket paths are kept under the 107 bytes that UNIX sockets allow.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from config import Config

LONGEST_SOCKET_FOLDER = 80


class InstanceLocked(Exception):
    """Another host process holds the instance folder."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """The secrets of a service, shared by its hosts: bytes for hashing keys and for signing cached predictions."""

    key_pepper: bytes
    cache_secret: bytes


class Instance:
    """The folder of one host, and what lies in it."""

    def __init__(self, config: Config) -> None:
        """Compute paths; nothing is made before `prepare`."""
        self._config = config
        self.folder = config.instance_path.absolute()
        self.artifacts = config.artifacts_folder
        self.quarantine = self.artifacts / ".quarantine"
        self.run = self.folder / "run"
        self.sockets = self._socket_folder()
        self.host_socket = self.sockets / "host.sock"
        self.generation = self.run / "generation"
        self.metrics = self.run / "metrics"
        self.upload_slots = self.run / "upload-slots"
        self.admin_key = self.folder / "admin.key"

    @property
    def database_url(self) -> str:
        """Return the SQLAlchemy URL of the registry."""
        url = self._config.database_url or f"sqlite:///{self.folder / 'modelyard.db'}"
        return url.replace("postgresql://", "postgresql+psycopg://", 1).replace("postgres://", "postgresql+psycopg://", 1)

    @property
    def redis_url(self) -> str:
        """Return the URL of the Redis that must not evict."""
        return self._config.redis_url or f"unix://{self.sockets / 'limits.sock'}"

    @property
    def cache_redis_url(self) -> str:
        """Return the URL of the Redis that may evict."""
        return self._config.cache_redis_url or self._config.redis_url or f"unix://{self.sockets / 'cache.sock'}"

    def prepare(self) -> None:
        """Make the folders that outlive a start."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder in (self.artifacts, self.quarantine, self.run, self.sockets, self.upload_slots):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def lock(self) -> int:
        """Take the folder for this host process and return the descriptor that holds it. Raises InstanceLocked."""
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
            os.close(descriptor)
            raise InstanceLocked(holder) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return descriptor

    def clear_run_folder(self) -> None:
        """Empty what belongs to one start. Only the holder of the lock may call it."""
        for folder in (self.run, self.sockets):
            shutil.rmtree(folder, ignore_errors=True)
        self.prepare()
        self.metrics.mkdir(mode=0o700)
        self.generation.write_bytes(bytes(8))

    def secrets(self) -> Secrets:
        """Return the secrets, making those that are missing on embedded defaults."""
        return Secrets(
            (self._config.key_pepper or self._secret_file("key-pepper")).encode(),
            (self._config.cache_secret or self._secret_file("cache-secret")).encode(),
        )

    def _secret_file(self, name: str) -> str:
        path = self.folder / f"{name}.secret"
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_private(path, secrets.token_urlsafe(32))
        return path.read_text(encoding="ascii").strip()

    def _socket_folder(self) -> Path:
        if len(os.fsencode(self.run)) <= LONGEST_SOCKET_FOLDER:
            return self.run
        digest = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"modelyard-{os.getuid()}-{digest}"


def write_private(path: Path, text: str) -> None:
    """Write a small file of mode 600 in one step, unless another process made it meanwhile."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
