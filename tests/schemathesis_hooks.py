"""What Schemathesis must know of this service that no schema says. Loaded by its own process; see `schemathesis_run.py`.

A run must leave the keys that it and the tests need. What it sends as valid has times to come, no cursor that no listing gave, and
files of the kind that is announced; what it sends to be refused stays as it is.
"""

from __future__ import annotations

import io
import os
import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import schemathesis
from hypothesis import strategies as st

from registry.api.openapi.examples import ROW
from registry.api.openapi.parameters import IF_MATCH

KEPT_KEY_IDS = os.environ.get("RUN_KEPT_KEY_IDS", "").split(",")
SPARE_KEY_ID = os.environ.get("RUN_SPARE_KEY_ID", "")
ARTIFACT = Path(os.environ["RUN_ARTIFACT"]).read_bytes() if "RUN_ARTIFACT" in os.environ else b""
LATER = "2099-01-01T00:00:00Z"


def npy_files() -> st.SearchStrategy[bytes]:
    """Return npy files of numbers, of the width of the document's model and of others."""
    rows = st.integers(1, 3).flatmap(
        lambda width: st.lists(st.lists(st.floats(-9, 9), min_size=width, max_size=width), min_size=1, max_size=3)
    )
    return st.one_of(st.just(np.array([ROW])), rows.map(np.array)).map(saved)


def saved(array: np.ndarray[Any, Any]) -> bytes:
    """Return what `numpy.save` writes."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


BYTES = {"application/octet-stream": st.sampled_from([ARTIFACT, ARTIFACT[:100], b"no model"]), "application/x-npy": npy_files()}
for content_type, strategy in BYTES.items():
    schemathesis.openapi.media_type(content_type, strategy)


@schemathesis.hook
def before_load_schema(_context: Any, raw_schema: Any) -> None:
    """Leave out examples of bytes, which JSON can't hold: another test sends those of predictions."""
    for methods in raw_schema["paths"].values():
        for operation in methods.values():
            for kind, media in operation.get("requestBody", {"content": {}})["content"].items():
                if kind in BYTES:
                    del media["examples"]


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    """Make what is sent as valid valid, and leave the keys that are still needed."""
    if (case.path_parameters or {}).get("key_id") in KEPT_KEY_IDS:
        case.path_parameters["key_id"] = SPARE_KEY_ID
    if case.meta is not None and not case.meta.generation.mode.is_positive:
        return
    if case.query:
        case.query.pop("cursor", None)
    if case.headers and not re.fullmatch(IF_MATCH, case.headers.get("If-Match", "*")):
        case.headers.pop("If-Match")  # Schemathesis has a notion of its own of what may stand there
    if case.headers and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = uuid4().hex
    if isinstance(case.body, dict) and case.body.get("expires_at") is not None:
        case.body = case.body | {"expires_at": LATER}
