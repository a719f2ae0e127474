"""Nearest neighbours: search trees and metrics, which are built anew, and the estimators around them.

A search tree's own indices and bounds never reach native code: they follow from its points, so the tree is built again
from these, bit for bit as fitting built it. Must never keep a metric that holds a function or sizes that don't fit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csr_array, csr_matrix
from sklearn.metrics import _dist_metrics
from sklearn.neighbors import BallTree, KDTree

from registry.flavors.anatomy import public_name
from registry.flavors.refusals import Refused
from registry.flavors.soundness.reading import FIT_AGAIN, attributes, numbers, refusal, whole_number, whole_numbers, within

RULE = "broken-neighbours"
_FIELDS = 13
_METRIC_FIELDS = 3
_TREES = (KDTree, BallTree)
_FUNCTION_METRICS = (_dist_metrics.PyFuncDistance64, _dist_metrics.PyFuncDistance32)
_BY_MATRIX = (_dist_metrics.MahalanobisDistance64, _dist_metrics.MahalanobisDistance32)
#: What scikit-learn's metrics take, and of how many sides, each as long as a row. Not the norms that they would take for granted.
_PARAMETER_SHAPES = {"p": (0,), "w": (1,), "V": (1, 2), "VI": (2,), "missing_values": (0,)}
_PARAMETER_KINDS = frozenset({int, float, list, np.ndarray, np.float64, np.int64})
METRICS = (_dist_metrics.DistanceMetric64, _dist_metrics.DistanceMetric32)


def rebuilt_tree(cls: type, state: Any) -> tuple[Any, ...]:
    """Return the state of a fresh KDTree or BallTree over the points of `state`. Raises Refused."""
    if cls not in _TREES:
        raise _broken_state(cls, "isn't a search tree")
    if type(state) is not tuple or len(state) != _FIELDS:
        raise _broken_state(cls, "has another state than scikit-learn writes")
    points, leaf_size, metric, weights = numbers(state[0], 2), whole_number(state[4]), state[11], state[12]
    if points is None or points.dtype != np.float64 or points.size == 0 or not np.isfinite(points).all():
        raise _broken_state(cls, "has points that aren't finite numbers")
    if leaf_size is None or leaf_size < 1:
        raise _broken_state(cls, "has no size of leaves")
    if weights is not None and not _weigh(weights, len(points)):
        raise _broken_state(cls, "has weights that don't fit its points")
    try:
        fresh = cls(points, leaf_size=leaf_size, metric=_rebuilt_metric(metric), sample_weight=weights)
    except (TypeError, ValueError, OverflowError, MemoryError) as error:
        raise _broken_state(cls, "has a metric that doesn't fit its points") from error
    built: tuple[Any, ...] = fresh.__getstate__()
    return built


def rebuilt_metric_state(cls: type, state: Any) -> tuple[float, Any, Any]:
    """Return the state of a distance metric, copied. Raises Refused."""
    if not issubclass(cls, METRICS) or issubclass(cls, _FUNCTION_METRICS):
        raise _function_metric(cls)
    if type(state) is not tuple or len(state) != _METRIC_FIELDS:
        raise _broken_state(cls, "has another state than scikit-learn writes")
    power, vector, matrix = state[0], numbers(state[1], 1), numbers(state[2], 2)
    # Chebyshev's power is infinite.
    if type(power) not in {float, int} or not power > 0 or vector is None or matrix is None:
        raise _broken_state(cls, "has parameters that aren't numbers")
    if matrix.shape[0] != matrix.shape[1] or not (np.isfinite(vector).all() and np.isfinite(matrix).all()):
        raise _broken_state(cls, "has parameters of the wrong shape, or that aren't finite")
    if issubclass(cls, _BY_MATRIX) and matrix.size == 0:
        raise _broken_state(cls, "has an empty matrix")
    return float(power), np.array(vector, np.float64), np.array(matrix, np.float64, order="C")


def check_tree(tree: Any) -> None:
    """Require that a search tree got its points, which it has where it was rebuilt. Raises Refused."""
    # A tree that was never given a state has no nodes; `newObj` makes such.
    if points_of(tree) is None or tree.__getstate__()[6] < 1:
        raise _broken(tree, "has no points")


def check_metric(metric: Any) -> None:
    """Require that a metric holds no function and has parameters of a fitting shape. Raises Refused."""
    state = metric.__getstate__()
    rebuilt_metric_state(type(metric), state if type(state) is tuple else None)


def check_estimator(estimator: Any) -> None:
    """Require that the indexed points, their count, their search tree and their labels belong together. Raises Refused."""
    stored = attributes(estimator)
    for name in ("metric", "effective_metric_"):
        if not isinstance(stored.get(name, ""), str):
            raise _function_metric(type(estimator))
    if "_fit_X" not in stored and "_tree" not in stored:
        return
    points, tree = stored.get("_fit_X"), stored.get("_tree")
    shape = _shape_of(points)
    if (
        shape is None
        or shape[0] == 0
        or shape[0] != whole_number(stored.get("n_samples_fit_"))
        or shape[1] != whole_number(stored.get("n_features_in_"))
    ):
        raise _broken(estimator, "has points of another shape than it was fitted on")
    if tree is not None and (type(tree) not in _TREES or _shape_of(points_of(tree)) != shape):
        raise _broken(estimator, "has a search tree over other points than its own")
    for name in ("metric_params", "effective_metric_params_"):
        if stored.get(name) is not None:
            stored[name] = _own_parameters(estimator, stored[name], shape[1])
    _check_labels(estimator, stored, shape[0])


def check_density(estimator: Any) -> None:
    """Require that a kernel density's tree is one, over points as wide as its input. Raises Refused."""
    stored = attributes(estimator)
    if not isinstance(stored.get("metric", ""), str):
        raise _function_metric(type(estimator))
    tree = stored.get("tree_")
    if tree is not None:
        shape = _shape_of(points_of(tree)) if type(tree) in _TREES else None
        if shape is None or shape[1] != whole_number(stored.get("n_features_in_")):
            raise _broken(estimator, "has a search tree over other points than its own")


