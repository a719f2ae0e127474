"""The fork server: imports scikit-learn once, then forks one locked worker for each request of the host process.

Exec'd with an empty environment before anything else runs, single-threaded, and it never sees a secret or a
request. It must never load a model itself: only its forked, locked children do.
"""
# ruff: noqa: E402 - the collector must rest before the first import

from __future__ import annotations

import gc

# Imports and the warm-up make hardly any garbage, and looking for it would take a fifth of the start.
gc.disable()

import os
import selectors
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Any

# pandas takes Arrow where it happens to be installed, and that starts a thread, which no process that forks may have.
ARROW = "pyarrow"
_kept_out = ARROW not in sys.modules
if _kept_out:
    sys.modules[ARROW] = None  # type: ignore[assignment]

from registry import flavors

if _kept_out:
    del sys.modules[ARROW]

from registry.host import lock, worker
from registry.host.descriptors import receive_message, send_message


class ForkServer:
    """The loop of the fork server, over its socket to the host process."""

    def __init__(self, host: socket.socket) -> None:
        """Prepare to be told what to fork and to be woken when a child ends."""
        self._host = host
        self._workers: dict[int, int] = {}
        wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._wake_read = wake_read
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def run(self) -> None:
        """Serve until the host process is gone."""
        selector = selectors.DefaultSelector()
        selector.register(self._host, selectors.EVENT_READ)
        selector.register(self._wake_read, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is self._host:
                    if not self._obey():
                        return
                else:
                    self._reap()

    def _obey(self) -> bool:
        received = receive_message(self._host)
        if received is None:
            return False
        message, descriptors = received
        self._fork(message, descriptors)
        return True

    def _fork(self, order: dict[str, Any], descriptors: list[int]) -> None:
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._become_worker(order, descriptors, parent)
        self._workers[pid] = order["worker"]
        pidfd = os.pidfd_open(pid)
        try:
            send_message(self._host, {"forked": order["worker"], "pid": pid}, [pidfd])
        finally:
            for descriptor in (pidfd, *descriptors):
                os.close(descriptor)

    def _become_worker(self, order: dict[str, Any], descriptors: list[int], parent: int) -> None:
        """Turn this fresh child into a worker; never returns."""
        status = 70  # EX_SOFTWARE
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            status = worker.run(order, descriptors, parent)
        except BaseException as error:  # noqa: BLE001 - a child must never fall back into its parent's loop
            os.write(2, f"worker {order['worker']} ended: {type(error).__name__}: {error}\n".encode(errors="replace"))
        finally:
            os._exit(status)

    def _reap(self) -> None:
        while True:
            try:
                if not os.read(self._wake_read, 4096):
                    break
            except BlockingIOError:
                break
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            number = self._workers.pop(pid, None)
            if number is not None:
                send_message(self._host, {"exited": number, "status": os.waitstatus_to_exitcode(status)})


def main(descriptor: int, *, sandbox: bool, uid: int, extra_names: Sequence[str] = ()) -> None:
    """Warm up, test the walls, say so to the host process and serve it."""
    host = socket.socket(fileno=descriptor)
    host.set_inheritable(False)
    problems = flavors.warm_up(extra_names)
    allowed = [name for name in extra_names if not any(problem.startswith(f"{name}: ") for problem in problems)]
    report = lock.self_test(uid=uid) if sandbox else None
    gc.freeze()
    gc.enable()
    extra = {"allowed": allowed, "problems": problems}
    send_message(host, {"ready": True, "walls": report.as_dict() if report else None, "extra_names": extra})
    try:
        ForkServer(host).run()
    except (BrokenPipeError, ConnectionResetError):
        return


if __name__ == "__main__":
    main(int(sys.argv[1]), sandbox=sys.argv[2] == "on", uid=int(sys.argv[3]), extra_names=sys.argv[4:])
