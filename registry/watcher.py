"""One thread per web process that hears of changes made by other hosts, by announcement or by asking each second.

Keys and versions change at once; an alias move waits until its new target is loaded here, for at most the switch deadline.
Others beside it load what is pinned and write down how much was asked. It must survive anything: a host that stops listening would serve the past.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.util import Finalize

import redis
from flask import Flask

from registry import catalog, observability
from registry.catalog import Change
from registry.directory import CHANNEL, HeldMove
from registry.errors import ModelyardError
from registry.extensions import reading
from registry.flows.compile import ACTOR, compile_version
from registry.flows.keep_traffic import roll_up, write_traffic
from registry.wiring import Services

WARMERS = 4
LONGEST_COMPILE_WAIT_SECONDS = 60.0
#: Changes by other hosts after which a loaded version may have to be loaded anew.
CHANGES_OF_SERVING = frozenset({"version.changed", "version.compiled"})

#: Figures of traffic are written within a second where nothing was for a while, else every so many; and rolled up every so many.
TRAFFIC_SECONDS = 10.0
ROLL_UP_SECONDS = 60.0
#: At its end a process waits at most so long for what it counted last to be written.
LAST_TRAFFIC_SECONDS = 3.0


class Watcher:
    """The thread, and the pool that warms the targets of moves."""

    def __init__(self, app: Flask, services: Services) -> None:
        """Prepare; `start` begins."""
        self._app = app
        self._services = services
        self._held: list[HeldMove] = []
        self._warming: set[HeldMove] = set()
        self._warmers = ThreadPoolExecutor(WARMERS, thread_name_prefix="warm")
        self._compiling: set[int] = set()
        self._compile_at: dict[int, tuple[float, float]] = {}
        self._compiler = ThreadPoolExecutor(1, thread_name_prefix="compile")
        self._pubsub: redis.client.PubSub | None = None
        self._poll_at = 0.0
        self._writing_traffic = threading.Lock()

    def start(self) -> None:
        """Listen until the process ends."""
        threading.Thread(target=self._run, daemon=True, name="watcher").start()
        threading.Thread(target=self._load_pinned, daemon=True, name="pinned").start()
        threading.Thread(target=self._keep_traffic, daemon=True, name="traffic").start()  # a slow database must not delay the watching
        Finalize(None, self._write_last_traffic, exitpriority=0)

    def _run(self) -> None:
        while True:
            try:
                self._poll(self._hear(self._longest_wait()))
            except Exception:  # noqa: BLE001 - a watcher that ends would leave this process in the past
                observability.log.exception("watcher stumbled")
                time.sleep(self._services.config.poll_seconds)

    def _longest_wait(self) -> float:
        """Return the seconds until the next poll, or until a held move's time is up."""
        left = [self._deadline(move) - time.monotonic() for move in self._held]
        return min([self._services.config.poll_seconds, *(seconds for seconds in left if seconds > 0)])

    def _hear(self, seconds: float) -> int | None:
        """Wait for announcements and return the newest, or None where it is time to ask without one."""
        try:
            if self._pubsub is None:
                self._pubsub = self._services.announcements.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
                self._pubsub.subscribe(CHANNEL)
            message, newest = self._pubsub.get_message(timeout=seconds), None
            while message is not None:  # one poll for all that came together
                newest = max(newest or 0, int(message["data"]))
                message = self._pubsub.get_message()
        except (redis.RedisError, OSError):
            if self._pubsub is not None:
                self._pubsub.close()
            self._pubsub = None
            time.sleep(seconds)
            return None
        return newest if time.monotonic() < self._poll_at else None

    def _poll(self, announced: int | None) -> None:
        if announced is None:
            self._poll_at = time.monotonic() + self._services.config.poll_seconds
        try:
            with self._app.app_context():
                self._held = self._services.directory.poll(announced)
                with reading():
                    pending = catalog.list_pending()
        except ModelyardError:
            return  # the database is away; readiness says so, and what is served goes on
        self._compile_all(pending)
        for change in self._services.directory.take_foreign():
            self._warmers.submit(self._follow, change)
        for move in self._held:
            if time.monotonic() >= self._deadline(move):
                self._services.directory.settle(move)  # whether or not a warmer was free for it
            elif move not in self._warming:
                self._warming.add(move)
                self._warmers.submit(self._warm, move)

    def _compile_all(self, pending: list[int]) -> None:
        """Have the compiled forms made that are asked for, one after the other; what failed for no fault of its own waits a little."""
        now = time.monotonic()
        for version_id in pending:
            if version_id not in self._compiling and now >= self._compile_at.get(version_id, (0.0, 0.0))[0]:
                self._compiling.add(version_id)
                self._compiler.submit(self._compile, version_id)
        for version_id in self._compile_at.keys() - set(pending):
            self._compile_at.pop(version_id, None)

    def _compile(self, version_id: int) -> None:
        try:
            with self._app.app_context():
                compile_version(version_id, workers=self._services.workers, change=self._services.change(ACTOR))
        except Exception as error:  # noqa: BLE001 - it stays pending, and a thread that ends would leave it so
            wait = min(max(1.0, 2 * self._compile_at.get(version_id, (0.0, 0.0))[1]), LONGEST_COMPILE_WAIT_SECONDS)
            self._compile_at[version_id] = (time.monotonic() + wait, wait)
            reason = error.slug if isinstance(error, ModelyardError) else type(error).__name__
            observability.log.warning("a compiled form can't be made now", version_id=version_id, reason=reason, again_in_seconds=wait)
        finally:
            self._compiling.discard(version_id)

    def _deadline(self, move: HeldMove) -> float:
        return move.since + self._services.config.switch_deadline_seconds

    def _warm(self, move: HeldMove) -> None:
        """Load the new target where the old one is served, then let the move take effect. What fails is tried again until the time is up."""
        try:
            with self._app.app_context():
                if self._matters(move):
                    self._services.workers.warm(self._services.directory.resolve(move.model, move.target).id)
            self._services.directory.settle(move)
        except ModelyardError as error:
            observability.log.warning("target of a move can't be loaded here", model=move.model, alias=move.alias, reason=error.slug)
        finally:
            self._warming.discard(move)

    def _follow(self, change: Change) -> None:
        """Load here what was pinned on another host, load anew what is served otherwise now, and unload what was deleted there."""
        workers = self._services.workers
        try:
            with self._app.app_context():
                with reading():
                    version = catalog.get_version(change.model or "", change.version or 0)
                if change.kind == "version.deleted":
                    workers.stop(version.id)
                    return
                if change.kind in CHANGES_OF_SERVING and version.deleted_at is None:
                    workers.refresh(version)
                    return
                workers.pin(version.id, pinned=version.pinned)
                if version.pinned:
                    workers.warm(version.id)
        except ModelyardError as error:
            observability.log.warning(
                "a change by another host can't be followed", model=change.model, version=change.version, reason=error.slug
            )

    def _matters(self, move: HeldMove) -> bool:
        """Tell whether this process was asked for the alias, or another of this host serves where it pointed."""
        if self._services.directory.remembers(move.model, move.alias):
            return True
        loaded = self._services.workers.report()["loaded"]
        return any((row["model"], row["version"]) == (move.model, move.served) for row in loaded)

    def _load_pinned(self) -> None:
        """Load what is pinned, each on its own account: one that fails must not keep the others waiting."""
        with self._app.app_context():
            try:
                with reading():
                    pinned = catalog.list_pinned()
            except ModelyardError as error:
                observability.log.warning("pinned versions can't be listed", reason=error.slug)
                return
            for version in pinned:
                try:
                    self._services.workers.warm(version.id)
                except ModelyardError as error:
                    observability.log.warning(
                        "a pinned version can't be loaded", model=version.model, version=version.number, reason=error.slug
                    )

    def _keep_traffic(self) -> None:
        """Write down how much was asked, now and then, and roll it up."""
        write_at, roll_up_at = 0.0, time.monotonic() + random.uniform(0, ROLL_UP_SECONDS)  # noqa: S311 - processes start together
        while True:
            time.sleep(1)
            now = time.monotonic()
            if now >= write_at and self._services.traffic.has_any():
                write_at = now + TRAFFIC_SECONDS
                with self._writing_traffic:
                    self._try_traffic(lambda: write_traffic(self._services.traffic))
            if now >= roll_up_at:
                roll_up_at = now + ROLL_UP_SECONDS
                self._try_traffic(roll_up)

    def _write_last_traffic(self) -> None:
        """Write what was counted last, once; a database that is away, or locked by another, must not hold the process up."""
        last = threading.Thread(target=self._try_traffic, args=(self._write_all_traffic,), daemon=True, name="last-traffic")
        last.start()
        last.join(LAST_TRAFFIC_SECONDS)

    def _write_all_traffic(self) -> None:
        with self._writing_traffic:
            while self._services.traffic.has_any():
                write_traffic(self._services.traffic)

    def _try_traffic(self, keep: Callable[[], None]) -> None:
        try:
            with self._app.app_context():
                keep()
        except ModelyardError as error:
            observability.log.info("figures of traffic wait for the database", reason=error.slug)
        except Exception:  # noqa: BLE001 - they are tried again, and a thread that ends would leave them so
            observability.log.exception("figures of traffic could not be kept")
