"""The flavor of ONNX models, run by onnxruntime with one thread inside a locked worker.

`warm_up` imports the library, an optional extra, and runs a first session, after which nothing is lazy. Must never give it a
path or bytes that `onnx_file` hasn't looked through, and never let it start a thread or its telemetry.
"""

from __future__ import annotations

import io
import os
import platform
import re
import struct
from dataclasses import replace
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from registry.errors import NotAModel
from registry.flavors.admission import judge
from registry.flavors.contract import Admission
from registry.flavors.declaring import Draft, draft_of
from registry.flavors.diagram import draw_operators
from registry.flavors.failures import describe, load_failures, own_refusals, own_words
from registry.flavors.formats import INSTALLED, ONNX, require_installed
from registry.flavors.golden import replay
from registry.flavors.onnx_estimator import OnnxEstimator, plain_name
from registry.flavors.onnx_file import OnnxFile, require_plain
from registry.flavors.refusals import Refused
from registry.flavors.seeding import seed_table
from registry.flavors.sklearn import LoadedEstimator
from registry.signature.json_body import to_inputs

_FATAL = 4
_WARM_BYTES = 1 << 20
_VERSION = re.compile(r"[\w.+-]{1,40}", re.ASCII)


def admit(stream: BinaryIO, manifest: dict[str, Any], budget_bytes: int) -> Admission:
    """Judge an upload that may take `budget_bytes`. Raises NotAModel, UnsafeArtifact, SignatureMismatch."""
    with own_refusals():
        loaded, found = _open(stream, budget_bytes)
    with own_words():
        draft = _with_integers(draft_of(loaded.estimator, manifest), loaded.estimator)
        admission = judge(loaded, draft, ONNX, _environment(draft, found))
        return replace(admission, diagram=draw_operators(loaded.estimator_name, found, loaded.estimator.tensors()))


def load(stream: BinaryIO, budget_bytes: int) -> LoadedEstimator:
    """Load an artifact that was admitted before. Raises ModelUnloadable."""
    require_installed("onnx", "onnxruntime")
    with load_failures():
        return _open(stream, budget_bytes)[0]


def warm_up() -> None:
    """Import onnxruntime, and admit and run a small model, where the extra is installed."""
    if "onnxruntime" not in INSTALLED:
        return
    _runtime().set_default_logger_severity(_FATAL)
    stream = io.BytesIO(_warm_model())
    admission = admit(stream, {}, _WARM_BYTES)
    stream.seek(0)
    if admission.golden is not None:
        replay(load(stream, _WARM_BYTES), admission.golden)


def _open(stream: BinaryIO, budget_bytes: int) -> tuple[LoadedEstimator, OnnxFile]:
    size_bytes = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    if size_bytes > budget_bytes:
        raise Refused("too-large-unpacked", "The model is larger than this server accepts. Publish a smaller model.")
    data = stream.read(size_bytes)  # asked for more than there is, it would take all of that memory first, and may not get it
    found = require_plain(memoryview(data))
    try:
        session = open_session(data)
    except MemoryError:
        raise
    except Exception as error:
        text = (
            "onnxruntime can't use the model: it is damaged, its parts don't fit together, or it needs newer operators than the server's. "
            "Check it with onnx.checker.check_model, and convert it for an earlier target_opset."
        )
        raise NotAModel(text, log_detail=describe(error)) from error
    loaded = LoadedEstimator(OnnxEstimator(session, found))
    loaded.estimator_name = f"onnx.{plain_name(found.producer)}"
    return loaded, found


def _runtime() -> Any:
    """Return onnxruntime. Its telemetry, a thread that sends what it sees to its maker, is off before it starts."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime  # noqa: PLC0415  # optional extra

    return onnxruntime


def open_session(data: bytes) -> Any:
    """Return a session over an ONNX file: one thread, no file, no telemetry. Raises what onnxruntime raises."""
    runtime = _runtime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = runtime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = _FATAL
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False  # so that memory is given back, and counted as it is used
    options.add_session_config_entry("session.load_model_format", "ONNX")
    return runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def _with_integers(draft: Draft, estimator: OnnxEstimator) -> Draft:
    """Return the draft with the columns of whole numbers typed as such, and rows made up anew for them."""
    whole = estimator.integer_columns()
    if not whole or draft.declared:
        return draft
    columns = tuple(replace(one, type="int64") if index in whole else one for index, one in enumerate(draft.signature.columns))
    signature = replace(draft.signature, columns=columns)
    rows = draft.rows
    if draft.rows_from == "seeded" and (values := seed_table(columns, draft.facts)) is not None:
        rows = to_inputs(values, signature.container, columns)
    return replace(draft, signature=signature, rows=rows)


def _environment(draft: Draft, found: OnnxFile) -> dict[str, Any]:
    versions: dict[str, Any] = {"python": platform.python_version(), "onnxruntime": _runtime().__version__, "numpy": np.__version__}
    if draft.signature.container == "frame":
        versions["pandas"] = pd.__version__
    version = found.producer_version if _VERSION.fullmatch(found.producer_version) else ""
    versions["recorded"] = {
        "onnx opset": str(found.opsets.get("ai.onnx", 0)),
        "producer": f"{plain_name(found.producer)} {version}".strip(),
    }
    return versions


def _warm_model() -> bytes:
    """Return a linear regression of two columns as an ONNX file, put together by hand: the library that writes them isn't needed here."""
    shape = _field(1, b"") + _field(1, b"\x08\x02")
    columns = _field(1, b"\x08\x01" + _field(2, shape))
    weights = _field(1, b"coefficients") + struct.pack("<BfBf", 0x3D, 1.0, 0x3D, -1.0) + b"\xa0\x01\x06"
    node = _field(1, b"X") + _field(2, b"variable") + _field(4, b"LinearRegressor") + _field(5, weights) + _field(7, b"ai.onnx.ml")
    value = _field(1, b"variable") + _field(2, _field(1, b"\x08\x01"))
    graph = _field(1, node) + _field(2, b"warm") + _field(11, _field(1, b"X") + _field(2, columns)) + _field(12, value)
    return b"\x08\x08" + _field(2, b"modelyard") + _field(7, graph) + _field(8, _field(1, b"ai.onnx.ml") + b"\x10\x01")


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2, len(content)]) + content
