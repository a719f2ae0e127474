"""A request that names an Idempotency-Key is carried out once: its answer is kept with the change, for 24 hours.

Asked twice, before the work and again under the write lock, since two requests with one key may come together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from registry import catalog
from registry.errors import IdempotencyKeyReused


@dataclass(frozen=True, slots=True)
class Once:
    """An Idempotency-Key of a caller, or none."""

    key_id: str
    idempotency_key: str | None

    def find(self, fingerprint: str) -> dict[str, Any] | None:
        """Return the answer given before, or None. Raises IdempotencyKeyReused when the key came with another request."""
        if self.idempotency_key is None:
            return None
        found = catalog.find_idempotent(self.key_id, self.idempotency_key)
        if found is None:
            return None
        if found.fingerprint != fingerprint:
            raise IdempotencyKeyReused("Within 24 hours this Idempotency-Key came with a different request; use a new one.")
        return found.response

    def keep(self, fingerprint: str, response: dict[str, Any]) -> None:
        """Keep the answer in the write under way."""
        if self.idempotency_key is not None:
            catalog.keep_idempotent(self.key_id, self.idempotency_key, fingerprint, response)
