"""What the lane of predict requests remembers, and what may be kept of an answer."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from config import Config
from registry.api.predict_lane import PredictLane
from registry.app import create_app
from registry.directory import Resolved
from registry.flows.predict import _may_keep
from registry.serving.answer import Answer
from registry.signature import Signature


def send(lane: PredictLane, path: str) -> str:
    """Send a predict request without a key, and return the status."""
    statuses: list[str] = []
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST", "PATH_INFO": path, "QUERY_STRING": "", "CONTENT_LENGTH": "2", "wsgi.input": io.BytesIO(b"{}"),
        "wsgi.url_scheme": "http", "SERVER_NAME": "here", "SERVER_PORT": "80", "HTTP_AUTHORIZATION": "Bearer nobody", "REMOTE_ADDR": "127.0.0.1",
    }  # fmt: skip
    list(lane(environ, lambda status, *_: statuses.append(status)))  # type: ignore[arg-type, return-value]
    return statuses[0]


def test_a_path_that_is_longer_than_names_can_be_is_not_remembered(tmp_path: Path) -> None:
    """The router takes any number of slashes in front, so strangers could fill the memory with them."""
    lane: Any = create_app(Config(instance_path=tmp_path)).wsgi_app
    for path in ("/" * 60_000 + "models/iris/1", "/models/iris/" + "1" * 60_000, "/models/" + "a" * 200, "/models", "/keys"):
        assert send(lane, path)[:3] in {"401", "404", "405"}
    assert lane._targets == {}
    assert send(lane, "/models/iris/1").startswith("401")
    assert lane._targets == {"/models/iris/1": ("iris", 1, "/models/<name>/<selector>")}


@pytest.mark.parametrize(
    ("serves", "computed", "kept"), [("exact", "exact", True), ("fast", "fast", True), ("fast", "exact", False), ("exact", "fast", False)]
)
def test_only_an_answer_of_the_versions_own_runtime_is_kept(serves: str, computed: str, *, kept: bool) -> None:
    """Not one of the worker that was still up when the runtime changed."""
    signature = Signature.from_dict({"container": "array", "named": False, "inputs": []})
    version = Resolved(1, "iris", 1, "sha", serves, signature, cacheable=True, cache="auto")
    assert _may_keep(version, Answer(b"", computed)) is kept
