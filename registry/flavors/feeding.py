"""Typed inputs turned into what the estimator was fitted on: an array, a data frame, or a list of texts.

A frame or array built here must give results equal bit for bit to those of the user's own: same dtypes, same
memory order, and missing text written as it was when fitting.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from registry import frames
from registry.flavors import anatomy

_NAN = float("nan")


class Feed:
    """Builds the argument of one estimator's methods."""

    def __init__(self, estimator: Any) -> None:
        """Learn from the estimator which form it wants."""
        self.names = anatomy.feature_names(estimator)
        self._index = None if self.names is None else pd.Index(self.names)
        count = len(self.names) if self.names else anatomy.feature_count(estimator) or 0
        facts = anatomy.column_facts(estimator, min(max(count, 0), anatomy.MAX_COLUMNS))
        self._missing = {index: fact.none_is_missing for index, fact in facts.items()}

    def argument(self, inputs: frames.Inputs) -> Any:
        """Return the array, data frame or list of texts for `inputs`; it shares no memory that others may use."""
        match inputs:
            case frames.Texts(values):
                return values
            case frames.Matrix(array):
                return own(array) if self._index is None else pd.DataFrame(np.array(array, order="F"), columns=self._index, copy=False)
            case frames.Table():
                return self._array_of(inputs) if self._index is None else self._frame_of(inputs)

    def _frame_of(self, table: frames.Table) -> pd.DataFrame:
        columns = {
            name: self._series(index, values) if isinstance(values, list) else values
            for index, (name, values) in enumerate(zip(table.names, table.columns, strict=True))
        }
        return pd.DataFrame(columns)

    def _series(self, index: int, values: list[str | None]) -> pd.Series[Any]:
        """Return texts as pandas reads them: `str` with NaN for missing, or objects with None where that was fitted on."""
        return pd.Series(values, dtype=object if self._missing.get(index) else "str")

    def _array_of(self, table: frames.Table) -> frames.type_of_array:
        if not any(isinstance(values, list) for values in table.columns):
            return np.column_stack([np.asarray(values) for values in table.columns])
        array = np.empty((table.rows, len(table.columns)), dtype=object)
        for index, values in enumerate(table.columns):
            if isinstance(values, list) and self._missing.get(index) is False:
                array[:, index] = [_NAN if value is None else value for value in values]
            else:
                array[:, index] = values
        return array


def own(array: frames.type_of_array) -> frames.type_of_array:
    """Return `array`, or a copy where it is read-only or unaligned, as one that came in a frame is."""
    return array if array.flags.writeable and array.flags.aligned else np.array(array)
