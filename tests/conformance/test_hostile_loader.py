"""Every hostile file against our own loader alone: no lock, no ordinary user, only a child so that a crash shows.

Then the lock alone: the loader is plain joblib, and the files do what they like. And plain joblib without the lock, so
that the corpus can't be blind: what is said to leave a trace leaves one.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.hostile import corpus

MIB = 1 << 20
pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def results() -> dict[str, dict[str, dict[str, Any]]]:
    """Return what came of each file, by the way it was loaded."""
    return corpus.run()


@pytest.fixture(scope="module")
def judged(results: dict[str, dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Return what our loader said of each file."""
    return results["loader"]


def test_the_corpus_is_large_and_of_every_kind(judged: dict[str, dict[str, Any]]) -> None:
    """Hundreds of files, each name once; names, stacks, nested streams, state, sizes, bombs, predictions."""
    kinds = [result["kind"] for result in judged.values()]
    assert len(judged) >= 700
    assert all(kinds.count(kind) >= 40 for kind in ("name", "stack", "nested", "build", "size", "bomb", "predict"))


def test_each_is_refused_by_the_loader_alone(judged: dict[str, dict[str, Any]]) -> None:
    """Those that are harmless once something was dropped or rebuilt may be taken; none crashes or hangs."""
    refused = {name for name, result in judged.items() if result["answer"].startswith("refused ")}
    taken = {name for name, result in judged.items() if result["answer"] == "admitted" and result["outcome"] == "tamed"}
    assert {name: result["answer"] for name, result in judged.items() if name not in refused | taken} == {}


def test_none_leaves_a_trace(judged: dict[str, dict[str, Any]]) -> None:
    """No file was made, changed or removed, nobody connected."""
    assert {name: result["traces"] for name, result in judged.items() if result["traces"]} == {}


def test_memory_and_time_stay_within_the_budget(judged: dict[str, dict[str, Any]]) -> None:
    """Whatever a file declares; the budget is 256 MiB of objects."""
    assert {name: result["memory"] // MIB for name, result in judged.items() if result["memory"] > 320 * MIB} == {}
    slowest = sorted((result["seconds"], name) for name, result in judged.items())[-5:]
    print("slowest:", slowest)
    assert slowest[-1][0] < 20


def test_behind_the_lock_plain_joblib_leaves_no_trace(results: dict[str, dict[str, dict[str, Any]]]) -> None:
    """Each file that leaves a trace without the lock leaves none behind it; a crash or a hang is an answer here."""
    locked = results["locked"]
    assert sum(result["fires"] for result in locked.values()) >= 250
    ran = [name for name, result in locked.items() if result["answer"].startswith(("load raised ", "predict "))]
    assert len(ran) >= 300, "most live to tell what the lock refused them, so they were really loaded"
    assert {name: result["traces"] for name, result in locked.items() if result["traces"]} == {}


def test_plain_joblib_would_leave_every_trace(results: dict[str, dict[str, dict[str, Any]]]) -> None:
    """Those that are said to fire do so when they are loaded and asked to predict; some of the rest crash or hang."""
    plain = results["plain"]
    fired = {name for name, result in plain.items() if result["traces"]}
    assert {name: result["answer"] for name, result in plain.items() if result["fires"] and name not in fired} == {}
    assert len(fired) >= 250
    assert sum(result["answer"] in {"ended", "hung"} for result in plain.values()) >= 20
