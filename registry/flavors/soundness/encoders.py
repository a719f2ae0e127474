"""One-hot encoders, whose codes become the indices of a sparse matrix that nobody looks at again.

Computes, from the categories and their groups, how many columns each feature can reach. Must never take the recorded
number of columns on trust.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.preprocessing import OneHotEncoder

from registry.flavors.refusals import Refused
from registry.flavors.soundness.reading import FIT_AGAIN, attributes, refusal, whole_number, whole_numbers, within

RULE = "broken-encoder"


def check_one_hot(encoder: OneHotEncoder) -> None:
    """Require that each code of a category is one of the columns that the encoder makes. Raises Refused."""
    stored = attributes(encoder)
    if "categories_" not in stored:
        return
    categories = stored["categories_"]
    if type(categories) is not list or len(categories) != whole_number(stored.get("n_features_in_")):
        raise _broken(encoder, "has categories for another number of columns")
    if any(type(values) is not np.ndarray or values.ndim != 1 for values in categories):
        raise _broken(encoder, "has categories that aren't lists of values")
    counts = [len(values) for values in categories]
    # Before scikit-learn 1.1 there were no rare categories.
    grouping = stored.get("_infrequent_enabled", False)
    if type(grouping) is not bool:
        raise _broken(encoder, "doesn't say whether rare categories are one")
    if grouping:
        counts = _grouped(encoder, stored, counts)
    made = _without_dropped(encoder, stored, counts)
    outputs = stored.get("_n_features_outs")
    if type(outputs) is not list or [whole_number(count) for count in outputs] != made:
        raise _broken(encoder, "makes another number of columns than its categories need")


def check_label_binarizer(binarizer: Any) -> None:
    """Throw away the cache of a multi-label binarizer, which would be taken for its classes."""
    stored = attributes(binarizer)
    if "_cached_dict" in stored:
        stored["_cached_dict"] = None


def _grouped(encoder: OneHotEncoder, stored: dict[str, Any], counts: list[int]) -> list[int]:
    """Return how many categories remain of each feature once its rare ones are one."""
    rare, mappings = stored.get("_infrequent_indices"), stored.get("_default_to_infrequent_mappings")
    if type(rare) is not list or type(mappings) is not list or not len(rare) == len(mappings) == len(counts):
        raise _broken(encoder, "has groups of rare categories for another number of columns")
    return [_regrouped(encoder, *parts) for parts in zip(rare, mappings, counts, strict=True)]


def _regrouped(encoder: OneHotEncoder, rare: Any, mapping: Any, count: int) -> int:
    if rare is None and mapping is None:
        return count
    indices, codes = whole_numbers(rare), whole_numbers(mapping)
    if indices is None or codes is None or not 0 < len(indices) <= count or not within(indices, count):
        raise _broken(encoder, "has a rare category that doesn't exist")
    remaining = count - len(indices) + 1
    if len(codes) != count or not within(codes, remaining):
        raise _broken(encoder, "groups a rare category outside its own columns")
    return remaining


def _without_dropped(encoder: OneHotEncoder, stored: dict[str, Any], counts: list[int]) -> list[int]:
    """Return how many columns each feature makes, less the one that is dropped."""
    dropped = stored.get("_drop_idx_after_grouping", stored.get("drop_idx_"))
    if dropped is None:
        return counts
    if type(dropped) is not np.ndarray or dropped.shape != (len(counts),) or dropped.dtype.kind not in "iuO":
        raise _broken(encoder, "drops categories of another number of columns")
    made = []
    for index, count in zip(dropped.tolist(), counts, strict=True):
        place = whole_number(index)
        if index is not None and (place is None or not 0 <= place < count):
            raise _broken(encoder, "drops a category that doesn't exist")
        made.append(count if place is None else count - 1)
    return made


def _broken(subject: Any, found: str) -> Refused:
    return refusal(RULE, subject, f"A {{name}} {found}. {FIT_AGAIN}")
