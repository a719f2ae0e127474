"""The metrics of some versions side by side: which columns to show, and which value of each is the best.

Pure. Which way a metric gets better is told by its name alone, so a column whose name doesn't speak of an error counts as better
the higher it is; the page says so.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from registry.catalog import Version

MOST_COLUMNS = 8
_LOWER = re.compile(
    r"(^|[^a-z])(mae|mse|rmse|rmsle|mape|smape|medae|loss|error|err|deviance|brier|perplexity|wer|cer|fpr|fnr|ece|latency|seconds|ms|bytes)([^a-z]|$)",
    re.IGNORECASE,
)
_NEGATED = re.compile(r"(^|[^a-z])neg(ative)?([^a-z]|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class MetricColumn:
    """One metric: its name, its best value among the versions, and whether that tells them apart."""

    name: str
    best: float
    lower: bool
    tells: bool

    def is_best(self, value: float) -> bool:
        """Tell whether a value is to be marked as the best."""
        return self.tells and value == self.best


@dataclass(frozen=True, slots=True)
class MetricColumns:
    """The columns to show, the most common first, and how many metrics there are besides."""

    shown: tuple[MetricColumn, ...]
    left_out: int


def metric_columns(versions: Sequence[Version]) -> MetricColumns:
    """Return the columns for some versions; deleted ones never are the best."""
    counts = Counter(name for version in versions for name in version.metrics)
    names = sorted(counts, key=lambda name: (-counts[name], name))
    return MetricColumns(tuple(_column(name, versions) for name in names[:MOST_COLUMNS]), max(0, len(names) - MOST_COLUMNS))


def lower_is_better(name: str) -> bool:
    """Tell whether a metric's name speaks of an error, a loss or a cost, and not of its negative."""
    return _LOWER.search(name) is not None and _NEGATED.search(name) is None


def _column(name: str, versions: Sequence[Version]) -> MetricColumn:
    ready = [version.metrics[name] for version in versions if name in version.metrics and version.deleted_at is None]
    lower = lower_is_better(name)
    best = (min if lower else max)(ready, default=0.0)
    return MetricColumn(name, best, lower, tells=len(set(ready)) > 1)
