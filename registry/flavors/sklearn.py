"""The flavor of scikit-learn estimators in joblib files and pickles.

Loads with our own unpickler, inside a locked worker alone. One thread only: estimators with `n_jobs=-1` run sequentially,
because behind the lock no thread can be made.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, BinaryIO

from registry import frames
from registry.errors import MethodNotAvailable, ModelyardError, PredictionFailed
from registry.flavors import anatomy, unpickling
from registry.flavors.answers import outputs_of
from registry.flavors.contract import Loaded
from registry.flavors.direct import DirectForm, proven_form
from registry.flavors.failures import describe, load_failures
from registry.flavors.feeding import Feed
from registry.flavors.quiet import quietly
from registry.flavors.soundness import require_sound
from registry.flavors.unpickling import Unpickled
from registry.signature.golden import decode_golden

METHODS = ("predict", "predict_proba", "predict_log_proba", "decision_function", "score_samples", "transform")


def unpickle(stream: BinaryIO, budget_bytes: int) -> Unpickled:
    """Load an artifact and check every object in it. Raises Refused, Damaged, and whatever a library's constructor raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = unpickling.load(stream, budget_bytes)
        require_sound(found.created)
    return found


class LoadedEstimator:
    """A fitted estimator, called with typed inputs."""

    def __init__(self, estimator: Any, recorded: Mapping[str, str] | None = None) -> None:
        """Prepare to feed `estimator`; `recorded` are the versions that its artifact was made with."""
        self.estimator = estimator
        self.estimator_name = anatomy.public_name(type(estimator))
        self.recorded = dict(recorded or {})
        self._feed = Feed(estimator)
        self._direct: DirectForm | None = None

    @property
    def form(self) -> str:
        """Return `direct` where a proven direct form computes what it can, else `estimator`."""
        return "estimator" if self._direct is None else "direct"

    def find_form(self, rows: frames.Inputs) -> None:
        """Compute by a direct form from now on, where the estimator has one and it gives the same bits on `rows` and trial rows."""
        by_column = self._feed.names is not None
        self._direct = quietly(lambda: proven_form(self.estimator, rows, self._ask, by_column=by_column))

    def runtime_of(self, method: str) -> str:  # noqa: ARG002 - others differ by method
        """Return `exact`: the estimator computes every method."""
        return "exact"

    def call(self, method: str, inputs: frames.Inputs, params: dict[str, Any]) -> frames.Outputs:
        """Return what `method` answers. Raises MethodNotAvailable, and PredictionFailed from whatever the model raised."""
        if method not in METHODS:
            raise MethodNotAvailable(f"The version has no method {method[:64]!r}.")
        try:
            return outputs_of(quietly(self._answer, method, inputs, params), inputs.rows)
        except ModelyardError:
            raise
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # the model's code may raise SystemExit or classes of its own
            raise PredictionFailed(log_detail=describe(error)) from error

    def _answer(self, method: str, inputs: frames.Inputs, params: dict[str, Any]) -> Any:
        if self._direct is not None and type(inputs) is frames.Matrix and not params:
            answer = self._direct.answer(method, inputs.array)
            if answer is not None:
                return answer
        return getattr(self.estimator, method)(self._feed.argument(inputs), **params)

    def _ask(self, method: str, rows: frames.type_of_array) -> Any:
        return getattr(self.estimator, method)(self._feed.argument(frames.Matrix(rows)))


def find_form(loaded: Loaded, golden: bytes | None) -> None:
    """Let an estimator be computed by its direct form, where it has one that is proven on the golden rows. Raises ModelUnloadable."""
    if golden is not None and isinstance(loaded, LoadedEstimator):
        loaded.find_form(decode_golden(golden)[0])


def load(stream: BinaryIO, budget_bytes: int) -> LoadedEstimator:
    """Load an artifact that was admitted before. Raises ModelUnloadable."""
    with load_failures():
        found = unpickle(stream, budget_bytes)
        return LoadedEstimator(found.value, found.recorded)
