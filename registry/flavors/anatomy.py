"""What a fitted estimator tells about its input: names, width, texts, and the categories it was fitted on.

Only reads attributes, and takes every one of them as possibly missing or raising.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.base import OneToOneFeatureMixin
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer

#: The widest model that is accepted.
MAX_COLUMNS = 100_000

_MAX_DEPTH = 12
_MAX_KEPT = 200
#: Attributes under which a wrapper keeps a fitted estimator that sees the same input as itself.
_INNER = ("best_estimator_", "estimator_", "regressor_", "_preprocessor", "estimator")


@dataclass(slots=True)
class Fact:
    """What is known of one column: whether it holds text, the values it was fitted on, and how missing text is written.

    `none_is_missing` is True where None was seen when fitting, False where NaN was, None where neither.
    """

    text: bool = False
    categories: list[Any] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    none_is_missing: bool | None = None


def read(owner: Any, name: str, default: Any = None) -> Any:
    """Return an attribute, or `default` where it is missing or its property raises."""
    try:
        return getattr(owner, name, default)
    except Exception:  # noqa: BLE001 - a property of a foreign class may raise anything
        return default


def public_name(owner: type) -> str:
    """Return a class's path as a user imports it: without the private modules in it."""
    modules = [part for part in str(owner.__module__).split(".") if not part.startswith("_")]
    return ".".join([*modules, owner.__qualname__])


def see_input(estimator: Any) -> Iterator[Any]:
    """Yield the estimator and, inwards, those that are given the same input as it."""
    for _ in range(_MAX_DEPTH):
        if estimator is None:
            return
        yield estimator
        estimator = _inner(estimator)


def feature_names(estimator: Any) -> tuple[str, ...] | None:
    """Return the column names of the data frame it was fitted on, or None."""
    for part in see_input(estimator):
        names = read(part, "feature_names_in_")
        if names is not None and len(names):
            return tuple(str(name) for name in names)
    return None


def feature_count(estimator: Any) -> int | None:
    """Return how many columns it was fitted on, or None where it doesn't say."""
    for part in see_input(estimator):
        count = read(part, "n_features_in_")
        if isinstance(count, (int, np.integer)):
            return int(count)
    return None


def takes_texts(estimator: Any) -> bool:
    """Tell whether the input itself goes to a text vectorizer."""
    for part in see_input(estimator):
        if _is_vectorizer(part):
            return True
        if isinstance(part, FeatureUnion):
            return any(takes_texts(member) for _, member in part.transformer_list if not isinstance(member, str))
    return False


def column_facts(estimator: Any, count: int) -> dict[int, Fact]:
    """Return what is known of each of `count` columns, by index; every column has an entry."""
    facts = {index: Fact() for index in range(count)}
    _walk(estimator, list(range(count)), facts, _MAX_DEPTH)
    return facts


def text_words(estimator: Any) -> list[str]:
    """Return words of a text model's vocabulary, or none where it keeps none."""
    fact = column_facts(estimator, 1)[0]
    return fact.words


def _inner(estimator: Any) -> Any:
    if isinstance(estimator, Pipeline):
        return next((step for _, step in estimator.steps if step is not None and not isinstance(step, str)), None)
    for name in _INNER:
        found = read(estimator, name)
        if found is not None and hasattr(found, "fit") and not isinstance(found, type):
            return found
    many = read(estimator, "estimators_")
    if isinstance(many, list) and many and read(estimator, "estimators_features_") is None:
        return next((one for one in many if hasattr(one, "fit")), None)
    calibrated = read(estimator, "calibrated_classifiers_")
    return read(calibrated[0], "estimator") if isinstance(calibrated, list) and calibrated else None


def _is_vectorizer(part: Any) -> bool:
    return callable(read(part, "build_analyzer"))


def _walk(part: Any, columns: list[int], facts: dict[int, Fact], depth: int) -> None:
    """Note what `part`, which sees `columns` of the input in this order, knows of them."""
    if depth == 0 or part is None or isinstance(part, str):
        return
    if isinstance(part, Pipeline):
        _walk_pipeline(part, columns, facts, depth)
    elif isinstance(part, ColumnTransformer):
        names = [str(name) for name in read(part, "feature_names_in_", ())]
        for _, member, chosen in read(part, "transformers_", ()):
            _walk(member, [columns[i] for i in resolve(chosen, names, len(columns)) if i < len(columns)], facts, depth - 1)
    elif isinstance(part, FeatureUnion):
        for _, member in part.transformer_list:
            _walk(member, columns, facts, depth - 1)
    elif not _note(part, columns, facts):
        _walk(_inner(part), columns, facts, depth - 1)


def _walk_pipeline(pipeline: Pipeline, columns: list[int], facts: dict[int, Fact], depth: int) -> None:
    for _, step in pipeline.steps:
        _walk(step, columns, facts, depth - 1)
        if not _keeps_columns(step, len(columns)):
            return


def _keeps_columns(step: Any, count: int) -> bool:
    if step is None or step == "passthrough" or isinstance(step, (OneToOneFeatureMixin, FunctionTransformer)):
        return True
    return isinstance(step, SimpleImputer) and not step.add_indicator and len(read(step, "statistics_", ())) == count


def _note(part: Any, columns: list[int], facts: dict[int, Fact]) -> bool:
    """Note the facts of an encoder, imputer or vectorizer; tell whether `part` was one."""
    if _is_vectorizer(part):
        for index in columns[:1]:
            facts[index].text = True
            facts[index].words = _words(read(part, "vocabulary_"))
        return True
    if isinstance(part, SimpleImputer):
        for index, filler in zip(columns, read(part, "statistics_", ()), strict=False):
            facts[index].text |= isinstance(filler, str)
            if part.missing_values is None:
                facts[index].none_is_missing = True
        return True
    categories = read(part, "categories_")
    if not isinstance(categories, (list, tuple)):
        return False
    for index, values in zip(columns, categories, strict=False):
        _note_categories(facts[index], values)
    return True


def _note_categories(fact: Fact, values: Any) -> None:
    plain = np.asarray(values).tolist()
    fact.text |= any(isinstance(value, str) for value in plain)
    for value in plain:
        if value is None:
            fact.none_is_missing = True
        elif isinstance(value, float) and math.isnan(value) and fact.none_is_missing is None:
            fact.none_is_missing = False
    fact.categories = [value for value in plain if value is not None and value == value][:_MAX_KEPT]  # noqa: PLR0124 - not NaN


def _words(vocabulary: Any) -> list[str]:
    return sorted(str(word) for word in vocabulary)[:: max(1, len(vocabulary) // _MAX_KEPT)] if isinstance(vocabulary, dict) else []


def resolve(chosen: Any, names: Sequence[str], count: int) -> list[int]:
    """Return the indices that a ColumnTransformer's column selection means."""
    if isinstance(chosen, slice):
        return list(range(count))[chosen] if not isinstance(chosen.start, str) and not isinstance(chosen.stop, str) else []
    many = [chosen] if isinstance(chosen, (str, int, np.integer)) else list(chosen)
    if many and all(isinstance(one, (bool, np.bool_)) for one in many):
        return [index for index, wanted in enumerate(many) if wanted]
    places = {name: index for index, name in enumerate(names)}
    found = [places.get(str(one)) if isinstance(one, str) else int(one) % max(1, count) for one in many]
    return [index for index in found if index is not None]
