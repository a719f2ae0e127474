"""A compiled form beside the estimator it was made from: the runtime `fast`.

What the form lacks, or can't read as the estimator would, the estimator answers. Runs behind the lock: no file, import or thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from registry import frames
from registry.errors import ModelyardError, PredictionFailed
from registry.flavors.answers import outputs_of
from registry.flavors.compiled.conversion import convert
from registry.flavors.compiled.ensembles import Ensemble, find_ensemble
from registry.flavors.compiled.forests import forest_file
from registry.flavors.compiled.refusing import CantCompile
from registry.flavors.contract import Loaded
from registry.flavors.failures import describe
from registry.flavors.feeding import Feed
from registry.flavors.formats import INSTALLED
from registry.flavors.onnx_estimator import OnnxEstimator
from registry.flavors.onnx_models import open_session
from registry.flavors.quiet import quietly

EXACT, FAST = "exact", "fast"
PACKAGES = ("onnx", "onnxruntime", "skl2onnx")

_Array = frames.type_of_array
#: From inputs to what the form is asked with, or None where only the estimator says the right thing about them.
Reader = Callable[[frames.Inputs], _Array | None]


class CompiledModel:
    """A loaded model whose methods are computed by a compiled form, where it has them."""

    def __init__(self, exact: Loaded, reader: Reader, methods: Mapping[str, Callable[[_Array], Any]], made_by: str) -> None:
        """Answer `methods` from what `reader` reads, and everything else by `exact`."""
        self.estimator_name = exact.estimator_name
        self.recorded = exact.recorded
        self.made_by = made_by
        self._exact = exact
        self._reader = reader
        self._methods = dict(methods)

    @property
    def form(self) -> str:
        """Return `compiled`."""
        return "compiled"

    def runtime_of(self, method: str) -> str:
        """Return `fast` for what the compiled form computes."""
        return FAST if method in self._methods else EXACT

    def call(self, method: str, inputs: frames.Inputs, params: dict[str, Any]) -> frames.Outputs:
        """Return what `method` answers. Raises MethodNotAvailable, PredictionFailed."""
        compute = self._methods.get(method)
        if compute is None or params:
            return self._exact.call(method, inputs, params)
        try:
            rows = self._reader(inputs)
            if rows is not None:
                return outputs_of(compute(rows), inputs.rows)
        except ModelyardError:
            raise
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # in front of a pipeline's trees is the model's own code
            raise PredictionFailed(log_detail=describe(error)) from error
        return self._exact.call(method, inputs, params)


def compile_loaded(exact: Loaded, *, has_texts: bool) -> CompiledModel:
    """Return the compiled form of a loaded model; `has_texts` tells of columns of text. Raises CantCompile, MemoryError."""
    if not INSTALLED.issuperset(PACKAGES):
        raise CantCompile("this server was installed without the extra `fast` (make serve EXTRAS=fast)")
    estimator = getattr(exact, "estimator", None)
    if estimator is None or isinstance(estimator, OnnxEstimator):
        raise CantCompile("it is an ONNX model, which is compiled as it is")
    if (ensemble := find_ensemble(estimator)) is not None:
        _require_numbers(has_texts)
        return CompiledModel(exact, _numbers_of(ensemble), _methods_of(ensemble), "its trees, in onnxruntime")
    if isinstance(estimator, Pipeline) and (ensemble := find_ensemble(estimator.steps[-1][1])) is not None:
        made_by = "the trees of its last step, in onnxruntime; the steps before them, in scikit-learn"
        return CompiledModel(exact, _behind(estimator[:-1], _array_reader(ensemble)), _methods_of(ensemble), made_by)
    _require_numbers(has_texts)
    columns = getattr(estimator, "n_features_in_", None)
    if not isinstance(columns, (int, np.integer)):
        raise CantCompile("it doesn't say how many columns it was fitted on")
    return CompiledModel(exact, _doubles_of, convert(estimator, int(columns)), "skl2onnx, in onnxruntime")


def _require_numbers(has_texts: bool) -> None:  # noqa: FBT001 - one thing
    if has_texts:
        raise CantCompile("its input has columns of text")


def _methods_of(ensemble: Ensemble) -> dict[str, Callable[[_Array], Any]]:
    run = open_session(forest_file(ensemble.trees, ensemble.targets, ensemble.columns)).run
    return {method: _finished(run, finish) for method, finish in ensemble.methods.items()}


def _finished(run: Callable[..., Any], finish: Callable[[_Array], Any]) -> Callable[[_Array], Any]:
    names = ["Y"]
    return lambda rows: finish(run(names, {"X": rows})[0])


def _array_reader(ensemble: Ensemble) -> Callable[[_Array], _Array | None]:
    """Return the function that makes of an array what scikit-learn's trees see: singles for all but histogram ones."""

    def singles(array: _Array) -> _Array | None:
        with np.errstate(over="ignore", invalid="ignore"):
            rows = array.astype(np.float32)
        return None if np.isinf(rows).any() else rows.astype(np.float64, order="C")

    def doubles(array: _Array) -> _Array | None:
        rows = np.ascontiguousarray(array, np.float64)
        return None if np.isinf(rows).any() else rows

    return singles if ensemble.single else doubles


def _numbers_of(ensemble: Ensemble) -> Reader:
    read = _array_reader(ensemble)

    def reader(inputs: frames.Inputs) -> _Array | None:
        array = _array_of(inputs)
        return None if array is None else read(array)

    return reader


def _doubles_of(inputs: frames.Inputs) -> _Array | None:
    array = _array_of(inputs)
    if array is None:
        return None
    rows = np.ascontiguousarray(array, np.float64)
    return rows if np.isfinite(rows).all() else None


def _array_of(inputs: frames.Inputs) -> _Array | None:
    match inputs:
        case frames.Matrix(array):
            return array
        case frames.Table(_, columns) if not any(isinstance(values, list) for values in columns):
            return np.column_stack([np.asarray(values) for values in columns])
    return None


def _behind(steps: Any, read: Callable[[_Array], _Array | None]) -> Reader:
    """Return a reader that lets a pipeline's first steps transform the inputs as scikit-learn does."""
    feed = Feed(steps)

    def reader(inputs: frames.Inputs) -> _Array | None:
        found = quietly(steps.transform, feed.argument(inputs))
        if not isinstance(found, np.ndarray):
            found = found.to_numpy() if hasattr(found, "to_numpy") else None
        return None if found is None or found.dtype.kind not in frames.NUMERIC_KINDS else read(found)

    return reader
