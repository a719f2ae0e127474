"""Commands of `modelyard`, each in a process of its own, forked from one that has already imported what commands import.

Importing is most of what a command takes, and the tests call hundreds. Must never be used where the start itself, a terminal, a pipe
or a signal is what is tested.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import pkgutil
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from modelyard.cli.main import main

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 120
_MOST_BYTES = 1 << 17
#: These start the service, or are started by it.
_NOT_FORKED = {"registry.cli.__main__", "registry.cli.demo", "registry.cli.granian_main", "registry.cli.serve", "modelyard.cli.__main__"}


class CommandForks:
    """The process from which commands are forked, one after another."""

    def __init__(self) -> None:
        """Start it; it ends when this end of the socket is closed."""
        self._turn = threading.Lock()
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-m", "tests.command_forks", str(theirs.fileno())]
        self._process = subprocess.Popen(command, cwd=ROOT, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        theirs.close()
        self._requests.settimeout(SECONDS)

    def run(
        self, words: Sequence[str], folder: Path, environment: dict[str, str], given: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        """Run one command in `folder` with `environment` and on standard input what is `given`; return how it ended."""
        with self._turn, contextlib.ExitStack() as stack:
            source, output, errors = files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(3)]
            source.write(given)
            source.seek(0)
            request = json.dumps([list(words), str(folder), environment]).encode("utf-8", "surrogateescape")
            socket.send_fds(self._requests, [request], [file.fileno() for file in files])
            answer = self._requests.recv(_MOST_BYTES)
            assert answer, "the process that forks commands has ended"
            output.seek(0)
            errors.seek(0)
            return subprocess.CompletedProcess(list(words), int(answer), output.read(), errors.read())

    def close(self) -> None:
        """End it, and wait for what it measured."""
        self._requests.close()
        self._process.wait(SECONDS)


@functools.cache
def command_forks() -> CommandForks:
    """Return the one of this process, which is closed when its tests have run."""
    return CommandForks()


def close_command_forks() -> None:
    """Close it where one was started."""
    if command_forks.cache_info().currsize:
        command_forks().close()
        command_forks.cache_clear()


# -- in the process from which commands are forked -------------------------------------------------------------------------


def _import_all() -> None:
    """Import every command's module, and what the server's commands import only once they know what they are to do."""
    for package in ("modelyard.cli", "registry.cli"):
        for found in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}."):
            if found.name not in _NOT_FORKED:
                importlib.import_module(found.name)
    for name in ("numpy", "registry.app", "sqlite3"):
        importlib.import_module(name)


def _serve(requests: socket.socket) -> None:
    while True:
        request, descriptors, _, _ = socket.recv_fds(requests, _MOST_BYTES, 3)
        if not request:
            return
        child = os.fork()
        if child == 0:
            requests.close()
            _end(_command(descriptors, *json.loads(request)))
        for descriptor in descriptors:
            os.close(descriptor)
        _, status = os.waitpid(child, 0)
        requests.send(str(os.waitstatus_to_exitcode(status)).encode())


def _command(descriptors: Sequence[int], words: list[str], folder: str, environment: dict[str, Any]) -> int:
    """Run the command as a Python would that was started for it, and return its exit code."""
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["modelyard", *words]
    try:
        main(words, prog_name="modelyard")
    except SystemExit as ended:
        return int(ended.code or 0)
    except BaseException:  # noqa: BLE001 - as the interpreter would
        traceback.print_exc()
        return 1
    return 0


def _end(code: int) -> NoReturn:
    """Do what the interpreter does at its end, but for taking everything apart that was imported, which would take longest."""
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
    except OSError:
        code = 120
    os._exit(code)


if __name__ == "__main__":
    _import_all()
    gc.freeze()  # a collection in a child would copy everything
    _serve(socket.socket(fileno=int(sys.argv[1])))
