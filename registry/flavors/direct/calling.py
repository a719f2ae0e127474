"""A direct form as it is called: rows of the one dtype and width that it was proven for, in the memory order the estimator sees.

Must never raise: whatever goes wrong, the estimator is asked, so that its answer or its refusal is what a caller gets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from registry.flavors.direct.form import Answer, Array, Methods

_ROWS_AND_COLUMNS = 2


@dataclass(frozen=True, slots=True)
class DirectForm:
    """The methods of a form for rows of one dtype; `by_column` where the estimator is given a data frame, which lies so."""

    methods: Methods
    width: int
    dtype: np.dtype[Any]
    by_column: bool

    def answer(self, method: str, rows: Array) -> Answer | None:
        """Return what the estimator's method would return, or None where the estimator must be asked."""
        work = self.methods.get(method)
        if work is None or rows.dtype != self.dtype or rows.ndim != _ROWS_AND_COLUMNS:
            return None
        count, width = rows.shape
        if width != self.width or not count:
            return None
        try:
            if self.by_column:
                rows = np.array(rows, order="F")
            elif not rows.flags.aligned:
                rows = rows.copy()
            return work(rows)
        except Exception:  # noqa: BLE001 - the estimator will raise it again where it is the rows' fault
            return None
