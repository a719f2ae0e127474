"""The page Keys: who may do what, for how long and how often; making, changing, rotating and revoking a key.

Every change goes through the functions of the REST API, with its rules. A key's text is part of one answer, and of nothing else.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from flask import Response, request, url_for
from pydantic import BaseModel, ValidationError

from registry import catalog
from registry.api import keys as api
from registry.api import problems
from registry.api.auth import caller
from registry.api.bodies import Listing
from registry.catalog import ApiKey
from registry.console.forms import form
from registry.console.page import page
from registry.console.session import signed_in
from registry.errors import InvalidRequest
from registry.extensions import reading

B = TypeVar("B", bound=BaseModel)

SCOPES = {
    "read": "See models, versions, metrics and traffic; sign in to the console.",
    "predict": "Ask models for predictions.",
    "publish": "Upload versions, point and roll back aliases, change and delete.",
    "admin": "Everything, and keys and the audit trail as well.",
}
DAYS = {"1": "In a day", "7": "In 7 days", "30": "In 30 days", "90": "In 90 days", "365": "In a year"}
NEVER, AT, KEEP, OTHER = "never", "at", "keep", "other"
OVERLAPS = {"0": "At once", "3600": "In an hour", "86400": "In a day", "604800": "In 7 days"}
ASKED_SINCE = timedelta(days=1)


@signed_in("admin")
def keys() -> Response:
    """Show the keys, newest first."""
    return _list()


@signed_in("admin")
def new_key() -> Response:
    """Show the dialog that makes a key."""
    return _make_dialog({"scope-read": "on", "expires": NEVER})


@signed_in("admin")
def make_key() -> Response:
    """Make a key and show it, once."""
    fields = form()
    try:
        body = _checked(api.NewKey, {**_grants(fields), "expires_at": _expiry(fields)})
        made, text = api.make(body)
    except InvalidRequest as error:
        return _make_dialog(fields, error)
    return page("key_made.html", 201, made=made, text=text, old=None, is_own=False, signed_out=False)


@signed_in("admin")
def key_dialog(key_id: str, action: str) -> Response:
    """Show the dialog that changes, rotates or revokes a key."""
    key = _visible(key_id)
    if action == "change":
        return _change_dialog(key, _fields_of(key))
    if action == "rotate":
        return _rotate_dialog(key, {"overlap": "86400", "seconds": ""})
    with reading():
        traffic = catalog.traffic_of("key", [key.id], since=datetime.now(UTC) - ASKED_SINCE)[key.id]
    return page("key_revoke.html", key=key, traffic=traffic, is_own=_is_own(key))


@signed_in("admin")
def change_key(key_id: str) -> Response:
    """Change what differs from what the dialog showed, and nothing that somebody else has changed meanwhile."""
    fields, key = form(), _visible(key_id)
    given = _grants(fields)
    changes: dict[str, Any] = {name: value for name, value in given.items() if json.dumps(value) != fields.get(f"was-{name}")}
    try:
        if fields.get("expires", KEEP) != KEEP:
            changes["expires_at"] = _expiry(fields)
        if not changes:
            raise InvalidRequest("Nothing is different. Change something, or cancel.")
        changed = api.change(key_id, _checked(api.KeyChange, changes))
    except InvalidRequest as error:
        return _change_dialog(key, fields, error)
    return _list(f"Changed the key {changed.name}.")


@signed_in("admin")
def rotate_key(key_id: str) -> Response:
    """Replace a key and show the new one, once."""
    fields, key = form(), _visible(key_id)
    chosen = fields.get("overlap", "")
    try:
        made, text = api.rotate(
            key_id, _checked(api.Rotation, {"overlap_seconds": _number(fields.get("seconds", "") if chosen == OTHER else chosen)})
        )
    except InvalidRequest as error:
        return _rotate_dialog(key, fields, error)
    old = _visible(key_id)
    signed_out = _is_own(old) and state(old, datetime.now(UTC)) == "expired"
    return page("key_made.html", 201, made=made, text=text, old=old, is_own=_is_own(old), signed_out=signed_out)


@signed_in("admin")
def revoke_key(key_id: str) -> Response:
    """Revoke a key; whoever revokes their own is signed out by that."""
    revoked = api.revoke(key_id)
    if _is_own(revoked):
        return Response(status=204, headers={"HX-Redirect": url_for("console.sign_in")})
    return _list(f"Revoked the key {revoked.name}.")


def state(key: ApiKey, now: datetime) -> str:
    """Return what a key is worth: `revoked`, `expired`, `replaced` (by a rotation, and soon to expire) or `good`."""
    if key.revoked_at is not None and key.revoked_at <= now:
        return "revoked"
    if key.expires_at is not None and key.expires_at <= now:
        return "expired"
    return "replaced" if key.replaced_by is not None else "good"


def _list(done: str | None = None) -> Response:
    """Show the first page of the keys, or the one that the address asks for; `done` closes the dialog and is said aloud."""
    query = _checked(Listing, {} if done else request.args.to_dict())
    now = datetime.now(UTC)
    with reading():
        shown = api.visible_keys(query)
        traffic = catalog.traffic_of("key", [key.id for key in shown.items], since=now - ASKED_SINCE)
        makers = catalog.find_keys({key.created_by for key in shown.items})
    names = {maker.id: maker.name for maker in makers.values() if api.may_touch(caller(), maker)}
    headers = {"HX-Trigger": json.dumps({"done": {"text": done}})} if done else None
    states = {key.id: state(key, now) for key in shown.items}
    return page(
        "keys_page.html", 200, headers, keys=shown.items, cursor=query.cursor, next_cursor=shown.next_cursor, traffic=traffic, names=names, states=states
    )  # fmt: skip


def _visible(key_id: str) -> ApiKey:
    with reading():
        return api.visible_key(key_id)


def _is_own(key: ApiKey) -> bool:
    return key.id == caller().id


def _make_dialog(fields: dict[str, str], error: InvalidRequest | None = None) -> Response:
    return _dialog("key_make.html", fields, error, scopes=SCOPES, days=DAYS, limits=api.limits_of_new_keys())


def _change_dialog(key: ApiKey, fields: dict[str, str], error: InvalidRequest | None = None) -> Response:
    return _dialog(
        "key_change.html", fields, error, key=key, scopes=SCOPES, days=DAYS, limits=api.limits_of_new_keys(), is_own=_is_own(key)
    )


def _rotate_dialog(key: ApiKey, fields: dict[str, str], error: InvalidRequest | None = None) -> Response:
    return _dialog("key_rotate.html", fields, error, key=key, overlaps=OVERLAPS, is_own=_is_own(key))


def _dialog(template: str, fields: dict[str, str], error: InvalidRequest | None, **context: Any) -> Response:
    """Show a dialog with what was filled in, and, where the service refused that, with what is wrong beside each field."""
    if error is None:
        return page(template, fields=fields, wrong={}, problem=None, **context)
    status = problems.answer(error).status_code
    wrong: dict[str, list[str]] = {}
    for finding in error.findings:
        wrong.setdefault((finding.pointer or "#/").split("/")[1], []).append(finding.detail)
    return page(
        template, status, {"HX-Retarget": "#dialog-body"}, fields=fields, wrong=wrong, problem=None if wrong else error.detail, **context
    )


def _checked(kind: type[B], values: dict[str, Any]) -> B:
    """Return a body of the REST API, validated as there. Raises InvalidRequest."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        problems.refuse_invalid(error)
        raise


