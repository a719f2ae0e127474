"""Keeping how much was asked: what a process counted goes into the database, and there into longer and longer spans.

Each batch is a short transaction of its own, none of them a change of the registry: no generation, no event. With the database
away nothing is lost but what is too old, and nobody waits. Between two batches others get at SQLite's one lock.
"""

from __future__ import annotations

from datetime import UTC, datetime
from time import monotonic, sleep

from registry import catalog
from registry.extensions import commit, reading
from registry.traffic import Tally

#: After each transaction the lock is left to others for so many times as long as it took.
REST = 2


def write_traffic(tally: Tally) -> None:
    """Write everything that was counted until now. Raises RegistryUnavailable; then the same is tried again next time."""
    while (batch := tally.batch()) is not None:
        started = monotonic()
        with reading():
            catalog.add_traffic(batch, datetime.now(UTC))
            commit()
        tally.settle(batch)
        if not batch.is_full:
            return  # else answers that are given meanwhile would keep it going
        sleep(REST * (monotonic() - started))


def roll_up() -> None:
    """Roll up what all processes wrote, unless another process did so a moment ago. Raises RegistryUnavailable."""
    now = datetime.now(UTC)
    with reading():
        is_more = catalog.take_roll_up(now)
        commit()
    while is_more:
        started = monotonic()
        with reading():
            is_more = catalog.roll_up_traffic(now)
            commit()
        sleep(REST * (monotonic() - started))
