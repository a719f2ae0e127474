"""The sign-in page: a key comes in, a session cookie goes out; and signing out.

A wrong key counts against its address as everywhere; what a key is, is never shown again.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import cast

from flask import Response, current_app, redirect, request, url_for

from registry.api import limits
from registry.api.auth import ANY_KEY, Caller, identify
from registry.console import session
from registry.console.forms import KEY_FIELD, form
from registry.console.page import page
from registry.console.session import SIGNED_OUT, signed_in
from registry.errors import Forbidden, RateLimited, Unauthenticated

LONGEST_KEY = 200
#: Of one key: each writes to the database and to the audit trail, which a key that may only read mustn't fill.
SIGN_INS = "60/minute"
NOT_VALID = "This key isn't valid: mistyped, revoked, expired, or of another service."
MAY_NOT_READ = "This key may not read. The console needs a key with the scope read; what else the key may do decides what is offered."


@signed_in(SIGNED_OUT)
def sign_in() -> Response:
    """Show the form that asks for a key, or go on where the browser is signed in already."""
    target = session.safe_target(request.args.get("next", ""))
    if session.find_caller() is not None:
        return cast("Response", redirect(target, 303))
    return page("sign_in.html", target=target, refusal="")


@signed_in(SIGNED_OUT)
def check_key() -> Response:
    """Exchange a key for a session."""
    session.require_same_site()
    fields = form()
    target = session.safe_target(fields.get("next", ""))
    try:
        who = identify(f"Bearer {fields.get(KEY_FIELD, '').strip()[:LONGEST_KEY]}")
        who.require("read")
    except Unauthenticated:
        return page("sign_in.html", HTTPStatus.UNAUTHORIZED, target=target, refusal=NOT_VALID)
    except Forbidden:
        return page("sign_in.html", HTTPStatus.FORBIDDEN, target=target, refusal=MAY_NOT_READ)
    _count(who)
    return session.begin(cast("Response", redirect(target, 303)), who)


def _count(who: Caller) -> None:
    """Count a sign-in of a key. Raises RateLimited."""
    (limit,) = limits.parse_limits((SIGN_INS,))
    standing = limits.counters(current_app).add(limit, "sign-in", who.id)
    if standing.remaining < 0:
        raise RateLimited(f"This key signs in too often ({limit}).", retry_after_seconds=standing.reset_seconds)


@signed_in(ANY_KEY)
def sign_out() -> Response:
    """End the session."""
    return session.end(cast("Response", redirect(url_for("console.sign_in"), 303)))
