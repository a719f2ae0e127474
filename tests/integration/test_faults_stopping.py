"""Starting and stopping: what a start prints, what it refuses, and how a host drains."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.misbehaving import EXTRA_NAMES, TRIGGER, sleeps_at_load
from tests.outside import SHARED_SECRETS
from tests.processes import Processes, eventually, in_background, is_running
from tests.running import ROOT, RunningService, free_port, running
from tests.slow_models import sleeping

SLOW = {"data": [[TRIGGER, 2.0, 3.0, 4.0]]}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """One service for the tests that don't stop it."""
    with running(tmp_path_factory.mktemp("stopping") / "instance", web_processes="1") as started:
        yield started


def greeting(service: RunningService) -> str:
    """Return what a start prints besides the log."""
    return "\n".join(line for line in service.log().splitlines() if not line.startswith("{"))


def test_the_first_start_prints_the_key_and_three_commands_that_work(service: RunningService) -> None:
    """Each curl line works as it stands, in a shell of its own."""
    text = eventually(lambda: greeting(service) if "Try:" in greeting(service) else "")
    assert service.admin_key in text
    assert (service.instance / "admin.key").stat().st_mode & 0o777 == 0o600
    commands = re.findall(r"^\s+(curl .*)$", text, re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        done = subprocess.run(
            ["sh", "-c", f"{command} --silent --show-error --fail"], capture_output=True, text=True, timeout=30, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("{")


def test_the_log_of_a_start_is_clean(service: RunningService) -> None:
    """Nothing but the greeting and lines of JSON, none of them a warning, and no key in any."""
    lines = service.log_lines()
    assert [line for line in lines if line["level"] not in {"info", "debug"}] == []
    printed = [line for line in greeting(service).splitlines() if line.strip()]
    assert len(printed) == 8, printed
    assert not any(service.admin_key in str(line) for line in lines)


def test_a_second_start_on_a_locked_instance_says_so_in_one_line(service: RunningService) -> None:
    """It names the folder and the process that holds it."""
    assert service.process is not None
    done = service.run("serve", MODELYARD_PORT=str(free_port()))
    assert done.returncode != 0
    assert len(done.stderr.strip().splitlines()) == 1
    assert str(service.instance) in done.stderr
    assert f"process {service.process.pid}" in done.stderr


def test_a_second_start_on_a_used_port_says_so_in_one_line(service: RunningService, tmp_path: Path) -> None:
    """It names address and port; the instance of the loser isn't left locked."""
    for _ in range(2):
        done = service.run("serve", MODELYARD_INSTANCE_PATH=str(tmp_path / "other"))
        assert done.returncode != 0
        assert len(done.stderr.strip().splitlines()) == 1
        assert f"127.0.0.1:{service.port}" in done.stderr
    assert service.process is not None
    assert service.process.poll() is None


@pytest.mark.parametrize("how", ["SIGTERM", "Ctrl-C"])
def test_a_stop_lets_requests_under_way_finish_and_ends_every_child(how: str, tmp_path: Path) -> None:
    """SIGTERM to the host process, or SIGINT to its whole process group as a terminal sends it: drained, status 0."""
    service = RunningService(tmp_path / "instance", web_processes="2", prediction_timeout_seconds="20", extra_names=EXTRA_NAMES)
    with service.output.open("ab") as output:
        command = [sys.executable, "-m", "registry.cli", "serve"]
        service.process = subprocess.Popen(
            command, cwd=ROOT, env=service.environment(), stdout=output, stderr=subprocess.STDOUT, process_group=0
        )
    try:
        service.wait_until_ready()
        service.publish("slow", sleeping(1.5))
        key = service.admin_key
        processes = Processes(service)
        with in_background(
            lambda: httpx.post(f"{service.url}/models/slow/1", json=SLOW, headers={"Authorization": f"Bearer {key}"}, timeout=30)
        ) as outcome:
            eventually(lambda: any(row["waiting"] for row in service.host_report()["loaded"]), what="the request at the worker")
            everyone = processes.all
            if how == "SIGTERM":
                service.process.terminate()
            else:
                os.killpg(service.process.pid, signal.SIGINT)
        assert service.process.wait(30) == 0
        assert [answer.status_code for answer in outcome] == [200], service.log()[-3000:]
        assert [pid for pid in everyone if is_running(pid)] == []
        (warned,) = [line["event"] for line in service.log_lines() if line["level"] in {"warning", "error"}]
        assert str(warned).startswith("MODELYARD_EXTRA_NAMES"), "the one warning of the start, about the test's own models"
    finally:
        service.stop(signal.SIGKILL)


def test_a_stop_while_an_upload_is_being_judged_ends_within_the_drain(tmp_path: Path) -> None:
    """What doesn't end by itself is ended: a model that sleeps at load holds up nothing for longer than the drain lasts."""
    with running(tmp_path / "instance", measured=False, web_processes="1", drain_seconds="1", extra_names=EXTRA_NAMES) as service:
        key = service.admin_key

        def publish() -> int:
            headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/octet-stream"}
            return httpx.post(f"{service.url}/models/hangs/versions", content=sleeps_at_load(), headers=headers, timeout=60).status_code

        with in_background(publish):
            processes = Processes(service)
            eventually(lambda: processes.workers, what="the worker that judges")
            everyone = processes.all
            assert service.stop() == 0
        assert [pid for pid in everyone if is_running(pid)] == []


def test_a_stop_in_the_middle_of_a_start_ends_every_child(tmp_path: Path) -> None:
    """Web processes that are still importing don't hold it up until they are killed."""
    service = RunningService(tmp_path / "instance", web_processes="2", drain_seconds="100").start(wait=False)
    processes = Processes(service)
    eventually(lambda: any("granian" in line for line in lines_of(processes)), what="Granian's start")
    eventually(lambda: len(processes.web) == 2)
    everyone = processes.all
    assert service.stop() == 0, "long before the drain is over, which a lost signal would have waited for"
    assert [pid for pid in everyone if is_running(pid)] == []


def test_a_start_whose_database_can_not_be_prepared_ends_and_says_why(tmp_path: Path) -> None:
    """With status 1, the driver's words instead of a traceback, and no process left."""
    service = RunningService(tmp_path / "instance", database_url=f"sqlite:///{tmp_path}/none/registry.db", **SHARED_SECRETS)
    service.start(wait=False)
    processes = Processes(service)
    eventually(lambda: any("granian" in line for line in lines_of(processes)), what="Granian's start")
    everyone = processes.all
    assert service.process is not None
    assert service.process.wait(30) == 1
    said = service.log()
    assert "unable to open database file" in said
    assert "Traceback" not in said
    assert [pid for pid in everyone if is_running(pid)] == []


def lines_of(processes: Processes) -> list[str]:
    """Return the command lines of a service's processes."""
    return [Path(f"/proc/{pid}/cmdline").read_text(errors="replace") for pid in processes.all if is_running(pid)]
