"""The host's side of a check, without processes: one at a time, so many waiting, and what the end of its worker means. And who has no room."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from registry.artifacts.store import ArtifactStore
from registry.errors import ArtifactTooLarge, ModelyardError, NoRoom, NotAModel, ServerBusy, VersionStarting
from registry.flows.check_upload import Announced, check_upload
from registry.host import checks
from registry.host.checks import Checks
from registry.host.page import Page
from registry.host.process import CRASHED, UNLOADED, Worker


class Answering(Worker):
    """A worker that was never started: it answers, or ends, as it is told here."""

    answer: ModelyardError | EOFError | None = None

    async def do(self, job: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Answer, raise, or have ended."""
        assert (job, seconds) == ({"job": "check", "told": {"names": []}}, 5.0)
        await asyncio.sleep(0)
        if self.answer is not None:
            raise self.answer
        return {"accepted": True}

    def kill(self, fate: str) -> None:
        """Note that it was ended."""
        self.fate = fate


def asked(answer: ModelyardError | EOFError | None, *, askers: int = 1) -> tuple[list[Any], list[Worker], int]:
    """Return what each of some who ask at once gets, all workers that were started, and how many ran at once at most."""
    started: list[Worker] = []
    at_once: list[int] = []

    async def start(nothing: Path) -> Worker:
        assert nothing == checks.NOTHING
        descriptor = Page.create()
        page = Page(descriptor)
        os.close(descriptor)
        worker = Answering(len(started), 0, -1, None, page, None, None)  # type: ignore[arg-type] - nobody talks to it
        worker.answer = answer
        started.append(worker)
        at_once.append(sum(one.fate == CRASHED for one in started))
        return worker

    async def ask() -> list[Any]:
        made = Checks(start=start, seconds=5.0)
        return await asyncio.gather(*(made.check({"names": []}) for _ in range(askers)), return_exceptions=True)

    return asyncio.run(ask()), started, max(at_once)


def test_checks_run_one_after_the_other_and_each_ends_its_worker() -> None:
    """However many ask at once, up to the bound; who comes then is told to come again."""
    answers, started, at_once = asked(None, askers=checks.MOST_WAITING + 4)
    busy = [answer for answer in answers if answer is not None]
    assert [type(answer) for answer in busy] == [ServerBusy] * 3
    assert (len(started), at_once, {worker.fate for worker in started}) == (checks.MOST_WAITING + 1, 1, {UNLOADED})


@pytest.mark.parametrize(("answer", "raised"), [(NotAModel("It isn't."), NotAModel), (EOFError(), VersionStarting)])
def test_what_the_worker_says_is_the_answer_and_its_end_is_none(answer: ModelyardError | EOFError, raised: type[ModelyardError]) -> None:
    """Who ends without an answer has refused nothing."""
    [error], [worker], _ = asked(answer)
    assert (type(error), worker.fate) == (raised, UNLOADED)


def never() -> Any:
    """Read no manifest."""
    pytest.fail("the size is judged first")


@pytest.mark.parametrize(
    ("size_bytes", "min_free_bytes", "raised"), [(11, 0, ArtifactTooLarge), (10, 1 << 60, NoRoom), (0, 1 << 60, NoRoom)]
)
def test_what_has_no_room_is_refused_before_anybody_is_asked(
    tmp_path: Path, size_bytes: int, min_free_bytes: int, raised: type[ModelyardError]
) -> None:
    """And leaves no file."""
    store = ArtifactStore(tmp_path / "artifacts", tmp_path / "quarantine", max_bytes=10, min_free_bytes=min_free_bytes)
    manifest: Callable[[], Any] = never
    with pytest.raises(raised):
        check_upload("m", Announced(size_bytes, manifest, (), None), artifacts=store, workers=None)  # type: ignore[arg-type] - nobody asks
    assert list((tmp_path / "quarantine").iterdir()) == []
