"""A model as a BentoML service: as it is, with adaptive batching, and without a setting changed."""

import os
from typing import Any

import bentoml
import joblib
import numpy as np

QUIET: dict[str, Any] = {
    "workers": 1,
    "logging": {"access": {"enabled": False}},
    "metrics": {"enabled": False},
    "tracing": {"sample_rate": 0.0},
    "traffic": {"timeout": 60},
}


class Model:
    """What the services share."""

    def __init__(self) -> None:
        """Load the model."""
        self.model = joblib.load(os.environ["MODEL_FILE"])


@bentoml.service(name="bench_plain", **QUIET)
class Plain(Model):
    """One call per request."""

    @bentoml.api
    def predict(self, data: np.ndarray) -> np.ndarray:
        """Answer the predictions of some rows."""
        return self.model.predict(data)


@bentoml.service(name="bench_batching", **QUIET)
class Batching(Model):
    """Requests that wait are joined."""

    @bentoml.api(batchable=True, max_batch_size=64, max_latency_ms=1000)
    def predict(self, data: np.ndarray) -> np.ndarray:
        """Answer the predictions of some rows."""
        return self.model.predict(data)


@bentoml.service(name="bench_as_shipped")
class AsShipped(Model):
    """No setting changed."""

    @bentoml.api
    def predict(self, data: np.ndarray) -> np.ndarray:
        """Answer the predictions of some rows."""
        return self.model.predict(data)


plain, batching, as_shipped = Plain, Batching, AsShipped
