"""Every hostile file, uploaded over REST to one running service, which answers each with a refusal and goes on."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import fixture_models
from tests.conformance.hostile import corpus
from tests.conformance.hostile.case import Hostile, Trap
from tests.processes import Processes, command_line, eventually
from tests.running import RunningService, running

CLIENTS = 3
OCTETS = {"Content-Type": "application/octet-stream"}
pytestmark = pytest.mark.timeout(400)


@dataclass
class Run:
    """What came of all uploads."""

    service: RunningService
    files: list[Hostile]
    answers: dict[str, httpx.Response] = field(default_factory=dict)
    traces: dict[str, list[str]] = field(default_factory=dict)
    before: set[str] = field(default_factory=set)
    after: set[str] = field(default_factory=set)
    good_seconds: tuple[float, float] = (0.0, 0.0)
    events: list[dict[str, Any]] = field(default_factory=list)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Publish a good model, upload the whole corpus, and publish a good model again."""
    trap = Trap(Path(tempfile.mkdtemp(prefix="hostile-", dir="/tmp")))
    settings = {"load_timeout_seconds": "20", "worker_memory_bytes": "512MiB", "min_free_bytes": "0"}
    with running(tmp_path_factory.mktemp("hostile") / "instance", measured=False, **settings) as service:
        done = Run(service, corpus.build_all(trap))
        first = _published(service)
        done.before = _standing(service)
        with service.client() as client, ThreadPoolExecutor(CLIENTS) as pool:
            for file, answer in zip(done.files, pool.map(lambda file: _uploaded(client, file), done.files), strict=True):
                done.answers[file.name] = answer
        done.good_seconds = first, _published(service)
        eventually(lambda: _standing(service) == done.before, what="the same processes and files as before")
        done.after = _standing(service)
        done.traces = {file.name: found for file in done.files if (found := trap.traces(file.canary))}
        done.events = _events(service)
        yield done
    trap.close()
    shutil.rmtree(trap.root, ignore_errors=True)


def test_each_upload_is_refused(run: Run) -> None:
    """422, or 415 for what isn't a format that is taken; 201 only for what is harmless once it was tamed."""
    wanted = {file.name: {file.status, 201} if file.outcome == "tamed" else {file.status} for file in run.files}
    wrong = {
        name: (answer.status_code, answer.text[:300]) for name, answer in run.answers.items() if answer.status_code not in wanted[name]
    }
    assert wrong == {}
    assert len(run.answers) >= 700


def test_each_unsafe_artifact_is_told_which_rule_it_breaks(run: Run) -> None:
    """`found` names a rule, and no answer quotes what stands in the file but plain names."""
    unsafe = {
        name: answer.json() for name, answer in run.answers.items() if answer.headers.get("content-type") == "application/problem+json"
    }
    unsafe = {name: problem for name, problem in unsafe.items() if problem["type"].endswith("unsafe-artifact")}
    assert len(unsafe) >= 400
    assert {
        name: problem for name, problem in unsafe.items() if not all(found["rule"] for found in problem.get("found") or [{"rule": ""}])
    } == {}


def test_none_leaves_a_trace(run: Run) -> None:
    """No marker, no connection."""
    assert run.traces == {}


def test_no_process_and_no_file_is_left(run: Run) -> None:
    """The host's processes are the same, the quarantine is empty, the artifacts are those of good versions."""
    assert run.after == run.before
    artifacts = run.service.instance / "artifacts"
    assert list((artifacts / ".quarantine").iterdir()) == []
    taken = {answer.json()["artifact"]["sha256"] for answer in run.answers.values() if answer.status_code == 201}
    stored = {path.name for path in artifacts.glob("??/??/*")}
    assert len(stored - taken) == 1  # the good model


def test_the_next_good_upload_is_taken_in_the_usual_time(run: Run) -> None:
    """It is printed; the bound is generous."""
    before, after = run.good_seconds
    print(f"a good upload took {before:.2f} s before and {after:.2f} s after {len(run.files)} hostile ones")
    assert after < before + 5


def test_each_refusal_is_one_event(run: Run) -> None:
    """Nothing is refused silently, nothing twice."""
    refused = [name for name, answer in run.answers.items() if answer.status_code in {415, 422}]
    told = [event for event in run.events if event["kind"] == "upload.refused"]
    assert len(told) == len(refused)


def _uploaded(client: httpx.Client, file: Hostile) -> httpx.Response:
    return client.post("/models/hostile/versions", content=file.blob, headers=OCTETS)


def _published(service: RunningService) -> float:
    started = time.monotonic()
    service.publish("good", fixture_models.iris().estimator)
    return time.monotonic() - started


def _standing(service: RunningService) -> set[str]:
    """Return what stands: processes that aren't workers, by pid and command, and the instance's own folders."""
    processes = Processes(service)
    workers = set(processes.workers)
    found = {f"{pid} {command_line(pid)}" for pid in processes.all - workers}
    return found | {str(path.relative_to(service.instance)) for path in service.instance.iterdir()}


def _events(service: RunningService) -> list[dict[str, Any]]:
    with service.client() as client:
        found: list[dict[str, Any]] = []
        query: dict[str, Any] = {"limit": 1000}
        while True:
            page = client.get("/events", params=query).json()
            found += page["items"]
            if page["next_cursor"] is None:
                return found
            query["cursor"] = page["next_cursor"]
