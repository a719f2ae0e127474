"""Who is signed in to the console: an API key exchanged for a cookie, and the token that shows a request came from a page of ours.

The cookie holds a random token, of which the database keeps the hash; no key ever stands in a cookie. Nothing may change anything
without the token of the page it was asked from.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from hashlib import sha256
from typing import TypeVar, cast
from urllib.parse import urlencode, urlsplit

from flask import Response, current_app, g, redirect, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from registry import catalog
from registry.api.auth import ANY_KEY, BY_SESSION, Caller, caller, caller_of, needs
from registry.console.forms import FORM, form
from registry.errors import Forbidden
from registry.extensions import reading
from registry.wiring import services

View = TypeVar("View", bound=Callable[..., object])

COOKIE = "modelyard_session"
PATH = "/console"
CSRF_HEADER = "X-CSRF-Token"
CSRF_FIELD = "csrf"
#: Sent by scripts of ours that want a part of a page and aren't htmx.
PART_HEADER = "X-Modelyard-Part"
#: What a view needs that shows or does nothing of anybody's.
SIGNED_OUT = "signed-out"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_SCOPE = "session_scope"


def signed_in(scope: str) -> Callable[[View], View]:
    """Declare which scope the key of a browser's session needs for a view, or ANY_KEY, or SIGNED_OUT."""

    def mark(view: View) -> View:
        setattr(view, _SCOPE, scope)
        return needs(BY_SESSION)(view)

    return mark


def require_session() -> Response | None:
    """Let a request to the console through, send it to the sign-in page, or raise Forbidden or ModelNotFound; before any view and any body."""
    if request.endpoint is None:
        return None
    scope = str(getattr(current_app.view_functions[request.endpoint], _SCOPE))  # a view without one is a bug, and answers nobody
    if scope == SIGNED_OUT:
        return None
    found = find_caller()
    if found is None:
        return _to_sign_in()
    g.caller = found
    if request.method not in SAFE_METHODS:
        _require_own_page()
    if scope != ANY_KEY:
        found.require(scope)
    name = (request.view_args or {}).get("name")
    if name is not None:
        found.require_sees(name)
    return None


def find_caller() -> Caller | None:
    """Return the holder of the key that this browser signed in with, while session and key are good."""
    token = request.cookies.get(COOKIE, "")
    if not token:
        return None
    with reading():
        session = catalog.find_session(_hash(token))
    return None if session is None else caller_of(services().directory.find_key(session.key_id))


def begin(response: Response, who: Caller) -> Response:
    """Sign this browser in, and give it its cookie. What it was signed in with before ends."""
    config = services().config
    old, token = request.cookies.get(COOKIE, ""), secrets.token_urlsafe(32)
    with services().change(who.id):
        if old:
            catalog.end_session(_hash(old))
        catalog.add_session(_hash(token), who.id, config.console_session_seconds)
    response.set_cookie(
        COOKIE, token, max_age=config.console_session_seconds, path=PATH, secure=request.is_secure, httponly=True, samesite="Lax"
    )
    return response


def end(response: Response) -> Response:
    """Sign this browser out, here and in the database."""
    with services().change(caller().id):
        catalog.end_session(_hash(request.cookies.get(COOKIE, "")))
    response.delete_cookie(COOKIE, path=PATH, secure=request.is_secure, httponly=True, samesite="Lax")
    return response


def csrf_token() -> str:
    """Return what a page must send with what it asks for; empty for a browser that isn't signed in.

    An HMAC of a constant under the session's own token: who can't read the cookie can't make it.
    """
    token = request.cookies.get(COOKIE, "") if "caller" in g else ""
    return hmac.digest(token.encode("utf-8", "surrogateescape"), b"a page of the console", "sha256").hex() if token else ""


def require_same_site() -> None:
    """Refuse what a page of another site asks a browser to send. Raises Forbidden."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        good = site in {"same-origin", "none"}
    else:
        origin = request.headers.get("Origin")
        good = origin is None or urlsplit(origin).netloc == request.host
    if not good:
        raise Forbidden("This request came from a page of another site. Open the console itself and try again.")


def wants_part() -> bool:
    """Tell whether a script of ours asked for a part, and not a browser for a page."""
    return request.headers.get("HX-Request") == "true" or request.headers.get(PART_HEADER) == "true"


def safe_target(text: str) -> str:
    """Return a path of the console to go on to, or its front page where `text` isn't one: no other site, no line break."""
    path = text.partition("?")[0]
    plain = text.isascii() and text.isprintable() and "\\" not in text and "//" not in path and ".." not in path
    return text if plain and (path == PATH or path.startswith(PATH + "/")) else PATH


def _require_own_page() -> None:
    require_same_site()
    given = request.headers.get(CSRF_HEADER)
    if given is None and request.mimetype == FORM:
        given = form().get(CSRF_FIELD)
    if not hmac.compare_digest((given or "").encode("utf-8", "surrogateescape"), csrf_token().encode()):
        raise Forbidden("This request doesn't carry the token of its page. Reload the page and try again.")


def _to_sign_in() -> Response:
    if wants_part():
        back = urlsplit(request.headers.get("HX-Current-URL", ""))
        return _without_body(Response(status=401, headers={"HX-Redirect": _sign_in_url(back.path, back.query)}))
    if request.method not in SAFE_METHODS:
        return _without_body(redirect(_sign_in_url("", ""), 303))
    return cast("Response", redirect(_sign_in_url(request.path, request.query_string.decode("ascii", "ignore")), 303))


def _without_body(response: BaseResponse) -> Response:
    """Let the browser hear that its connection ends where what it sends isn't read, or its next request would be lost."""
    if request.method not in SAFE_METHODS:
        response.headers["Connection"] = "close"
    return cast("Response", response)


def _sign_in_url(path: str, query: str) -> str:
    back = safe_target(f"{path}?{query}" if query else path)
    return url_for("console.sign_in") + (f"?{urlencode({'next': back})}" if back != PATH else "")


def _hash(token: str) -> str:
    return sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
