"""Asking a running host process directly, for what its HTTP side doesn't show."""

from __future__ import annotations

from typing import Any

from config import Config
from registry import frames
from registry.instance import Instance
from registry.serving.link import Link
from tests.running import RunningService


def ask_host(service: RunningService, question: dict[str, Any]) -> dict[str, Any]:
    """Return the host process's answer to one question."""
    instance = Instance(Config.from_environ({"MODELYARD_INSTANCE_PATH": str(service.instance)}))
    link = Link(str(instance.host_socket))
    try:
        answer, _ = link.ask(frames.encode_frame(question), 10)
    finally:
        link.close()
    return answer


def loaded(service: RunningService) -> list[dict[str, Any]]:
    """Return the loaded versions, with the pids of their workers."""
    rows: list[dict[str, Any]] = ask_host(service, {"ask": "report"})["loaded"]
    return rows


def pid_of(service: RunningService, name: str, number: int = 1) -> int | None:
    """Return the pid of a version's worker, or None where it isn't loaded."""
    return next((row["pid"] for row in loaded(service) if (row["model"], row["version"]) == (name, number)), None)
