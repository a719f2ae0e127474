"""The examples that more than one route shows: one model of irises, from its publication to its rollback.

Each must fit its schema, and each body of a prediction must be answered by such a model: tests hold them to it.
"""

from __future__ import annotations

from typing import Any

AT = "2026-03-01T09:30:00.000000Z"
KEY_ID = "oLNfeoI3BthA"
SHA256 = "201206aebe50f429a632afc3b3743c8a7e4f83a8222364e1c142144ec6fc39a3"
COLUMNS = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
ROW = [5.1, 3.5, 1.4, 0.2]
RECORD = dict(zip(COLUMNS, ROW, strict=True))
#: np.save of ROW as one row, in base64: JSON has no bytes.
NPY_ROW = (
    "k05VTVBZAQB2AHsnZGVzY3InOiAnPGY4JywgJ2ZvcnRyYW5fb3JkZXInOiBGYWxzZSwgJ3NoYXBlJzogKDEsIDQpLCB9ICAgICAgICAgICAgICAgICAgICAg"
    "ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIApmZmZmZmYUQAAAAAAAAAxAZmZmZmZm9j+amZmZmZnJPw=="
)
#: np.save of the answer to it, [0].
NPY_ANSWER = (
    "k05VTVBZAQB2AHsnZGVzY3InOiAnPGk4JywgJ2ZvcnRyYW5fb3JkZXInOiBGYWxzZSwgJ3NoYXBlJzogKDEsKSwgfSAgICAgICAgICAgICAgICAgICAgICAg"
    "ICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAoAAAAAAAAAAA=="
)

MODEL: dict[str, Any] = {
    "name": "iris", "description": "Species by the measures of a flower.", "tags": {"team": "botany"}, "runtime": "exact", "latest_version": 3,
    "version_count": 3, "aliases": {"production": 3}, "created_at": AT, "created_by": KEY_ID, "deleted_at": None,
}  # fmt: skip
VERSION: dict[str, Any] = {
    "model": "iris", "version": 3, "status": "ready", "flavor": "sklearn", "estimator": "sklearn.pipeline.Pipeline",
    "artifact": {"sha256": SHA256, "size_bytes": 5541},
    "signature": {
        "container": "frame", "named": True,
        "inputs": [{"name": name, "type": "float64", "required": True, "missing": False} for name in COLUMNS],
        "outputs": {"predict": {"type": "int64"}, "predict_proba": {"type": "float64", "columns": [0, 1, 2], "shape": [3]}},
    },
    "methods": ["predict", "predict_proba"],
    "environment": {"python": "3.11.7", "scikit-learn": "1.9.1", "numpy": "2.4.6", "joblib": "1.6.0", "pandas": "3.1.1"}, "skew": None,
    "golden": {"rows": 5, "from": "example"}, "deterministic": True, "runtime": "exact", "fast": None, "fast_report": None, "accept_skew": False,
    "batching": True, "cache": "auto", "pinned": False, "description": "With more flowers.", "tags": {"stage": "good"}, "metrics": {"accuracy": 0.97},
    "parameters": {"C": 1.0}, "source": {"commit": "363c7f5"}, "aliases": ["production"], "load_error": None, "created_at": AT,
    "created_by": KEY_ID, "deleted_at": None,
}  # fmt: skip
DELETED = VERSION | {"status": "deleted", "aliases": [], "deleted_at": AT}
ALIAS: dict[str, Any] = {"model": "iris", "alias": "production", "version": 3, "etag": "17", "moved_at": AT, "moved_by": KEY_ID}
MOVE: dict[str, Any] = {
    "model": "iris", "alias": "production", "kind": "point", "from": 2, "to": 3, "at": AT, "by": KEY_ID, "reason": "better on the hold-out",
}  # fmt: skip
ROLLED_BACK: dict[str, Any] = {
    "model": "iris", "alias": "production", "from": 3, "to": 2, "at": AT, "by": KEY_ID, "reason": "answers drift",
}  # fmt: skip
KEY: dict[str, Any] = {
    "id": KEY_ID, "name": "shop", "scopes": ["predict"], "models": ["iris*"], "limits": ["6000/minute"], "created_at": AT, "created_by": "operator",
    "expires_at": None, "revoked_at": None,
}  # fmt: skip
EVENT: dict[str, Any] = {
    "id": 42, "at": AT, "actor": KEY_ID, "kind": "alias.pointed", "model": "iris", "version": 3, "alias": "production", "key_id": None, "from": 2, "to": 3,
    "reason": "better on the hold-out", "detail": {},
}  # fmt: skip
WALLS: dict[str, Any] = {
    "sandbox": True, "unpickler": True, "object_check": True, "golden_replay": True, "seccomp": True, "landlock": 7, "uid": 65534, "rlimits": True,
    "failures": [], "architecture": "x86_64", "filter_tested": True, "filter_run_at_release": True,
}  # fmt: skip
SERVING: dict[str, Any] = {
    "host": "f67d82d743aa6d08", "budget_bytes": 8_589_934_592, "used_bytes": 9_437_184, "walls": WALLS, "extra_names": [],
    "counts": {"loads": 1, "admissions": 1},
    "loaded": [{
        "model": "iris", "version": 3, "runtime": "exact", "form": "estimator", "state": "ready", "pinned": False, "bytes": 9_437_184, "requests": 1200,
        "calls": 900, "waiting": 0, "idle_seconds": 0.02, "processes": 1,
    }],
}  # fmt: skip
PREDICTION: dict[str, Any] = {
    "prediction": [0], "model": "iris", "version": 3, "method": "predict", "runtime": "exact", "cached": False, "request_id": "9f86d081884c7d65",
}  # fmt: skip
PROBABILITIES = PREDICTION | {"prediction": [[0.98, 0.02, 0.0]], "method": "predict_proba", "classes": [0, 1, 2]}
MANIFEST: dict[str, Any] = {
    "description": "With more flowers.", "tags": {"stage": "good"}, "metrics": {"accuracy": 0.97}, "parameters": {"C": 1.0}, "source": {"commit": "363c7f5"},
    "input_example": [ROW], "alias": "staging",
}  # fmt: skip


def page(*items: Any) -> dict[str, Any]:
    """Return items as a list's last page."""
    return {"items": list(items), "next_cursor": None}
