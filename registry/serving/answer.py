"""What a version answered, still encoded: it travels and is cached as it came from the worker.

Never decoded before it is kept, so that what is kept is what was computed.
"""

from __future__ import annotations

from typing import NamedTuple

RUNTIMES = ("exact", "fast")


class Answer(NamedTuple):
    """Encoded outputs (see `frames.encode_outputs`), and the runtime that computed them: `exact` or `fast`."""

    outputs: bytes
    runtime: str
