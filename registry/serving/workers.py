"""Ask the worker that holds a version: find its socket through the host process once, then talk straight to it.

A question that no worker has read goes to the next one. A question that was read and met a crash does not: it may have caused it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from registry import frames, observability
from registry.catalog import CompileSpec, LoadSpec, Version
from registry.errors import (
    ModelUnloadable,
    ModelyardError,
    PredictionFailed,
    PredictionTimeout,
    VersionBusy,
    VersionStarting,
    from_wire,
)
from registry.serving.answer import RUNTIMES, Answer
from registry.serving.link import Link, NoAnswerInTime, NotAnswered, NotHeard

ANSWER_GRACE_SECONDS = 5.0
TRIES = 5
#: Ends of a worker that no request can have caused: it was drained, or died with the fork server.
BLAMELESS = ("drained", "orphaned")


class Endpoint:
    """The worker of one version as this process knows it."""

    __slots__ = ("link", "worker")

    def __init__(self, worker: int, path: str) -> None:
        """Remember the worker's number, for asking how it ended."""
        self.worker = worker
        self.link = Link(path)


class Workers:
    """All workers of this host, seen from a web process. Safe to use from many threads."""

    def __init__(
        self,
        host_socket: Path,
        *,
        get_spec: Callable[[int], LoadSpec],
        note_load: Callable[[int, ModelUnloadable | None], None],
        prediction_timeout_seconds: float,
        load_timeout_seconds: float,
        load_wait_seconds: float,
        max_waiting: int,
    ) -> None:
        """`get_spec` reads from the catalog how a version is loaded; it is called only when the host doesn't know.

        `note_load` hears why a version doesn't load, once for each reason, and None when it loads again.
        """
        self._host = Link(str(host_socket))
        self._get_spec = get_spec
        self._note_load = note_load
        self._failing: dict[int, str] = {}
        self._prediction_timeout = prediction_timeout_seconds
        self._load_timeout = load_timeout_seconds
        self._load_wait = load_wait_seconds
        self._max_waiting = max_waiting
        self._endpoints: dict[int, Endpoint] = {}
        self._waiting: dict[int, int] = {}
        self._waiting_lock = threading.Lock()

    def predict(self, version_id: int, method: str, params: dict[str, Any], inputs: bytes) -> Answer:
        """Return what a version answers to encoded inputs. Raises PredictionFailed, PredictionTimeout, ModelUnloadable and the Unavailable ones."""
        self._enter(version_id)
        try:
            return self._ask(version_id, frames.encode_frame({"method": method, "params": params}, inputs))
        finally:
            self._leave(version_id)

    def _ask(self, version_id: int, frame: bytes) -> Answer:
        gone: int | None = None
        for _ in range(TRIES):
            endpoint = self._endpoints.get(version_id)
            if endpoint is None or endpoint.worker == gone:
                endpoint = self._find(version_id, self._load_wait, gone)
            try:
                header, body = endpoint.link.ask(frame, self._prediction_timeout + ANSWER_GRACE_SECONDS)
            except NotHeard:
                pass
            except NotAnswered:
                self._require_blameless(endpoint)
            except NoAnswerInTime:
                self._forget(version_id, endpoint)
                raise PredictionTimeout(f"The model did not answer within {self._prediction_timeout:g} s.") from None
            else:
                if "error" in header:
                    raise from_wire(header)
                runtime = header.get("runtime")
                if runtime not in RUNTIMES:
                    raise PredictionFailed(log_detail="the worker's answer names no runtime")
                return Answer(bytes(body), runtime)
            gone = endpoint.worker
            self._forget(version_id, endpoint)
        raise VersionStarting("Its worker is being replaced; ask again.", retry_after_seconds=1)

    def warm(self, version_id: int) -> None:
        """Load a version and replay its golden predictions, unless it is loaded. Raises what `predict` raises for a load."""
        self._find(version_id, self._load_timeout)

    def warm_again(self, version_id: int) -> None:
        """As `warm`, but tries at once what failed before."""
        self.tell({"ask": "forget", "version_id": version_id})
        self.warm(version_id)

    def forget_failures(self, version_id: int) -> None:
        """Let the next request try at once what failed before, after a change that stands already."""
        try:
            self.tell({"ask": "forget", "version_id": version_id})
        except ModelyardError as error:
            observability.log.warning("a host process could not be told of a change", version_id=version_id, reason=error.slug)

    def admit(self, quarantined: str, manifest: dict[str, Any]) -> dict[str, Any]:
        """Let a locked worker judge a quarantined artifact. Raises ArtifactRefused ones, SignatureMismatch, SandboxUnavailable."""
        answer = self.tell({"ask": "admit", "name": quarantined, "manifest": manifest}, 2 * self._load_timeout + ANSWER_GRACE_SECONDS)
        admitted: dict[str, Any] = answer["admitted"]
        return admitted

    def check(self, told: dict[str, Any]) -> None:
        """Let a locked worker say what an upload that is as `told` would be refused for. Raises that, ServerBusy and what `admit` raises."""
        self.tell({"ask": "check", "told": told}, 2 * self._load_timeout + ANSWER_GRACE_SECONDS)

    def compile(self, spec: CompileSpec) -> dict[str, Any]:
        """Let a locked worker make a version's compiled form: `golden` and `report`. Raises the Unavailable ones, ModelUnloadable without bytes."""
        answer = self.tell({"ask": "compile", "spec": asdict(spec)}, 2 * self._load_timeout + ANSWER_GRACE_SECONDS)
        compiled: dict[str, Any] = answer["compiled"]
        return compiled

    def refresh(self, version: Version) -> None:
        """Load a version anew where its worker was told to serve otherwise than the catalog says now. Raises what `warm` raises."""
        served = {"runtime": version.effective_runtime, "accept_skew": version.accept_skew, "batching": version.batching}
        wait = self._prediction_timeout + self._load_wait + 2 * ANSWER_GRACE_SECONDS
        if self.tell({"ask": "refresh", "version_id": version.id, "served": served}, wait)["drained"]:
            self.warm(version.id)

    def unload(self, version_id: int) -> bool:
        """Drain a version's worker; False where none was loaded."""
        return bool(self.tell({"ask": "unload", "version_id": version_id}, self._prediction_timeout + 2 * ANSWER_GRACE_SECONDS)["unloaded"])

    def stop(self, version_id: int) -> None:
        """As `unload`, after a change that stands already: what can't be done now is done by the next load or the idle time."""
        try:
            self.unload(version_id)
        except ModelyardError as error:
            observability.log.warning("a worker could not be unloaded", version_id=version_id, reason=error.slug)

    def stop_model(self, name: str) -> None:
        """As `stop`, for every version of a model that is loaded."""
        try:
            loaded = self.report()["loaded"]
        except ModelyardError as error:
            observability.log.warning("workers could not be unloaded", model=name, reason=error.slug)
            return
        for row in loaded:
            if row["model"] == name:
                self.stop(row["version_id"])

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
        except (NotHeard, NotAnswered, NoAnswerInTime):
            raise VersionStarting("The host process doesn't answer; ask again.", retry_after_seconds=2) from None
        if "error" in header:
            raise from_wire(header)
        return header

    def _find(self, version_id: int, wait_seconds: float, gone: int | None = None) -> Endpoint:
        """Ask the host process for the version's worker; `gone` is the one that was met ended."""
        try:
            answer = self._acquire(version_id, wait_seconds, gone)
        except ModelUnloadable as error:
            if self._failing.get(version_id) != error.detail:
                self._failing[version_id] = error.detail
                self._note_load(version_id, error)
            raise
        self._failing.pop(version_id, None)
        if answer["recovered"]:
            self._note_load(version_id, None)
        known = self._endpoints.get(version_id)
        if known is not None and known.worker == answer["worker"]:
            return known
        endpoint = self._endpoints[version_id] = Endpoint(answer["worker"], answer["path"])
        return endpoint

    def _acquire(self, version_id: int, wait_seconds: float, gone: int | None) -> dict[str, Any]:
        question = {"ask": "acquire", "version_id": version_id, "wait_seconds": wait_seconds, "gone": gone}
        answer = self.tell(question, wait_seconds + ANSWER_GRACE_SECONDS)
        if answer.get("spec_needed"):
            answer = self.tell({**question, "spec": asdict(self._get_spec(version_id))}, wait_seconds + ANSWER_GRACE_SECONDS)
        return answer

    def _forget(self, version_id: int, endpoint: Endpoint) -> None:
        endpoint.link.close()
        if self._endpoints.get(version_id) is endpoint:
            del self._endpoints[version_id]

    def _require_blameless(self, endpoint: Endpoint) -> None:
        """Raise unless the worker ended for a reason that the request can't have been."""
        fate = self.tell({"ask": "fate", "worker": endpoint.worker})["fate"]
        if fate in BLAMELESS:
            return
        cause = f"worker {endpoint.worker} ended: {fate}"
        if fate == "timeout":
            raise PredictionTimeout(f"The model took longer than {self._prediction_timeout:g} s; its worker was ended.", log_detail=cause)
        raise PredictionFailed("The model's process ended while it computed.", log_detail=cause, members={"fate": fate})

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
