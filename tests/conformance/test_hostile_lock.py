"""The lock alone: the loader is plain joblib, the files do what they like, and none leaves a trace outside."""

from __future__ import annotations

from tests.conformance.hostile import corpus


def test_behind_the_lock_plain_joblib_leaves_no_trace() -> None:
    """Each file that leaves a trace without the lock leaves none behind it; a crash or a hang is an answer here."""
    results = corpus.run("locked", "fires", "predict")
    assert sum(result["fires"] for result in results.values()) >= 250
    ran = [name for name, result in results.items() if result["answer"].startswith(("load raised ", "predict "))]
    assert len(ran) >= 300, "most live to tell what the lock refused them, so they were really loaded"
    assert {name: result["traces"] for name, result in results.items() if result["traces"]} == {}
