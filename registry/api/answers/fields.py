"""What fields of several answers have in common: times, numbers, names of keys.

Aliases of types, nothing that runs.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

Moment = Annotated[str, Meta(description="A time in UTC, in microseconds.", extra_json_schema={"format": "date-time"})]

KeyId = Annotated[str, Meta(description="The public id of an API key, or `operator` for the host's own command line.")]

VersionNumber = Annotated[int, Meta(description="Counts up per model and is never used again.", ge=1)]

Runtime = Literal["exact", "fast"]

Sha256 = Annotated[str, Meta(description="SHA-256 of the artifact, in hexadecimal.", pattern="^[0-9a-f]{64}$")]

Labels = dict[str, str]

Cursor = Annotated[str | None, Meta(description="Send it as `cursor` for the next page; null on the last one.")]

Health = Literal["up", "degraded", "down"]
