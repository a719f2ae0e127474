"""Servers that are made for serving models, each as its documentation sets it up and at its best settings here.

They check no key and count no limit; metrics and protocol are what each brings. Access logs are off where there is a switch.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from typing import Any

from benchmarks.contenders.contract import SERVERS, Contender, Way, tensor

QUICK_LOOK = {"loads": ("row-8",), "models": ("iris",)}


class Mlserver(Contender):
    """MLServer with its scikit-learn runtime."""

    name = "mlserver"
    venv = "mlserver"
    packages = ("mlserver", "mlserver-sklearn")
    path = "/v2/models/bench/infer"
    ways = (
        Way(
            "mlserver",
            "MLServer",
            "parallel_workers 0, debug (and with it the access log) off, gzip off, httptools, Open Inference Protocol",
        ),
    )
    settings: Mapping[str, Any] = {"debug": False, "parallel_workers": 0, "gzip_enabled": False}

    def prepare(self) -> None:
        """Write the two files of settings."""
        ports = {"host": "127.0.0.1", "http_port": self.place.port, "grpc_port": self.place.port + 1, "metrics_port": self.place.port + 2}
        (self.place.folder / "settings.json").write_text(json.dumps({**ports, **self.settings}))
        model = {"name": "bench", "implementation": "mlserver_sklearn.SKLearnModel", "parameters": {"uri": str(self.place.artifact)}}
        (self.place.folder / "model-settings.json").write_text(json.dumps(model))

    def command(self) -> list[str]:
        """Return MLServer's command line."""
        return [self.bin("mlserver"), "start", str(self.place.folder)]

    def environment(self) -> dict[str, str]:
        """Keep what it writes in its folder."""
        return {
            "MLSERVER_METRICS_DIR": str(self.place.folder / "metrics"),
            "MLSERVER_ENVIRONMENTS_DIR": str(self.place.folder / "environments"),
        }

    def body(self, rows: list[list[float]]) -> bytes:
        """Return one tensor."""
        return json.dumps(tensor(rows)).encode()

    def answer(self, body: bytes) -> list[int]:
        """Read the first output."""
        return [int(label) for label in json.loads(body)["outputs"][0]["data"]]


class MlserverAsShipped(Mlserver):
    """MLServer without a setting changed."""

    name = "mlserver-as-shipped"
    ways = (Way("mlserver-as-shipped", "MLServer, as shipped", "1 parallel worker, access log on", **QUICK_LOOK),)
    settings: Mapping[str, Any] = {}


class Mlflow(Contender):
    """MLflow's scoring server."""

    name = "mlflow"
    venv = "mlflow"
    packages = ("mlflow", "uvicorn")
    path = "/invocations"
    ways = (Way("mlflow", "MLflow", "`mlflow models serve`, 1 worker, uvicorn with uvloop and httptools, no access log, body `inputs`"),)
    variables: Mapping[str, str] = {"UVICORN_ACCESS_LOG": "false"}

    def prepare(self) -> None:
        """Save the model in MLflow's own form, with MLflow."""
        save = "import sys, joblib, mlflow.sklearn as m; m.save_model(joblib.load(sys.argv[1]), sys.argv[2], serialization_format='cloudpickle')"
        command = [self.bin("python"), "-c", save, str(self.place.artifact), str(self.place.folder / "model")]
        subprocess.run(
            command, env={**os.environ, **self.environment()}, cwd=self.place.folder, check=True, capture_output=True, timeout=120
        )

    def command(self) -> list[str]:
        """Return MLflow's command line."""
        return [
            self.bin("mlflow"), "models", "serve", "--model-uri", str(self.place.folder / "model"), "--env-manager", "local", "--host", "127.0.0.1",
            "--port", str(self.place.port), "--workers", "1",
        ]  # fmt: skip

    def environment(self) -> dict[str, str]:
        """Let it find its own uvicorn, and call nobody."""
        return {
            "PATH": f"{self.bin('')}:{os.environ['PATH']}",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_TRACKING_URI": f"sqlite:///{self.place.folder}/mlflow.db",
            **self.variables,
        }

    def body(self, rows: list[list[float]]) -> bytes:
        """Return rows as a tensor, which spares it a data frame."""
        return json.dumps({"inputs": rows}).encode()

    def answer(self, body: bytes) -> list[int]:
        """Read the predictions."""
        return [int(label) for label in json.loads(body)["predictions"]]


class MlflowAsShipped(Mlflow):
    """MLflow with the access log that it has unless uvicorn is told otherwise."""

    name = "mlflow-as-shipped"
    ways = (Way("mlflow-as-shipped", "MLflow, as shipped", "1 worker, access log on", **QUICK_LOOK),)
    variables: Mapping[str, str] = {}


