"""Admission: is an upload a fitted model, what does it take and give, and does it answer the same twice.

Runs inside a locked worker, once for each upload. What it finds is all that other processes ever know of the artifact.
"""

from __future__ import annotations

import platform
from dataclasses import replace
from typing import Any, BinaryIO

import joblib
import msgspec
import numpy as np
import pandas as pd
import sklearn
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from registry import frames
from registry.errors import Finding, ModelyardError, NotAModel, SignatureMismatch
from registry.flavors import anatomy, skew
from registry.flavors.contract import Admission, Traits
from registry.flavors.declaring import Draft, draft_of
from registry.flavors.diagram import draw
from registry.flavors.failures import describe, own_refusals, own_words, refusal_of_call
from registry.flavors.formats import SKLEARN
from registry.flavors.golden import find_difference
from registry.flavors.probing import probe_missing
from registry.flavors.sklearn import METHODS, LoadedEstimator, unpickle
from registry.flavors.unpickling import Unpickled
from registry.signature import Signature
from registry.signature.golden import encode_golden

_TYPES = {"b": "bool", "U": "string"}
_MAX_CLASSES = 10_000
_MAX_NAME = 64
_NO_ROWS = "No rows to try the model on could be made up: publish it with an input_example to get golden predictions and the cache."
_NOT_DETERMINISTIC = "Two runs on the same rows differed: there are no golden predictions, and answers aren't cached."


def admit(stream: BinaryIO, manifest: dict[str, Any], budget_bytes: int) -> Admission:
    """Judge a joblib file or pickle that may unpack to `budget_bytes`. Raises NotAModel, UnsafeArtifact, SignatureMismatch."""
    with own_refusals():
        found = unpickle(stream, budget_bytes)
    return judge_estimator(found, manifest, SKLEARN)


def judge_estimator(found: Unpickled, manifest: dict[str, Any], flavor: str, **versions: str) -> Admission:
    """Judge an estimator that was loaded; `versions` go into its environment. Raises NotAModel, UnsafeArtifact, SignatureMismatch."""
    with own_words():
        require_model(found.value)
        loaded = LoadedEstimator(found.value, found.recorded)
        draft = draft_of(loaded.estimator, manifest)
        admission = judge(loaded, draft, flavor, {**_environment(draft.signature, found.recorded), **versions})
        return replace(admission, diagram=draw(loaded.estimator, draft))


def judge(loaded: LoadedEstimator, draft: Draft, flavor: str, environment: dict[str, Any]) -> Admission:
    """Return what is learned by trying a loaded model. Raises UnsafeArtifact, SignatureMismatch, and what its own values raise."""
    draft = _tried(loaded, draft)
    first = _record(loaded, draft)
    if first and draft.rows is not None:
        loaded.find_form(draft.rows)
    again = _record(loaded, draft)
    deterministic = bool(first) and all(m in again and find_difference(first[m], again[m]) is None for m in first)
    golden = encode_golden(draft.rows, first) if deterministic and draft.rows is not None else None
    outputs = _outputs(loaded.estimator, first)
    admission = Admission(
        flavor=flavor,
        estimator=loaded.estimator_name,
        signature=replace(draft.signature, outputs=outputs).as_dict(),
        methods=tuple(outputs),
        environment=environment,
        golden=golden,
        golden_rows=draft.rows.rows if golden is not None and draft.rows is not None else 0,
        golden_from=draft.rows_from if golden is not None else None,
        deterministic=deterministic,
        findings=() if deterministic else (_NOT_DETERMINISTIC if first else _NO_ROWS,),
    )
    msgspec.msgpack.encode(admission.as_dict())  # a model's own names and classes may hold what can't travel
    return admission


def require_model(value: Any) -> None:
    """Raise NotAModel unless `value` is a fitted estimator with `predict`."""
    name = type(value).__name__
    kind = "class" if isinstance(value, type) else "container" if isinstance(value, (dict, list, tuple)) else "object"
    if kind != "object" or not callable(anatomy.read(value, "fit")):
        require_estimator(Traits(name, kind, has_fit=False))
        return
    has_predict = callable(anatomy.read(value, "predict"))
    require_estimator(Traits(name, kind, has_fit=True, has_predict=has_predict, fitted=_is_fitted(value, name)))


def require_estimator(seen: Traits) -> None:
    """Raise NotAModel where one of the traits rules a model out; what isn't known of them doesn't."""
    name = seen.type[:_MAX_NAME]
    if seen.kind == "class":
        raise NotAModel("The artifact holds a class, not a fitted estimator; create it, fit it and dump it again.")
    if seen.kind == "container":
        raise NotAModel(f"The artifact holds a {name}, not an estimator; dump the estimator that is in it by itself.")
    if seen.has_fit is False:
        raise NotAModel(f"The artifact holds an object of {name}, which isn't an estimator.")
    if seen.fitted is False:
        raise NotAModel(f"The {name} isn't fitted yet; fit it and dump it again.")
    if seen.has_predict is False:
        raise NotAModel(f"{name} has no predict method; publish a model that ends in an estimator which predicts.")


