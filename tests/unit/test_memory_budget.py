"""The memory budget's choice of who makes room, without processes: the workers are their figures."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from registry.host.budget import Budget
from registry.host.page import Activity, Page, now_ns
from registry.host.process import Worker
from registry.host.slot import Slot

MIB = 1 << 20


@pytest.fixture
def slots() -> Iterator[list[Slot]]:
    """Return three slots whose workers hold 70 MiB each and were used one after the other."""
    made = []
    for number in range(3):
        descriptor = Page.create()
        page = Page(descriptor)
        os.close(descriptor)
        page.write(Activity(0, now_ns() + number, 1, 1, 0))
        worker = Worker(number, 0, -1, None, page, None, None, bytes=70 * MIB)  # type: ignore[arg-type] - nobody talks to it
        made.append(Slot(number, {"model": "m", "number": number, "pinned": False}, worker=worker))
    yield made
    for slot in made:
        slot.release()


def budget(slots: list[Slot]) -> Budget:
    """Return a budget for two of them; every worker that was ever there still runs."""
    workers = [slot.worker for slot in slots if slot.worker is not None]

    async def evict(_slot: Slot) -> None:
        pytest.fail("choosing must not evict")

    return Budget(200 * MIB, wait_seconds=1, workers=workers, slots=lambda: slots, evict=evict)


def test_the_least_recently_used_is_the_excess(slots: list[Slot]) -> None:
    """Of three that hold more than the budget together."""
    assert budget(slots).find_excess() is slots[0]


def test_a_worker_that_is_being_drained_costs_no_second_victim(slots: list[Slot]) -> None:
    """It has left its slot, and its process takes a moment to be gone."""
    made = budget(slots)
    slots[0].release()
    assert made.used_bytes == 210 * MIB
    assert made.find_excess() is None
