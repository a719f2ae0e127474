"""Load versions one by one in locked workers, without serving them, to learn whether this image would serve them.

Uses the same pool, walls and golden replay as the service; only the answer is different.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from config import Config
from registry.catalog import LoadSpec
from registry.errors import ModelyardError
from registry.host.children import end_child
from registry.host.forklink import ForkLink
from registry.host.pool import Pool
from registry.host.supervisor import ROOT
from registry.instance import Instance


class Verification:
    """One run over many versions, with a fork server of its own."""

    def __init__(self, config: Config, instance: Instance) -> None:
        """Prepare; `run` starts and ends the fork server."""
        self._config = config
        self._instance = instance

    async def run(self, specs: Iterable[LoadSpec]) -> list[tuple[LoadSpec, str]]:
        """Return the versions that don't load and replay equal here, each with the reason."""
        with tempfile.TemporaryDirectory(prefix="modelyard-") as folder:

            def note_exit(number: int, status: int) -> None:
                pool.note_exit(number, status)  # the pool is made after the link that it hears from

            forks = ForkLink(
                ROOT,
                sandbox=self._config.sandbox == "on",
                uid=self._config.worker_uid,
                on_exit=note_exit,
                extra_names=self._config.extra_names,
            )
            pool = Pool(self._config, forks, self._instance.artifacts, Path(folder))
            forks.start()
            try:
                found = [(spec, await self._reason(pool, spec)) for spec in specs]
            finally:
                forks.close()
                await asyncio.to_thread(end_child, forks.process, 3)
        return [(spec, reason) for spec, reason in found if reason is not None]

    async def _reason(self, pool: Pool, spec: LoadSpec) -> str | None:
        try:
            await pool.acquire(spec.version_id, {**asdict(spec), "pinned": False}, self._config.load_timeout_seconds)
        except ModelyardError as error:
            return f"{error.detail} {error.log_detail or ''}".strip()
        await pool.unload(spec.version_id)
        return None
