"""The measuring itself: model by model, all contenders in turn, repetition by repetition.

Only one server is under load at a time. Repetitions go round, each beginning with another contender, so that what the machine
does meanwhile falls on all. What fails is noted with its reason and ends nobody else's run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import environments, process_tree
from benchmarks.contenders.contract import Contender, Place, Way
from benchmarks.contenders.modelyard import Refused
from benchmarks.estimators import Model
from benchmarks.load import LOADS, Load
from benchmarks.server import Failed, Server, free_ports

SHORTEST_SECONDS = 0.7
LONGEST_SECONDS = 5.0
LOAD_OVERHEAD_SECONDS = 0.35
WARM_SECONDS = 1.0
SHORT_WARM_SECONDS = 0.3
FIRST_PORT = 21_000
SETTLING_SECONDS = 1.0
IDLE_SECONDS = 2.0
IDLE_LOOKS = 3
IDLE_SHARE = 0.04

BARE = """
import sys, time, statistics, joblib, numpy as np
model, rows = joblib.load(sys.argv[1]), np.load(sys.argv[2])
def median(rows, seconds):
    model.predict(rows)
    taken, ends = [], time.perf_counter() + seconds
    while time.perf_counter() < ends:
        began = time.perf_counter()
        model.predict(rows)
        taken.append(1000 * (time.perf_counter() - began))
    return statistics.median(taken)
