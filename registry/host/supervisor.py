"""The host process: starts, watches, restarts, drains and ends all others.

One thread and one event loop. It holds no database session and handles no request, so that nothing a caller sends
can bring it down; whatever else of the host dies, it starts again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from config import Config, child_environment
from registry.host.children import Child, end_child, reap_strangers
from registry.host.children import start_child as exec_child
from registry.host.control import ControlServer
from registry.host.forklink import ForkLink
from registry.host.pool import Pool
from registry.host.valkey import LIMITS_MEMORY_BYTES, ValkeyFailed, start_valkey
from registry.instance import Instance

log = logging.getLogger("modelyard.host")

ROOT = Path(__file__).resolve().parents[2]
GRANIAN_MAIN = "registry.cli.granian_main"
MOST_CONNECTIONS = 8192
WATCH_SECONDS = 0.1
GRANIAN_GRACE_SECONDS = 2.0


class Supervisor:
    """Runs one host until SIGTERM or SIGINT."""

    def __init__(self, config: Config, instance: Instance) -> None:
        """Prepare; nothing is started before `run`."""
        self._config = config
        self._instance = instance
        self._stop = asyncio.Event()
        self._forks = ForkLink(
            ROOT,
            sandbox=config.sandbox == "on",
            uid=config.worker_uid,
            on_exit=self._worker_exited,
            extra_names=config.extra_names,
        )
        self._pool = Pool(config, self._forks, instance.artifacts, instance.sockets)
        self._control = ControlServer(self._pool, instance.quarantine, self._report)
        self._report_to: socket.socket | None = None
        self._valkeys: list[Child] = []
        self._forkserver = Child("fork server", self._start_forkserver)
        self._granian = Child("granian", self._start_granian)

    async def run(self, announce: Callable[[str | None], None]) -> int:
        """Start everything, call `announce` with the first key once requests are answered; return the exit status after the drain."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        server = None
        self._pool_watch = asyncio.create_task(self._pool.watch())  # also while draining: what hangs then must still be ended
        try:
            self._forkserver.ensure()
            self._start_valkeys()
            server = await self._control.start(self._instance.host_socket)
            prepared = await self._prepare()
            if prepared is None:
                return 0 if self._stop.is_set() else 1
            await self._serve(lambda: announce(prepared["first_key"]))
        except ValkeyFailed as error:
            log.error("%s", error)  # noqa: TRY400 - one line is what the operator needs
            return 1
        finally:
            await self._end(server)
        return 0

    async def _prepare(self) -> dict[str, Any] | None:
        """Start Granian, whose main process first prepares the registry (migrations, the first key), and return what it reports.

        None when it failed, and has said why, or when it is time to stop.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            self._report_to = theirs
            self._granian.ensure()
            self._report_to = None
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        report, stop = asyncio.create_task(reader.readline()), asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait((report, stop), return_when=asyncio.FIRST_COMPLETED)
            line = b"" if self._stop.is_set() else await report
        finally:
            report.cancel()
            stop.cancel()
            writer.close()
        prepared: dict[str, Any] | None = msgspec.json.decode(line) if line else None
        return prepared

    async def _serve(self, announce: Callable[[], None]) -> None:
        """Watch over the children until it is time to stop, or the watch itself fails."""
        tasks = [asyncio.create_task(work) for work in (self._stop.wait(), self._watch())]
        greeting = asyncio.create_task(self._announce_when_ready(announce))
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (greeting, *tasks):
                task.cancel()
            await asyncio.gather(greeting, *tasks, return_exceptions=True)

    async def _announce_when_ready(self, announce: Callable[[], None]) -> None:
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self._config.host, self._config.host)  # noqa: S104
        url = f"http://{host}:{self._config.port}/health/live"
        await self._forks.ready.wait()
        while not await asyncio.to_thread(_answers, url):
            await asyncio.sleep(0.05)
        self._say_walls()
        announce()

    def _say_walls(self) -> None:
        walls = self._forks.walls
        for warning in wall_warnings(walls):
            log.warning("%s", warning)
        for failure in walls["failures"] if walls is not None else ():
            log.error("the self-test of the lock got through a wall: %s", failure)
        if allowed := self._forks.extra_names["allowed"]:
            log.warning(
                "MODELYARD_EXTRA_NAMES: artifacts may run the code of these classes: %s. "
                "Whoever may publish decides what data it gets; only the lock of the worker is left between it and this host.",
                ", ".join(allowed),
            )
        for problem in self._forks.extra_names["problems"]:
            log.error("MODELYARD_EXTRA_NAMES: %s", problem)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            for child in (*self._valkeys, self._granian, self._forkserver):
                try:
                    child.ensure()
                except (OSError, ValkeyFailed) as error:
                    log.error("%s can't be started: %s", child.name, error)  # noqa: TRY400 - its traceback would say no more
            known = {child.process.pid for child in (*self._valkeys, self._granian, self._forkserver) if child.process}
            reap_strangers(known)

    async def _end(self, server: asyncio.Server | None) -> None:
        """Stop taking requests, let those under way finish, then end workers, fork server and Valkey."""
        log.info("draining")
        await asyncio.to_thread(end_child, self._granian.process, self._config.drain_seconds + GRANIAN_GRACE_SECONDS)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._pool.drain_all(), self._config.drain_seconds)
        self._pool_watch.cancel()
        self._forks.close()
        if server is not None:
            server.close()
        for child in (self._forkserver, *self._valkeys):
            end_child(child.process, 3)
        log.info("ended")

    def _start_forkserver(self) -> subprocess.Popen[bytes]:
        self._forks.close()
        self._forks.start()
        assert self._forks.process is not None  # noqa: S101 - start made it
        return self._forks.process

    def _start_valkeys(self) -> None:
        sockets, config = self._instance.sockets, self._config
        if not config.redis_url:
            self._valkeys.append(
                Child("limits valkey", lambda: start_valkey("limits", sockets, memory_bytes=LIMITS_MEMORY_BYTES, evicts=False))
            )
        if not config.redis_url and not config.cache_redis_url:
            self._valkeys.append(
                Child("cache valkey", lambda: start_valkey("cache", sockets, memory_bytes=config.cache_memory_bytes, evicts=True))
            )
        for child in self._valkeys:
            child.ensure()

    def _start_granian(self) -> subprocess.Popen[bytes]:
        config = self._config
        options = {
            "interface": "wsgi",
            "host": config.host,
            "port": config.port,
            "workers": config.web_processes or os.cpu_count() or 1,
            "blocking-threads": config.web_threads,
            "backlog": 2048,
            "backpressure": _connections(config.web_threads),
            "http": "1",
            "workers-kill-timeout": max(1, int(config.drain_seconds)),
            "respawn-interval": 0.1,
            "log-level": "error",
        }
        report_to = [] if self._report_to is None else [self._report_to.fileno()]
        command = [sys.executable, "-m", GRANIAN_MAIN, "".join(map(str, report_to))]
        command += [*(part for name, value in options.items() for part in (f"--{name}", str(value)))]
        command += ["--respawn-failed-workers", "--no-access-log", "--no-ws", "registry.wsgi:app"]
        environment = child_environment(
            PROMETHEUS_MULTIPROC_DIR=str(self._instance.metrics),
            PYTHONDONTWRITEBYTECODE="1",
            OPENBLAS_NUM_THREADS="1",  # it forks web processes, so it must have no threads; NumPy's would stand idle there anyway
        )
        return exec_child(command, environment=environment, folder=ROOT, keep=report_to)

    def _worker_exited(self, number: int, status: int) -> None:
        self._pool.note_exit(number, status)

    def _report(self) -> dict[str, Any]:
        children = [*self._valkeys, self._granian, self._forkserver]
        report: dict[str, dict[str, Any]] = {
            child.name: {"up": child.process is not None and child.process.poll() is None, "restarts": child.restarts} for child in children
        }
        report[self._forkserver.name]["extra_names"] = self._forks.extra_names["allowed"]
        return report


def wall_warnings(walls: dict[str, Any] | None) -> list[str]:
    """Return what an operator should know at each start of the walls around workers; None means that the sandbox is off."""
    if walls is None:
        return ["THE SANDBOX IS OFF: an uploaded model can do whatever this user can. Never run it like this for others."]
    warnings = []
    if not walls.get("landlock"):
        warnings.append("this kernel has no Landlock; workers are locked by seccomp, uid and limits")
    if not walls.get("filter_run_at_release", True):
        machine = walls["architecture"]
        warnings.append(
            f"the seccomp filter for {machine} was never run before this release; only the self-test of this start shows that it holds"
        )
    return warnings


def _connections(threads: int) -> int:
    """Return how many connections a web process may hold: far more than threads, or idle ones alone would keep everybody out."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(threads, min(MOST_CONNECTIONS, allowed - 512))


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310 - our own address
            return bool(response.status == 200)  # noqa: PLR2004
    except (OSError, urllib.error.URLError):
        return False