def _is_fitted(value: Any, name: str) -> bool:
    try:
        check_is_fitted(value)
    except NotFittedError:
        return False
    except Exception as error:  # it calls the model's own code
        raise NotAModel(f"Whether the {name[:_MAX_NAME]} is fitted can't be found out.", log_detail=describe(error)) from error
    return True


def _tried(loaded: LoadedEstimator, draft: Draft) -> Draft:
    """Return the draft once `predict` answered its rows: without rows where made-up ones raise, with `missing` probed."""
    if draft.rows is None:
        return draft
    try:
        loaded.call("predict", draft.rows, {})
    except ModelyardError as error:
        if (refusal := refusal_of_call(error.__cause__)) is not None:
            raise refusal from error
        if draft.rows_from == "example":
            raise _example_failed(error) from error
        return replace(draft, rows=None, rows_from=None)
    if draft.declared:
        return draft
    columns = probe_missing(draft.signature, draft.rows, lambda row: loaded.call("predict", row, {}))
    return replace(draft, signature=replace(draft.signature, columns=columns))


def _example_failed(error: ModelyardError) -> SignatureMismatch:
    cause = error.__cause__
    what = f"raised {type(cause).__name__[:64]}" if cause is not None else "gave an answer that can't be used"
    finding = Finding(f"predict {what} on these rows", "#/input_example")
    return SignatureMismatch(f"The model {what} on the input_example.", findings=(finding,), log_detail=error.log_detail)


def _record(loaded: LoadedEstimator, draft: Draft) -> dict[str, frames.Outputs]:
    """Return what each method that the model has answers to the draft's rows; those that fail are left out."""
    recorded: dict[str, frames.Outputs] = {}
    for method in METHODS if draft.rows is not None else ():
        if not callable(anatomy.read(loaded.estimator, method)):
            continue
        try:
            recorded[method] = loaded.call(method, draft.rows, {})  # type: ignore[arg-type]
        except ModelyardError as error:
            if (refusal := refusal_of_call(error.__cause__)) is not None:
                raise refusal from error
    return recorded


def _outputs(estimator: Any, recorded: dict[str, frames.Outputs]) -> dict[str, dict[str, Any]]:
    """Return the signature of each method's answer; of untried ones only what the estimator tells."""
    methods = recorded or [method for method in METHODS if callable(anatomy.read(estimator, method))]
    return {method: _output(estimator, method, recorded.get(method)) for method in methods}


def _output(estimator: Any, method: str, outputs: frames.Outputs | None) -> dict[str, Any]:
    described: dict[str, Any] = {"type": "any" if outputs is None else _type_of(outputs.parts[0])}
    if method in ("predict_proba", "predict_log_proba") and (classes := _classes(estimator)) is not None:
        described["columns"] = classes
    if outputs is not None and outputs.multi:
        described["multi"] = True
    elif outputs is not None and isinstance(outputs.parts[0], np.ndarray) and outputs.parts[0].ndim > 1:
        described["shape"] = list(outputs.parts[0].shape[1:])
    return described


def _type_of(part: frames.OutputPart) -> str:
    if isinstance(part, np.ndarray):
        return _TYPES.get(part.dtype.kind, part.dtype.name)
    flat = [value for row in part for value in (row if isinstance(row, list) else [row])]
    return "string" if flat and all(isinstance(value, str) for value in flat) else "any"


def _classes(estimator: Any) -> list[Any] | None:
    """Return the classes as plain scalars, a list of lists for several targets; None where there are none or too many."""
    classes = anatomy.read(estimator, "classes_")
    try:
        if isinstance(classes, list):
            plain: list[Any] = [np.asarray(one).tolist() for one in classes]
            flat = [value for one in plain for value in one]
        else:
            plain = flat = np.asarray(classes).tolist() if classes is not None else []
    except Exception:  # noqa: BLE001 - it converts the model's own values
        return None
    fit = 0 < len(flat) <= _MAX_CLASSES and all(isinstance(value, (str, int, float)) and value == value for value in flat)  # noqa: PLR0124
    return plain if fit else None


def _environment(signature: Signature, recorded: dict[str, str]) -> dict[str, Any]:
    versions: dict[str, Any] = {
        "python": platform.python_version(),
        "scikit-learn": sklearn.__version__,
        "numpy": np.__version__,
        "joblib": joblib.__version__,
    }
    if signature.container == "frame":
        versions["pandas"] = pd.__version__
    differing = {name: version for name, version in recorded.items() if not _is_running(name, version)}
    if differing:
        versions["recorded"] = differing
    return versions


def _is_running(name: str, version: str) -> bool:
    running: str = skew.RUNNING.get(name, "")
    return running == version or running.startswith(f"{version}.")
