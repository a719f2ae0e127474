"""What is done with each input, and which ends are allowed: three ways, from the quick one to all that an upload goes through.

Each returns a word for the statistics and raises whatever must not happen.
"""

from __future__ import annotations

import ctypes
import io
import pickle
import signal
import traceback
from collections.abc import Callable

from registry import flavors, frames
from registry.errors import ArtifactRefused, ModelUnloadable, ModelyardError, SignatureMismatch
from registry.flavors import admission, anatomy, sklearn
from registry.flavors.declaring import draft_of
from registry.flavors.failures import refusal_of_load
from registry.flavors.refusals import Refused

BUDGET_BYTES = 64 << 20
Examine = Callable[[bytes], str]


def quick(file: bytes) -> str:
    """Load, check every object, and call each method once."""
    try:
        found = sklearn.unpickle(io.BytesIO(file), BUDGET_BYTES)
    except Refused as error:
        return f"refused: {error.rule}"
    except Exception as error:  # noqa: BLE001 - admission turns these into refusals, by the function called here
        refusal_of_load(error)
        return f"load raised {_placed(error)}"
    try:
        admission.require_model(found.value)
        loaded = sklearn.LoadedEstimator(found.value)
        draft = draft_of(loaded.estimator, {})
    except ModelyardError as error:
        return type(error).__name__
    except Exception as error:  # noqa: BLE001 - as above
        return f"draft raised {_placed(error)}"
    if draft.rows is None:
        return "loaded, no rows"
    return _asked(loaded, draft.rows)


def _asked(loaded: sklearn.LoadedEstimator, rows: frames.Inputs) -> str:
    """Call every method that there is; `predict` decides the word."""
    word = "predicted"
    for method in sklearn.METHODS:
        if callable(anatomy.read(loaded.estimator, method)):
            try:
                loaded.call(method, rows, {})
            except ModelyardError as error:
                word = f"loaded, {type(error).__name__}" if method == "predict" else word
    return word


def _placed(error: BaseException) -> str:
    """Return an exception's class, and where in our own code it came from: a check may be missing there."""
    codes = [frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__)]  # reads no source file, unlike extract_tb
    ours = [code.co_name for code in codes if "/registry/" in code.co_filename]
    return f"{type(error).__name__} in {ours[-1]}"


def whole(file: bytes) -> str:
    """Admit as an upload is, then load and replay as a worker does that serves."""
    try:
        admitted = flavors.admit(io.BytesIO(file), {}, BUDGET_BYTES)
    except (ArtifactRefused, SignatureMismatch) as error:
        return type(error).__name__
    try:
        loaded = flavors.open_flavor(admitted.flavor).load(io.BytesIO(file), BUDGET_BYTES)
        if admitted.golden is not None:
            flavors.replay(loaded, admitted.golden)
    except ModelUnloadable:
        return "admitted, not loaded again"
    return "admitted"


def by_pickle(file: bytes) -> str:
    """Load with Python's own unpickler: what the oracle must be able to catch."""
    try:
        pickle.loads(file)
    except Exception as error:  # noqa: BLE001 - anything at all
        return type(error).__name__
    return "unpickled"


def by_crashing(file: bytes) -> str:
    """End as native code does that was led astray, for an input that asks for it; hang or raise for others."""
    if file == b"crash":
        ctypes.string_at(0)
    if file == b"hang":
        left = signal.getitimer(signal.ITIMER_PROF)[0]  # of what the judge gives; where it gave none, this hangs
        signal.setitimer(signal.ITIMER_PROF, left / 10)
        while True:
            pass
    if file == b"raise":
        raise ZeroDivisionError
    if file == b"change":
        flavors.sklearn.METHODS = ()
    return "nothing"


WAYS: dict[str, Examine] = {"quick": quick, "whole": whole, "pickle": by_pickle, "crashing": by_crashing}
