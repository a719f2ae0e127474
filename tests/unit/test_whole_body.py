"""How many requests may send their bodies at once: of one key, and of all keys."""

from __future__ import annotations

import io

import pytest

from registry.api.whole_body import Shares, SmallBodies
from registry.errors import MalformedBody, RateLimited, ServerBusy


def test_a_key_holds_its_share_and_no_more_and_gives_it_back() -> None:
    """Each key has a count of its own, and an error in the block frees it, too."""
    shares = Shares(2, 100)
    with shares.take("a"), shares.take("a"):
        with pytest.raises(RateLimited) as refused, shares.take("a"):
            pass
        assert refused.value.retry_after_seconds == 1.0
        with shares.take("b"):
            pass
    with pytest.raises(KeyError), shares.take("a"):
        raise KeyError
    with shares.take("a"), shares.take("a"):
        pass


def test_all_keys_together_hold_so_many() -> None:
    """Whose share isn't used up is told that the server is busy."""
    shares = Shares(2, 3)
    with shares.take("a"), shares.take("a"), shares.take("b"):
        with pytest.raises(ServerBusy) as refused, shares.take("c"):
            pass
        assert refused.value.retry_after_seconds == 1.0
        with pytest.raises(RateLimited), shares.take("a"):
            pass
    with shares.take("c"):
        pass


def test_a_body_that_ends_early_is_refused_and_frees_its_share() -> None:
    """However often."""
    bodies = SmallBodies(web_threads=2)
    for _ in range(5):
        with pytest.raises(MalformedBody):
            bodies.read("a", io.BytesIO(b"short"), 100)
    assert bodies.read("a", io.BytesIO(b"whole body"), 10) == b"whole body"
    assert bodies.read("a", io.BytesIO(b""), 0) == b""
