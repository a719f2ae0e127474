"""Everything a web process needs, built once from Config and handed to whoever needs it.

Builds objects that connect on first use; starts nothing and decides nothing.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import cast

import redis
from flask import Flask, current_app

from config import Config
from registry import catalog
from registry.artifacts.store import ArtifactStore
from registry.artifacts.upload_slots import UploadSlots
from registry.directory import Directory, SharedWord
from registry.errors import ModelUnloadable
from registry.extensions import reading
from registry.flows import load_notes
from registry.flows.change import Change
from registry.flows.predict import Serving
from registry.instance import Instance, Secrets, write_private
from registry.serving.computing import Computing
from registry.serving.predictions import Predictions, connect
from registry.serving.workers import Workers
from registry.serving.worth import Worth
from registry.traffic import Tally

InContext = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True, slots=True)
class Services:
    """The collaborators of the flows and the API."""

    config: Config
    instance: Instance
    secrets: Secrets
    host: str
    directory: Directory
    workers: Workers
    predictions: Predictions | None
    serving: Serving
    artifacts: ArtifactStore
    upload_slots: UploadSlots
    announcements: redis.Redis
    compute_slots: threading.BoundedSemaphore
    traffic: Tally

    def change(self, actor: str) -> Change:
        """Return the context in which `actor` may change the registry."""
        return Change(actor, self.host, self.directory, self.announcements)


def build(config: Config, in_context: InContext = nullcontext) -> Services:
    """Build the services of one web process, or of one command.

    `in_context` gives a context in which the database may be asked: a predict request has none of its own until it has to ask.
    """
    instance = Instance(config)
    instance.prepare()
    secret = instance.secrets()
    host = host_name(instance)
    directory = Directory(SharedWord(instance.generation), host=host, stale_ok_seconds=config.stale_ok_seconds, in_context=in_context)
    announcements = connect(instance.redis_url)
    workers = _workers(config, instance, in_context, lambda: Change(load_notes.ACTOR, host, directory, announcements))
    predictions = _predictions(config, instance, secret)
    return Services(
        config=config,
        instance=instance,
        secrets=secret,
        host=host,
        directory=directory,
        workers=workers,
        predictions=predictions,
        serving=Serving(directory, workers, predictions, Worth(), Computing(), config.max_rows),
        artifacts=open_store(config, instance),
        upload_slots=UploadSlots(instance.upload_slots, config.upload_slots, config.uploads_per_key),
        announcements=announcements,
        compute_slots=threading.BoundedSemaphore(config.compute_slots),
        traffic=Tally(),
    )


def services() -> Services:
    """Return the services of the current application."""
    return cast("Services", current_app.extensions["modelyard"])


def attach(app: Flask, built: Services) -> None:
    """Make `services()` answer for this application."""
    app.extensions["modelyard"] = built


def host_name(instance: Instance) -> str:
    """Return this host's name in the audit trail and in announcements: random, made once per instance folder."""
    path = instance.folder / "host.id"
    if not path.exists():
        write_private(path, secrets.token_hex(8))
    return path.read_text(encoding="ascii").strip()


def open_store(config: Config, instance: Instance) -> ArtifactStore:
    """Return the artifact store of this host."""
    return ArtifactStore(
        instance.artifacts, instance.quarantine, max_bytes=int(config.max_artifact_bytes), min_free_bytes=int(config.min_free_bytes)
    )


def _workers(config: Config, instance: Instance, in_context: InContext, new_change: Callable[[], Change]) -> Workers:
    def get_spec(version_id: int) -> catalog.LoadSpec:
        with in_context(), reading():
            return catalog.get_load_spec(version_id)

    def note_load(version_id: int, error: ModelUnloadable | None) -> None:
        with in_context():
            load_notes.note_load(version_id, error, change=new_change())

    return Workers(
        instance.host_socket,
        get_spec=get_spec,
        note_load=note_load,
        prediction_timeout_seconds=config.prediction_timeout_seconds,
        load_timeout_seconds=config.load_timeout_seconds,
        load_wait_seconds=config.load_wait_seconds,
        max_waiting=config.max_waiting_per_version,
    )


def _predictions(config: Config, instance: Instance, secret: Secrets) -> Predictions | None:
    if not config.cache:
        return None
    return Predictions(
        connect(instance.cache_redis_url),
        secret.cache_secret,
        ttl_seconds=config.cache_ttl_seconds,
        max_value_bytes=config.cache_max_value_bytes,
        hottest_bytes=config.cache_process_bytes,
    )
