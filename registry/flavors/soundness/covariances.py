"""Estimates of covariance, whose distances SciPy computes with a matrix that it takes to be as wide as the rows.

Must never leave it to the matrix alone: where the precision isn't kept, it is computed from the covariance.
"""

from __future__ import annotations

from typing import Any

from registry.flavors.soundness.reading import FIT_AGAIN, attributes, numbers, refusal, whole_number

RULE = "broken-covariance"


def check_covariance(estimate: Any) -> None:
    """Require that covariance and precision are square and as wide as the input. Raises Refused."""
    stored = attributes(estimate)
    width = whole_number(stored.get("n_features_in_"))
    for name in ("covariance_", "precision_"):
        if stored.get(name) is None:
            continue
        matrix = numbers(stored[name], 2)
        if matrix is None or matrix.shape != (width, width):
            raise refusal(RULE, estimate, f"A {{name}} has a covariance of another width than its input. {FIT_AGAIN}")
