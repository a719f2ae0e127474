"""Six doors to native code at which no look at the objects proves what will arrive; they compare sizes at each call.

What arrives is made by other members of a model when it predicts: the raw predictions of gradient boosting's `init`,
the columns that a preprocessor or a step before the neighbours leaves, the codes of categories that are searched in an order
which only text has, the places of a sparse matrix that is put together of other members' answers.
Must never change an answer: a call that fits goes through as it was.
"""

from __future__ import annotations

from functools import wraps
from typing import Any

from scipy.sparse import _compressed
from sklearn.ensemble import _gb
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.metrics._pairwise_distances_reduction import RadiusNeighborsClassMode
from sklearn.preprocessing import _encoders

from registry.flavors.soundness.reading import within

_WIDTHS_DIFFER = "The model's parts don't fit together: one hands on other rows or columns than the next one takes."


def stand_guard() -> None:
    """Set the guards, once in a process."""
    if not hasattr(_gb.predict_stages, "__wrapped__"):
        _gb.predict_stages = _guarded_stages(_gb.predict_stages)
        _gb.predict_stage = _guarded_stages(_gb.predict_stage)
        TreePredictor.predict = _guarded_predictor(TreePredictor.predict)
        RadiusNeighborsClassMode.compute = _guarded_classes(RadiusNeighborsClassMode.compute)
        _encoders._encode = _guarded_encode(_encoders._encode)  # noqa: SLF001 - the name by which the encoders call it
        matrix = _compressed._cs_matrix  # noqa: SLF001 - what all matrices compressed by rows or columns derive from
        matrix.check_format = _guarded_format(matrix.check_format)


def _guarded_stages(native: Any) -> Any:
    @wraps(native)
    def guarded(estimators: Any, *arguments: Any) -> Any:
        """Add the trees' predictions where the raw predictions have a row for each row and a column for each tree."""
        rows, raw = arguments[-3], arguments[-1]
        if raw.shape != (rows.shape[0], estimators.shape[1]):
            raise ValueError(_WIDTHS_DIFFER)
        return native(estimators, *arguments)

    return guarded


def _guarded_predictor(native: Any) -> Any:
    @wraps(native)
    def guarded(self: Any, X: Any, known_cat_bitsets: Any, f_idx_map: Any, n_threads: Any) -> Any:  # noqa: N803 - its names
        """Predict where the rows have the columns that the trees were checked for."""
        if X.shape[1] != f_idx_map.shape[0]:
            raise ValueError(_WIDTHS_DIFFER)
        return native(self, X, known_cat_bitsets, f_idx_map, n_threads)

    return guarded


def _guarded_classes(native: Any) -> Any:
    @wraps(native)
    def guarded(X: Any, Y: Any, *arguments: Any, **settings: Any) -> Any:  # noqa: N803 - its names
        """Count the classes around each row where the rows are as wide as the indexed points."""
        if X.shape[1] != Y.shape[1] or 0 in (X.shape[0], Y.shape[0]):
            raise ValueError(_WIDTHS_DIFFER)
        return native(X, Y, *arguments, **settings)

    return guarded


def _guarded_encode(native: Any) -> Any:
    @wraps(native)
    def guarded(values: Any, *, uniques: Any, check_unknown: bool = True) -> Any:
        """Return the codes where each is the index of a category."""
        codes = native(values, uniques=uniques, check_unknown=check_unknown)
        if codes.size and codes.max() >= len(uniques):
            raise ValueError(_WIDTHS_DIFFER)
        return codes

    return guarded


def _guarded_format(native: Any) -> Any:
    @wraps(native)
    def guarded(self: Any, full_check: bool = True) -> None:  # noqa: FBT001, FBT002 - SciPy's own
        """Check a matrix that is made of three arrays, also where SciPy would take the places in them on trust."""
        native(self, full_check)
        starts, indices, end = self.indptr, self.indices, self._swap(self._shape_as_2d)[1]
        if (starts[1:] < starts[:-1]).any() or not within(indices, end):
            raise ValueError(_WIDTHS_DIFFER)

    return guarded
