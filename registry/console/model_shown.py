"""How the page of one model comes together: its figures, aliases, versions and moves, read in a fixed number of statements.

Only reads. The views that change something answer with this page as well, so that the browser takes the new part from it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

from flask import Response, url_for
from pydantic import Field

from registry import catalog
from registry.api.auth import caller
from registry.api.bodies import Strict, read_names
from registry.api.keys import may_touch
from registry.catalog import Alias, Version
from registry.console.checked import asked, checked
from registry.console.metric_columns import metric_columns
from registry.console.model_list import traffic_of_models
from registry.console.page import page
from registry.console.timeline import timeline
from registry.errors import ModelyardError
from registry.extensions import reading
from registry.naming import MAX_VERSION, PRODUCTION
from registry.wiring import services

VERSIONS = 50
MOVES = 10
#: So many moves are drawn, whichever are listed.
DRAWN_MOVES = 20


class ModelPageQuery(Strict):
    """What a model's page may be asked for: which versions, from where on the versions and the moves, and to begin with pointing at one."""

    status: Literal["ready", "deleted", "all"] = "ready"
    versions: Annotated[str, Field(max_length=1000)] | None = None
    moves: Annotated[str, Field(max_length=1000)] | None = None
    point: Annotated[int, Field(ge=1, le=MAX_VERSION)] | None = None


def show_model(name: str, headers: dict[str, str] | None = None, query: ModelPageQuery | None = None) -> Response:
    """Return the page of a model. Raises InvalidName, ModelNotFound, and InvalidRequest for a query that means nothing."""
    read_names(name)
    query = query or ModelPageQuery()
    with reading():
        model = catalog.get_model(name)
        status = None if query.status == "all" else query.status
        versions = catalog.list_versions(name, status=status, limit=VERSIONS, cursor=query.versions)
        aliases = sorted(catalog.list_aliases(name), key=lambda alias: alias.alias != PRODUCTION)
        targets = catalog.list_rollback_targets(name)
        newest = catalog.list_model_moves(name, limit=DRAWN_MOVES)
        moves = catalog.list_model_moves(name, limit=MOVES, cursor=query.moves)
        sums, sparks = traffic_of_models([name])
        names = names_of({model.created_by, *_who(aliases, moves.items, versions.items)})
    return page(
        "model_page.html", headers=headers, model=model, query=query, versions=versions, columns=metric_columns(versions.items),
        aliases=aliases, targets=targets, moves=moves, drawn_moves=timeline(newest.items, model.aliases), names=names,
        traffic=sums[name], spark=sparks[name], loaded=loaded_versions(name), chosen=_to_compare(versions.items, aliases),
    )  # fmt: skip


def done(name: str, text: str) -> Response:
    """Answer a change with the model's page, which closes the dialog and says that it is done."""
    trigger = json.dumps({"done": {"text": text}}, ensure_ascii=True)
    return show_model(name, {"HX-Trigger": trigger, "HX-Replace-Url": url_for("console.model", name=name)})


def read_query() -> ModelPageQuery:
    """Return what the address asks for. Raises InvalidRequest."""
    return checked(ModelPageQuery, asked("status", "versions", "moves", "point"))


def names_of(ids: Iterable[str]) -> dict[str, str]:
    """Return the names of those keys that the caller may know: for an admin those it sees among the keys, else its own. Ids are for everybody."""
    own = {caller().id: caller().key.name}
    if "admin" not in caller().scopes:
        return own
    return own | {key_id: key.name for key_id, key in catalog.find_keys(set(ids)).items() if may_touch(caller(), key)}


def loaded_versions(name: str) -> frozenset[int] | None:
    """Return which versions of a model are loaded on this host, or None where the host process doesn't say."""
    try:
        loaded = services().workers.report()["loaded"]
    except ModelyardError:
        return None
    return frozenset(row["version"] for row in loaded if row["model"] == name and row["state"] == "ready")


def _who(aliases: Sequence[Alias], *others: Sequence[catalog.Move] | Sequence[Version]) -> set[str]:
    moved = {alias.moved_by for alias in aliases}
    return moved | {one.created_by if isinstance(one, Version) else one.by for some in others for one in some}


def _to_compare(versions: Sequence[Version], aliases: Sequence[Alias]) -> tuple[int, int]:
    """Return which two of the listed versions to compare at first: production and the newest, else the two newest."""
    numbers = [version.number for version in versions]
    if not numbers:
        return 0, 0
    newest = numbers[0]
    serving = next((alias.version for alias in aliases if alias.alias == PRODUCTION and alias.version in numbers), None)
    if serving is None or serving == newest:
        return (numbers[1] if len(numbers) > 1 else newest), newest
    return serving, newest
