"""The audit trail: who did what, when, from where to where, and why.

Read only, and for admins only: nothing may ever change or remove an event over HTTP.
"""

from __future__ import annotations

from flask import Response
from flask_openapi3 import APIBlueprint

from registry import catalog
from registry.api import representations
from registry.api.auth import caller, needs
from registry.api.bodies import Listing, Moment
from registry.api.versions import aware
from registry.errors import Forbidden

blueprint = APIBlueprint("events", __name__, doc_ui=False)


class EventQuery(Listing):
    """Filters of the audit trail."""

    model: str | None = None
    actor: str | None = None
    kind: str | None = None
    since: Moment | None = None


@blueprint.get("/events")
@needs("admin")
def list_events(query: EventQuery) -> Response:
    """List events, newest first; a key that is bound to models must name one of them."""
    require_trail_of(query.model)
    page = catalog.list_events(
        model=query.model,
        actors=None if query.actor is None else (query.actor,),
        kind=query.kind,
        since=aware(query.since) if query.since else None,
        limit=query.limit,
        cursor=query.cursor,
    )
    return representations.page_response(page, representations.event)


def require_trail_of(model: str | None) -> None:
    """Refuse a caller bound to models all events but those of one that it sees. Raises ModelNotFound, Forbidden."""
    if model is not None:
        caller().require_sees(model)
    elif caller().key.models:
        raise Forbidden("Your key is bound to models: name one of them with ?model=.")
