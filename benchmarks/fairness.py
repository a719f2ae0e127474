"""How long a single row waits beside large requests to the same version, which are split, and beside ones that are not.

    .venv/bin/python benchmarks/fairness.py [--rounds 3] [--seconds 3]

One service; each model is published twice, as it is by default and with `batching: false`. One client asks for 10,000 rows again
and again; single rows are asked for at fixed times, so that those who wait long count as often as the others. Over interleaved
rounds: p50 and p99 of the single rows in milliseconds, without and beside the large requests, how long one of those takes, and
the ratio of the single rows' latencies unsplit to split.
"""

from __future__ import annotations

import argparse
import io
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import httpx
import numpy as np
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

from tests.running import RunningService, running

LARGE_ROWS = 10_000
COLUMNS = 20
EVERY_SECONDS = 0.02
AT_ONCE = 64
NPY = {"Content-Type": "application/x-npy", "Accept": "application/x-npy"}
WAYS = {"split": True, "whole": False}


def models() -> dict[str, Any]:
    """Fit a model whose rows cost nothing, one whose calls cost much, and one whose rows do."""
    rows, classes = make_classification(2_000, COLUMNS, random_state=0)
    return {
        "logistic regression": LogisticRegression(max_iter=1_000).fit(rows, classes),
        "forest of 100": RandomForestClassifier(100, random_state=0).fit(rows, classes),
        "support vectors": SVC(random_state=0).fit(rows, classes),
    }


def npy(rows: int) -> bytes:
    """Return so many rows of numbers as a file of NumPy's."""
    stream = io.BytesIO()
    np.save(stream, np.random.default_rng(rows).standard_normal((rows, COLUMNS)))
    return stream.getvalue()


def asking(service: RunningService, path: str, rows: int) -> Callable[[], float]:
    """Return what sends a request past the cache and returns its seconds."""
    client = httpx.Client(base_url=service.url, headers={"Authorization": f"Bearer {service.admin_key}", "Cache-Control": "no-store", **NPY}, timeout=120)  # fmt: skip
    body = npy(rows)

    def ask() -> float:
        started = time.perf_counter()
        answer = client.post(path, content=body)
        if answer.status_code != httpx.codes.OK:
            raise SystemExit(f"{path}: {answer.status_code} {answer.text[:300]}")
        return time.perf_counter() - started

    return ask


def singles(ask: Callable[[], float], seconds: float) -> list[float]:
    """Ask for a single row every so often, whether or not those before are answered, and return the latencies in milliseconds."""
    started = time.perf_counter()

    def one(number: int) -> float:
        due = started + number * EVERY_SECONDS
        time.sleep(max(0.0, due - time.perf_counter()))
        ask()
        return 1000 * (time.perf_counter() - due)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(one, range(int(seconds / EVERY_SECONDS))))


def beside(ask_large: Callable[[], float], ask_single: Callable[[], float], seconds: float) -> tuple[list[float], list[float]]:
    """Return the latencies of single rows and of the large requests beside them, in milliseconds."""
    over, large = threading.Event(), []

    def go_on() -> None:
        while not over.is_set():
            large.append(1000 * ask_large())

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        return singles(ask_single, seconds), large
    finally:
        over.set()
        thread.join()


def percentile(found: list[float], share: float) -> float:
    """Return the value that so large a share of the values stays under."""
    return float(np.quantile(found, share))


def measure(service: RunningService, name: str, rounds: int, seconds: float) -> None:
    """Measure one model and print its lines."""
    slug = name.replace(" ", "-")
    asks = {way: [asking(service, f"/models/{slug}-{way}/1", rows) for rows in (LARGE_ROWS, 1)] for way in WAYS}
    for ask_large, ask_single in asks.values():
        ask_large()
        singles(ask_single, 0.3)
    alone: dict[str, list[float]] = {way: [] for way in WAYS}
    busy: dict[str, list[float]] = {way: [] for way in WAYS}
    large: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way, (ask_large, ask_single) in asks.items():
            alone[way] += singles(ask_single, seconds / 3)
            latencies, larges = beside(ask_large, ask_single, seconds)
            busy[way] += latencies
            large[way] += larges
    for way in WAYS:
        figures = [percentile(alone[way], 0.5), *(percentile(busy[way], share) for share in (0.5, 0.99)), statistics.median(large[way])]
        print(f"{name:20} {way:6} {len(busy[way]):6} {len(large[way]):5}  " + "".join(f"{figure:10.2f}" for figure in figures))
    ratios = [percentile(busy["whole"], share) / percentile(busy["split"], share) for share in (0.5, 0.99)]
    print(f"{name:20} whole to split:   p50 {ratios[0]:.1f}, p99 {ratios[1]:.1f}; the large request {statistics.median(large['split']) / statistics.median(large['whole']):.2f} times as long")  # fmt: skip


def main() -> None:
    """Publish, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    chosen = parser.parse_args()
    settings = {"web_processes": "2", "cache": "off", "rate_limit": "1000000/minute"}
    with tempfile.TemporaryDirectory() as folder, running(Path(folder) / "i", **settings) as service:
        fitted = models()
        for name, model in fitted.items():
            for way, batching in WAYS.items():
                service.publish(f"{name.replace(' ', '-')}-{way}", model, {"batching": batching})
        print(
            f"{'model':20} {'way':6} {'singles':>6} {'large':>5}  "
            + "".join(f"{head:>10}" for head in ("alone p50", "p50", "p99", "large"))
        )
        for name in fitted:
            measure(service, name, chosen.rounds, chosen.seconds)


if __name__ == "__main__":
    main()
