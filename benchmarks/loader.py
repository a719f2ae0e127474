"""How long the safe loader takes beside joblib's own, on the same files in the same run.

    .venv/bin/python benchmarks/loader.py [--rounds 15] [--quick]

For each kind of model: `joblib.load`; the unpickler; the object check; and a cold load in the service, which forks and locks a
worker, verifies the digest, loads, checks and replays the golden predictions. Medians of interleaved rounds, in milliseconds, and
the ratio of unpickler and check together to joblib, which the project holds itself to: at most 2.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import io
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import joblib
import numpy as np
import sklearn
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from config import Config
from registry.flavors import unpickling
from registry.flavors.soundness import require_sound
from registry.host.children import end_child
from registry.host.forklink import ForkLink
from registry.host.pool import Pool
from registry.host.supervisor import ROOT

BUDGET_BYTES = 2 << 30
MOST_TIMES = 2.0


def models(*, quick: bool) -> dict[str, Any]:
    """Fit one model of each kind."""
    rows, classes = load_breast_cancer(return_X_y=True)
    random = np.random.default_rng(0)
    words = np.array([f"word{index:x}" for index in range(2_000 if quick else 20_000)])
    texts = [" ".join(random.choice(words, 60)) for _ in range(200 if quick else 2_000)]
    large = random.standard_normal((500 if quick else 5_000, 20))
    fitted = {
        "logistic regression": LogisticRegression(max_iter=5_000).fit(rows, classes),
        "forest of 100": RandomForestClassifier(100, random_state=0).fit(rows, classes),
        "gradient boosting of 100": GradientBoostingClassifier(n_estimators=100, random_state=0).fit(rows, classes),
        "text pipeline": make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, random.integers(0, 2, len(texts))),
    }
    fitted["forest of 500 deep trees"] = RandomForestClassifier(50 if quick else 500, random_state=0).fit(
        large, random.integers(0, 2, len(large))
    )
    return fitted


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return the milliseconds that `work` took, and what it gave."""
    started = time.perf_counter()
    value = work()
    return 1000 * (time.perf_counter() - started), value


def compare(artifact: bytes, rounds: int) -> dict[str, list[float]]:
    """Time joblib, the unpickler and the check in turn."""
    figures: dict[str, list[float]] = {"joblib": [], "unpickler": [], "check": []}
    for _ in range(rounds):
        figures["joblib"].append(timed(lambda: joblib.load(io.BytesIO(artifact)))[0])
        milliseconds, found = timed(lambda: unpickling.load(io.BytesIO(artifact), BUDGET_BYTES))
        figures["unpickler"].append(milliseconds)
        created = found.created
        figures["check"].append(timed(lambda objects=created: require_sound(objects))[0])
    return figures


class Host:
    """A fork server and a pool of their own, as the service has them."""

    def __init__(self, folder: Path) -> None:
        """Prepare; `start` begins."""
        self.artifacts = folder / "artifacts"
        sockets = folder / "run"
        sockets.mkdir()
        config = Config(instance_path=folder)
        self.forks = ForkLink(ROOT, sandbox=True, uid=config.worker_uid, on_exit=self._note_exit)
        self.pool = Pool(config, self.forks, self.artifacts, sockets)

    def _note_exit(self, number: int, status: int) -> None:
        self.pool.note_exit(number, status)  # the pool is made after the link that it hears from

    async def cold(self, artifact: bytes, rounds: int) -> list[float]:
        """Time loads of one version that isn't loaded."""
        digest = hashlib.sha256(artifact).hexdigest()
        path = self.artifacts / digest[:2] / digest[2:4] / digest
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(artifact)
        admitted = (await self.pool.admit(path, {}))["admitted"]
        spec = {
            "model": "bench", "number": 1, "sha256": digest, "flavor": admitted["flavor"], "golden": admitted["golden"], "accept_skew": False,
            "batching": True, "deterministic": admitted["deterministic"], "pinned": False, "load_error": None,
        }  # fmt: skip
        figures = []
        for _ in range(rounds):
            started = time.perf_counter()
            await self.pool.acquire(int(digest[:8], 16), spec, 120)
            figures.append(1000 * (time.perf_counter() - started))
            await self.pool.unload(int(digest[:8], 16))
        return figures


async def measure(rounds: int, *, quick: bool) -> int:
    """Print a table; return how many kinds of model are over the bar."""
    over = 0
    print(
        f"scikit-learn {sklearn.__version__}, joblib {joblib.__version__}, numpy {np.__version__}, {os.cpu_count()} cores, {rounds} rounds, medians in ms"
    )
    print("| model | file | kB | joblib | unpickler | check | ratio | cold load |")
    print("|---|---|--:|--:|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory(prefix="modelyard-") as folder:
        host = Host(Path(folder))
        host.forks.start()
        try:
            for name, model in models(quick=quick).items():
                for compress in (0, 3):
                    buffer = io.BytesIO()
                    joblib.dump(model, buffer, compress=compress)
                    figures = {key: statistics.median(values) for key, values in compare(buffer.getvalue(), rounds).items()}
                    cold = statistics.median(await host.cold(buffer.getvalue(), max(3, rounds // 3)))
                    ratio = (figures["unpickler"] + figures["check"]) / figures["joblib"]
                    over += ratio > MOST_TIMES
                    shown = f"{figures['joblib']:.2f} | {figures['unpickler']:.2f} | {figures['check']:.2f} | {ratio:.2f} | {cold:.1f}"
                    print(f"| {name} | {'zlib' if compress else 'plain'} | {len(buffer.getvalue()) / 1000:.0f} | {shown} |", flush=True)
        finally:
            host.forks.close()
            end_child(host.forks.process, 3)
    return over


def main() -> None:
    """Run the benchmark; exit status 1 where a ratio is over the bar."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="how often each thing is timed (default: 15)")
    parser.add_argument("--quick", action="store_true", help="smaller models, for a first look")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    over = asyncio.run(measure(arguments.rounds, quick=arguments.quick))
    print(f"\nunpickler and check took at most {MOST_TIMES:g} times joblib's time for all but {over} of the files")
    sys.exit(1 if over else 0)


if __name__ == "__main__":
    main()
