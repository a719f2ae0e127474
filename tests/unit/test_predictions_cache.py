"""Identical computations under way in one process: one leads, all share what becomes of it. And what keys a cached prediction."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from registry.errors import PredictionFailed
from registry.serving.answer import Answer
from registry.serving.computing import Computing
from registry.serving.predictions import digest, prediction_key

KEY = b"k" * 32
OUTPUTS = Answer(b"outputs", "exact")


@pytest.fixture
def computing() -> Computing:
    """Start with nothing under way."""
    return Computing()


def test_one_leads_and_the_others_get_its_outputs(computing: Computing) -> None:
    """Let twenty threads ask at once, and compute once."""
    barrier, release = threading.Barrier(21), threading.Event()
    computed = []

    def ask() -> Answer:
        flight, leads = computing.join(KEY)
        barrier.wait(10)
        if leads:
            release.wait(10)
            computed.append(1)
            computing.land(KEY, OUTPUTS)
            return OUTPUTS
        return flight.result()

    with ThreadPoolExecutor(20) as pool:
        answers = [pool.submit(ask) for _ in range(20)]
        barrier.wait(10)
        assert not any(answer.done() for answer in answers)
        release.set()
        assert {answer.result(10) for answer in answers} == {OUTPUTS}
    assert computed == [1]


def test_an_error_is_everybodys(computing: Computing) -> None:
    """Raise the leader's error in whoever waits."""
    _, leads = computing.join(KEY)
    flight, follows = computing.join(KEY)
    assert (leads, follows) == (True, False)
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(flight.result) for _ in range(3)]
        computing.land(KEY, None, PredictionFailed("it raised"))
        for one in waiting:
            with pytest.raises(PredictionFailed, match="it raised"):
                one.result(10)


@pytest.mark.parametrize("error", [None, PredictionFailed()])
def test_after_a_flight_has_landed_the_next_one_leads(computing: Computing, error: Exception | None) -> None:
    """Keep neither outputs nor errors for later requests."""
    first, _ = computing.join(KEY)
    computing.land(KEY, None if error else OUTPUTS, error)
    second, leads = computing.join(KEY)
    assert leads
    assert second is not first
    assert second.answer is None


def test_other_keys_fly_apart(computing: Computing) -> None:
    """Share by key alone."""
    one, one_leads = computing.join(b"a" * 32)
    other, other_leads = computing.join(b"b" * 32)
    assert one_leads
    assert other_leads
    follower, _ = computing.join(b"a" * 32)
    computing.land(b"a" * 32, OUTPUTS)
    assert follower is one
    assert follower.result() == OUTPUTS
    assert other.answer is None


def test_a_key_is_equal_for_equal_content_only() -> None:
    """Change with artifact, runtime, method, parameters and inputs; not with the parameters' order."""
    first = prediction_key("sha", "exact", "predict", {"a": 1, "b": 2}, b"inputs")
    assert first == prediction_key("sha", "exact", "predict", {"b": 2, "a": 1}, b"inputs")
    others = [
        prediction_key("other", "exact", "predict", {"a": 1, "b": 2}, b"inputs"),
        prediction_key("sha", "fast", "predict", {"a": 1, "b": 2}, b"inputs"),
        prediction_key("sha", "exact", "predict_proba", {"a": 1, "b": 2}, b"inputs"),
        prediction_key("sha", "exact", "predict", {"a": 1, "b": 3}, b"inputs"),
        prediction_key("sha", "exact", "predict", {"a": 1}, b"inputs"),
        prediction_key("sha", "exact", "predict", {}, b"inputs"),
        prediction_key("sha", "exact", "predict", {"a": 1, "b": 2}, b"input"),
    ]
    assert len({first, *others}) == 8
    assert len({digest(one) for one in (first, *others)}) == 8
    assert len(digest(first)) == 32
