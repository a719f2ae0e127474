"""A large artifact goes up and down without being held in memory by anything that carries it.

The same journey with a gigabyte: `python -m benchmarks.large_artifact`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.large_artifact import MIB, travel
from tests.running import RunningService

pytestmark = pytest.mark.integration

SIZE_BYTES = 96 * MIB
FLAT_BYTES = 32 * MIB


def test_a_large_artifact_goes_up_and_down_with_flat_memory_on_both_sides(shared_service: RunningService, tmp_path: Path) -> None:
    """Client, web processes and host process stay far under its size, and the same bytes come back."""
    journey = travel(shared_service, tmp_path, SIZE_BYTES)
    assert journey.equal
    assert journey.size_bytes > 0.99 * SIZE_BYTES
    grown = {"client": journey.client_growth_bytes, "web": journey.web_growth_bytes, "host": journey.host_growth_bytes}
    assert {name: size for name, size in grown.items() if size > FLAT_BYTES} == {}
