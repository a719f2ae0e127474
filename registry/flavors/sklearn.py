"""The flavor of scikit-learn estimators in joblib files and pickles.

Loads with our own unpickler, inside a locked worker alone. One thread only: estimators with `n_jobs=-1` run sequentially,
because behind the lock no thread can be made.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, BinaryIO

import joblib

from registry import frames
from registry.errors import MethodNotAvailable, ModelyardError, PredictionFailed
from registry.flavors import anatomy, unpickling
from registry.flavors.answers import outputs_of
from registry.flavors.failures import describe, load_failures
from registry.flavors.feeding import Feed
from registry.flavors.soundness import require_sound
from registry.flavors.unpickling import Unpickled

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

    def call(self, method: str, inputs: frames.Inputs, params: dict[str, Any]) -> frames.Outputs:
        """Return what `method` answers. Raises MethodNotAvailable, and PredictionFailed from whatever the model raised."""
        if method not in METHODS:
            raise MethodNotAvailable(f"The version has no method {method[:64]!r}.")
        try:
            return outputs_of(self._answer(method, inputs, params), inputs.rows)
        except ModelyardError:
            raise
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # the model's code may raise SystemExit or classes of its own
            raise PredictionFailed(log_detail=describe(error)) from error

    def _answer(self, method: str, inputs: frames.Inputs, params: dict[str, Any]) -> Any:
        # A model's warnings must neither write nor, where they are errors, raise.
        with warnings.catch_warnings(), joblib.parallel_config(backend="sequential"):
            warnings.simplefilter("ignore")
            return getattr(self.estimator, method)(self._feed.argument(inputs), **params)


def load(stream: BinaryIO, budget_bytes: int) -> LoadedEstimator:
    """Load an artifact that was admitted before. Raises ModelUnloadable."""
    with load_failures():
        found = unpickle(stream, budget_bytes)
        return LoadedEstimator(found.value, found.recorded)
