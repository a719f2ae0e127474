"""A model as a LitServe API. Arguments: the port, and on or off for what differs from how it is shipped."""

import os
import sys
from typing import Any

import joblib
import litserve
import numpy as np


class Predictions(litserve.LitAPI):
    """One call per request."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe's signature
        """Load the model."""
        self.model = joblib.load(os.environ["MODEL_FILE"])

    def decode_request(self, request: dict[str, Any]) -> np.ndarray:
        """Read the rows."""
        return np.array(request["data"])

    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Predict some rows."""
        return self.model.predict(rows)

    def encode_response(self, labels: np.ndarray) -> dict[str, list[int]]:
        """Write the predictions."""
        return {"prediction": labels.tolist()}


if __name__ == "__main__":
    port, as_shipped = int(sys.argv[1]), sys.argv[2] == "on"
    server = litserve.LitServer(Predictions(), accelerator="cpu", workers_per_device=1, fast_queue=not as_shipped)
    quiet: dict[str, Any] = {} if as_shipped else {"log_level": "warning", "access_log": False}
    server.run(host="127.0.0.1", port=port, num_api_servers=1, generate_client_file=False, **quiet)
