"""The console's routes in one place: the map from addresses to views.

Decides nothing; what each view needs is declared where it stands.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Flask, Response, g
from jinja2 import StrictUndefined

from registry.console import (
    assets,
    compare_page,
    events_page,
    forms,
    keys_page,
    model_list,
    model_page,
    page,
    session,
    sign_in,
    traffic_page,
    upload_page,
    version_page,
)
from registry.console.session import SIGNED_OUT, signed_in
from registry.errors import PageNotFound

PAGES = (model_list, model_page, version_page, compare_page, traffic_page, keys_page, events_page, upload_page)


def register(app: Flask, web_threads: int) -> None:
    """Serve the console under `/console`."""
    blueprint = Blueprint("console", __name__, url_prefix=session.PATH, template_folder="templates")
    blueprint.before_request(session.require_session)
    page.register(blueprint)
    add(blueprint, "/sign-in", sign_in.sign_in)
    add(blueprint, "/sign-in", sign_in.check_key, "POST")
    add(blueprint, "/sign-out", sign_in.sign_out, "POST")
    add(blueprint, "/assets/<path:file>", assets.send_asset)
    for module in PAGES:
        for path, view, method in module.ROUTES:
            add(blueprint, path, view, method)
    add(blueprint, "/<path:rest>", nowhere)
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.register_blueprint(blueprint)
    forms.register(app, web_threads)


def add(blueprint: Blueprint, path: str, view: Any, method: str = "GET") -> None:
    """Add a route under its view's name."""
    blueprint.add_url_rule(path, view.__name__, view, methods=[method])


@signed_in(SIGNED_OUT)
def nowhere(rest: str) -> Response:
    """Say that there is no such page, to whoever asks; who is signed in stays among the other pages."""
    found = session.find_caller()
    if found is not None:
        g.caller = found
    raise PageNotFound(f"There is no page {rest[:100]!r} in the console.")
