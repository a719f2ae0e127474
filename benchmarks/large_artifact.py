"""A large artifact up and down through the client: how long, and the peak of memory in each process that carries it.

Client, web processes and host process must stay flat, whatever the size; the worker holds the model, which is its business.

    python -m benchmarks.large_artifact --gib 1
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
import psutil
from sklearn.neighbors import KNeighborsRegressor

from tests.running import RunningService, running

COLUMNS = 8
MIB = 1 << 20
CLIENT = """
import json, sys, time
from modelyard import Client
url, key, path, target = sys.argv[1:]
# not getrusage: its peak is inherited from the process that started this one
peak = lambda: next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith("VmHWM"))
with Client(url, key) as yard:
    yard.me()
    before, began = peak(), time.perf_counter()
    version = yard.publish(path, "large", example=[[0.5] * 8])
    published, up = peak(), time.perf_counter()
    yard.download(version.selector, target)
    print(json.dumps({"before": before, "published": published, "downloaded": peak(), "up": up - began, "down": time.perf_counter() - up}))
"""


@dataclass(frozen=True)
class Journey:
    """What one journey took. Sizes in bytes, times in seconds; growth is the peak above what stood before."""

    size_bytes: int
    up_seconds: float
    down_seconds: float
    client_growth_bytes: int
    web_growth_bytes: int
    host_growth_bytes: int
    equal: bool


def make_model(path: Path, size_bytes: int) -> None:
    """Dump a model of about `size_bytes`: a regressor that remembers all of its rows."""
    rows = size_bytes // (8 * (COLUMNS + 1))
    numbers = np.random.default_rng(0)
    joblib.dump(KNeighborsRegressor(algorithm="brute").fit(numbers.random((rows, COLUMNS)), numbers.random(rows)), path)


def travel(service: RunningService, folder: Path, size_bytes: int) -> Journey:
    """Send a model up and down in a process of its own, and measure that and the service's."""
    path, target = folder / "large.joblib", folder / "again.joblib"
    make_model(path, size_bytes)
    carriers = carriers_of(service)
    before = {name: sum(resident(process) for process in processes) for name, processes in carriers.items()}
    for processes in carriers.values():
        for process in processes:
            Path(f"/proc/{process.pid}/clear_refs").write_text("5", encoding="ascii")  # forget the highest resident size so far
    words = [sys.executable, "-c", CLIENT, service.url, service.admin_key, str(path), str(target)]
    ran = subprocess.run(words, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise RuntimeError(ran.stderr)
    told = json.loads(ran.stdout)
    growth = {name: sum(highest(process) for process in processes) - before[name] for name, processes in carriers.items()}
    return Journey(
        size_bytes=path.stat().st_size,
        up_seconds=told["up"],
        down_seconds=told["down"],
        client_growth_bytes=max(told["published"], told["downloaded"]) - told["before"],
        web_growth_bytes=growth["web"],
        host_growth_bytes=growth["host"],
        equal=digest(path) == digest(target),
    )


def carriers_of(service: RunningService) -> dict[str, list[psutil.Process]]:
    """Return the service's processes that an artifact's bytes pass through or that hand it on."""
    assert service.process is not None
    host = psutil.Process(service.process.pid)
    web = [process for process in host.children(recursive=True) if "granian" in " ".join(process.cmdline())]
    return {"host": [host], "web": web}


def resident(process: psutil.Process) -> int:
    """Return the resident bytes of a process."""
    return int(process.memory_info().rss)


def highest(process: psutil.Process) -> int:
    """Return the highest resident size of a process since it was last forgotten (proc_pid_status(5), VmHWM)."""
    line = next(line for line in Path(f"/proc/{process.pid}/status").read_text(encoding="ascii").splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) << 10


def digest(path: Path) -> str:
    """Return a file's sha256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main() -> int:
    """Run the journey and print what it took; exit status 1 when the bytes differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gib", type=float, default=1.0, help="size of the artifact in GiB (default: 1)")
    size = int(parser.parse_args().gib * 1024 * MIB)
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder) / "instance", measured=False, max_artifact_bytes=f"{size + 64 * MIB}") as service,
    ):
        began = time.perf_counter()
        journey = travel(service, Path(folder), size)
        print(f"{journey.size_bytes / MIB:.0f} MiB: up (with admission) {journey.up_seconds:.1f} s, down {journey.down_seconds:.1f} s")
        print(
            f"peak above what stood before: client {journey.client_growth_bytes / MIB:.1f} MiB, all web processes "
            f"{journey.web_growth_bytes / MIB:.1f} MiB, host process {journey.host_growth_bytes / MIB:.1f} MiB"
        )
        print(f"the same bytes came back: {journey.equal} ({time.perf_counter() - began:.0f} s in all)")
    return 0 if journey.equal else 1


if __name__ == "__main__":
    sys.exit(main())
