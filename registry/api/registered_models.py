"""Models: list, read, change, delete. A model is made by its first version.

What the key may not see is left out, or is not found.
"""

from __future__ import annotations

from typing import Annotated, Literal

from flask import Response
from flask_openapi3 import APIBlueprint
from pydantic import Field

from registry import catalog
from registry.api import representations
from registry.api.auth import caller, needs
from registry.api.bodies import Change, Description, Listing, ModelPath, Tags, read_names, read_tag
from registry.wiring import services

blueprint = APIBlueprint("models", __name__, doc_ui=False)


class ModelQuery(Listing):
    """Filters and order of the listing of models."""

    search: Annotated[str, Field(max_length=200)] | None = None
    tag: str | None = None
    order: Literal["name", "-name", "created_at", "-created_at"] = "name"


class ModelChange(Change):
    """What may change of a model."""

    description: Description | None = None
    tags: Tags | None = None
    runtime: Literal["exact", "fast"] | None = None


@blueprint.get("/models")
@needs("read")
def list_models(query: ModelQuery) -> Response:
    """List the models that the key may see."""
    page = catalog.list_models(
        search=query.search,
        tag=read_tag(query.tag),
        order=query.order,
        limit=query.limit,
        cursor=query.cursor,
        patterns=caller().key.models,
    )
    return representations.page_response(page, representations.model)


@blueprint.get("/models/<name>")
@needs("read")
def get_model(path: ModelPath) -> Response:
    """Show a model and where its aliases point."""
    read_names(path.name)
    return representations.json_response(representations.model(catalog.get_model(path.name)))


@blueprint.patch("/models/<name>")
@needs("publish")
def change_model(path: ModelPath, body: ModelChange) -> Response:
    """Change a model's description, its tags, or the runtime that new versions get."""
    read_names(path.name)
    changes = body.given()
    with services().change(caller().id):
        changed = catalog.change_model(path.name, **changes)
    return representations.json_response(representations.model(changed))


@blueprint.delete("/models/<name>")
@needs("publish")
def delete_model(path: ModelPath) -> Response:
    """Hide a model and its versions, and stop their serving. It may be made again; its numbers go on."""
    read_names(path.name)
    with services().change(caller().id):
        catalog.delete_model(path.name)
    services().workers.stop_model(path.name)
    return representations.nothing()
