"""A model as a Ray Serve deployment. Arguments: the port, and on or off for the access log."""

import os
import signal
import sys

import joblib
import numpy as np
import ray
from ray import serve
from starlette.requests import Request


@serve.deployment(num_replicas=1, ray_actor_options={"num_cpus": 1}, max_ongoing_requests=100)
class Predictions:
    """One call per request."""

    def __init__(self, file: str) -> None:
        """Load the model."""
        self.model = joblib.load(file)

    async def __call__(self, request: Request) -> dict[str, list[int]]:
        """Answer the predictions of some rows."""
        rows = (await request.json())["data"]
        return {"prediction": self.model.predict(np.array(rows)).tolist()}


if __name__ == "__main__":
    port, access_log = int(sys.argv[1]), sys.argv[2] == "on"
    ray.init(include_dashboard=False, num_cpus=2, _temp_dir=os.environ["RAY_TMPDIR"], logging_level="warning", log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": port}, logging_config={"enable_access_log": access_log})
    serve.run(Predictions.bind(os.environ["MODEL_FILE"]), route_prefix="/predict")
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    serve.shutdown()
    ray.shutdown()
