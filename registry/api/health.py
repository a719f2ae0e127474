"""Health and metrics: what machines ask about the service itself.

Must answer whatever else is down, and must never tell a caller without a key more than what is up.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import redis
from flask import Flask, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import REGISTRY, CounterMetricFamily, GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector

from registry import catalog
from registry.api import answers
from registry.api.auth import ANYONE, BY_CONFIGURATION, caller, needs
from registry.api.ledger import GATHER_SECONDS
from registry.api.representations import json_response
from registry.api.standing import shown_walls
from registry.errors import Forbidden, ModelyardError
from registry.extensions import reading
from registry.wiring import Services, services

UP: Final = "up"
DEGRADED: Final = "degraded"
DOWN: Final = "down"


def register(app: Flask) -> None:
    """Add the routes."""
    app.add_url_rule("/health/live", "live", live)
    app.add_url_rule("/health/ready", "ready", ready)
    app.add_url_rule("/metrics", "metrics", metrics)


@needs(ANYONE)
def live() -> Response:
    """Answer as long as the process can."""
    return json_response({"status": UP})


@needs(ANYONE)
def ready() -> Response:
    """Tell what is up, degraded or down; 503 only when nothing useful can be answered."""
    built = services()
    report = _report(built)
    parts: answers.Parts = {
        "database": _check(_ask_database, DOWN),
        "redis": _check(built.announcements.ping, DEGRADED),
        "cache": _check(built.predictions.ping, DEGRADED) if built.predictions else UP,
        "workers": UP if report is not None and report["ready"] else DOWN,
        "sandbox": _sandbox(report),
    }
    status = _overall(parts, built)
    answer: answers.Ready = {"status": status, "parts": parts, "walls": shown_walls(report)}
    return json_response(answer, 503 if status == DOWN else 200)


@needs(BY_CONFIGURATION)
def metrics() -> Response:
    """Return the metrics of all web processes of this host and of its host process, for Prometheus."""
    if not services().config.public_metrics and caller().key.models:
        raise Forbidden("The metrics name every model, and your key is bound to some.")
    time.sleep(2 * GATHER_SECONDS)  # what this and other processes answered just now is counted by then
    folder = services().instance.metrics
    gathered = CollectorRegistry() if folder.is_dir() else REGISTRY
    if folder.is_dir():
        MultiProcessCollector(gathered, path=str(folder))  # type: ignore[no-untyped-call]
    text = generate_latest(gathered)
    own = CollectorRegistry()
    own.register(HostCollector(_report(services())))
    return Response(text + generate_latest(own), content_type=CONTENT_TYPE_LATEST)


class HostCollector:
    """The host process's figures, asked for at scrape time."""

    def __init__(self, report: dict[str, Any] | None) -> None:
        """Collect from one report."""
        self._report = report

    def collect(self) -> list[Any]:
        """Return the metric families."""
        up = GaugeMetricFamily("modelyard_host_up", "Whether the host process answers.", value=float(self._report is not None))
        if self._report is None:
            return [up]
        events = CounterMetricFamily("modelyard_host_events", "Loads, evictions, unloads, kills of workers.", labels=["kind"])
        for kind, count in self._report["counts"].items():
            events.add_metric([kind], count)
        memory = GaugeMetricFamily("modelyard_worker_bytes", "Private memory of a loaded version.", labels=["model", "version"])
        for row in self._report["loaded"]:
            memory.add_metric([row["model"], str(row["version"])], row["bytes"])
        budget = GaugeMetricFamily("modelyard_memory_budget_bytes", "Memory that all workers may have.", value=self._report["budget_bytes"])
        restarts = CounterMetricFamily("modelyard_restarts", "Restarts of the host's processes.", labels=["process"])
        for name, child in self._report["host"].items():
            restarts.add_metric([name], child["restarts"])
        return [up, events, memory, budget, restarts]


def _report(built: Services) -> dict[str, Any] | None:
    try:
        return built.workers.report()
    except ModelyardError:
        return None


def _check(ask: Callable[[], object], otherwise: answers.Health) -> answers.Health:
    try:
        ask()
    except (ModelyardError, redis.RedisError, OSError):
        return otherwise
    return UP


def _ask_database() -> None:
    with reading():
        catalog.generation()


def _sandbox(report: dict[str, Any] | None) -> answers.Health:
    if report is None or not report["ready"]:
        return DOWN
    walls = report["walls"]
    if walls is None:
        return DEGRADED
    if not (walls.get("seccomp") and walls.get("rlimits")):  # what the host process asks of them before it forks a worker
        return DOWN
    return UP if walls.get("landlock") and not walls.get("failures") else DEGRADED


def _overall(parts: answers.Parts, built: Services) -> answers.Health:
    stale = built.directory.stale_seconds > built.config.stale_ok_seconds
    if parts["workers"] == DOWN or parts["sandbox"] == DOWN or (parts["database"] == DOWN and stale):
        return DOWN
    return UP if all(part == UP for part in parts.values()) else DEGRADED