def _grants(fields: dict[str, str]) -> dict[str, Any]:
    """Return what a form grants, as the REST API takes it."""
    return {
        "name": fields.get("name", "").strip(),
        "scopes": [scope for scope in SCOPES if f"scope-{scope}" in fields],
        "models": _lines(fields.get("models", "")),
        "limits": _lines(fields.get("limits", "")),
    }


def _fields_of(key: ApiKey) -> dict[str, str]:
    """Return the form of a key, with what it showed in the fields `was-…`."""
    fields = {"name": key.name, "models": "\n".join(key.models), "limits": "\n".join(key.limits), "expires": KEEP}
    fields |= {f"scope-{scope}": "on" for scope in key.scopes}
    return fields | {f"was-{name}": json.dumps(value) for name, value in _grants(fields).items()}


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.split("\n") if line.strip()]


def _expiry(fields: dict[str, str]) -> str | None:
    """Return the moment that a form chose, None for never. Raises InvalidRequest."""
    chosen = fields.get("expires", NEVER)
    if chosen == NEVER:
        return None
    if chosen in DAYS:
        return (datetime.now(UTC) + timedelta(days=int(chosen))).isoformat()
    return fields.get("expires_at", "")


def _number(text: str) -> int | str:
    """Return the whole number that a text is, or the text, which the model of the body refuses."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else text  # noqa: PLR2004 - far more than any bound


ROUTES = (
    ("/keys", keys, "GET"),
    ("/keys/new", new_key, "GET"),
    ("/keys", make_key, "POST"),
    ("/keys/<key_id>/<any(change, rotate, revoke):action>", key_dialog, "GET"),
    ("/keys/<key_id>/change", change_key, "POST"),
    ("/keys/<key_id>/rotate", rotate_key, "POST"),
    ("/keys/<key_id>/revoke", revoke_key, "POST"),
)
