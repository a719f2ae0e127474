"""The page of one model, and changing what is said about it: its description, its tags, the runtime of new versions.

Never acts by itself: what it changes goes the same way, and is checked by the same rules, as over the REST API.
"""

from __future__ import annotations

from typing import Any

from flask import Response

from registry import catalog
from registry.api.auth import caller
from registry.api.bodies import read_names
from registry.api.registered_models import ModelChange
from registry.console import moves
from registry.console.checked import checked
from registry.console.forms import form
from registry.console.model_shown import done, read_query, show_model
from registry.console.page import page
from registry.console.session import signed_in
from registry.console.tag_fields import read_tags, tag_rows
from registry.extensions import reading
from registry.wiring import services


@signed_in("read")
def model(name: str) -> Response:
    """Show a model."""
    return show_model(name, query=read_query())


@signed_in("publish")
def edit_dialog(name: str) -> Response:
    """Ask what shall be said about a model."""
    read_names(name)
    with reading():
        found = catalog.get_model(name)
    return page("model_edit.html", model=found, tags=tag_rows(found.tags))


@signed_in("publish")
def edit(name: str) -> Response:
    """Change what is said about a model."""
    read_names(name)
    fields = form()
    plain: dict[str, Any] = {field: fields[field] for field in ("description", "runtime") if field in fields}
    changes = checked(ModelChange, {**plain, "tags": read_tags(fields)}).given()
    with services().change(caller().id):
        catalog.change_model(name, **changes)
    return done(name, f"{name} is changed.")


ROUTES = (
    ("/models/<name>", model, "GET"),
    ("/models/<name>/edit", edit_dialog, "GET"),
    ("/models/<name>/edit", edit, "POST"),
    *moves.ROUTES,
)
