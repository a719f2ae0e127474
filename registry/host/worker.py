"""The worker: a locked process that holds one loaded version and answers its predict requests.

Born locked: from then on it opens no file, imports nothing, starts no thread and writes no log, since none of that is
possible behind the lock. What it does once its model is loaded stands in `answering.py`.
"""

from __future__ import annotations

import hashlib
import os
import select
import socket
from typing import Any, BinaryIO

from registry import flavors, frames
from registry.errors import ModelUnloadable, ModelyardError, TooLargeForBudget, to_wire
from registry.flavors import Loaded
from registry.host import lock
from registry.host.answering import Answering
from registry.host.laps import Laps
from registry.host.page import Activity, Page, now_ns

HASH_BYTES = 1 << 20


def run(order: dict[str, Any], descriptors: list[int], parent: int) -> int:
    """Lock this process, do the job that comes over the control socket, and return the exit status.

    `descriptors` are artifact (an empty file for a check), control socket, shared page and, for a load, the listening socket.
    """
    laps = Laps(order["began_ns"])
    laps.note("fork")
    artifact, control_fd, page_fd, *listening = descriptors
    keep_only([0, 1, 2, *descriptors])
    stream = open(artifact, "rb", closefd=False)  # noqa: SIM115 - lives as long as the process
    control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=control_fd)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=listening[0]) if listening else None
    page = Page(page_fd)
    poll = select.epoll()
    lock.enter(order["lock"], parent)
    flavors.quieten_for_good()
    laps.note("lock")
    job, _ = receive_job(control)
    laps.note("job")
    try:
        if job["job"] == "admit":
            control.sendall(frames.encode_frame({"admitted": admit(stream, job)}))
            return 0
        if job["job"] == "check":
            flavors.check(job["told"])
            control.sendall(frames.encode_frame({"accepted": True}))
            return 0
        if job["job"] == "compile":
            control.sendall(frames.encode_frame({"compiled": compile_version(stream, job)}))
            return 0
        loaded = load(stream, job, laps)
    except ModelyardError as error:
        control.sendall(frames.encode_frame(to_wire(error)))
        return 1
    page.write(
        Activity(0, now_ns(), 0, 0, 0)
    )  # before the host process counts it: a page without a time looks idle since the machine started
    control.sendall(frames.encode_frame({"loaded": True, "form": loaded.form, "laps": laps.milliseconds}))
    assert listener is not None  # noqa: S101 - a load always brings its listening socket
    joins = job["joins"] and (job["golden"] is None or flavors.answers_row_by_row(loaded, _golden_of(job)))
    Answering(loaded, listener, control, page, poll, joins=joins, most_seconds=job["prediction_timeout_seconds"]).serve()
    return 0


def keep_only(descriptors: list[int]) -> None:
    """Close every descriptor but these."""
    start = 3
    for descriptor in sorted(descriptors):
        if descriptor >= start:
            os.closerange(start, descriptor)
            start = descriptor + 1
    os.closerange(start, os.sysconf("SC_OPEN_MAX"))


def receive_job(control: socket.socket) -> tuple[dict[str, Any], memoryview]:
    """Read exactly one frame from the host process."""
    length = int.from_bytes(_read_exactly(control, 4), "little")
    return frames.decode_frame(_read_exactly(control, length))


def admit(stream: BinaryIO, job: dict[str, Any]) -> dict[str, Any]:
    """Judge an uploaded artifact; see `flavors.admit`."""
    return flavors.admit(stream, job["manifest"], job["budget_bytes"]).as_dict()


def compile_version(stream: BinaryIO, job: dict[str, Any]) -> dict[str, Any]:
    """Load a version as it is, then make its compiled form and judge that. Raises what `load` raises."""
    loaded = load(stream, {**job, "runtime": "exact"}, Laps(now_ns()))
    try:
        return flavors.compile_version(loaded, job["golden"], job["signature"]).as_dict()
    except MemoryError as error:
        raise _too_large() from error


def load(stream: BinaryIO, job: dict[str, Any], laps: Laps) -> Loaded:
    """Verify the digest, load the model, compiled where it is served so, and replay its golden predictions.

    Raises ModelUnloadable and what the flavor raises.
    """
    digest = hashlib.sha256()
    while chunk := stream.read(HASH_BYTES):
        digest.update(chunk)
    if digest.hexdigest() != job["sha256"]:
        raise ModelUnloadable("The artifact's bytes on disk aren't those that were uploaded.", log_detail=f"sha256 is {digest.hexdigest()}")
    stream.seek(0)
    laps.note("digest")
    try:
        loaded = flavors.open_flavor(job["flavor"]).load(stream, job["budget_bytes"])
        flavors.require_servable(loaded.recorded, golden=job["golden"] is not None, accepted=job["accept_skew"])
        laps.note("load")
        flavors.find_form(loaded, job["golden"])
        if job["runtime"] == "fast":
            loaded = flavors.open_compiled(loaded, job["signature"])
        laps.note("form")
        if job["golden"] is not None:
            flavors.replay(loaded, _golden_of(job))
        laps.note("replay")
    except ModelUnloadable as error:
        if ran_out_of_memory(error):
            raise _too_large() from None
        raise
    return loaded


def _golden_of(job: dict[str, Any]) -> bytes:
    """Return the golden predictions of the runtime that a version is loaded with."""
    golden: bytes = job["fast_golden"] if job["runtime"] == "fast" else job["golden"]
    return golden


def _too_large() -> TooLargeForBudget:
    return TooLargeForBudget("The version needs more memory to load than one worker may have.", retry_after_seconds=60)


def ran_out_of_memory(error: BaseException | None) -> bool:
    """Tell whether an error goes back to a MemoryError, which the worker's limit causes and no fault of the artifact."""
    while error is not None:
        if isinstance(error, MemoryError):
            return True
        error = error.__cause__
    return False


def _read_exactly(sock: socket.socket, count: int) -> bytes:
    chunks = bytearray()
    while len(chunks) < count:
        chunk = sock.recv(count - len(chunks))
        if not chunk:
            raise ConnectionError("the host process is gone")
        chunks += chunk
    return bytes(chunks)
