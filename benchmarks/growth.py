"""How the cost grows with the work: registered versions, loaded models, a budget that is too small, web processes, body sizes.

    .venv/bin/python benchmarks/growth.py [--parts versions loaded budget web bodies] [--quick] [--report]

Each part measures in turns what it compares and keeps its figures in .bench/results/growth-<part>.json; `--report` then writes
benchmarks/GROWTH.md and the plots beside it from all that were kept. Predictions are sent with `Cache-Control: no-store`.
"""

from __future__ import annotations

import argparse
import csv
import http.client
import io
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks import environments, load
from benchmarks.cold import pss_bytes
from benchmarks.contenders.modelyard import LIMIT, NPY, UNCACHED, npy
from benchmarks.estimators import MODELS
from benchmarks.growth_rows import engine_of, grow, new_database
from tests.outside import SHARED_SECRETS, own_postgres
from tests.processes import Processes
from tests.running import RunningService, dumped, running

RESULTS = environments.WORK / "results"
SETTINGS = {"web_processes": "1", "admin_limits": LIMIT, "default_limits": LIMIT}
VERSIONS = (10, 100, 1_000, 10_000, 100_000)
LOADED = (1, 10, 50, 100, 200)
ROUND_ROBIN, FITTING = 200, 50
SMALL_BYTES = 8_000_000  # what a loaded small model holds by itself, about
WEB_PROCESSES = (1, 2, 3, 4)
ROWS = (1, 10, 100, 1_000, 10_000)

type_of_samples = dict[str, list[float]]


class Asker:
    """One connection to a service, by the admin's key."""

    def __init__(self, service: RunningService) -> None:
        """Connect with the first question."""
        self._connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=120)
        self._key = {"Authorization": f"Bearer {service.admin_key}"}

    def __call__(self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] = {}) -> float:
        """Ask and return the milliseconds. SystemExit for any answer but 200 and 201."""
        started = time.perf_counter()
        self._connection.request(method, path, body, {**self._key, **headers})
        answer = self._connection.getresponse()
        said = answer.read()
        elapsed = 1000 * (time.perf_counter() - started)
        if answer.status not in (http.client.OK, http.client.CREATED):
            raise SystemExit(f"{method} {path}: {answer.status} {said[:300]!r}")
        return elapsed

    def predict(self, model: str, row: list[float]) -> float:
        """Predict one row, past the cache."""
        return self("POST", f"/models/{model}/1", json.dumps({"data": [row]}).encode(), UNCACHED)


def in_turns(ways: Mapping[str, Callable[[], float]], times: int) -> type_of_samples:
    """Return the samples of each way, taken one after the other so many times."""
    found: type_of_samples = {name: [] for name in ways}
    for _ in range(times):
        for name, way in ways.items():
            found[name].append(way())
    return found


def middle(values: list[float]) -> float:
    """Return the median."""
    return statistics.median(values)


# -- registered versions --------------------------------------------------------------------------------------------------


def versions(*, quick: bool) -> list[dict[str, Any]]:
    """Fill one registry step by step, and ask it beside one that keeps ten versions."""
    points = []
    for database in ("sqlite", "postgresql"):
        with two_services(database) as (small, large, engine):
            for count in VERSIONS[:3] if quick else VERSIONS:
                grow(engine, "measured", count)
                points.append({"database": database, "versions": count, **asked_in_turns(small, large, count, 100 if quick else 600)})
                show(points[-1])
            engine.dispose()
    return points


@contextmanager
def two_services(database: str) -> Iterator[tuple[RunningService, RunningService, Any]]:
    """Start two services with a published model and ten copies in each; yield both, and an engine on the second's database."""
    with ExitStack() as ending:
        folder = Path(ending.enter_context(tempfile.TemporaryDirectory()))
        own: list[dict[str, str]] = [{}, {}]
        urls = [f"sqlite:///{folder / name / 'modelyard.db'}" for name in ("small", "large")]
        if database == "postgresql":
            server = ending.enter_context(own_postgres())
            urls = [new_database(server.url, name) for name in ("small", "large")]
            own = [{"database_url": url, **SHARED_SECRETS} for url in urls]
        services = [
            ending.enter_context(running(folder / name, **SETTINGS, **more)) for name, more in zip(("small", "large"), own, strict=True)
        ]
        for service, url in zip(services, urls, strict=True):
            for name in ("measured", "published"):
                service.publish(name, MODELS["iris"].fitted[0])
            engine = engine_of(url)
            grow(engine, "measured", VERSIONS[0])
            engine.dispose()
        yield services[0], services[1], engine_of(urls[1])


