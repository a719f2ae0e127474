"""The application factory: a table of contents of the web side.

Builds and registers; decides nothing. Nothing happens when it is imported.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from flask import Flask, has_app_context
from flask_cors import CORS
from flask_openapi3 import OpenAPI
from werkzeug.middleware.proxy_fix import ProxyFix

from config import Config
from registry import wiring
from registry.api import (
    aliases,
    auth,
    bodies,
    docs,
    events,
    health,
    keys,
    limits,
    predict_lane,
    predictions,
    problems,
    registered_models,
    requests,
    routing,
    serving,
    upload_check,
    versions,
    whole_body,
)
from registry.console import blueprint as console
from registry.extensions import init_database


def create_app(config: Config) -> Flask:
    """Return the application of one web process. It connects to nothing before its first request."""
    app = OpenAPI(__name__, validation_error_callback=problems.refuse_invalid, doc_ui=False, static_folder=None)
    app.url_rule_class = routing.ModelyardRule
    app.request_class = bodies.StrictRequest
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    built = wiring.build(config, lambda: nullcontext() if has_app_context() else app.app_context())
    wiring.attach(app, built)
    init_database(app, built.instance.database_url)
    requests.register(app)
    auth.register(app)
    limits.register(app, built.instance.redis_url, config.failed_auth_limit)
    whole_body.register(app, web_threads=config.web_threads, compute_slots=config.compute_slots)
    problems.register(app)
    predictions.register(app)
    health.register(app)
    docs.register(app)
    for blueprint in (registered_models, versions, upload_check, aliases, keys, serving, events):
        app.register_api(blueprint.blueprint)
    if config.console:
        console.register(app, config.web_threads)
    _believe_proxies(app, config.trusted_proxies)
    predict_lane.register(app, built)
    if config.cors_origins:
        CORS(app, origins=list(config.cors_origins), expose_headers=requests.EXPOSED_HEADERS)
    return app


def _believe_proxies(app: Any, count: int) -> None:
    """Take address and scheme from so many proxies; a count that isn't real would let callers choose their address."""
    if count:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=count, x_proto=count, x_host=0, x_port=0, x_prefix=0)
