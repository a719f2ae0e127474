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
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from registry.errors import ModelUnloadable, NotAModel
from registry.flavors.anatomy import MAX_COLUMNS
from registry.flavors.contract import Admission
from registry.flavors.declaring import Draft, draft_of
from registry.flavors.failures import describe
from registry.flavors.formats import INSTALLED, ONNX
from registry.flavors.golden import replay
from registry.flavors.onnx_file import OnnxFile, require_plain
from registry.flavors.opening import judge, refusal_of_open
from registry.flavors.refusals import Refused
from registry.flavors.seeding import seed_table
from registry.flavors.sklearn import LoadedEstimator
from registry.signature.json_body import to_inputs

_DTYPES: dict[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
}
_FATAL = 4
_WARM_BYTES = 1 << 20
_UNPLAIN, _VERSION = re.compile(r"[^\w.]", re.ASCII), re.compile(r"[\w.+-]{1,40}", re.ASCII)
_MATRIX = 2
#: Texts to try a model on whose own ones aren't known.
_TEXTS = ["good", "bad"]
_TABLES = "Accepted are models that take one table of numbers, one column of texts, or several single columns."


@dataclass(frozen=True, slots=True)
class _Input:
    """One input of a model: its tensor's type, its columns (None where it doesn't say), and whether it is a vector."""

    name: str
    dtype: Any
    width: int | None
    flat: bool


class OnnxEstimator:
    """A session that speaks as a fitted estimator does: one signature, feeding and golden predictions for every flavor."""

    def __init__(self, session: Any, found: OnnxFile) -> None:
        """Learn inputs and outputs from the session. Raises NotAModel for what isn't a model of tables."""
        self._session = session
        self._inputs = tuple(_input_of(one) for one in session.get_inputs())
        self._label = _label_of(session.get_outputs())
        self._probability = _probability_of(session.get_outputs())
        self._floats = [str(one.name) for one in session.get_outputs() if one.type in ("tensor(float)", "tensor(double)")]
        _require_table(self._inputs)
        first = self._inputs[0]
        self.n_features_in_ = len(self._inputs) if len(self._inputs) > 1 else first.width
        if len(self._inputs) > 1:
            self.feature_names_in_ = np.array([one.name for one in self._inputs], dtype=object)
        elif first.dtype is np.object_ and first.width == 1:
            self.build_analyzer = self.predict  # what takes texts is known by it
        if self._probability is not None:
            self.predict_proba: Callable[[Any], Any] = self._predict_proba
            if len(found.classes) == 1:
                self.classes_ = _array_of(found.classes[0])
        if len(self._inputs) > 1 or first.dtype in (np.object_, np.bool_):
            self.categories_ = [_seeds_of(one.dtype) for one in self._inputs for _ in range(one.width or 1)]

    def integer_columns(self) -> tuple[int, ...]:
        """Return which columns are whole numbers."""
        widths = [one.dtype for one in self._inputs for _ in range(one.width or 1)]
        return tuple(index for index, dtype in enumerate(widths) if dtype in (np.int64, np.int32))

    def predict(self, rows: Any) -> Any:
        """Return the label of each row, or the model's only output."""
        if self._floats and _has_nan(rows):
            self._require_numbers(rows)
        answer = self._run(self._label, rows)
        if isinstance(answer, np.ndarray) and answer.ndim == _MATRIX and answer.shape[1] == 1:
            return answer[:, 0]
        return answer

    def _predict_proba(self, rows: Any) -> Any:
        answer = self._run(str(self._probability), rows)
        if isinstance(answer, list) and answer and isinstance(answer[0], dict):
            classes = list(answer[0])
            self.classes_ = _array_of(classes)
            return np.array([[one[key] for key in classes] for one in answer])
        return answer

    def _require_numbers(self, rows: Any) -> None:
        """Raise ValueError where missing values make the model answer NaN in any output: its labels mean nothing then."""
        for answer in self._session.run(self._floats, self._feeds(rows)):
            if np.isnan(answer).any():
                raise ValueError("the model doesn't take missing values")

    def _run(self, output: str, rows: Any) -> Any:
        return self._session.run([output], self._feeds(rows))[0]

    def _feeds(self, rows: Any) -> dict[str, Any]:
        return {one.name: _tensor(values, one) for one, values in zip(self._inputs, self._split(rows), strict=True)}

    def _split(self, rows: Any) -> list[Any]:
        """Return the values for each input."""
        if len(self._inputs) == 1:
            return [rows]
        if isinstance(rows, pd.DataFrame):
            return [rows[one.name].to_numpy() for one in self._inputs]
        return list(np.asarray(rows).T)


def admit(stream: BinaryIO, manifest: dict[str, Any], budget_bytes: int) -> Admission:
    """Judge an upload that may take `budget_bytes`. Raises NotAModel, UnsafeArtifact, SignatureMismatch."""
    loaded, found = _opened(stream, budget_bytes)
    draft = _with_integers(draft_of(loaded.estimator, manifest), loaded.estimator)
    return judge(loaded, draft, ONNX, _environment(draft, found))


