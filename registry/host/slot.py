"""What the host knows of one version: how it is loaded, its worker, how often that failed, and when it may be tried again.

Keeps count and answers questions; it starts and ends nothing, which is the pool's affair.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from registry.errors import ModelUnloadable, VersionResting
from registry.host.page import now_ns
from registry.host.process import Worker

CRASHES_BEFORE_REST = 3
CRASH_MEMORY_SECONDS = 60.0
LONGEST_REST_SECONDS = 60.0
REFUSED_LOAD_REST_SECONDS = 5.0


@dataclass(eq=False)
class Slot:
    """One version on this host. `ill` says that the catalog holds, or is about to hold, a load error of it."""

    version_id: int
    spec: dict[str, Any]
    worker: Worker | None = None
    loading: asyncio.Task[Worker] | None = None
    outdated: bool = False
    ill: bool = False
    guess_bytes: int = 0
    served_before: int = 0
    crashes: list[float] = field(default_factory=list)
    refused: ModelUnloadable | None = None
    rest_until: float = 0.0

    def __str__(self) -> str:
        """Name the version as its path does."""
        return f"{self.spec['model']}/{self.spec['number']}"

    @property
    def pinned(self) -> bool:
        """Tell whether it must stay loaded."""
        return bool(self.spec["pinned"])

    @property
    def rests(self) -> bool:
        """Tell whether it failed so recently that it isn't tried again yet."""
        return self.rest_until > time.monotonic()

    def require_awake(self) -> None:
        """Raise VersionResting, or again what a load was refused for, while it rests."""
        rest = self.rest_until - time.monotonic()
        if rest <= 0:
            return
        if self.refused is not None:
            raise self.refused
        raise VersionResting(
            f"Its worker ended unexpectedly {len(self.crashes)} times; it is tried again in {rest:.0f} s.",
            retry_after_seconds=max(1.0, rest),
        )

    def take(self, worker: Worker) -> None:
        """Serve by `worker` from now on."""
        self.worker, self.refused = worker, None

    def release(self) -> None:
        """Serve by no worker any more; what it served still counts."""
        if self.worker is not None:
            self.served_before += self.worker.activity.requests
            self.worker = None

    def note_refusal(self, error: ModelUnloadable) -> None:
        """Let it rest a little after a load that was refused."""
        self.refused, self.ill = error, True
        self.rest_until = max(self.rest_until, time.monotonic() + REFUSED_LOAD_REST_SECONDS)

    def note_crash(self) -> None:
        """Count a worker that ended unexpectedly; from the third in a minute on it rests, each time twice as long."""
        now = time.monotonic()
        self.crashes = [at for at in self.crashes if now - at < CRASH_MEMORY_SECONDS] + [now]
        excess = len(self.crashes) - CRASHES_BEFORE_REST
        if excess >= 0:
            self.rest_until = now + min(LONGEST_REST_SECONDS, 2.0 ** (excess + 1))

    def forget_failures(self) -> None:
        """Let it be tried at once."""
        self.refused, self.rest_until, self.crashes = None, 0.0, []

    def report(self) -> dict[str, Any]:
        """Return its line of `GET /serving`."""
        activity = self.worker.activity if self.worker else None
        return {
            "version_id": self.version_id,
            "model": self.spec["model"],
            "version": self.spec["number"],
            "runtime": self.spec["runtime"],
            "form": self.worker.form if self.worker else None,
            "state": "ready" if self.worker else "loading",
            "pinned": self.pinned,
            "pid": self.worker.pid if self.worker else None,
            "bytes": self.worker.bytes if self.worker else 0,
            "requests": self.served_before + (activity.requests if activity else 0),
            "calls": activity.calls if activity else 0,
            "waiting": activity.waiting if activity else 0,
            "idle_seconds": round((now_ns() - activity.last_used_ns) / 1e9, 3) if activity else None,
        }
