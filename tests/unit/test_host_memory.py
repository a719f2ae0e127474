"""What a worker costs, and what it shares with the host process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from registry.host import memory
from registry.host.page import Activity, Page
from registry.host.process import Worker


def test_private_memory_grows_with_what_a_process_allocates() -> None:
    """64 MiB more show as about 64 MiB more."""
    before = memory.private_bytes(os.getpid())
    block = bytearray(os.urandom(1 << 20) * 64)
    after = memory.private_bytes(os.getpid())
    assert before is not None
    assert after is not None
    assert after - before > 60 << 20
    assert len(block) == 64 << 20


def test_a_process_that_ended_costs_nothing_that_can_be_said() -> None:
    """None, not zero."""
    assert memory.private_bytes(2**22 + 1) is None
    assert memory.anonymous_bytes(2**22 + 1) is None


def test_the_cheap_figure_grows_as_the_exact_one_does() -> None:
    """64 MiB more show as about 64 MiB more, without a look inside."""
    before = memory.anonymous_bytes(os.getpid())
    block = bytearray(os.urandom(1 << 20) * 64)
    after = memory.anonymous_bytes(os.getpid())
    assert before is not None
    assert after is not None
    assert 60 << 20 < after - before < 80 << 20
    assert len(block) == 64 << 20


def test_a_worker_is_followed_from_its_last_measurement_on() -> None:
    """Between two exact measurements by what it grew."""
    worker = Worker(1, os.getpid(), -1, None, None, None, None, last=Activity(0, 0, 0, 3, 0))  # type: ignore[arg-type] - nobody talks to it
    worker.ended.set()
    worker.measure()
    exact = worker.bytes
    block = bytearray(os.urandom(1 << 20) * 64)
    worker.estimate()
    assert 60 << 20 < worker.bytes - exact < 80 << 20
    assert (worker.measured_calls, len(block)) == (3, 64 << 20)


def test_the_budget_is_half_of_the_smaller_of_machine_and_cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container's limit counts where it is less than the machine."""
    machine = memory.default_budget_bytes()
    limit = tmp_path / "memory.max"
    limit.write_text("1073741824\n")
    monkeypatch.setattr(memory, "_CGROUP_LIMITS", (tmp_path / "absent", limit))
    assert memory.default_budget_bytes() == min(machine, 1 << 29)
    limit.write_text("max\n")
    assert memory.default_budget_bytes() >= machine


def test_the_page_shows_the_host_what_a_worker_wrote() -> None:
    """Two mappings of one page see the same activity."""
    descriptor = Page.create()
    ours, theirs = Page(descriptor), Page(descriptor)
    os.close(descriptor)
    activity = Activity(busy_since_ns=1, last_used_ns=2, requests=3, calls=4, waiting=5)
    theirs.write(activity)
    assert ours.read() == activity
    ours.close()
    theirs.close()
