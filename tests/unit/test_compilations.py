"""The host's side of making a compiled form, without processes: what the end of its worker means, and that nothing is made twice at once."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from registry.errors import ModelUnloadable, ModelyardError, VersionStarting
from registry.host.budget import Budget
from registry.host.compilations import Compilations
from registry.host.page import Page
from registry.host.process import CRASHED, ORPHANED, TIMEOUT, Worker

SPEC = {
    "version_id": 7,
    "model": "m",
    "number": 1,
    "sha256": "ab",
    "flavor": "sklearn",
    "golden": b"",
    "accept_skew": False,
    "signature": {},
}
MADE = {"golden": b"outputs", "report": {"reason": None}}


class Ended(Worker):
    """A worker that was never started: it answers, or ends, as it is told here."""

    answer: dict[str, Any] | ModelyardError | None = None

    async def do(self, job: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Answer, raise, or have ended."""
        assert (job["job"], seconds) == ("compile", 5.0)
        await asyncio.sleep(0)
        if isinstance(self.answer, dict):
            return {"compiled": self.answer}
        raise self.answer or EOFError


def made_by(
    answer: dict[str, Any] | ModelyardError | None, fate: str = CRASHED, exit_status: int = 0, *, askers: int = 1
) -> tuple[list[Any], int]:
    """Return what each of some who ask at once gets from a worker that ends like this, and how many workers were started."""
    started = []

    async def start(_artifact: Path) -> Worker:
        descriptor = Page.create()
        page = Page(descriptor)
        os.close(descriptor)
        worker = Ended(len(started), 0, -1, None, page, None, None, fate=fate, exit_status=exit_status)  # type: ignore[arg-type] - nobody talks to it
        worker.answer = answer
        worker.ended.set()
        started.append(worker)
        return worker

    async def evict(_slot: object) -> None:
        pytest.fail("there is room")

    async def ask() -> list[Any]:
        budget = Budget(1 << 30, wait_seconds=1, workers=(), slots=list, evict=evict)
        compilations = Compilations(budget, start=start, seconds=5.0)
        asked = [compilations.make(SPEC, Path("artifact"), guess_bytes=1, budget_bytes=1) for _ in range(askers)]
        return await asyncio.gather(*asked)

    return asyncio.run(ask()), len(started)


def test_those_who_ask_at_once_share_one_worker() -> None:
    """Each web process of a host asks for what is pending."""
    assert made_by(MADE, askers=4) == ([MADE] * 4, 1)


def test_what_the_worker_found_wrong_is_the_reason() -> None:
    """A version that doesn't load has no compiled form either."""
    [refused], _ = made_by(ModelUnloadable("The golden predictions differ."))
    assert (refused["golden"], refused["report"]["reason"]) == (None, "There is no compiled form: The golden predictions differ.")


@pytest.mark.parametrize(
    ("fate", "exit_status", "why"), [(CRASHED, -signal.SIGSEGV, "ended its process"), (TIMEOUT, -signal.SIGKILL, "longer than 5 s")]
)
def test_a_worker_that_does_not_survive_it_is_a_refusal(fate: str, exit_status: int, why: str) -> None:
    """So that nobody tries it again and again."""
    [refused], _ = made_by(None, fate, exit_status)
    assert refused["golden"] is None
    assert why in refused["report"]["reason"]


@pytest.mark.parametrize(("fate", "exit_status"), [(ORPHANED, 0), (CRASHED, -signal.SIGKILL)])
def test_a_worker_that_was_ended_from_outside_is_no_refusal(fate: str, exit_status: int) -> None:
    """The version stays pending, and is made later."""
    with pytest.raises(VersionStarting):
        made_by(None, fate, exit_status)
