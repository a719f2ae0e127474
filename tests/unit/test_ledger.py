"""Answers that are written down a little later: each once, none lost, and not without bound."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from registry import observability
from registry.api import ledger
from registry.api.ledger import Answered, Ledger


@pytest.fixture(autouse=True)
def level() -> Iterator[None]:
    """Log what is worth knowing."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.INFO)
    yield
    root.setLevel(before)


def answered(number: int, model: str) -> Answered:
    """Return an answer that took a millisecond."""
    return Answered(
        1_800_000_000.25, 0.001, f"request-{number}", f"/models/{model}/1", "/models/<name>/<selector>", "key", model, 1, "miss", "memory", 1,
        0.0001, 0.0005,
    )  # fmt: skip


def lines(text: str) -> list[dict[str, object]]:
    """Return the log's lines."""
    return [json.loads(line) for line in text.splitlines()]


def counted(model: str) -> float:
    """Return how many answers of a model were counted."""
    return observability.PREDICTIONS.labels(model, "1", "ok")._value.get()


def test_each_answer_is_written_and_counted_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Whichever thread gave it, while the writer writes."""
    made = Ledger()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: made.add(answered(number, "once")), range(2000)))
    made.settle()
    found = lines(capsys.readouterr().err)
    assert sorted(str(line["request_id"]) for line in found) == sorted(f"request-{number}" for number in range(2000))
    assert counted("once") == 2000
    assert found[0] == {
        "request_id": found[0]["request_id"], "method": "POST", "path": "/models/once/1", "status": 200, "ms": 1.0, "key_id": "key",
        "model": "once", "version": 1, "cache": "miss", "rows": 1, "validate_ms": 0.1, "predict_ms": 0.5, "event": "request", "level": "info",
        "timestamp": "2027-01-15T08:00:00.250000Z",
    }  # fmt: skip


def test_lines_are_written_whole_into_a_pipe_that_others_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """No write is longer than what a pipe takes in one piece, unless a single line is."""
    writes: list[str] = []
    stream = io.StringIO()
    monkeypatch.setattr(stream, "write", writes.append)
    monkeypatch.setattr("sys.stderr", stream)
    made = Ledger()
    for number in range(500):
        made.add(answered(number, "pipe"))
    made.settle()
    assert sum(len(lines(text)) for text in writes) == 500
    assert all(text.endswith("\n") and len(text.encode()) <= 4096 for text in writes)
    assert len(writes) < 100


def test_whoever_answers_while_too_many_wait_writes_them(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A log that is read slowly holds up answers, not the memory."""
    monkeypatch.setattr(ledger, "MOST", 10)
    monkeypatch.setattr(ledger, "GATHER_SECONDS", 3600)
    made = Ledger()
    for number in range(12):
        made.add(answered(number, "many"))
    assert len(lines(capsys.readouterr().err)) >= 11
