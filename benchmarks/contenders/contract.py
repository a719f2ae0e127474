"""What a contender is: how its server is started, how it is asked, and what is said of its settings.

The harness knows contenders by this alone, so that all are treated alike.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import environments

SERVERS = Path(__file__).resolve().parents[1] / "servers"
JSON = {"Content-Type": "application/json"}
ALL_LOADS = ("row-1", "row-8", "row-64", "bulk")


@dataclass(frozen=True)
class Place:
    """Where one server runs: a folder of its own, a port, the model's file and name."""

    folder: Path
    port: int
    artifact: Path
    model: str


@dataclass(frozen=True, eq=False)
class Way:
    """One way of asking a server, a row in the tables. `loads` names those that it takes part in; `encode` makes binary bodies."""

    name: str
    title: str
    settings: str
    headers: dict[str, str] = field(default_factory=lambda: dict(JSON))
    loads: tuple[str, ...] = ALL_LOADS
    models: tuple[str, ...] = ("iris", "linear", "forest", "boosting")
    encode: Callable[[list[list[float]]], bytes] | None = None
    decode: Callable[[bytes], list[int]] | None = None
    floor: bool = False
    ours: bool = False
    expects: dict[str, str] = field(default_factory=dict)


class Contender:
    """A server that answers predictions. Subclasses say what differs."""

    name = ""
    venv: str | None = None
    packages: tuple[str, ...] = ()
    ways: tuple[Way, ...] = ()
    stays_up = True
    start_seconds = 120.0
    #: How many threads of OpenMP and BLAS each of its processes may use; None leaves them to the server itself.
    math_threads: int | None = 1
    #: Commands that must be on this machine.
    needs: tuple[str, ...] = ()
    #: Whether it joins requests, or computes in another process than the one that answers.
    joins_or_isolates = False

    #: What predictions are asked under.
    path = "/predict"

    def __init__(self, place: Place) -> None:
        """Bind to the place where its server runs."""
        self.place = place

    def prepare(self) -> None:
        """Write what the server needs besides the model's file, before its start is timed."""

    def command(self) -> list[str]:
        """Return the command that starts the server in the foreground."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """Return the variables that the server needs besides the harness's own."""
        return {"MODEL_FILE": str(self.place.artifact)}

    def headers(self) -> dict[str, str]:
        """Return headers besides those of the way of asking."""
        return {}

    def body(self, rows: list[list[float]]) -> bytes:
        """Return the body that asks for the predictions of rows, where the way of asking has none of its own."""
        return json.dumps({"data": rows}).encode()

    def answer(self, body: bytes) -> list[int]:
        """Return the predictions in an answer, likewise."""
        return [int(label) for label in json.loads(body)["prediction"]]

    @classmethod
    def bin(cls, command: str) -> str:
        """Return the path of a command in the contender's environment."""
        return str(environments.bin_folder(cls.venv) / command)

    @classmethod
    def version_text(cls) -> str:
        """Return names and versions of what answers, for the table."""
        installed = environments.versions(cls.venv)
        return ", ".join(f"{name} {installed.get(name, '?')}" for name in cls.packages)

    @classmethod
    def estimator_text(cls) -> str:
        """Return the versions of what computes."""
        installed = environments.versions(cls.venv)
        return ", ".join(f"{name} {installed[name]}" for name in ("scikit-learn", "numpy") if name in installed)


def tensor(rows: list[list[float]]) -> dict[str, Any]:
    """Return rows as an input of the Open Inference Protocol."""
    flat = [value for row in rows for value in row]
    return {"inputs": [{"name": "x", "shape": [len(rows), len(rows[0])], "datatype": "FP64", "data": flat}]}
