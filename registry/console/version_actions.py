"""What can be done about a version from its page: load, unload, pin, describe, delete, restore.

Each is the REST API's own view, so that nothing is checked or done otherwise here.
"""

from __future__ import annotations

import json
from typing import cast

from flask import Response, redirect, url_for

from registry.api import serving, versions
from registry.api.bodies import SelectorPath
from registry.api.versions import VersionChange
from registry.console.checked import checked
from registry.console.forms import form
from registry.console.session import signed_in, wants_part
from registry.console.tag_fields import read_tags
from registry.console.version_shown import show_version
from registry.extensions import reading


@signed_in("publish")
def load_version(name: str, selector: str) -> Response:
    """Load the version on this host."""
    serving.load_version(SelectorPath(name=name, selector=selector), serving.Nothing())
    return _done(name, selector, "Loaded.")


@signed_in("publish")
def unload_version(name: str, selector: str) -> Response:
    """Unload the version on this host."""
    serving.unload_version(SelectorPath(name=name, selector=selector), serving.Nothing())
    return _done(name, selector, "Unloaded; the next request loads it again.")


@signed_in("publish")
def pin_version(name: str, selector: str) -> Response:
    """Keep the version loaded on every host."""
    serving.pin_version(SelectorPath(name=name, selector=selector))
    return _done(name, selector, "Pinned: it stays loaded on every host.")


@signed_in("publish")
def unpin_version(name: str, selector: str) -> Response:
    """Let the version be unloaded again."""
    serving.unpin_version(SelectorPath(name=name, selector=selector))
    return _done(name, selector, "No longer pinned.")


@signed_in("publish")
def delete_version(name: str, selector: str) -> Response:
    """Hide the version."""
    versions.delete_version(SelectorPath(name=name, selector=selector))
    return _done(name, selector, "Deleted; it can be restored until it is swept.")


@signed_in("publish")
def restore_version(name: str, selector: str) -> Response:
    """Bring the version back."""
    versions.restore_version(SelectorPath(name=name, selector=selector))
    return _done(name, selector, "Restored.")


@signed_in("publish")
def describe_version(name: str, selector: str) -> Response:
    """Change the words about the version."""
    fields = form()
    change = checked(VersionChange, {"description": fields.get("description", ""), "tags": read_tags(fields)})
    versions.change_version(SelectorPath(name=name, selector=selector), change)
    return _done(name, selector, "Saved.")


def _done(name: str, selector: str, text: str) -> Response:
    """Show the page as it is after a change; a browser without scripts is sent to it."""
    with reading():
        found = versions.find(SelectorPath(name=name, selector=selector))
    if not wants_part():
        return cast("Response", redirect(url_for("console.version", name=name, selector=found.number), 303))
    return show_version(found, headers={"HX-Trigger": json.dumps({"done": {"text": text}})})


ROUTES = (
    ("/models/<name>/<selector>/load", load_version, "POST"),
    ("/models/<name>/<selector>/unload", unload_version, "POST"),
    ("/models/<name>/<selector>/pin", pin_version, "POST"),
    ("/models/<name>/<selector>/unpin", unpin_version, "POST"),
    ("/models/<name>/<selector>/delete", delete_version, "POST"),
    ("/models/<name>/<selector>/restore", restore_version, "POST"),
    ("/models/<name>/<selector>/describe", describe_version, "POST"),
)
