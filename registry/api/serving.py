"""What is loaded on this host, and loading, unloading and pinning by hand.

It asks the host process and never keeps an answer: what is loaded changes without us.
"""

from __future__ import annotations

from typing import cast

from flask import Response
from flask_openapi3 import APIBlueprint

from registry import catalog
from registry.api import answers, representations
from registry.api.auth import caller, needs
from registry.api.bodies import Body, SelectorPath
from registry.api.standing import shown_walls
from registry.api.versions import find_ready
from registry.errors import VersionInUse
from registry.extensions import roll_back_session
from registry.keys import may_see
from registry.wiring import services

blueprint = APIBlueprint("serving", __name__, doc_ui=False)

SHOWN = ("model", "version", "runtime", "form", "state", "pinned", "bytes", "requests", "calls", "waiting", "idle_seconds")


class Nothing(Body):
    """A body without fields."""


@blueprint.get("/serving")
@needs("read")
def show_serving() -> Response:
    """Show the loaded versions that the key may see, the memory budget and the walls around workers."""
    report = services().workers.report()
    loaded = [
        {name: row[name] for name in SHOWN} | {"processes": 1} for row in report["loaded"] if may_see(caller().key.models, row["model"])
    ]
    answer: answers.Serving = {
        "host": services().host,
        "budget_bytes": report["budget_bytes"],
        "used_bytes": report["used_bytes"],
        "walls": shown_walls(report),
        "extra_names": report["host"]["fork server"]["extra_names"],
        "counts": report["counts"],
        "loaded": cast("list[answers.LoadedVersion]", sorted(loaded, key=lambda row: (row["model"], row["version"]))),
    }
    return representations.json_response(answer)


@blueprint.post("/models/<name>/<selector>/load")
@needs("publish")
def load_version(path: SelectorPath, body: Nothing) -> Response:  # noqa: ARG001 - refuses unknown fields
    """Load a version now, and try again at once what failed before."""
    version = find_ready(path)
    roll_back_session()
    services().workers.warm_again(version.id)
    answer: answers.Loaded = {"model": version.model, "version": version.number, "loaded": True}
    return representations.json_response(answer)


@blueprint.post("/models/<name>/<selector>/unload")
@needs("publish")
def unload_version(path: SelectorPath, body: Nothing) -> Response:  # noqa: ARG001 - refuses unknown fields
    """Drain a version's worker on this host; the next request loads it again."""
    version = find_ready(path)
    roll_back_session()
    if version.pinned:
        raise VersionInUse(f"Version {version.number} is pinned, so it stays loaded; take its pin away first.")
    unloaded = services().workers.unload(version.id)
    answer: answers.Unloaded = {"model": version.model, "version": version.number, "loaded": False, "was_loaded": unloaded}
    return representations.json_response(answer)


@blueprint.put("/models/<name>/<selector>/pin")
@needs("publish")
def pin_version(path: SelectorPath) -> Response:
    """Load a version and keep it loaded on every host."""
    return _set_pinned(path, pinned=True)


@blueprint.delete("/models/<name>/<selector>/pin")
@needs("publish")
def unpin_version(path: SelectorPath) -> Response:
    """Let a version be unloaded again."""
    return _set_pinned(path, pinned=False)


def _set_pinned(path: SelectorPath, *, pinned: bool) -> Response:
    version = find_ready(path)
    roll_back_session()
    if pinned:
        services().workers.warm_again(version.id)
    with services().change(caller().id):
        catalog.set_pinned(version.model, version.number, pinned)
    services().workers.pin(version.id, pinned=pinned)
    answer: answers.Pinned = {"model": version.model, "version": version.number, "pinned": pinned}
    return representations.json_response(answer)
