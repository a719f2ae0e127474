"""The host process's end of the fork server: start it, ask it for workers, hear which of them ended.

Restarted when it dies; its workers die with it and are loaded anew when they are asked for.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from registry.errors import SandboxUnavailable, VersionStarting
from registry.host.children import start_child
from registry.host.descriptors import receive_message, send_message

log = logging.getLogger("modelyard.host")

ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
    "XDG_RUNTIME_DIR": "/nonexistent",
    "ORT_DISABLE_TELEMETRY": "1",  # a thread of onnxruntime's that sends what it sees
}


class ForkLink:
    """Owns the fork server process. Used from the event loop's thread alone."""

    def __init__(
        self, root: Path, *, sandbox: bool, uid: int, on_exit: Callable[[int, int], None], extra_names: Sequence[str] = ()
    ) -> None:
        """`on_exit(worker number, exit status)` hears of each worker that ended; a negative status is a signal.

        `extra_names` are the operator's: classes that artifacts may name besides the known ones.
        """
        self._root = root
        self._sandbox = sandbox
        self._uid = uid
        self._extra_names = tuple(extra_names)
        self._on_exit = on_exit
        self._socket: socket.socket | None = None
        self._forking: dict[int, asyncio.Future[tuple[int, int]]] = {}
        self.process: subprocess.Popen[bytes] | None = None
        self.walls: dict[str, Any] | None = None
        self.extra_names: dict[str, list[str]] = {"allowed": [], "problems": []}
        self.ready = asyncio.Event()

    @property
    def alive(self) -> bool:
        """Tell whether the fork server runs; its workers end with it."""
        return self._socket is not None and self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Exec a new fork server; `ready` is set once it has warmed up."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-m", "registry.host.forkserver", str(theirs.fileno()), "on" if self._sandbox else "off", str(self._uid)]
        command += self._extra_names
        self.process = start_child(command, environment=ENVIRONMENT, folder=self._root, keep=[theirs.fileno()])
        theirs.close()
        ours.setblocking(False)
        self._socket = ours
        asyncio.get_running_loop().add_reader(ours, self._hear)

    async def fork(self, number: int, order: dict[str, Any], descriptors: list[int], wait_seconds: float) -> tuple[int, int]:
        """Fork a worker and return its pid and pidfd. Raises VersionStarting, SandboxUnavailable."""
        try:
            await asyncio.wait_for(self.ready.wait(), wait_seconds)
        except TimeoutError:
            raise VersionStarting("The fork server is still starting.", retry_after_seconds=2) from None
        self.require_walls()
        assert self._socket is not None  # noqa: S101 - ready implies a socket
        forked: asyncio.Future[tuple[int, int]] = asyncio.get_running_loop().create_future()
        self._forking[number] = forked
        try:
            send_message(self._socket, {"worker": number, **order}, descriptors)
            return await asyncio.wait_for(forked, wait_seconds)
        except (OSError, TimeoutError):
            raise VersionStarting("The fork server is being restarted.", retry_after_seconds=2) from None
        finally:
            self._forking.pop(number, None)

    def require_walls(self) -> None:
        """Raise SandboxUnavailable unless the walls that must stand do, or the sandbox was switched off."""
        failed = failed_walls(self.walls)
        if self._sandbox and failed:
            raise SandboxUnavailable(
                f"This host can't lock a worker: {', '.join(failed)} failed the self-test. See the log of the host.",
                members={"failed": failed},
            )

    def close(self) -> None:
        """Forget the socket and everyone who waits for a fork."""
        self.ready.clear()
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None
        for forked in self._forking.values():
            if not forked.done():
                forked.set_exception(OSError("the fork server ended"))

    def _hear(self) -> None:
        assert self._socket is not None  # noqa: S101 - the reader is removed with the socket
        try:
            received = receive_message(self._socket)
        except BlockingIOError:
            return
        except OSError:
            received = None
        if received is None:
            self.close()
            return
        message, descriptors = received
        if "ready" in message:
            self.walls = message["walls"]
            self.extra_names = message["extra_names"]
            self.ready.set()
        elif "forked" in message:
            forked = self._forking.get(message["forked"])
            if forked is not None and not forked.done():
                forked.set_result((message["pid"], descriptors[0]))
            else:  # nobody waits for it any more; its control socket is closed, so it ends by itself
                os.close(descriptors[0])
        elif "exited" in message:
            self._on_exit(message["exited"], message["status"])


def failed_walls(walls: dict[str, Any] | None) -> list[str]:
    """Return the names of the walls without which no worker may run; Landlock may be missing where seccomp stands."""
    if walls is None:
        return []
    return [name for name in ("seccomp", "rlimits") if not walls.get(name)]
