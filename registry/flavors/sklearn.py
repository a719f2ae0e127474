"""The flavor of scikit-learn estimators in joblib files and pickles.

Loads with joblib: only ever inside a locked worker. One thread only: estimators with `n_jobs=-1` run sequentially,
because behind the lock no thread can be made.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, BinaryIO

import joblib
from sklearn.exceptions import InconsistentVersionWarning

from registry import frames
from registry.errors import MethodNotAvailable, ModelUnloadable, ModelyardError, PredictionFailed
from registry.flavors import anatomy
from registry.flavors.answers import outputs_of
from registry.flavors.failures import describe
from registry.flavors.feeding import Feed

METHODS = ("predict", "predict_proba", "predict_log_proba", "decision_function", "score_samples", "transform")


@dataclass(frozen=True, slots=True)
class Unpickled:
    """What an artifact held, and the scikit-learn version that it says it was made with, if it isn't this one."""

    value: Any
    recorded_version: str | None


def unpickle(stream: BinaryIO) -> Unpickled:
    """Load an artifact with joblib. Raises whatever joblib, pickle or the artifact raise."""
    with warnings.catch_warnings(record=True) as caught, joblib.parallel_config(backend="sequential"):
        warnings.simplefilter("always")
        value = joblib.load(stream)
    skew = [w.message for w in caught if isinstance(w.message, InconsistentVersionWarning)]
    return Unpickled(value, str(skew[0].original_sklearn_version)[:40] if skew else None)


class LoadedEstimator:
    """A fitted estimator, called with typed inputs."""

    def __init__(self, estimator: Any) -> None:
        """Prepare to feed `estimator`."""
        self.estimator = estimator
        self.estimator_name = anatomy.public_name(type(estimator))
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


def load(stream: BinaryIO) -> LoadedEstimator:
    """Load an artifact that was admitted before. Raises ModelUnloadable."""
    try:
        return LoadedEstimator(unpickle(stream).value)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # the artifact's code may raise SystemExit or classes of its own
        raise ModelUnloadable("The artifact raised while it was loaded.", log_detail=describe(error)) from error