class Bentoml(Contender):
    """BentoML with one service of one model."""

    name = "bentoml"
    venv = "bentoml"
    packages = ("bentoml",)
    ways = (Way("bentoml", "BentoML", "1 worker, numpy arrays in and out, access log, metrics and tracing off"),)
    service = "plain"
    access_log = "off"

    def command(self) -> list[str]:
        """Return BentoML's command line."""
        target = f"bento_service:{self.service}"
        return [self.bin("bentoml"), "serve", "--host", "127.0.0.1", "--port", str(self.place.port), "--working-dir", str(SERVERS), target]

    def environment(self) -> dict[str, str]:
        """Tell the service its model, and call nobody."""
        return {
            "PATH": f"{self.bin('')}:{os.environ['PATH']}",
            "MODEL_FILE": str(self.place.artifact),
            "BENTOML_HOME": str(self.place.folder / "bentoml"),
            "BENTOML_DO_NOT_TRACK": "true",
            "BENCHMARK_ACCESS_LOG": self.access_log,
        }

    def answer(self, body: bytes) -> list[int]:
        """Read the array."""
        return [int(label) for label in json.loads(body)]


class BentomlBatching(Bentoml):
    """BentoML's adaptive batching."""

    name = "bentoml-batching"
    joins_or_isolates = True
    ways = (Way("bentoml-batching", "BentoML, batching", "as above with a batchable API, max_batch_size 64"),)
    service = "batching"


class BentomlAsShipped(Bentoml):
    """BentoML without a setting changed."""

    name = "bentoml-as-shipped"
    ways = (Way("bentoml-as-shipped", "BentoML, as shipped", "access log and metrics on", **QUICK_LOOK),)
    service = "as_shipped"
    access_log = "on"


class Litserve(Contender):
    """LitServe with one API of one model."""

    name = "litserve"
    venv = "litserve"
    packages = ("litserve", "uvicorn")
    joins_or_isolates = True
    ways = (Way("litserve", "LitServe", "1 worker, 1 API server, fast_queue (ZeroMQ), uvloop and httptools, no access log"),)
    access_log = "off"

    def command(self) -> list[str]:
        """Return the command that starts the script."""
        return [self.bin("python"), str(SERVERS / "lit_server.py"), str(self.place.port), self.access_log]


class LitserveAsShipped(Litserve):
    """LitServe without a setting changed."""

    name = "litserve-as-shipped"
    ways = (Way("litserve-as-shipped", "LitServe, as shipped", "access log on, queues of multiprocessing", **QUICK_LOOK),)
    access_log = "on"


class Kserve(Contender):
    """KServe's Python server with a model class."""

    name = "kserve"
    venv = "kserve"
    packages = ("kserve", "uvicorn")
    path = "/v1/models/bench:predict"
    ways = (Way("kserve", "KServe's Python server", "1 worker, no gRPC, latency and access logs off, uvloop and httptools, protocol v1"),)
    logs = "off"

    def command(self) -> list[str]:
        """Return the command that starts the script."""
        return [
            self.bin("python"),
            str(SERVERS / "kserve_server.py"),
            f"--http_port={self.place.port}",
            f"--grpc_port={self.place.port + 1}",
        ]

    def environment(self) -> dict[str, str]:
        """Tell the service its model."""
        return {"MODEL_FILE": str(self.place.artifact), "BENCHMARK_LOGS": self.logs}

    def body(self, rows: list[list[float]]) -> bytes:
        """Return rows as instances."""
        return json.dumps({"instances": rows}).encode()

    def answer(self, body: bytes) -> list[int]:
        """Read the predictions."""
        return [int(label) for label in json.loads(body)["predictions"]]


class KserveAsShipped(Kserve):
    """KServe without a setting changed."""

    name = "kserve-as-shipped"
    ways = (Way("kserve-as-shipped", "KServe's Python server, as shipped", "latency and access logs on, gRPC on", **QUICK_LOOK),)
    logs = "on"


class Ray(Contender):
    """Ray Serve with one deployment of one replica."""

    name = "ray"
    venv = "ray"
    packages = ("ray", "uvicorn")
    joins_or_isolates = True
    ways = (Way("ray", "Ray Serve", "1 replica, access log off, user code and router in the replica's own loop, no dashboard"),)
    stays_up = False  # its controllers, dashboards and stores keep a part of a core busy
    access_log = "off"
    tuned: Mapping[str, str] = {
        "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
        "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",
    }

    def command(self) -> list[str]:
        """Return the command that starts the script."""
        return [self.bin("python"), str(SERVERS / "ray_server.py"), str(self.place.port), self.access_log]

    def environment(self) -> dict[str, str]:
        """Tell the service its model, and call nobody."""
        return {
            "MODEL_FILE": str(self.place.artifact),
            "RAY_TMPDIR": str(self.place.folder),
            "RAY_USAGE_STATS_ENABLED": "0",
            **self.tuned,
        }


class RayAsShipped(Ray):
    """Ray Serve without a setting changed."""

    name = "ray-as-shipped"
    ways = (Way("ray-as-shipped", "Ray Serve, as shipped", "access log on", **QUICK_LOOK),)
    access_log = "on"
    tuned: Mapping[str, str] = {}
