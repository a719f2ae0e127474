"""Functions that a model would call when it predicts, and names of methods that it would look up.

numpy's element-wise functions (`ufunc`) are the only ones that may stay, because they can't do anything else.
Must never call what it looks at; `callable` asks the type alone.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from sklearn.utils import check_array

from registry.flavors.refusals import Refused
from registry.flavors.soundness.reading import attributes, refusal

RULE = "callable-not-allowed"
#: Attributes that fitting and scoring alone call, or that hold a type of numbers.
_UNCALLED = frozenset(
    {
        "dtype",
        "score_func",
        "scoring",
        "scorer_",
        "_scorers",
        "_score_func",
        "refit",
        "loss",
        "is_data_valid",
        "is_model_valid",
        "importance_getter",
        "_curve_scorer",
        "_kmeans_single",
    }
)
_METHODS = frozenset({"auto", "predict", "predict_proba", "predict_log_proba", "decision_function", "score_samples", "drop"})
_METHOD_NAMES = ("stack_method", "stack_method_", "chain_method", "chain_method_", "response_method")
_POOLING = (np.mean, np.median, np.max, np.min, np.sum, np.std, np.var, np.nanmean, np.nanmedian)
_SCALARS = (str, int, float, bool, type(None))


def check_attributes(subject: Any) -> None:
    """Require that nothing of an object is a function that prediction would call. Raises Refused."""
    stored = attributes(subject)
    if isinstance(subject, dict):  # a Bunch gives its items for attributes
        stored = {**stored, **{name: value for name, value in dict.items(subject) if type(name) is str}}
    for name, value in stored.items():
        if callable(value) and name not in _UNCALLED and not _is_made_here(value) and not _may_weigh(name, value):
            raise _function(subject, name, "choose one of scikit-learn's named options")
    for name in _METHOD_NAMES:
        if name in stored and not _are_methods(stored[name]):
            raise refusal(RULE, subject, "A {name} asks its members for a method that doesn't predict. Fit the model again.")
    extra = stored.get("metric_params"), stored.get("effective_metric_params_")
    for params in extra:
        if params is not None and (type(params) is not dict or any(callable(value) for value in params.values())):
            raise _function(subject, "metric_params", "choose one of scikit-learn's named metrics")


def check_function_transformer(transformer: Any) -> None:
    """Require that the functions are numpy's element-wise ones, with plain arguments. Raises Refused."""
    stored = attributes(transformer)
    if _is_input_check(stored):
        return
    _check_functions(transformer, stored)
    for name in ("kw_args", "inv_kw_args"):
        if not _are_scalars(stored.get(name)):
            raise refusal(RULE, transformer, f"A {{name}} has `{name}` that aren't plain numbers or texts. Leave them out.")
    names = stored.get("feature_names_out")
    if callable(names):
        raise _function(transformer, "feature_names_out", "use 'one-to-one'")


def check_target_transformer(regressor: Any) -> None:
    """Require that the functions are numpy's element-wise ones. Raises Refused."""
    _check_functions(regressor, attributes(regressor))


def check_pooling(agglomeration: Any) -> None:
    """Require that features are pooled by one of numpy's reductions. Raises Refused."""
    stored = attributes(agglomeration)
    if not any(stored.get("pooling_func") is known for known in _POOLING):
        raise _function(agglomeration, "pooling_func", "use np.mean, np.median, np.max, np.min or np.sum")
    _check_metric(agglomeration, stored)


def check_selection(selector: Any) -> None:
    """Require that a selector looks up importances by name, since it does so at each call. Raises Refused."""
    if type(attributes(selector).get("importance_getter", "auto")) is not str:
        raise _function(selector, "importance_getter", "use the name of an attribute")
    check_attributes(selector)


def _check_metric(subject: Any, stored: dict[str, Any]) -> None:
    if callable(stored.get("metric")):
        raise _function(subject, "metric", "choose one of scikit-learn's named metrics")


def _check_functions(subject: Any, stored: dict[str, Any]) -> None:
    for name in ("func", "inverse_func"):
        value = stored.get(name)
        if value is not None and type(value) is not np.ufunc:
            raise _function(subject, name, "use one of numpy's element-wise functions, such as np.log1p")


def _is_input_check(stored: dict[str, Any]) -> bool:
    """Tell whether it is the one that histogram gradient boosting makes, which only looks at its input."""
    func = stored.get("func")
    if type(func) is not partial or func.func is not check_array or func.args or attributes(func):
        return False
    allowed = {"dtype", "ensure_all_finite", "force_all_finite"}
    plain = func.keywords.get("dtype") in ([np.float64], np.float64) and func.keywords.keys() <= allowed
    others = ("inverse_func", "kw_args", "inv_kw_args", "feature_names_out")
    return bool(plain) and all(stored.get(name) is None for name in others)


def _are_scalars(value: Any) -> bool:
    return value is None or (type(value) is dict and all(type(one) in _SCALARS for one in value.values()))


def _are_methods(value: Any) -> bool:
    many = value if type(value) in {list, tuple} else [value]
    return all(one is None or (type(one) is str and one in _METHODS) for one in many)


def _is_made_here(value: Any) -> bool:
    """Tell whether a callable is an object of a fitted model, such as a kernel or a loss, which its own check judges."""
    return not isinstance(value, type) and type(value).__module__.startswith(("sklearn.", "scipy.interpolate."))


def _may_weigh(name: str, value: Any) -> bool:
    """Tell whether it is a ufunc that weighs distances.

    As a kernel or metric a ufunc would be called with a dict of the model's own, whose `out` it would write to: any array of the model.
    """
    return name == "weights" and type(value) is np.ufunc and value.nin == 1


def _function(subject: Any, name: str, instead: str) -> Refused:
    text = (
        f"A {{name}} has a function as its `{name}`, and functions aren't run here. "
        f"Instead, {instead}, or do that step before you call the service."
    )
    return refusal(RULE, subject, text)