def load(stream: BinaryIO, budget_bytes: int) -> LoadedEstimator:
    """Load an artifact that was admitted before. Raises ModelUnloadable."""
    try:
        return _open(stream, budget_bytes)[0]
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise ModelUnloadable("The artifact raised while it was loaded.", log_detail=describe(error)) from error


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


def _opened(stream: BinaryIO, budget_bytes: int) -> tuple[LoadedEstimator, OnnxFile]:
    try:
        return _open(stream, budget_bytes)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise refusal_of_open(error) from error


def _open(stream: BinaryIO, budget_bytes: int) -> tuple[LoadedEstimator, OnnxFile]:
    data = stream.read(budget_bytes + 1)
    if len(data) > budget_bytes:
        raise Refused("too-large-unpacked", "The model is larger than this server accepts. Publish a smaller model.")
    found = require_plain(memoryview(data))
    try:
        session = _session(data)
    except MemoryError:
        raise
    except Exception as error:
        text = (
            "onnxruntime can't use the model: it is damaged, its parts don't fit together, or it needs newer operators than the server's. "
            "Check it with onnx.checker.check_model, and convert it for an earlier target_opset."
        )
        raise NotAModel(text, log_detail=describe(error)) from error
    loaded = LoadedEstimator(OnnxEstimator(session, found))
    loaded.estimator_name = f"onnx.{_plain(found.producer)}"
    return loaded, found


def _runtime() -> Any:
    """Return onnxruntime. Its telemetry, a thread that sends what it sees to its maker, is off before it starts."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime  # noqa: PLC0415 - optional extra

    return onnxruntime


def _session(data: bytes) -> Any:
    runtime = _runtime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = runtime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = _FATAL
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False  # so that memory is given back, and counted as it is used
    options.add_session_config_entry("session.load_model_format", "ONNX")
    return runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def _input_of(node: Any) -> _Input:
    dtype, shape = _DTYPES.get(node.type), node.shape
    if dtype is None or not 1 <= len(shape) <= _MATRIX:
        raise NotAModel(f"An input of the model is of the type {_plain(node.type)} with {len(shape)} dimensions. {_TABLES}")
    if isinstance(shape[0], int):
        raise NotAModel(
            f"The model takes exactly {shape[0]} rows at a time; convert it with a first dimension that isn't fixed: "
            "FloatTensorType([None, 4]) and the like."
        )
    flat = len(shape) == 1
    width = 1 if flat else shape[1]
    return _Input(node.name, dtype, width if isinstance(width, int) else None, flat)


def _require_table(inputs: tuple[_Input, ...]) -> None:
    if not inputs:
        raise NotAModel(f"The model has no input. {_TABLES}")
    if len(inputs) > 1 and any(one.width != 1 for one in inputs):
        raise NotAModel(f"The model has several inputs of more than one column. {_TABLES}")
    if len(inputs) > MAX_COLUMNS:
        raise NotAModel(f"The model takes {len(inputs)} columns; 1 to {MAX_COLUMNS} are accepted.")


def _label_of(outputs: list[Any]) -> str:
    """Return the name of the output that `predict` answers: the first one, which must be a tensor."""
    if not outputs or not outputs[0].type.startswith("tensor("):
        raise NotAModel("The model's first output isn't a tensor of labels or values.")
    return str(outputs[0].name)


def _probability_of(outputs: list[Any]) -> str | None:
    """Return the name of the output that `predict_proba` answers, or None: skl2onnx and others name it so, behind the label."""
    return next((str(one.name) for one in outputs[1:] if "prob" in one.name.lower()), None)


def _seeds_of(dtype: Any) -> list[Any]:
    return _TEXTS if dtype is np.object_ else [False, True] if dtype is np.bool_ else []


def _has_nan(rows: Any) -> bool:
    values = [rows[name] for name in rows] if isinstance(rows, pd.DataFrame) else [rows]
    return any(isinstance(one, (np.ndarray, pd.Series)) and one.dtype.kind == "f" and np.isnan(one).any() for one in values)


def _array_of(classes: list[Any]) -> Any:
    return np.array(classes, dtype=object if any(isinstance(one, str) for one in classes) else np.int64)


def _tensor(values: Any, wanted: _Input) -> Any:
    """Return values as the tensor that the model wants. Raises ValueError for missing texts and broken whole numbers."""
    array = np.asarray(values, dtype=object if wanted.dtype is np.object_ else None)
    if wanted.dtype is np.object_:
        if not all(isinstance(one, str) for one in array.flat):
            raise ValueError("a text is missing")
    elif wanted.dtype in (np.int64, np.int32) and array.dtype.kind not in "iub":
        whole = array.astype(np.float64)
        if not np.array_equal(whole, np.trunc(whole)):
            raise ValueError("a number isn't whole")
    array = np.ascontiguousarray(array, wanted.dtype)
    return array.reshape(-1) if wanted.flat else array.reshape(len(array), -1)


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
    versions["recorded"] = {"onnx opset": str(found.opsets.get("ai.onnx", 0)), "producer": f"{_plain(found.producer)} {version}".strip()}
    return versions


def _plain(name: str) -> str:
    return _UNPLAIN.sub("_", name)[:64] or "unknown"


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