def points_of(tree: Any) -> np.ndarray[Any, np.dtype[Any]] | None:
    """Return the points of a search tree, or None where it never got any."""
    try:
        return numbers(tree.__getstate__()[0], 2)
    except (AttributeError, TypeError, ValueError):  # a tree that was never given a state has no memory to show
        return None


def _check_labels(estimator: Any, stored: dict[str, Any], rows: int) -> None:
    labels, classes = stored.get("_y"), stored.get("classes_")
    if labels is None:
        return
    if type(labels) is not np.ndarray or labels.ndim == 0 or len(labels) != rows:
        raise _broken(estimator, "has another number of targets than of points")
    # Several outputs go through numpy, which looks at every index.
    if classes is not None and labels.ndim == 1:
        codes = whole_numbers(labels)
        if codes is None or type(classes) is not np.ndarray or not within(codes, len(classes)):
            raise _broken(estimator, "has a point whose class doesn't exist")


def _own_parameters(estimator: Any, params: Any, width: int) -> dict[str, Any]:
    """Return a metric's parameters as a dict of its own, since prediction writes to it. Raises Refused for sizes that don't fit."""
    if type(params) is not dict:
        raise _broken(estimator, "has parameters of its metric that aren't a dict")
    if any(callable(value) for value in params.values()):
        raise _function_metric(type(estimator))
    for name, value in params.items():
        shapes = _PARAMETER_SHAPES.get(name)
        fits = value is None or (type(value) in _PARAMETER_KINDS and np.shape(value) in [(width,) * sides for sides in shapes or ()])
        if shapes is None or not fits:
            raise _broken(estimator, "has parameters of its metric that it doesn't take, or of another size than its input")
    return dict(params)


def _shape_of(points: Any) -> tuple[int, int] | None:
    if type(points) in {csr_matrix, csr_array}:
        shape = attributes(points).get("_shape")  # its own check holds this against its content
        return shape if type(shape) is tuple and len(shape) == 2 else None  # noqa: PLR2004 - rows and columns
    plain = numbers(points, 2)
    return None if plain is None else (plain.shape[0], plain.shape[1])


def _rebuilt_metric(metric: Any) -> Any:
    kind = type(metric)
    if not issubclass(kind, METRICS):
        raise _function_metric(kind)
    # A new object: one that was never given its state has no memory where native code looks for it.
    fresh = _dist_metrics.newObj(kind)
    fresh.__setstate__(rebuilt_metric_state(kind, metric.__getstate__()))
    return fresh


def _weigh(weights: Any, rows: int) -> bool:
    plain = numbers(weights, 1)
    return plain is not None and len(plain) == rows and bool(np.isfinite(plain).all())


def _function_metric(cls: type) -> Refused:
    text = "A {name} measures distances by a function of its own, which isn't run here. Fit it with one of scikit-learn's named metrics."
    name = public_name(cls)
    return Refused("callable-not-allowed", text.format(name=name), estimator=name)


def _broken_state(cls: type, found: str) -> Refused:
    name = public_name(cls)
    return Refused(RULE, f"A {name} {found}. {FIT_AGAIN}", estimator=name)


def _broken(subject: Any, found: str) -> Refused:
    return refusal(RULE, subject, f"A {{name}} {found}. {FIT_AGAIN}")
