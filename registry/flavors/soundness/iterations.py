"""Transformers that iterate when they transform: how often must be a number that ends.

Must never lower what fitting would accept in earnest: the bound is a hundred times the largest default.
"""

from __future__ import annotations

from typing import Any

from registry.flavors.soundness.reading import attributes, refusal, whole_number

RULE = "endless-iteration"
MOST_ITERATIONS = 100_000
_PARAMETERS = ("max_doc_update_iter", "max_iter", "transform_max_iter")


def check_iterations(transformer: Any) -> None:
    """Require that a transformer iterates at most MOST_ITERATIONS times for a row. Raises Refused."""
    stored = attributes(transformer)
    for name in _PARAMETERS:
        value = stored.get(name)
        if value is not None and not 0 < (whole_number(value) or 0) <= MOST_ITERATIONS:
            raise refusal(
                RULE,
                transformer,
                f"A {{name}} has `{name}` above {MOST_ITERATIONS}, and could go on for ever when it transforms. Set a lower one and fit again.",
            )
