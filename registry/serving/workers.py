"""Ask the worker that holds a version: find its socket through the host process once, then talk straight to it.

A question that met a drained worker goes to the new one, once. A question that met a crash does not: it may have caused it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from registry import frames
from registry.catalog import LoadSpec
from registry.errors import (
    PredictionFailed,
    PredictionTimeout,
    VersionBusy,
    VersionStarting,
    from_wire,
)
from registry.serving.link import Link, NoAnswerInTime, NotAnswered, NotSent

ANSWER_GRACE_SECONDS = 5.0
TRIES = 3


class Endpoint:
    """The worker of one version as this process knows it, and how many requests wait for it here."""

    __slots__ = ("link", "waiting", "worker")

    def __init__(self, worker: int, path: str) -> None:
        """Remember the worker's number, for asking how it ended."""
        self.worker = worker
        self.link = Link(path)
        self.waiting = 0


class Workers:
    """All workers of this host, seen from a web process. Safe to use from many threads."""

    def __init__(
        self,
        host_socket: Path,
        *,
        get_spec: Callable[[int], LoadSpec],
        prediction_timeout_seconds: float,
        load_timeout_seconds: float,
        load_wait_seconds: float,
        max_waiting: int,
    ) -> None:
        """`get_spec` reads from the catalog how a version is loaded; it is called only when the host never saw it."""
        self._host = Link(str(host_socket))
        self._get_spec = get_spec
        self._prediction_timeout = prediction_timeout_seconds
        self._load_timeout = load_timeout_seconds
        self._load_wait = load_wait_seconds
        self._max_waiting = max_waiting
        self._endpoints: dict[int, Endpoint] = {}
        self._waiting: dict[int, int] = {}
        self._waiting_lock = threading.Lock()

    def predict(self, version_id: int, method: str, params: dict[str, Any], inputs: bytes) -> bytes:
        """Return the encoded outputs for encoded inputs. Raises PredictionFailed, PredictionTimeout, ModelUnloadable and the Unavailable ones."""
        self._enter(version_id)
        try:
            return self._ask(version_id, frames.encode_frame({"method": method, "params": params}, inputs))
        finally:
            self._leave(version_id)

    def _ask(self, version_id: int, frame: bytes) -> bytes:
        retried = False
        for _ in range(TRIES):
            endpoint = self._endpoints.get(version_id) or self._find(version_id)
            try:
                header, body = endpoint.link.ask(frame, self._prediction_timeout + ANSWER_GRACE_SECONDS)
            except NotSent:
                self._forget(version_id, endpoint)
                continue
            except NotAnswered:
                self._forget(version_id, endpoint)
                self._require_drained(endpoint, retried=retried)
                retried = True
                continue
            except NoAnswerInTime:
                self._forget(version_id, endpoint)
                raise PredictionTimeout(f"The model did not answer within {self._prediction_timeout:g} s.") from None
            if "error" in header:
                raise from_wire(header)
            return bytes(body)
        raise VersionStarting("Its worker is being replaced; ask again.", retry_after_seconds=1)

    def warm(self, version_id: int) -> None:
        """Load a version and replay its golden predictions, unless it is loaded. Raises what `predict` raises for a load."""
        self._endpoints.pop(version_id, None)
        self._find(version_id, self._load_timeout)

    def warm_again(self, version_id: int) -> None:
        """As `warm`, but tries at once what failed before."""
        self.tell({"ask": "forget", "version_id": version_id})
        self.warm(version_id)

    def admit(self, quarantined: str, manifest: dict[str, Any]) -> dict[str, Any]:
        """Let a locked worker judge a quarantined artifact. Raises ArtifactRefused ones, SignatureMismatch, SandboxUnavailable."""
        answer = self.tell({"ask": "admit", "name": quarantined, "manifest": manifest}, 2 * self._load_timeout + ANSWER_GRACE_SECONDS)
        admitted: dict[str, Any] = answer["admitted"]
        return admitted

    def unload(self, version_id: int) -> bool:
        """Drain a version's worker; False where none was loaded."""
        return bool(self.tell({"ask": "unload", "version_id": version_id}, self._prediction_timeout + 2 * ANSWER_GRACE_SECONDS)["unloaded"])

    def pin(self, version_id: int, *, pinned: bool) -> None:
        """Tell the host process that a version must stay loaded, or need not."""
        self.tell({"ask": "pin", "version_id": version_id, "pinned": pinned})

    def report(self) -> dict[str, Any]:
        """Return what is loaded on this host and which walls stand."""
        return self.tell({"ask": "report"})

    def tell(self, question: dict[str, Any], timeout_seconds: float = 5.0) -> dict[str, Any]:
        """Ask the host process. Raises VersionStarting while it can't be reached, and what it answers."""
        try:
            header, _ = self._host.ask(frames.encode_frame(question), timeout_seconds)
        except (NotSent, NotAnswered, NoAnswerInTime):
            raise VersionStarting("The host process doesn't answer; ask again.", retry_after_seconds=2) from None
        if "error" in header:
            raise from_wire(header)
        return header

    def _find(self, version_id: int, wait_seconds: float | None = None) -> Endpoint:
        wait = self._load_wait if wait_seconds is None else wait_seconds
        question = {"ask": "acquire", "version_id": version_id, "wait_seconds": wait}
        answer = self.tell(question, wait + ANSWER_GRACE_SECONDS)
        if answer.get("spec_needed"):
            answer = self.tell({**question, "spec": _as_dict(self._get_spec(version_id))}, wait + ANSWER_GRACE_SECONDS)
        endpoint = Endpoint(answer["worker"], answer["path"])
        self._endpoints[version_id] = endpoint
        return endpoint

    def _forget(self, version_id: int, endpoint: Endpoint) -> None:
        endpoint.link.close()
        if self._endpoints.get(version_id) is endpoint:
            del self._endpoints[version_id]

    def _require_drained(self, endpoint: Endpoint, *, retried: bool) -> None:
        fate = self.tell({"ask": "fate", "worker": endpoint.worker})["fate"]
        if fate == "drained" and not retried:
            return
        if fate == "timeout":
            raise PredictionTimeout(f"The model took longer than {self._prediction_timeout:g} s; its worker was ended.")
        raise PredictionFailed(
            "The model's process ended while it computed.", log_detail=f"worker {endpoint.worker} ended: {fate}", members={"fate": fate}
        )

    def _enter(self, version_id: int) -> None:
        with self._waiting_lock:
            waiting = self._waiting.get(version_id, 0)
            if waiting < self._max_waiting:
                self._waiting[version_id] = waiting + 1
                return
        raise VersionBusy(f"{waiting} requests already wait for this version.", retry_after_seconds=1)

    def _leave(self, version_id: int) -> None:
        with self._waiting_lock:
            left = self._waiting[version_id] - 1
            if left:
                self._waiting[version_id] = left
            else:
                del self._waiting[version_id]


def _as_dict(spec: LoadSpec) -> dict[str, Any]:
    return {
        "model": spec.model,
        "number": spec.number,
        "sha256": spec.sha256,
        "flavor": spec.flavor,
        "golden": spec.golden,
        "deterministic": spec.deterministic,
        "batching": spec.batching,
        "pinned": spec.pinned,
    }
