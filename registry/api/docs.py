"""The OpenAPI document and the page that shows it.

The page and its files are the same for everybody and tell nothing but that this is Modelyard; the document itself needs a key
unless the configuration says otherwise. Nothing is loaded from anywhere else.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import cast

import msgspec
from flask import Flask, Response, current_app, send_file
from werkzeug.exceptions import NotFound

from registry.api.auth import ANYONE, BY_CONFIGURATION, needs
from registry.api.openapi import describe
from registry.wiring import services

OWN_FILES = Path(__file__).with_name("page")
#: Files of Swagger UI, in the package that carries them.
SWAGGER_FILES = {"swagger-ui.css": "css/swagger-ui.css", "swagger-ui-bundle.js": "js/swagger-ui-bundle.js"}
TYPES = {".css": "text/css", ".js": "text/javascript"}
#: Nothing but what this service serves may run, load or be asked; Swagger UI has its pictures within its style sheet.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
#: Whether the page has to ask for a key before it fetches the document.
_ASKS, _ASKS_NOT = 'data-asks="yes"', 'data-asks="no"'
_DOCUMENT = "modelyard-openapi"


def register(app: Flask) -> None:
    """Add the routes."""
    app.add_url_rule("/openapi.json", "openapi", openapi)
    app.add_url_rule("/docs", "docs", docs)
    app.add_url_rule("/docs/<file>", "docs_file", docs_file)


@needs(BY_CONFIGURATION)
def openapi() -> Response:
    """Return the OpenAPI document of every route."""
    if _DOCUMENT not in current_app.extensions:
        made = describe(current_app, public=services().config.public_metrics)
        current_app.extensions[_DOCUMENT] = msgspec.json.encode(made)  # two threads may make the same, once
    return Response(cast("bytes", current_app.extensions[_DOCUMENT]), mimetype="application/json")


@needs(ANYONE)
def docs() -> Response:
    """Show the page that asks for a key and then shows the OpenAPI document."""
    page = (OWN_FILES / "page.html").read_text(encoding="utf-8")
    if services().config.public_metrics:
        page = page.replace(_ASKS, _ASKS_NOT)
    return Response(page, mimetype="text/html", headers={"Content-Security-Policy": PAGE_POLICY, "Referrer-Policy": "no-referrer"})


@needs(ANYONE)
def docs_file(file: str) -> Response:
    """Send a file of that page."""
    path = _find_file(file)
    if path is None:
        raise NotFound
    return send_file(path, mimetype=TYPES[path.suffix], conditional=False, max_age=3600)


def _find_file(name: str) -> Path | None:
    """Return a file that the page uses: by a table, so that no name leads anywhere else."""
    if name in {"page.js", "page.css"}:
        return OWN_FILES / name
    if name not in SWAGGER_FILES:
        return None
    spec = find_spec("flask_openapi3_swagger")
    assert spec is not None, "flask-openapi3-swagger isn't installed"  # noqa: S101 - requirements.lock has it
    assert spec.origin is not None  # noqa: S101 - it is a package with files
    return Path(spec.origin).with_name("templates") / "swagger" / SWAGGER_FILES[name]
