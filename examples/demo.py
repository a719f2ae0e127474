"""Publish two versions of a real model, predict, point an alias, roll back; every call of the client is printed with what came.

Starts a service of its own in a temporary folder, or uses the one that MODELYARD_URL and MODELYARD_KEY name. Exits 1
unless every prediction equals, bit for bit, the estimator called directly on the same held-out rows.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelyard import Client, ConnectionFailed, Problem

ROOT = Path(__file__).resolve().parent.parent
NAME = "breast-cancer"
START_SECONDS = 60


def main() -> int:
    """Run the journey; return the exit status."""
    x_train, x_test, y_train, _ = train_test_split(*load_breast_cancer(return_X_y=True), test_size=0.25, random_state=7)
    estimators = [
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(x_train, y_train),
        RandomForestClassifier(n_estimators=100, random_state=7).fit(x_train, y_train),
    ]
    with tempfile.TemporaryDirectory() as folder, running_service(Path(folder)) as yard:
        versions = []
        for estimator in estimators:
            told("yard.publish(estimator, NAME, example=x_train[:5])")
            version = yard.publish(estimator, NAME, example=x_train[:5])
            came(f"{version.selector}: {version.estimator}, {version.size_bytes} bytes, methods {', '.join(version.methods)}")
            versions.append(version)
        older, newer = versions
        equal = [same(yard, version.selector, estimator, x_test) for version, estimator in zip(versions, estimators, strict=True)]
        for version in versions:
            told(f'yard.point(NAME, "production", {version.version}, reason="demo")')
            came(yard.point(NAME, "production", version.version, reason="demo"))
        told('yard.ask(f"{NAME}@production", x_test[:1], "predict_proba")')
        came(yard.ask(f"{NAME}@production", x_test[:1], "predict_proba"))
        told('yard.rollback(NAME, reason="the demo takes it back")')
        came(move := yard.rollback(NAME, reason="the demo takes it back"))
        came(answer := yard.ask(f"{NAME}@production", x_test[:1], "predict_proba"))
        told("yard.history(NAME)")
        for past in yard.history(NAME):
            came(f"{past.at:%H:%M:%S} {past.kind}: {past.from_version} -> {past.to_version}, {past.reason}")
    right = all(equal) and (move.from_version, move.to_version) == (newer.version, older.version) and answer.version == older.version
    print("\nEvery prediction equals the estimator's own, bit for bit." if right else "\nSOMETHING DIFFERS")
    return 0 if right else 1


def same(yard: Client, selector: str, estimator: Any, rows: Any) -> bool:
    """Compare a version's predictions for all held-out rows with the estimator's own, bit for bit."""
    told(f'yard.predict("{selector}", x_test), yard.predict_proba("{selector}", x_test)')
    labels, chances = yard.predict(selector, rows), yard.predict_proba(selector, rows)
    equal = labels.tobytes() == estimator.predict(rows).tobytes() and chances.tobytes() == estimator.predict_proba(rows).tobytes()
    came(f"{len(labels)} labels and {chances.size} probabilities, {'equal' if equal else 'NOT EQUAL'} to the estimator's own")
    return bool(equal)


def told(call: str) -> None:
    """Print a call as it is made."""
    print(f"\n>>> {call}")


def came(answer: object) -> None:
    """Print what came of it."""
    print(answer)


@contextlib.contextmanager
def running_service(folder: Path) -> Iterator[Client]:
    """Yield a client of the service that the environment names, or of one started for this demo."""
    if "MODELYARD_URL" in os.environ:
        with Client() as yard:
            yield yard
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "MODELYARD_PORT": str(port),
        "MODELYARD_INSTANCE_PATH": str(folder / "instance"),
        "MODELYARD_LOG_LEVEL": "warning",
    }
    with subprocess.Popen([sys.executable, "-m", "registry.cli", "serve"], env=environment, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            wait_until_ready(url, process)
            with Client(url, (folder / "instance" / "admin.key").read_text().strip()) as yard:
                yield yard
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until the service answers that it is ready; raises RuntimeError when it ends or stays silent."""
    deadline = time.monotonic() + START_SECONDS
    with Client(url, retries=0) as yard:
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise RuntimeError(f"the service ended with status {process.returncode}")
            with contextlib.suppress(ConnectionFailed, Problem):
                if yard.ready()["status"] != "down":
                    return
            time.sleep(0.1)
    raise RuntimeError("the service did not become ready")


if __name__ == "__main__":
    sys.exit(main())
