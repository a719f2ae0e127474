"""How many requests of one key may send their bodies at once."""

from __future__ import annotations

import pytest

from registry.api.whole_body import Shares
from registry.errors import RateLimited


def test_a_key_holds_its_share_and_no_more_and_gives_it_back() -> None:
    """Each key has a count of its own, and an error in the block frees it, too."""
    shares = Shares(2)
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
