"""Aliases: where they point, point them, roll them back, and every move they made.

Moves go through `flows/switch.py`, which loads the target first; nothing here may move an alias by itself.
"""

from __future__ import annotations

from typing import Annotated, Any

from flask import Response, request
from flask_openapi3 import APIBlueprint
from pydantic import Field

from registry import catalog
from registry.api import representations
from registry.api.auth import caller, needs
from registry.api.bodies import WHOLE, AliasPath, Body, Listing, ModelPath, Reason, read_etag, read_idempotency_key, read_names
from registry.api.versions import AtQuery, aware
from registry.errors import InvalidRequest
from registry.flows import switch
from registry.flows.once import Once
from registry.naming import MAX_VERSION, PRODUCTION
from registry.wiring import services

blueprint = APIBlueprint("aliases", __name__, doc_ui=False)

Number = Annotated[int, Field(ge=1, le=MAX_VERSION), WHOLE]


class PointBody(Body):
    """Where to point an alias, and why."""

    version: Number
    reason: Reason = ""


class RollBackBody(Body):
    """How far to roll back, and why."""

    to: Number | None = None
    reason: Reason = ""


@blueprint.get("/models/<name>/aliases")
@needs("read")
def list_aliases(path: ModelPath) -> Response:
    """List a model's aliases."""
    read_names(path.name)
    items = [switch.alias_answer(alias) for alias in catalog.list_aliases(path.name)]
    return representations.json_response({"items": items, "next_cursor": None})


@blueprint.get("/models/<name>/aliases/<alias>")
@needs("read")
def get_alias(path: AliasPath, query: AtQuery) -> Response:
    """Show where an alias points, or pointed at a time."""
    read_names(path.name, alias=path.alias)
    if query.at is not None:
        return _show(switch.alias_answer(catalog.alias_at(path.name, path.alias, aware(query.at))))
    return _show(switch.alias_answer(catalog.get_alias(path.name, path.alias)))


@blueprint.put("/models/<name>/aliases/<alias>")
@needs("publish")
def point_alias(path: AliasPath, body: PointBody) -> Response:
    """Point an alias at a version; the target is loaded and replayed first."""
    read_names(path.name, alias=path.alias)
    answer = switch.point(path.name, path.alias, body.version, reason=body.reason, expected=_expected(), **_collaborators())
    return _show(answer)


@blueprint.delete("/models/<name>/aliases/<alias>")
@needs("publish")
def delete_alias(path: AliasPath) -> Response:
    """Take an alias away; its history stays."""
    read_names(path.name, alias=path.alias)
    expected = _expected_there()
    with services().change(caller().id):
        catalog.delete_alias(path.name, path.alias, if_match=expected.etag)
    return representations.nothing()


@blueprint.post("/models/<name>/aliases/<alias>/rollback")
@needs("publish")
def roll_back_alias(path: AliasPath, body: RollBackBody) -> Response:
    """Move an alias back to where it pointed before."""
    read_names(path.name, alias=path.alias)
    return _roll_back(path.name, path.alias, body)


@blueprint.post("/models/<name>/rollback")
@needs("publish")
def roll_back_production(path: ModelPath, body: RollBackBody) -> Response:
    """Move `production` back to where it pointed before."""
    read_names(path.name)
    return _roll_back(path.name, PRODUCTION, body)


@blueprint.get("/models/<name>/aliases/<alias>/history")
@needs("read")
def list_moves(path: AliasPath, query: Listing) -> Response:
    """List every move of an alias, newest first."""
    read_names(path.name, alias=path.alias)
    page = catalog.list_moves(path.name, path.alias, limit=query.limit, cursor=query.cursor)
    return representations.page_response(page, representations.move)


def _roll_back(name: str, alias: str, body: RollBackBody) -> Response:
    return representations.json_response(
        switch.roll_back(name, alias, body.to, reason=body.reason, expected=_expected_there(), **_collaborators())
    )


def _collaborators() -> dict[str, Any]:
    built = services()
    return {
        "workers": built.workers,
        "change": built.change(caller().id),
        "once": Once(caller().id, read_idempotency_key(request.headers.get("Idempotency-Key"))),
    }


def _expected() -> switch.Expected:
    absent = request.headers.get("If-None-Match")
    if absent not in {None, "*"}:
        raise InvalidRequest("If-None-Match may only be *.")
    return switch.Expected(read_etag(request.headers.get("If-Match")), absent=absent == "*")


def _expected_there() -> switch.Expected:
    """Return the same for what only an alias that is there can do."""
    expected = _expected()
    if expected.absent:
        raise InvalidRequest("If-None-Match: * is for PUT alone: only an alias that is there can be rolled back or deleted.")
    return expected


def _show(alias: dict[str, Any]) -> Response:
    return representations.json_response(alias, headers={"ETag": f'"{alias["etag"]}"'})
