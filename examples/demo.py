"""Publish two versions of a real model over REST, predict, point, roll back; every request printed as curl.

Starts a service of its own in a temporary folder, or uses the one that MODELYARD_URL and MODELYARD_KEY name. Exits 1
unless every prediction equals, bit for bit, the estimator called directly on the same held-out rows.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

ROOT = Path(__file__).resolve().parent.parent
NAME = "breast-cancer"
SHOWN_ROWS = 1


class Service:
    """One Modelyard, called over HTTP; prints each call as the curl command that does the same."""

    def __init__(self, url: str, key: str) -> None:
        """Keep where it is and the key that is sent."""
        self.url = url
        self.key = key

    def call(self, method: str, path: str, body: Any = None, *, file: Path | None = None, shown: Any = None) -> dict[str, Any]:
        """Send JSON, or a file with a manifest, and return the JSON answer; raises RuntimeError for a problem."""
        data, content_type, options = self._encode(body, file, shown)
        print(f"\n$ curl -X {method} -H 'Authorization: Bearer '$MODELYARD_KEY {options} {shlex.quote(self.url + path)}")
        request = urllib.request.Request(self.url + path, data, method=method)
        request.add_header("Authorization", f"Bearer {self.key}")
        if content_type:
            request.add_header("Content-Type", content_type)
        try:
            with urllib.request.urlopen(request, timeout=120) as response:
                answer: dict[str, Any] = json.load(response)
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{method} {path} answered {error.code}: {error.read().decode()}") from None
        print(shorten(json.dumps(answer)))
        return answer

    def _encode(self, body: Any, file: Path | None, shown: Any) -> tuple[bytes | None, str, str]:
        if file is not None:
            boundary = "modelyard-demo"
            manifest = json.dumps(body)
            head = f'--{boundary}\r\nContent-Disposition: form-data; name="manifest"\r\n\r\n{manifest}\r\n'
            head += f'--{boundary}\r\nContent-Disposition: form-data; name="artifact"; filename="{file.name}"\r\n\r\n'
            data = head.encode() + file.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
            return data, f"multipart/form-data; boundary={boundary}", f"-F artifact=@{file} -F 'manifest={shorten(manifest)}'"
        if body is None:
            return None, "", ""
        text = json.dumps(body)
        return (
            text.encode(),
            "application/json",
            f"-H 'Content-Type: application/json' -d {shlex.quote(json.dumps(shown or body))}",
        )


def main() -> int:
    """Run the journey; return the exit status."""
    x_train, x_test, y_train, _ = train_test_split(*load_breast_cancer(return_X_y=True), test_size=0.25, random_state=7)
    first = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(x_train, y_train)
    second = RandomForestClassifier(n_estimators=100, random_state=7).fit(x_train, y_train)
    with tempfile.TemporaryDirectory() as folder, running_service(Path(folder)) as service:
        for number, model in enumerate((first, second), start=1):
            path = Path(folder) / f"model-{number}.joblib"
            joblib.dump(model, path)
            manifest = {"description": type(model).__name__, "input_example": x_train[:5].tolist()}
            service.call("POST", f"/models/{NAME}/versions", manifest, file=path)
        versions = service.call("GET", f"/models/{NAME}/versions?limit=2")["items"]
        newer, older = versions[0]["version"], versions[1]["version"]
        equal = all(same(service, number, model, x_test) for number, model in ((older, first), (newer, second)))
        for number in (older, newer):
            service.call("PUT", f"/models/{NAME}/aliases/production", {"version": number, "reason": "demo"})
        service.call("POST", f"/models/{NAME}", {"data": x_test[:SHOWN_ROWS].tolist()})
        moved = service.call("POST", f"/models/{NAME}/rollback", {"reason": "the demo takes it back"})
        answer = service.call("POST", f"/models/{NAME}", {"data": x_test[:SHOWN_ROWS].tolist()})
        service.call("GET", f"/models/{NAME}/aliases/production/history")
    right = equal and moved["to"] == older and answer["version"] == older
    print("\nEvery prediction equals the estimator's own, bit for bit." if right else "\nSOMETHING DIFFERS")
    return 0 if right else 1


def same(service: Service, number: int, model: Any, rows: Any) -> bool:
    """Compare a version's predictions for all held-out rows with the estimator's own, bit for bit."""
    shown = {"data": rows[:SHOWN_ROWS].tolist()}
    labels = service.call("POST", f"/models/{NAME}/{number}", {"data": rows.tolist()}, shown=shown)
    chances = service.call(
        "POST", f"/models/{NAME}/{number}", {"data": rows.tolist(), "method": "predict_proba"}, shown=shown | {"method": "predict_proba"}
    )
    equal_labels = np.array_equal(np.array(labels["prediction"]), model.predict(rows))
    equal_chances = np.array(chances["prediction"]).tobytes() == model.predict_proba(rows).tobytes()
    return bool(equal_labels and equal_chances)


def shorten(text: str, most: int = 300) -> str:
    """Cut a long text for the eye."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text)} characters)"


@contextlib.contextmanager
def running_service(folder: Path) -> Iterator[Service]:
    """Yield the service that the environment names, or one started for this demo."""
    if "MODELYARD_URL" in os.environ:
        yield Service(os.environ["MODELYARD_URL"].rstrip("/"), os.environ["MODELYARD_KEY"])
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
            yield Service(url, (folder / "instance" / "admin.key").read_text().strip())
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    """Wait up to a minute for the service; raises RuntimeError when it ends or stays silent."""
    for _ in range(600):
        if process.poll() is not None:
            raise RuntimeError(f"the service ended with status {process.returncode}")
        with contextlib.suppress(OSError, urllib.error.HTTPError), urllib.request.urlopen(f"{url}/health/ready", timeout=2):
            return
        time.sleep(0.1)
    raise RuntimeError("the service did not become ready")


if __name__ == "__main__":
    sys.exit(main())
