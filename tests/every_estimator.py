"""Every public scikit-learn estimator, fitted in an instant on toy data that suits it, and common ones in several variants.

Written for conformance tests that ask one question of all of them. A class that a newer scikit-learn brings is fitted by
the general rule or fails loudly; it must never be left out in silence: what can't be fitted stands in `UNFITTED`.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import sklearn.experimental.enable_halving_search_cv
import sklearn.experimental.enable_iterative_imputer  # noqa: F401
from sklearn.base import BaseEstimator
from sklearn.utils import all_estimators, get_tags

from tests import estimator_data as data
from tests.estimator_settings import SETTINGS
from tests.estimators_around import AROUND
from tests.estimators_of_families import FAMILIES
from tests.estimators_of_inputs import INPUTS

METHODS = ("predict", "predict_proba", "predict_log_proba", "decision_function", "score_samples", "transform")
VARIANTS = {**INPUTS, **FAMILIES, **AROUND}
UNFITTED: dict[str, str] = {}


@dataclass(frozen=True)
class Fitted:
    """A fitted estimator with its unique name and held-out input for its methods."""

    name: str
    estimator: Any
    rows: Any


def public_estimators() -> dict[str, type[BaseEstimator]]:
    """Return every public estimator class by its name, the experimental ones among them."""
    return dict(all_estimators())


def names() -> list[str]:
    """Return the names of all fitted estimators, without fitting one."""
    plain = [name for name in public_estimators() if name not in UNFITTED and name not in VARIANTS]
    return sorted([*plain, *VARIANTS])


def fitted_estimators() -> Iterator[Fitted]:
    """Fit them all, one after the other."""
    return map(fitted, names())


@cache
def fitted(name: str) -> Fitted:
    """Fit one by its name, once in a process. Raises whatever its `fit` raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name in VARIANTS:
            return Fitted(name, *VARIANTS[name]())
        return Fitted(name, *_fitted_by_rule(public_estimators()[name]))


def answers(estimator: Any, rows: Any) -> dict[str, Any]:
    """Return what each of its methods that take rows answers to `rows`; of a method that raises, what it raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {method: _answer(getattr(estimator, method), rows) for method in METHODS if hasattr(estimator, method)}


def _answer(method: Callable[[Any], Any], rows: Any) -> Any:
    try:
        return method(rows)
    except Exception as error:  # noqa: BLE001 - some refuse a method by raising, and must after any load
        return repr(error)


def _fitted_by_rule(cls: type[BaseEstimator]) -> tuple[Any, Any]:
    known = inspect.signature(cls).parameters
    fixed = {"random_state": 0} if "random_state" in known else {}
    estimator = cls(**(fixed | SETTINGS.get(cls.__name__, {})))
    tags = get_tags(estimator)
    x, rows = data.rows_for(tags.input_tags)
    return estimator.fit(*_arguments(estimator, x, tags)), rows


def _arguments(estimator: BaseEstimator, x: Any, tags: Any) -> tuple[Any, ...]:
    names_of_fit = list(inspect.signature(estimator.fit).parameters)
    if len(names_of_fit) < 2 or names_of_fit[1] not in {"y", "Y"}:
        return (x,)
    return x, data.target_for(tags)
