"""Support vector machines of libsvm, whose native code takes every size on trust from another array.

Reads the attributes that prediction reads, which are the private twins of the public ones.
Must never take a class's own settings, such as which machine it is, from the object.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csr_array, csr_matrix

from registry.flavors.refusals import Refused
from registry.flavors.soundness.reading import FIT_AGAIN, attributes, numbers, refusal, whole_number, whole_numbers, within

RULE = "broken-support-vectors"
_KERNELS = frozenset({"linear", "poly", "rbf", "sigmoid", "precomputed"})
_PRECOMPUTED = "precomputed"
#: What fitting makes, and prediction hands to native code.
_FITTED = frozenset(
    {"support_", "support_vectors_", "_n_support", "_dual_coef_", "_intercept_", "_probA", "_probB", "_effective_probability", "shape_fit_"}
)
_SPARSE = (csr_matrix, csr_array)


def check_classifier(machine: Any) -> None:
    """Require that the vectors, their counts for each class, weights and intercepts belong together. Raises Refused."""
    _check(machine, classes=True)


def check_regressor(machine: Any) -> None:
    """Require the same of a regressor or a one-class machine. Raises Refused."""
    _check(machine, classes=False)


def _check(machine: Any, *, classes: bool) -> None:
    stored = attributes(machine)
    if type(stored.get("kernel")) is not str or stored["kernel"] not in _KERNELS:
        raise refusal(
            "callable-not-allowed",
            machine,
            "A {name} has a kernel that isn't one of scikit-learn's names, and functions aren't run here. "
            "Fit it with a named kernel, or with kernel='precomputed' and compute the kernel before you call the service.",
        )
    if "_impl" in stored or "_sparse_kernels" in stored:
        raise _broken(machine, "says of itself which machine it is")
    if not _FITTED & stored.keys():
        return
    counts = whole_numbers(stored.get("_n_support"))
    support = whole_numbers(stored.get("support_"))
    if counts is None or support is None or not 2 <= len(counts) <= max(2, len(support)):  # noqa: PLR2004 - two classes
        raise _broken(machine, "has no counts of support vectors")
    if classes and (counts.min() < 0 or int(counts.sum()) != len(support)):
        raise _broken(machine, "has another number of support vectors than its classes have together")
    _check_vectors(machine, stored, support)
    _check_weights(machine, stored, len(counts), len(support))


def _check_vectors(machine: Any, stored: dict[str, Any], support: np.ndarray[Any, Any]) -> None:
    fitted, vectors, width = stored.get("shape_fit_"), stored.get("support_vectors_"), whole_number(stored.get("n_features_in_"))
    if type(fitted) is not tuple or len(fitted) != 2 or whole_number(fitted[0]) is None:  # noqa: PLR2004 - rows and columns
        raise _broken(machine, "doesn't say on how many rows it was fitted")
    sparse, precomputed = stored.get("_sparse"), stored["kernel"] == _PRECOMPUTED
    if type(sparse) is not bool or (sparse and precomputed):
        raise _broken(machine, "mixes a sparse and a dense form")
    if precomputed:
        if not within(support, fitted[0]) or width != fitted[0]:
            raise _broken(machine, "has a support vector that isn't a row of those it was fitted on")
        return
    if sparse:
        shape = attributes(vectors).get("_shape") if type(vectors) in _SPARSE else None
    else:
        plain = numbers(vectors, 2)
        shape = None if plain is None else plain.shape
    # Without a support vector, scikit-learn keeps an empty array of no width.
    if shape is None or shape[0] != len(support) or (len(support) and shape[1] != width):
        raise _broken(machine, "has support vectors of another number or width than it was fitted with")


def _check_weights(machine: Any, stored: dict[str, Any], classes: int, vectors: int) -> None:
    pairs, weights = classes * (classes - 1) // 2, stored.get("_dual_coef_")
    if stored["_sparse"]:
        data = numbers(attributes(weights).get("data"), 1) if type(weights) in _SPARSE else None
        fits = data is not None and data.size == (classes - 1) * vectors
    else:
        plain = numbers(weights, 2)
        fits = plain is not None and plain.shape == (classes - 1, vectors)
    if not fits:
        raise _broken(machine, "has another number of weights than of support vectors")
    intercept = numbers(stored.get("_intercept_"), 1)
    if intercept is None or len(intercept) != pairs:
        raise _broken(machine, "has another number of intercepts than of pairs of classes")
    # The sparse form copies the scales wherever it is told that there are some.
    allowed = {pairs} if stored["_sparse"] and stored.get("_effective_probability", False) is not False else {0, pairs}
    for name in ("_probA", "_probB"):
        scale = numbers(stored.get(name), 1)
        if scale is None or len(scale) not in allowed:
            raise _broken(machine, "has another number of probability scales than of pairs of classes")


def _broken(subject: Any, found: str) -> Refused:
    return refusal(RULE, subject, f"A {{name}} {found}. {FIT_AGAIN}")
