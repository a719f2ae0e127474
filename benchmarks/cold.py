"""The first prediction of a version that isn't loaded, a stampede of them, and the memory of many loaded versions.

    .venv/bin/python benchmarks/cold.py [--rounds 15] [--parts first stampede memory]

`first`: p50 of the first prediction over HTTP after an unload, beside the bare `joblib.load` of the same file in this warm process, in
interleaved rounds; the bar is ten times that and 50 ms. The laps are those of the host process's log: what the load itself took.
`stampede`: 64 first predictions at once, which must be one load. `memory`: what each of 20 small loaded models costs over the fork
server, as PSS; the bar is 15 MB.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import httpx
import joblib
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from benchmarks.estimators import MODELS, Model
from tests.processes import Processes
from tests.running import RunningService, running

NAMES = ("iris", "forest", "boosting")
PARTS = ("first", "stampede", "memory")
TIMES, EXTRA_MS = 10, 50
MOST_MB = 15.0
STAMPEDE = 64
SMALL_MODELS = 20
_LAPS = re.compile(r"loaded (?P<name>[^/]+)/\d+ in (?P<whole>[\d.]+) ms \((?P<laps>[^)]*)\)")
RESULTS = Path(__file__).resolve().parents[1] / ".bench" / "results"


def unload(client: httpx.Client, name: str) -> None:
    """Unload a version and wait for its end."""
    answer = client.post(f"/models/{name}/1/unload", json={})
    if answer.status_code != httpx.codes.OK:
        raise SystemExit(f"{name} can't be unloaded: {answer.text}")


def predict(client: httpx.Client, name: str, row: list[float]) -> float:
    """Predict one row and return the milliseconds."""
    started = time.perf_counter()
    answer = client.post(f"/models/{name}/1", json={"data": [row]})
    elapsed = 1000 * (time.perf_counter() - started)
    if answer.status_code != httpx.codes.OK:
        raise SystemExit(f"{name} can't be asked: {answer.text}")
    return elapsed


def joblib_milliseconds(path: Path) -> float:
    """Return how long the bare load takes in this process, which has everything imported."""
    started = time.perf_counter()
    joblib.load(path)
    return 1000 * (time.perf_counter() - started)


def first(service: RunningService, paths: dict[str, Path], rounds: int) -> dict[str, Any]:
    """Measure first predictions and bare loads in turns, and print their medians."""
    cold: dict[str, list[float]] = {name: [] for name in NAMES}
    bare: dict[str, list[float]] = {name: [] for name in NAMES}
    warm: dict[str, list[float]] = {name: [] for name in NAMES}
    with service.client() as client:
        for number in range(rounds + 1):
            for name in NAMES:
                unload(client, name)
                row = MODELS[name].single_rows()[0]
                figures = predict(client, name, row), predict(client, name, row), joblib_milliseconds(paths[name])
                if number:  # the first round warms whatever is to be warmed
                    for found, figure in zip((cold, warm, bare), figures, strict=True):
                        found[name].append(figure)
    laps = laps_of(service)
    report = {}
    print(f"{'model':10}{'cold p50':>10}{'warm':>8}{'joblib':>9}{'times':>8}{'bar':>8}   laps of the load in ms (medians)")
    for name in NAMES:
        p50, joblib_p50 = statistics.median(cold[name]), statistics.median(bare[name])
        bar = TIMES * joblib_p50 + EXTRA_MS
        medians = {lap: statistics.median(one[lap] for one in laps[name]) for lap in laps[name][0]}
        print(
            f"{name:10}{p50:10.1f}{statistics.median(warm[name]):8.1f}{joblib_p50:9.2f}{p50 / joblib_p50:8.1f}{bar:8.1f}   "
            + ", ".join(f"{lap} {milliseconds:.1f}" for lap, milliseconds in medians.items())
            + ("" if p50 < bar else "   OVER THE BAR")
        )
        report[name] = {"cold_ms": p50, "joblib_ms": joblib_p50, "bar_ms": bar, "laps_ms": medians, "all_cold_ms": cold[name]}
    return report


def laps_of(service: RunningService) -> dict[str, list[dict[str, float]]]:
    """Return the laps of every load that the log tells of, by model."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in NAMES}
    for line in service.log_lines():
        told = _LAPS.match(str(line.get("event", "")))
        if told:
            pairs = [lap.rsplit(" ", 1) for lap in told["laps"].split(", ")]
            found[told["name"]].append({lap: float(number) for lap, number in pairs} | {"whole load": float(told["whole"])})
    return found


