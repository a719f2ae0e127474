"""A model in KServe's Python server; KServe itself reads the ports from the command line."""

import logging
import os
from typing import Any

import joblib
import kserve
import numpy as np


class Predictions(kserve.Model):
    """One call per request."""

    def load(self) -> bool:
        """Load the model."""
        self.model = joblib.load(os.environ["MODEL_FILE"])
        self.ready = True
        return self.ready

    def predict(self, payload: dict[str, Any], *_: Any, **__: Any) -> dict[str, Any]:
        """Answer the predictions of some rows."""
        return {"predictions": self.model.predict(np.array(payload["instances"])).tolist()}


if __name__ == "__main__":
    model = Predictions("bench")
    model.load()
    if os.environ["BENCHMARK_LOGS"] == "on":
        server = kserve.ModelServer()
    else:
        server = kserve.ModelServer(enable_grpc=False, enable_latency_logging=False)
        logging.getLogger("uvicorn.access").disabled = True
        logging.getLogger("uvicorn.access").handlers = []
    server.start([model])
