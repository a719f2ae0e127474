"""What `GET /metrics` tells, from the objects that count it, so that the page can't name a metric that isn't there."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import Metric
from prometheus_client.metrics import MetricWrapperBase

from docs.made.tables import table
from registry import observability
from registry.api.health import HostCollector

#: A report of a host process with one of everything, to learn the labels from.
_REPORT = {
    "counts": {"loads": 1},
    "loaded": [{"model": "churn", "version": 1, "bytes": 1}],
    "budget_bytes": 1,
    "host": {"fork server": {"restarts": 0}},
}


def page(_docname: str) -> str:
    """Return the metrics of the web processes and those of the host process."""
    head = ("metric", "kind", "labels", "means")
    counters = [value for value in vars(observability).values() if isinstance(value, MetricWrapperBase)]
    web = [_row(metric, counter._labelnames) for counter in counters for metric in counter.describe()]  # noqa: SLF001 - told nowhere else
    host = [_row(metric, metric.samples[0].labels) for metric in HostCollector(_REPORT).collect()]
    return f"## Of the web processes\n\n{table(head, web)}\n\n## Of the host process\n\n{table(head, host)}"


def _row(metric: Metric, labels: Iterable[str]) -> tuple[str, str, str, str]:
    name = metric.name + ("_total" if metric.type == "counter" else "")
    return f"`{name}`", metric.type, ", ".join(f"`{label}`" for label in labels), metric.documentation
