"""The page Models: find one, and see how much each is asked, how fast it answers, and what fails.

Shows only what the key's patterns let it see, and asks the database as often for a thousand models as for one.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Response, request

from registry import catalog
from registry.api.auth import caller
from registry.api.bodies import read_tag
from registry.api.registered_models import ModelQuery
from registry.catalog import Model, TrafficSum
from registry.console.checked import asked, checked
from registry.console.page import page
from registry.console.session import signed_in
from registry.console.sparkline import Sparkline, sparkline
from registry.extensions import reading
from registry.naming import PRODUCTION
from registry.traffic import MODEL

#: The figures are of so long, the sparkline of a day in quarters of an hour.
RECENT = timedelta(hours=1)
SPARK_PERIOD, SPARK_STEP = timedelta(hours=24), timedelta(minutes=15)


@signed_in("read")
def models() -> Response:
    """Show the models that the key may see."""
    query = checked(ModelQuery, asked("search", "tag", "order", "cursor"))
    filters: dict[str, Any] = {"search": query.search, "tag": read_tag(query.tag), "patterns": caller().key.models}
    with reading():
        found = catalog.list_models(**filters, order=query.order, limit=query.limit, cursor=query.cursor)
        total = catalog.count_models(**filters)
        names = [model.name for model in found.items]
        sums, sparks = traffic_of_models(names)
    return page(
        "model_list.html", query=query, found=found, total=total, sums=sums, sparks=sparks, aliases=_aliases(found.items),
        origin=request.host_url.rstrip("/"), is_filtered=bool(query.search or query.tag or query.cursor),
    )  # fmt: skip


def traffic_of_models(names: list[str]) -> tuple[dict[str, TrafficSum], dict[str, Sparkline]]:
    """Return what was asked of some models in the last hour, and a sparkline of the last day of each."""
    now = datetime.now(UTC)
    sums = catalog.traffic_of(MODEL, names, since=now - RECENT)
    counts = catalog.spark_traffic(MODEL, names, since=now - SPARK_PERIOD, step_seconds=int(SPARK_STEP.total_seconds()))
    return sums, {name: sparkline(_over(counts[name]), period="24 hours", step="15 minutes") for name in names}


def _over(counts: list[int]) -> list[int]:
    """Leave out the step that is under way, which would look like a fall, unless there is nothing else."""
    return counts[:-1] if any(counts[:-1]) else counts


def _aliases(found: list[Model]) -> dict[str, list[tuple[str, int]]]:
    """Return each model's aliases and their versions, production first."""
    return {model.name: sorted(model.aliases.items(), key=lambda item: (item[0] != PRODUCTION, item[0])) for model in found}


ROUTES = (("", models, "GET"), ("/models", models, "GET"))
