"""Other estimators converted by skl2onnx, in double precision, and run by onnxruntime with one thread.

Only what the conversion surely means the same by is taken from it: `predict` and `predict_proba`. Every other method stays the
estimator's own. Whether the two are the same is found out by comparing them, never assumed.
"""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import is_classifier

from registry import frames
from registry.flavors.compiled.refusing import CantCompile
from registry.flavors.failures import describe
from registry.flavors.onnx_models import open_session

_Array = frames.type_of_array


def convert(estimator: Any, columns: int) -> dict[str, Callable[[_Array], Any]]:
    """Return the methods that the conversion has, each from a double array (rows, columns). Raises CantCompile, MemoryError."""
    has_proba = is_classifier(estimator) and hasattr(estimator, "predict_proba")
    try:
        session = open_session(_file_of(estimator, columns))
    except MemoryError:
        raise
    except Exception as error:
        text = f"skl2onnx and onnxruntime have none of {type(estimator).__name__[:64]} as it was fitted"
        raise CantCompile(text, detail=describe(error)) from error
    outputs = [output.name for output in session.get_outputs()]
    methods = {"predict": _method(session, outputs[0], _labels(estimator))}
    if has_proba and len(outputs) > 1:
        methods["predict_proba"] = _method(session, outputs[1], _doubles)
    return methods


def import_everything() -> None:
    """Import every converter: behind the lock nothing can be imported any more."""
    import skl2onnx  # noqa: PLC0415  # optional extra

    for module in pkgutil.walk_packages(skl2onnx.__path__, "skl2onnx."):
        if "__main__" not in module.name and "tutorial" not in module.name:
            with contextlib.suppress(ImportError):  # a module for a library that nothing here needs
                importlib.import_module(module.name)


def _file_of(estimator: Any, columns: int) -> bytes:
    import skl2onnx  # noqa: PLC0415  # optional extra
    from skl2onnx.common.data_types import DoubleTensorType  # noqa: PLC0415  # optional extra

    types = [("X", DoubleTensorType([None, columns]))]
    try:
        model = skl2onnx.to_onnx(
            estimator, initial_types=types, options={id(estimator): {"zipmap": False}} if is_classifier(estimator) else None
        )
    except NameError:  # a classifier that answers no map of probabilities, and so knows no such option
        model = skl2onnx.to_onnx(estimator, initial_types=types)
    written: bytes = model.SerializeToString()
    return written


def _method(session: Any, output: str, finish: Callable[[_Array], Any]) -> Callable[[_Array], Any]:
    run, names = session.run, [output]
    return lambda rows: finish(run(names, {"X": rows})[0])


def _labels(estimator: Any) -> Callable[[_Array], Any]:
    """Return the function that gives `predict` the shape and type that the estimator's has."""
    classes = getattr(estimator, "classes_", None)
    numbers = isinstance(classes, np.ndarray) and classes.dtype.kind in frames.NUMERIC_KINDS
    kind = classes.dtype if isinstance(classes, np.ndarray) and numbers else None

    def finish(answer: _Array) -> _Array:
        flat = answer[:, 0] if answer.ndim == 2 and answer.shape[1] == 1 else answer  # noqa: PLR2004 - a column
        if kind is not None:
            return flat.astype(kind)
        return flat.astype(np.float64) if flat.dtype.kind == "f" else flat

    return finish


def _doubles(answer: _Array) -> _Array:
    return answer.astype(np.float64, copy=False)