def asked_in_turns(small: RunningService, large: RunningService, count: int, times: int) -> dict[str, float]:
    """Return the medians of what both registries are asked in turns, and the ratio of the predictions."""
    row, artifact = MODELS["iris"].single_rows()[0], dumped(MODELS["iris"].fitted[0])
    ways: dict[str, dict[str, Callable[[], float]]] = {"predict": {}, "list": {}, "page": {}, "publish": {}}
    for name, service in (("small", small), ("large", large)):
        ask, last = Asker(service), f"grown-{(count if name == 'large' else VERSIONS[0]) // 10 - 1:07d}"
        ways["predict"][name] = lambda ask=ask: ask.predict("measured", row)  # type: ignore[misc] - bound at once
        ways["list"][name] = lambda ask=ask: ask("GET", "/models?limit=50")  # type: ignore[misc]
        ways["page"][name] = lambda ask=ask, last=last: ask("GET", f"/models/{last}/versions")  # type: ignore[misc]
        ways["publish"][name] = lambda ask=ask: ask(
            "POST", "/models/published/versions", artifact, {"Content-Type": "application/octet-stream"}
        )  # type: ignore[misc]
    medians: dict[str, float] = {}
    for what, pair in ways.items():
        in_turns(pair, 3)
        found = in_turns(pair, {"predict": times, "publish": max(5, times // 60)}.get(what, max(10, times // 15)))
        medians |= {f"{what}_{name}_ms": middle(values) for name, values in found.items()}
        medians[f"{what}_ratio"] = middle([one / other for one, other in zip(found["large"], found["small"], strict=True)])
    return medians


# -- loaded models --------------------------------------------------------------------------------------------------------


def with_copies(service: RunningService, count: int) -> list[str]:
    """Publish a small model, copy it under so many names, and return them."""
    service.publish("measured", MODELS["iris"].fitted[0])
    engine = engine_of(f"sqlite:///{service.instance / 'modelyard.db'}")
    grow(engine, "measured", count, each=1, prefix="small")
    engine.dispose()
    return [f"small-{number:07d}" for number in range(count)]


def loaded(*, quick: bool) -> list[dict[str, Any]]:
    """Load more and more small models; measure their memory, and predictions of one and of all of them."""
    points, row, chance = [], MODELS["iris"].single_rows()[0], random.Random(0)
    with tempfile.TemporaryDirectory() as folder, running(Path(folder) / "i", **SETTINGS, memory_budget_bytes=str(8 << 30)) as service:
        names = with_copies(service, LOADED[2 if quick else -1])
        processes, ask = Processes(service), Asker(service)
        alone = pss_bytes(processes.forkserver)
        for count in LOADED[: 3 if quick else None]:
            for name in names[:count]:
                ask.predict(name, row)
            workers = processes.workers
            held = sum(pss_bytes(pid) for pid in (*workers, processes.forkserver)) - alone
            ways = {"one": lambda: ask.predict(names[0], row), "any": lambda count=count: ask.predict(chance.choice(names[:count]), row)}  # type: ignore[misc]
            found = in_turns(ways, 100 if quick else 500)
            cpu = cpu_share(processes.host, 1.0)
            points.append({"loaded": len(workers), "held_mb": held / 1e6, "each_mb": held / 1e6 / len(workers), "host_cpu_percent": cpu} | {f"{name}_p50_ms": middle(values) for name, values in found.items()})  # fmt: skip
            show(points[-1])
    return points


def cpu_share(pid: int, seconds: float) -> float:
    """Return how many percent of a core a process takes while nobody asks anything."""

    def ticks() -> int:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    before = ticks()
    time.sleep(seconds)
    return 100 * (ticks() - before) / os.sysconf("SC_CLK_TCK") / seconds


def budget(*, quick: bool) -> list[dict[str, Any]]:
    """Ask 200 models in turn, over and over, where memory is enough for about 50: each request meets a version that was evicted."""
    points, row = [], MODELS["iris"].single_rows()[0]
    settings = {**SETTINGS, "memory_budget_bytes": str(FITTING * SMALL_BYTES)}
    with tempfile.TemporaryDirectory() as folder, running(Path(folder) / "i", **settings) as service:
        names = with_copies(service, ROUND_ROBIN)
        for threads in (1, 4):
            before = service.host_report()["counts"]
            latencies, seconds = round_robin(service, names, row, threads, len(names) if quick else 2 * len(names))
            report = service.host_report()
            spent = {name: report["counts"].get(name, 0) - before.get(name, 0) for name in ("loads", "evictions")}
            points.append(
                {
                    "connections": threads, "requests": len(latencies), "per_second": len(latencies) / seconds, "p50_ms": middle(latencies),
                    "p99_ms": float(np.quantile(latencies, 0.99)), **spent, "loaded": len(report["loaded"]),
                    "used_mb": report["used_bytes"] / 1e6, "budget_mb": FITTING * SMALL_BYTES / 1e6,
                }
            )  # fmt: skip
            show(points[-1])
    return points


def round_robin(service: RunningService, names: list[str], row: list[float], threads: int, times: int) -> tuple[list[float], float]:
    """Ask the models in turn over so many connections; return the latencies in milliseconds and the seconds that all took."""
    turn, latencies = itertools.cycle(names), []
    whose, left = threading.Lock(), itertools.repeat(None, times)

    def go() -> None:
        ask = Asker(service)
        while True:
            with whose:
                if next(left, StopIteration) is StopIteration:
                    return
                name = next(turn)
            latencies.append(ask.predict(name, row))

    running_threads = [threading.Thread(target=go) for _ in range(threads)]
    started = time.perf_counter()
    for thread in running_threads:
        thread.start()
    for thread in running_threads:
        thread.join()
    if len(latencies) != times:
        raise SystemExit(f"only {len(latencies)} of {times} requests were answered")
    return latencies, time.perf_counter() - started


# -- web processes --------------------------------------------------------------------------------------------------------


def web(*, quick: bool) -> list[dict[str, Any]]:
    """Load services of one to four web processes in turns."""
    seconds, rounds = (2.0, 1) if quick else (4.0, 3)
    rates: dict[tuple[int, int], list[load.Sample]] = {}
    with ExitStack() as ending:
        folder = Path(ending.enter_context(tempfile.TemporaryDirectory()))
        services = {}
        for count in WEB_PROCESSES:
            service = ending.enter_context(running(folder / f"web-{count}", **{**SETTINGS, "web_processes": str(count)}))
            service.publish("measured", MODELS["iris"].fitted[0])
            headers = {"Authorization": f"Bearer {service.admin_key}", **UNCACHED}
            load.write_requests(folder / f"{count}.requests", "/models/measured/1", wrk_bodies(), headers)
            services[count] = service
        number = 0
        for _ in range(rounds):
            for (count, service), connections in itertools.product(services.items(), (8, 64)):
                number += 10_000_000
                sample = load.run(service.port, folder / f"{count}.requests", connections, seconds, number)
                if sample.errors:
                    raise SystemExit(f"{sample.errors} errors with {count} web processes")
                rates.setdefault((count, connections), []).append(sample)
    points = []
    for (count, connections), samples in rates.items():
        points.append({"web_processes": count, "connections": connections, "per_second": middle([sample.per_second for sample in samples]), "p50_ms": middle([sample.p50_ms for sample in samples]), "p99_ms": middle([sample.p99_ms for sample in samples])})  # fmt: skip
        show(points[-1])
    return points


def wrk_bodies() -> list[bytes]:
    """Return bodies of one row whose last number the load generator changes."""
    rows = MODELS["iris"].single_rows()
    return [json.dumps({"data": [[*row[:-1], 0.0]]}).encode().replace(b"0.0]]", b"0." + load.TEXT_MARK + b"]]") for row in rows]


# -- body sizes -----------------------------------------------------------------------------------------------------------


def bodies(*, quick: bool) -> list[dict[str, Any]]:
    """Ask for 1 to 10,000 rows in each format in turns, beside the bare model."""
    points, estimator = [], MODELS["linear"].fitted[0]
    with tempfile.TemporaryDirectory() as folder, running(Path(folder) / "i", **SETTINGS) as service:
        version = service.publish("measured", estimator)
        names, ask = [column["name"] for column in version["signature"]["inputs"]], Asker(service)
        for count in ROWS[: 4 if quick else None]:
            rows = np.round(np.random.default_rng(count).standard_normal((count, len(names))), 4)
            ways: dict[str, Callable[[], float]] = {"bare predict": lambda rows=rows: bare(estimator, rows)}  # type: ignore[misc]
            for name, (headers, body) in formats(rows.tolist(), names).items():
                ways[name] = lambda headers=headers, body=body: ask("POST", "/models/measured/1", body, headers)  # type: ignore[misc]
            in_turns(ways, 3)
            found = in_turns(ways, 20 if quick else {1_000: 60, 10_000: 25}.get(count, 150))
            points.append({"rows": count} | {name: middle(values) for name, values in found.items()})
            show(points[-1])
    return points


def bare(estimator: Any, rows: Any) -> float:
    """Return the milliseconds of the estimator's own predict."""
    started = time.perf_counter()
    estimator.predict(rows)
    return 1000 * (time.perf_counter() - started)


def formats(rows: list[list[float]], names: list[str]) -> dict[str, tuple[dict[str, str], bytes]]:
    """Return headers and body of each format."""
    text = io.StringIO()
    csv.writer(text).writerows([names, *rows])
    records = [dict(zip(names, row, strict=True)) for row in rows]
    return {
        "JSON data": (UNCACHED, json.dumps({"data": rows}).encode()),
        "JSON records": (UNCACHED, json.dumps({"dataframe_records": records}).encode()),
        "CSV": ({**UNCACHED, "Content-Type": "text/csv"}, text.getvalue().encode()),
        "npy": ({**UNCACHED, **NPY}, npy(rows)),
    }


PARTS: dict[str, Callable[..., list[dict[str, Any]]]] = {part.__name__: part for part in (versions, loaded, budget, web, bodies)}


def show(point: dict[str, Any]) -> None:
    """Print a line of figures."""
    print(
        "  " + "  ".join(f"{name} {value:.2f}" if isinstance(value, float) else f"{name} {value}" for name, value in point.items()),
        flush=True,
    )


def report() -> None:
    """Write the page and the plots from the figures that were kept."""
    environments.ensure("plots")
    command = [
        str(environments.bin_folder("plots") / "python"),
        "-m",
        "benchmarks.growth_page",
        str(RESULTS),
        str(environments.ROOT / "benchmarks"),
    ]
    subprocess.run(command, cwd=environments.ROOT, check=True)


def main() -> None:
    """Measure the parts that were asked for, then write the page if wanted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="*", choices=PARTS, help="by default all, or none with --report")
    parser.add_argument("--quick", action="store_true", help="less of everything")
    parser.add_argument("--report", action="store_true", help="write benchmarks/GROWTH.md and its plots")
    chosen = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    for name in chosen.parts if chosen.parts is not None else () if chosen.report else PARTS:
        started = time.monotonic()
        print(f"{name}:", flush=True)
        points = PARTS[name](quick=chosen.quick)
        kept = {"part": name, "measured_at": time.strftime("%Y-%m-%d %H:%M", time.gmtime()), "quick": chosen.quick, "points": points}
        (RESULTS / f"growth-{name}.json").write_text(json.dumps(kept, indent=1), encoding="utf-8")
        print(f"  took {time.monotonic() - started:.0f} s", flush=True)
    if chosen.report:
        report()


if __name__ == "__main__":
    main()