print(median(rows[:1], 0.3), median(rows, 0.5))
"""


@dataclass(frozen=True)
class Plan:
    """What is measured, and for how long. With `budget_seconds`, the length of each load follows from what is left of it."""

    contenders: Sequence[type[Contender]]
    models: Sequence[Model]
    loads: Sequence[str]
    repetitions: int
    seconds: float
    budget_seconds: float | None = None


@dataclass
class Results:
    """The raw figures of a run."""

    samples: list[dict[str, Any]] = field(default_factory=list)
    starts: list[dict[str, Any]] = field(default_factory=list)
    memory: list[dict[str, Any]] = field(default_factory=list)
    bare: list[dict[str, Any]] = field(default_factory=list)
    lengths: list[dict[str, Any]] = field(default_factory=list)
    absent: list[dict[str, str]] = field(default_factory=list)
    remarks: list[dict[str, str]] = field(default_factory=list)


class Measurement:
    """One run of the benchmark."""

    def __init__(self, plan: Plan) -> None:
        """Prepare; `run` begins."""
        self.plan = plan
        self.results = Results()
        self.began = time.monotonic()
        self.servers: list[Server] = []
        self.last_port = FIRST_PORT

    def run(self) -> Results:
        """Install what is missing, then measure model by model; every server is ended whatever happens."""
        installed = self.install()
        self.began = time.monotonic()  # installing is no part of the budget
        with tempfile.TemporaryDirectory(prefix="myb-") as folder:
            for index, model in enumerate(self.plan.models):
                try:
                    self._measure(model, installed, Path(folder), self.plan.models[index:])
                finally:
                    self._end_all()
        return self.results

    def install(self) -> list[type[Contender]]:
        """Make the environments that are missing, and return the contenders that can take part."""
        found = []
        reasons: dict[str, str] = {}
        for contender in self.plan.contenders:
            reason = reasons.get(contender.venv or "") or _obstacle(contender)
            if reason:
                reasons[contender.venv or contender.name] = reason
                self._absent(contender, "", reason)
            else:
                found.append(contender)
        return found

    def _absent(self, contender: type[Contender], model: str, reason: str) -> None:
        print(f"  {contender.name} {model}: left out: {reason}", flush=True)
        self.results.absent.extend({"way": way.name, "model": model, "reason": reason} for way in contender.ways)

    def _measure(self, model: Model, contenders: list[type[Contender]], folder: Path, models_left: Sequence[Model]) -> None:
        artifact = model.write(folder)
        taking_part = self._of(contenders, model)
        began = time.monotonic()
        for contender in taking_part:
            self._add_server(contender, model, artifact, folder)
        start_cost = (time.monotonic() - began) / max(1, len(taking_part))
        self._note_idle_costs()
        seconds = self._seconds(contenders, models_left, start_cost)
        self.results.lengths.append({"model": model.name, "seconds": seconds})
        print(f"{model.title}: {len(self.servers)} servers, {self.plan.repetitions} times {seconds:.2f} s a load", flush=True)
        for repetition in range(self.plan.repetitions):
            if "bulk" in model.loads:
                self._bare(model, artifact, folder)
            first = repetition * max(1, len(self.servers) // self.plan.repetitions)
            for server in [*self.servers[first:], *self.servers[:first]]:
                self._turn(server, repetition, seconds)

    def _of(self, contenders: Iterable[type[Contender]], model: Model) -> list[type[Contender]]:
        return [contender for contender in contenders if self._cells(contender, model)]

    def _cells(self, contender: type[Contender], model: Model) -> list[tuple[Way, Load]]:
        """Return ways and loads of a contender for a model."""
        wanted = [name for name in self.plan.loads if name in model.loads]
        return [(way, LOADS[name]) for way in contender.ways if model.name in way.models for name in wanted if name in way.loads]

    def _add_server(self, contender: type[Contender], model: Model, artifact: Path, folder: Path) -> None:
        """Prepare, start, check and warm one; leave out what can't be measured."""
        place = Place(folder / f"{contender.name}-{model.name}", self._port(), artifact, model.name)
        place.folder.mkdir()
        server = Server(contender(place), model)
        self.servers.append(server)
        try:
            server.contender.prepare()
            self._start(server, WARM_SECONDS)
        except (Failed, Refused, OSError, subprocess.SubprocessError) as error:
            self._leave_out(server, str(error))
        if not contender.stays_up:
            server.end()

    def _port(self) -> int:
        """Return a free port that no other server of this run has, also none that waits for its turn."""
        self.last_port = free_ports(self.last_port + 10)
        return self.last_port

    def _start(self, server: Server, warm_seconds: float) -> None:
        seconds = server.start()
        self.results.starts.append({"contender": server.contender.name, "model": server.model.name, "seconds": seconds})
        for way in self._ways(server):
            server.check(way)
        self._warm(server, warm_seconds)

    def _ways(self, server: Server) -> dict[Way, Load]:
        """Return each way of asking with the first load that it takes part in."""
        return dict(reversed(self._cells(type(server.contender), server.model)))

    def _warm(self, server: Server, seconds: float) -> None:
        for way, how in self._ways(server).items():
            server.load(way, how, seconds)

    def _leave_out(self, server: Server, reason: str) -> None:
        """End a server that can't be measured, keep what it printed, and forget what it gave so far."""
        self._absent(type(server.contender), server.model.name, reason)
        names = {way.name for way in server.contender.ways}
        self.results.samples = [row for row in self.results.samples if row["way"] not in names or row["model"] != server.model.name]
        log = server.place.folder / "server.log"
        if log.exists():
            shutil.copy(log, environments.WORK / f"{server.contender.name}-{server.model.name}.server.log")
        server.end()
        self.servers = [other for other in self.servers if other is not server]

    def _note_idle_costs(self) -> None:
        """End those that keep a core busy without being asked, and start them anew for each of their turns."""
        suspects = {server: 1.0 for server in self.servers if server.process}
        for _ in range(IDLE_LOOKS):
            time.sleep(SETTLING_SECONDS)
            before = {server: process_tree.cpu_seconds(server.tree()) for server in suspects}
            time.sleep(IDLE_SECONDS)
            shares = {server: (process_tree.cpu_seconds(server.tree()) - cpu) / IDLE_SECONDS for server, cpu in before.items()}
            suspects = {server: share for server, share in shares.items() if share > IDLE_SHARE}
        for server, share in suspects.items():
            remark = f"took {share:.0%} of a core while it was idle, so it was started anew for each turn"
            self.results.remarks.append({"contender": server.contender.name, "model": server.model.name, "remark": remark})
            server.end()

    def _seconds(self, contenders: list[type[Contender]], models_left: Sequence[Model], start_cost: float) -> float:
        """Return the length of a load: as asked for, or as the budget leaves it when each start to come costs so many seconds."""
        if self.plan.budget_seconds is None:
            return self.plan.seconds
        left = self.plan.budget_seconds - (time.monotonic() - self.began)
        starts = sum(len(self._of(contenders, model)) for model in models_left[1:])
        starts += sum(self.plan.repetitions for server in self.servers if server.process is None) * len(models_left)
        cells = sum(len(self._cells(contender, model)) for model in models_left for contender in contenders)
        each = (left - starts * start_cost) / max(1, cells * self.plan.repetitions) - LOAD_OVERHEAD_SECONDS
        return min(LONGEST_SECONDS, max(SHORTEST_SECONDS, each))

    def _turn(self, server: Server, repetition: int, seconds: float) -> None:
        """Load one server in each of its ways."""
        again = server.process is None
        try:
            if again:
                self._start(server, WARM_SECONDS)
            else:
                self._warm(server, SHORT_WARM_SECONDS)
            for way, how in self._cells(type(server.contender), server.model):
                figures = server.load(way, how, seconds)
                row = {"way": way.name, "model": server.model.name, "load": how.name}
                self.results.samples.append({**row, "repetition": repetition, **figures, "unmet": server.unmet(way)})
            self._note_memory(server)
        except (Failed, OSError) as error:
            self._leave_out(server, f"in repetition {repetition + 1}: {error}")
        finally:
            if again:
                server.end()

    def _note_memory(self, server: Server) -> None:
        tree = server.tree()
        pss = process_tree.pss_bytes(tree)
        self.results.memory.append(
            {"contender": server.contender.name, "model": server.model.name, "pss_bytes": pss, "processes": len(tree)}
        )

    def _bare(self, model: Model, artifact: Path, folder: Path) -> None:
        """Time `predict` alone, without any server, with one thread."""
        rows = folder / f"{model.name}.npy"
        if not rows.exists():
            np.save(rows, np.array(model.bulks()[0]))
        environment = {**process_tree.clean_environment("bare"), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, "-c", BARE, str(artifact), str(rows)], env=environment, capture_output=True, text=True, check=True
        )
        single, bulk = (float(text) for text in done.stdout.split())
        self.results.bare.append({"model": model.name, "row_ms": single, "bulk_ms": bulk})

    def _end_all(self) -> None:
        """Ask all to end before any is waited for: together they take as long as the slowest."""
        for server in self.servers:
            server.ask_to_end()
        for server in self.servers:
            server.end()
        self.servers = []


def _obstacle(contender: type[Contender]) -> str:
    """Return why a contender can't take part, after trying to install it; empty when it can."""
    missing = [command for command in contender.needs if shutil.which(command) is None]
    if missing:
        return f"`{missing[0]}` isn't installed on this machine"
    if contender.venv is None:
        return ""
    try:
        environments.ensure(contender.venv)
    except environments.CannotInstall as error:
        return f"could not be installed: {error}"
    return ""


def machine() -> dict[str, Any]:
    """Return what this machine is."""
    cpu = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    memory = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    return {
        "cpu": cpu[0] if cpu else "unknown", "cores": os.cpu_count(), "memory_gb": round(int(memory.split()[1]) / 2**20, 1), "kernel": os.uname().release,
        "python": sys.version.split()[0], "load_average": os.getloadavg()[0],
    }  # fmt: skip
