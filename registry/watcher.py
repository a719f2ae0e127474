"""One thread per web process that hears of changes made by other hosts, by announcement or by asking each second.

Keys and versions change at once; an alias move waits until its new target is loaded here, for at most the switch deadline.
It also loads what is pinned. It must survive anything: a host that stops listening would serve the past.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import redis
from flask import Flask

from registry import catalog, observability
from registry.catalog import Change
from registry.directory import CHANNEL
from registry.errors import ModelyardError
from registry.extensions import reading
from registry.wiring import Services

WARMERS = 4


class Watcher:
    """The thread, and the pool that warms the targets of moves."""

    def __init__(self, app: Flask, services: Services) -> None:
        """Prepare; `start` begins."""
        self._app = app
        self._services = services
        self._warming: set[int] = set()
        self._warmers = ThreadPoolExecutor(WARMERS, thread_name_prefix="warm")
        self._pubsub: redis.client.PubSub | None = None

    def start(self) -> None:
        """Listen until the process ends."""
        threading.Thread(target=self._run, daemon=True, name="watcher").start()

    def _run(self) -> None:
        self._warmers.submit(self._load_pinned)
        while True:
            try:
                self._hear()
                self._poll()
            except Exception:  # a watcher that ends would leave this process in the past
                observability.log.exception("watcher stumbled")
                time.sleep(self._services.config.poll_seconds)

    def _hear(self) -> None:
        """Wait for an announcement, or for the time of a poll."""
        seconds = self._services.config.poll_seconds
        try:
            if self._pubsub is None:
                self._pubsub = self._services.announcements.pubsub(ignore_subscribe_messages=True)
                self._pubsub.subscribe(CHANNEL)
            self._pubsub.get_message(timeout=seconds)
        except (redis.RedisError, OSError):
            self._pubsub = None
            time.sleep(seconds)

    def _poll(self) -> None:
        try:
            with self._app.app_context():
                held = self._services.directory.poll()
        except ModelyardError:
            return  # the database is away; readiness says so
        for change in held:
            if change.generation not in self._warming:
                self._warming.add(change.generation)
                self._warmers.submit(self._warm, change)

    def _warm(self, change: Change) -> None:
        """Load the new target, then let the move take effect; after the deadline it does so anyway."""
        deadline = threading.Timer(self._services.config.switch_deadline_seconds, self._services.directory.settle, [change])
        deadline.daemon = True
        deadline.start()
        try:
            with self._app.app_context():
                version_id = self._target(change)
                if version_id is not None:
                    self._services.workers.warm(version_id)
        except ModelyardError as error:
            observability.log.warning("target of a move can't be loaded here", model=change.model, alias=change.alias, reason=error.slug)
        finally:
            deadline.cancel()
            self._services.directory.settle(change)
            self._warming.discard(change.generation)

    def _target(self, change: Change) -> int | None:
        if change.model is None or change.alias is None:
            return None
        if not self._services.directory.remembers(change.model, change.alias):
            return None
        with reading():
            return catalog.get_version(change.model, catalog.get_alias(change.model, change.alias).version).id

    def _load_pinned(self) -> None:
        with self._app.app_context():
            try:
                with reading():
                    pinned = catalog.list_pinned()
                for version in pinned:
                    self._services.workers.warm(version.id)
            except ModelyardError as error:
                observability.log.warning("pinned versions can't be loaded", reason=error.slug, detail=error.detail)
