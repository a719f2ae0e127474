"""The page Upload: an artifact comes in from a browser, and the answer says what was made of it or why it was refused.

The upload goes through the function of the REST API, with its slots, limits and judge. No byte of it is looked at here.
"""

from __future__ import annotations

from http import HTTPStatus

from flask import Response, request

from registry.api import problems
from registry.api.versions import publish_upload
from registry.console.page import page
from registry.console.session import signed_in
from registry.errors import ModelyardError
from registry.naming import PRODUCTION
from registry.wiring import services


@signed_in("publish")
def upload() -> Response:
    """Show the form that uploads a version."""
    config = services().config
    limits = {"artifact": int(config.max_artifact_bytes), "manifest": int(config.max_manifest_bytes)}
    return page("upload_page.html", name=request.args.get("model", ""), limits=limits, production=PRODUCTION)


@signed_in("publish")
def upload_version(name: str) -> Response:
    """Publish what a browser uploads, and say what was made of it; the answer is a part of the page."""
    try:
        version, advice = publish_upload(name)
    except ModelyardError as error:
        answer = problems.answer(error)
        response = page("upload_refused.html", answer.status_code, problem=answer.get_json(), slug=error.slug)
        for header in ("Retry-After", "Connection"):
            if header in answer.headers:
                response.headers[header] = answer.headers[header]
        return response
    return page("upload_done.html", HTTPStatus.CREATED, version=version, advice=advice, production=PRODUCTION)


ROUTES = (("/upload", upload, "GET"), ("/models/<name>/versions", upload_version, "POST"))
