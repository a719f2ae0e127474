"""What a worker costs, and what it shares with the host process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from registry.host import memory
from registry.host.page import Activity, Page


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
    assert memory._resident_unshared_bytes(2**22 + 1) is None


def test_without_the_right_to_look_inside_the_resident_size_is_taken() -> None:
    """The fallback for a container's root is within a factor of the exact figure."""
    exact, rough = memory.private_bytes(os.getpid()), memory._resident_unshared_bytes(os.getpid())
    assert exact is not None
    assert rough is not None
    assert exact / 4 < rough < exact * 4


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
