"""Making a version's compiled form, and judging it: the job of a locked worker after a version was published.

The form itself isn't kept: each worker that serves it makes it again from the estimator, and replays what it answered here.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib.metadata import version
from time import process_time_ns
from typing import Any

from registry import frames
from registry.errors import ModelUnloadable, ModelyardError
from registry.flavors.compiled.comparing import TOLERANCE, Comparison, compare
from registry.flavors.compiled.form import FAST, PACKAGES, CompiledModel, compile_loaded
from registry.flavors.compiled.refusing import CantCompile
from registry.flavors.contract import Loaded
from registry.flavors.failures import describe
from registry.flavors.formats import INSTALLED
from registry.flavors.trial_rows import trial_rows
from registry.signature import Signature
from registry.signature.golden import decode_golden, encode_golden

_MEASURED_CALLS = 7
#: A form is slower where it takes so many times as long and so much longer: of a few microseconds each, which is the quicker is chance.
_TIMES_SLOWER, _MICROSECONDS_SLOWER = 3, 100
#: The libraries that a report names, found out while files may still be read.
LIBRARIES = {package: version(package) for package in PACKAGES if package in INSTALLED}


@dataclass(frozen=True, slots=True)
class Compilation:
    """What came of it: `golden` is None where the form was refused, and then `report["reason"]` says why."""

    golden: bytes | None
    report: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values that msgpack can carry."""
        return asdict(self)


def compile_version(exact: Loaded, golden: bytes | None, signature: dict[str, Any]) -> Compilation:
    """Make the compiled form of a loaded version and compare it with the estimator on trial rows. Raises MemoryError."""
    report: dict[str, Any] = {"reason": None, "worst": None, "tolerance": TOLERANCE, "rows": 0, "libraries": LIBRARIES}
    try:
        if golden is None:
            raise CantCompile("the version has no golden predictions, so nothing could be verified")
        return Compilation(_verified(exact, golden, Signature.from_dict(signature), report), report)
    except CantCompile as refused:
        report["reason"] = f"There is no compiled form: {refused.text}."
        return Compilation(None, report)


def open_compiled(exact: Loaded, signature: dict[str, Any]) -> Loaded:
    """Return the compiled form of a loaded version that was verified before. Raises ModelUnloadable."""
    try:
        return compile_loaded(exact, has_texts=_has_texts(Signature.from_dict(signature)))
    except CantCompile as refused:
        text = f"The compiled form can't be made here: {refused.text}. Choose the runtime `exact`, or choose `fast` again."
        raise ModelUnloadable(text, log_detail=refused.detail or text) from refused
    except Exception as error:
        raise ModelUnloadable("The compiled form can't be made here.", log_detail=describe(error)) from error


def _verified(exact: Loaded, golden: bytes, signature: Signature, report: dict[str, Any]) -> bytes:
    """Fill in the report and return the form's golden predictions. Raises CantCompile."""
    inputs, recorded = decode_golden(golden)
    fast = _compiled(exact, signature)
    methods = [method for method in recorded if fast.runtime_of(method) == FAST]
    if "predict" not in methods:
        raise CantCompile("its predict can't be compiled")
    report.update(made_by=fast.made_by, methods=methods, exact_methods=[method for method in recorded if method not in methods])
    missing = [index for index, column in enumerate(signature.columns) if column.missing]
    trials = trial_rows(getattr(exact, "estimator", None), inputs, missing=missing)
    found = {method: compare(exact, fast, method, trials) for method in methods}
    _note(found, report)
    _require_faster(exact, fast, _first_row(inputs), report)
    try:
        encoded = encode_golden(inputs, {method: fast.call(method, inputs, {}) for method in recorded})
    except ModelyardError as error:
        raise CantCompile("it failed on the golden rows", detail=error.log_detail) from error
    if encoded is None:
        raise CantCompile("its answers are too large to be kept")
    return encoded


def _compiled(exact: Loaded, signature: Signature) -> CompiledModel:
    try:
        return compile_loaded(exact, has_texts=_has_texts(signature))
    except (CantCompile, MemoryError):
        raise
    except Exception as error:
        raise CantCompile("making it failed", detail=describe(error)) from error


def _note(found: dict[str, Comparison], report: dict[str, Any]) -> None:
    """Keep the worst figures. Raises CantCompile with them where a method isn't the same."""
    worst = max(one.worst for one in found.values())
    report.update(worst=worst if worst < float("inf") else None, rows=max(one.rows for one in found.values()))
    report["labels_differing"] = sum(one.labels for one in found.values())
    for method, one in found.items():
        if one.labels:
            raise CantCompile(f"{method} gave another label on {one.labels} of {one.rows} trial rows")
        if not one.passed:
            raise CantCompile(
                f"{method} differed by {one.worst:.2g} of the column's scale on {one.rows} trial rows, where {TOLERANCE:g} is allowed"
            )


def _require_faster(exact: Loaded, fast: Loaded, row: frames.Inputs, report: dict[str, Any]) -> None:
    """Measure one row of `predict` either way, in microseconds of CPU. Raises CantCompile where the form is clearly the slower."""
    slow, quick = _microseconds(exact, row), _microseconds(fast, row)
    report["microseconds"] = {"exact": round(slow, 1), "fast": round(quick, 1)}
    if quick > max(_TIMES_SLOWER * slow, slow + _MICROSECONDS_SLOWER):
        raise CantCompile(f"it would be slower than the estimator: {quick:.0f} against {slow:.0f} µs for one row")


def _first_row(inputs: frames.Inputs) -> frames.Inputs:
    match inputs:
        case frames.Matrix(array):
            return frames.Matrix(array[:1])
        case frames.Table(names, columns):
            return frames.Table(names, tuple(column[:1] for column in columns))
        case frames.Texts(values):
            return frames.Texts(values[:1])


def _microseconds(loaded: Loaded, row: frames.Inputs) -> float:
    measured = []
    for _ in range(_MEASURED_CALLS):
        started = process_time_ns()
        loaded.call("predict", row, {})
        measured.append(process_time_ns() - started)
    return min(measured) / 1000


def _has_texts(signature: Signature) -> bool:
    return signature.container == "texts" or any(column.type == "string" for column in signature.columns)
