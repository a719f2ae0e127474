"""The toy data on which `every_estimator` fits: the same at each call, small enough that a fit takes milliseconds.

Each name without a suffix is training data, its twin with `_rows` is held out. Nothing here may be changed in place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

Builder = Callable[[], tuple[Any, Any]]

TRAINING = 48
_random = np.random.default_rng(5)
_all = _random.standard_normal((60, 4))

x, x_rows = _all[:TRAINING], _all[TRAINING:]
positive, positive_rows = np.abs(x), np.abs(x_rows)
one_column, one_column_rows = x[:, 0], x_rows[:, 0]
holes, holes_rows = (np.where(np.abs(part) > 1.2, np.nan, part) for part in (x, x_rows))
small_integers, small_integers_rows = (np.clip(np.round(part + 2), 0, 4).astype(int) for part in (x, x_rows))

two = (x[:, 0] + x[:, 1] > 0).astype(int)
three = np.digitize(x[:, 0] + 0.3 * x[:, 1], [-0.5, 0.5])
words = np.array(["high", "low", "middle"])[three]
real = x @ np.array([1.0, -2.0, 0.5, 0.0]) + 0.1 * _random.standard_normal(TRAINING)
positive_real = np.exp(real / 4)
two_reals = np.column_stack([real, x[:, 2] - x[:, 3]])
two_labels = np.column_stack([two, (x[:, 2] > 0).astype(int)])
two_words = np.column_stack([words, np.where(x[:, 2] > 0, "yes", "no")])
partly_labelled = np.where(np.arange(TRAINING) % 3 == 0, -1, two)

_sentences = ["The cat sat on the mat.", "A dog barked at the cat", "Stocks fell; markets closed", "Markets rose as stocks rallied"]
texts = [f"{_sentences[i % 4]} {_sentences[(i // 4) % 4][:9]} n{i % 5}" for i in range(TRAINING)]
texts_rows = ["the dog sat", "stocks and markets", "", "Überraschung n3"]
dicts = [{"city": ["Bonn", "Oslo"][i % 2], "size": i % 7, f"extra{i % 3}": 1.5} for i in range(TRAINING)]
dicts_rows = [{"city": "Oslo", "size": 3}, {"city": "Rome"}, {}]
label_sets = [{"red", "blue"}, {"blue"}, {"green", "red"}, set()] * 12
images = _random.random((4, 6, 6))


def _people(part: Any) -> pd.DataFrame:
    job = np.array(["chef", "nurse", "pilot"])[np.digitize(part[:, 0], [-0.4, 0.4])]
    frame = pd.DataFrame({"age": 40 + 10 * part[:, 1], "pay": np.exp(part[:, 2]), "city": np.where(part[:, 3] > 0, "Bonn", "Oslo")})
    frame.loc[::7, "age"] = np.nan
    return frame.assign(job=pd.Series(job, dtype="category"))


people, people_rows = _people(x), _people(x_rows)
text_objects, text_objects_rows = (frame[["city", "job"]].to_numpy(dtype=object) for frame in (people, people_rows))


def rows_for(tags: Any) -> tuple[Any, Any]:
    """Return training and held-out input of the kind that an estimator's input tags ask for."""
    if tags.dict:
        return dicts, dicts_rows
    if tags.string and not tags.two_d_array:
        return texts, texts_rows
    if tags.one_d_array and not tags.two_d_array:
        return one_column, one_column_rows
    if tags.three_d_array and not tags.two_d_array:
        return images, images
    return (positive, positive_rows) if tags.positive_only else (x, x_rows)


def target_for(tags: Any) -> Any:
    """Return the target that an estimator's tags ask for."""
    if tags.estimator_type in {None, "regressor"}:
        needs_columns = tags.target_tags.multi_output and not tags.target_tags.single_output
        return two_reals if needs_columns else positive_real if tags.target_tags.positive_only else real
    return three if tags.estimator_type == "classifier" and tags.classifier_tags.multi_class else two


def on_numbers(estimator: Any, target: Any = None) -> Builder:
    """Return a builder that fits on the plain columns of numbers."""
    return lambda: (estimator.fit(x, target), x_rows)


def on(estimator: Any, x: Any, rows: Any, target: Any = None) -> Builder:
    """Return a builder that fits on data of its own."""
    return lambda: (estimator.fit(x) if target is None else estimator.fit(x, target), rows)