def stampede(service: RunningService) -> dict[str, Any]:
    """Send 64 first predictions at once and print how long the last one took; SystemExit unless all are answered by one load."""
    with service.client() as client:
        unload(client, "forest")
    loads = service.host_report()["counts"]["loads"]
    row, together, answers = MODELS["forest"].single_rows()[0], threading.Barrier(STAMPEDE + 1), []

    def ask() -> None:
        with service.client() as client:
            client.get("/health/live")  # so that the connection stands
            together.wait()
            milliseconds = predict(client, "forest", row)
        answers.append(milliseconds)

    threads = [threading.Thread(target=ask) for _ in range(STAMPEDE)]
    for thread in threads:
        thread.start()
    together.wait()
    for thread in threads:
        thread.join()
    more = service.host_report()["counts"]["loads"] - loads
    if len(answers) != STAMPEDE or more != 1:
        raise SystemExit(f"{len(answers)} of {STAMPEDE} were answered, by {more} loads")
    print(f"stampede: {STAMPEDE} first predictions at once, 1 load; answered after {min(answers):.0f} to {max(answers):.0f} ms")
    return {"requests": STAMPEDE, "loads": more, "first_ms": min(answers), "last_ms": max(answers)}


def memory(service: RunningService) -> dict[str, Any]:
    """Load 20 small models and print what each costs in MB of PSS: what they and the fork server hold together, less the fork server alone."""
    rows, classes = load_iris(return_X_y=True)
    with service.client() as client:
        for name in NAMES:
            unload(client, name)
        processes = Processes(service)
        before = pss_bytes(processes.forkserver)
        for number in range(SMALL_MODELS):
            service.publish(f"small-{number}", LogisticRegression(max_iter=1000, C=1 + number).fit(rows, classes))
            predict(client, f"small-{number}", [5.1, 3.5, 1.4, 0.2])
        after = pss_bytes(processes.forkserver)
        pids = processes.workers
    whole = [pss_bytes(pid) / 1e6 for pid in pids]
    each = (sum(whole) + (after - before) / 1e6) / len(pids)
    own = statistics.median(row["bytes"] for row in service.host_report()["loaded"]) / 1e6
    print(
        f"memory: {len(pids)} small models; each costs {each:.1f} MB of PSS over the fork server ({before / 1e6:.0f} MB), "
        f"{own:.1f} MB of it its own alone; the bar is {MOST_MB:g} MB{'' if each <= MOST_MB else '   OVER THE BAR'}"
    )
    return {"models": len(pids), "each_mb": each, "private_mb": own, "forkserver_mb": before / 1e6}


def pss_bytes(pid: int) -> int:
    """Return the proportional set size of a process. Source: `Pss` of /proc/<pid>/smaps_rollup (proc(5)), in KiB."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    return 1024 * next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))


def publish(service: RunningService, folder: Path) -> dict[str, Path]:
    """Publish the benchmark's models, and return their files."""
    models: list[Model] = [MODELS[name] for name in NAMES]
    paths = {model.name: model.write(folder) for model in models}
    for name, path in paths.items():
        service.publish(name, path.read_bytes())
    return paths


def main() -> None:
    """Measure what was asked for, print it, and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    chosen = parser.parse_args()
    report: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder, running(Path(folder) / "i", web_processes="1", cache="off") as service:
        paths = publish(service, Path(folder))
        if "first" in chosen.parts:
            report["first"] = first(service, paths, chosen.rounds)
        if "stampede" in chosen.parts:
            report["stampede"] = stampede(service)
        if "memory" in chosen.parts:
            report["memory"] = memory(service)
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "cold.json").write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
