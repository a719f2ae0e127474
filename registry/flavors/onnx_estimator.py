"""An ONNX session that speaks as a fitted estimator does: what it takes, what it answers.

So that signature, feeding, probing and golden predictions are the same for every flavor. Must never hand the session a
tensor of another type or width than it announces.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from registry.errors import NotAModel
from registry.flavors.anatomy import MAX_COLUMNS
from registry.flavors.onnx_file import OnnxFile

_DTYPES: dict[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
    "tensor(string)": np.object_,
}
_MATRIX = 2
#: Texts to try a model on whose own ones aren't known.
_TEXTS = ["good", "bad"]
_TABLES = "Accepted are models that take one table of numbers, one column of texts, or several single columns."
_UNPLAIN = re.compile(r"[^\w.]", re.ASCII)


def plain_name(name: str) -> str:
    """Return a name from a file with nothing but plain characters in it."""
    return _UNPLAIN.sub("_", name)[:64] or "unknown"


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

    def tensors(self) -> list[tuple[str, str]]:
        """Return each input's and output's name, with its type and dimensions."""
        told = (("input", self._session.get_inputs()), ("output", self._session.get_outputs()))
        return [(f"{side} {one.name}", f"{one.type} {_dimensions(one)}".strip()) for side, many in told for one in many]

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


def _input_of(node: Any) -> _Input:
    dtype, shape = _DTYPES.get(node.type), node.shape
    if dtype is None or not 1 <= len(shape) <= _MATRIX:
        raise NotAModel(f"An input of the model is of the type {plain_name(node.type)} with {len(shape)} dimensions. {_TABLES}")
    if isinstance(shape[0], int):
        raise NotAModel(
            f"The model takes exactly {shape[0]} rows at a time; convert it with a first dimension that isn't fixed: "
            "FloatTensorType([None, 4]) and the like."
        )
    flat = len(shape) == 1
    width = 1 if flat else shape[1]
    return _Input(node.name, dtype, width if isinstance(width, int) else None, flat)


def _dimensions(node: Any) -> str:
    return " by ".join(str(size) if isinstance(size, int) else "any" for size in node.shape or ())


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
