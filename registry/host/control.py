"""The socket over which web processes ask the host process: where is this version, judge this upload, how did that worker end.

One frame in, one frame out, on a UNIX socket that only this user can open. Unknown questions get an error, never an exception.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from registry import frames
from registry.errors import ModelyardError, NotFound, to_wire
from registry.host.pool import Pool

log = logging.getLogger("modelyard.host")

MAX_QUESTION_BYTES = 256 << 20  # a manifest with its example, or the golden predictions of a version

Answer = Awaitable[dict[str, Any]]


class ControlServer:
    """Answers the web processes of this host."""

    def __init__(self, pool: Pool, quarantine: Path, host_report: Callable[[], dict[str, Any]]) -> None:
        """Admissions are taken from `quarantine` alone; `host_report` tells of the other children."""
        self._pool = pool
        self._quarantine = quarantine
        self._host_report = host_report
        self._questions: dict[str, Callable[[dict[str, Any]], Answer]] = {
            "acquire": self._acquire,
            "admit": self._admit,
            "check": self._check,
            "compile": self._compile,
            "fate": self._fate,
            "refresh": self._refresh,
            "unload": self._unload,
            "forget": self._forget,
            "pin": self._pin,
            "report": self._report,
        }

    async def start(self, path: Path) -> asyncio.Server:
        """Listen on `path`."""
        path.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(self._converse, path, limit=frames.MAX_FRAME_BYTES, backlog=512)
        path.chmod(0o600)
        return server

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, frames.FrameError, asyncio.CancelledError):
            while True:
                question, _ = frames.decode_frame(await frames.read_frame(reader, MAX_QUESTION_BYTES))
                writer.write(frames.encode_frame(await self._answer(question)))
                await writer.drain()
        writer.close()

    async def _answer(self, question: dict[str, Any]) -> dict[str, Any]:
        ask = self._questions.get(question.get("ask", ""))
        try:
            if ask is None:
                raise NotFound(f"The host process doesn't know the question {question.get('ask')!r}.")
            return await ask(question)
        except ModelyardError as error:
            return to_wire(error)
        except Exception:  # the host process must outlive any single question
            log.exception("question %r failed", question.get("ask"))
            return to_wire(ModelyardError())

    async def _acquire(self, question: dict[str, Any]) -> dict[str, Any]:
        return await self._pool.acquire(question["version_id"], question.get("spec"), question["wait_seconds"], question.get("gone"))

    async def _admit(self, question: dict[str, Any]) -> dict[str, Any]:
        name = Path(question["name"]).name
        return await self._pool.admit(self._quarantine / name, question["manifest"])

    async def _check(self, question: dict[str, Any]) -> dict[str, Any]:
        await self._pool.checks.check(question["told"])
        return {}

    async def _compile(self, question: dict[str, Any]) -> dict[str, Any]:
        return {"compiled": await self._pool.compile(question["spec"])}

    async def _refresh(self, question: dict[str, Any]) -> dict[str, Any]:
        return {"drained": await self._pool.refresh(question["version_id"], question["served"])}

    async def _fate(self, question: dict[str, Any]) -> dict[str, Any]:
        return {"fate": await self._pool.fate(question["worker"])}

    async def _unload(self, question: dict[str, Any]) -> dict[str, Any]:
        return {"unloaded": await self._pool.unload(question["version_id"])}

    async def _forget(self, question: dict[str, Any]) -> dict[str, Any]:
        self._pool.forget(question["version_id"])
        return {}

    async def _pin(self, question: dict[str, Any]) -> dict[str, Any]:
        self._pool.pin(question["version_id"], pinned=question["pinned"])
        return {}

    async def _report(self, _question: dict[str, Any]) -> dict[str, Any]:
        return {**self._pool.report(), "host": self._host_report()}
