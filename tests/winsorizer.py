"""A transformer as a user's own package would have it: small, typed, importable, and unknown to Modelyard.

Stands for an operator's package in the tests of MODELYARD_EXTRA_NAMES.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data


class Winsorizer(TransformerMixin, BaseEstimator):
    """Cut each column's values at two of its quantiles."""

    def __init__(self, low: float = 0.05, high: float = 0.95) -> None:
        """Keep the quantiles."""
        self.low = low
        self.high = high

    def fit(self, x: Any, y: Any = None) -> Self:
        """Learn each column's bounds."""
        x = validate_data(self, x, dtype=np.float64)
        self.lower_, self.upper_ = np.quantile(x, [self.low, self.high], axis=0)
        return self

    def transform(self, x: Any) -> Any:
        """Return the values, cut."""
        check_is_fitted(self)
        return np.clip(validate_data(self, x, dtype=np.float64, reset=False), self.lower_, self.upper_)
