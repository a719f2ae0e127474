"""API keys: make, list, change, rotate, revoke; and `GET /me`. A key's text is shown once, when it is made.

Only hashes are kept, so a lost key is rotated, never looked up; a key can't mint more than it has.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal, cast

from flask import Response
from flask_openapi3 import APIBlueprint
from pydantic import AfterValidator, Field, WithJsonSchema

from registry import catalog, keys
from registry.api import answers, limits, representations
from registry.api.auth import ANY_KEY, Caller, caller, needs
from registry.api.bodies import WHOLE, Body, Change, KeyPath, Listing, Moment
from registry.api.versions import aware
from registry.catalog import UNCHANGED, ApiKey, Page
from registry.errors import Forbidden, InvalidRequest, KeyNotFound, ModelyardError
from registry.naming import require_model_pattern
from registry.wiring import services

blueprint = APIBlueprint("keys", __name__, doc_ui=False)

LONGEST_OVERLAP_SECONDS = 30 * 86_400


def _limit(text: str) -> str:
    try:
        limits.parse_limits((text,))
    except ValueError:
        raise ValueError(f"{text!r} isn't a limit such as 600/minute") from None
    return text


def _pattern(text: str) -> str:
    try:
        require_model_pattern(text)
    except ModelyardError as error:
        raise ValueError(error.detail) from None
    return text


Name = Annotated[str, Field(min_length=1, max_length=200)]
Scopes = Annotated[list[Literal["read", "predict", "publish", "admin"]], Field(min_length=1, max_length=4)]
Pattern = Annotated[str, AfterValidator(_pattern), WithJsonSchema({"type": "string", "pattern": "^[a-z0-9*][a-z0-9._*-]{0,63}$"})]
Patterns = Annotated[list[Pattern], Field(max_length=100)]
Limit = Annotated[
    str,
    Field(max_length=100),
    AfterValidator(_limit),
    WithJsonSchema({"type": "string", "pattern": "^[1-9][0-9]{0,8}/([1-9][0-9]? )?(second|minute|hour|day)s?$"}),
]
Limits = Annotated[list[Limit], Field(max_length=10)]


class NewKey(Body):
    """A key to be made."""

    name: Name
    scopes: Scopes
    models: Patterns = Field(default_factory=list)
    limits: Limits = Field(default_factory=list)
    expires_at: Moment | None = None


class KeyChange(Change):
    """What may change of a key."""

    may_be_null = frozenset({"expires_at"})

    name: Name | None = None
    scopes: Scopes | None = None
    models: Patterns | None = None
    limits: Limits | None = None
    expires_at: Moment | None = None


class Rotation(Body):
    """How long the old key goes on beside the new one."""

    overlap_seconds: Annotated[int, Field(ge=0, le=LONGEST_OVERLAP_SECONDS), WHOLE] = 0


@blueprint.post("/keys")
@needs("admin")
def make_key(body: NewKey) -> Response:
    """Make a key; the answer is the only place where it ever stands."""
    return _shown_once(*make(body))


@blueprint.get("/keys")
@needs("admin")
def list_keys(query: Listing) -> Response:
    """List keys, newest first; never their secrets."""
    return representations.page_response(visible_keys(query), representations.key)


@blueprint.get("/keys/<key_id>")
@needs("admin")
def get_key(path: KeyPath) -> Response:
    """Show a key."""
    return representations.json_response(representations.key(visible_key(path.key_id)))


@blueprint.patch("/keys/<key_id>")
@needs("admin")
def change_key(path: KeyPath, body: KeyChange) -> Response:
    """Change what a key may do; seen at once on this host, within a second elsewhere."""
    return representations.json_response(representations.key(change(path.key_id, body)))


@blueprint.delete("/keys/<key_id>")
@needs("admin")
def revoke_key(path: KeyPath) -> Response:
    """Revoke a key: at once on this host, within a second elsewhere."""
    return representations.json_response(representations.key(revoke(path.key_id)))


@blueprint.post("/keys/<key_id>/rotate")
@needs("admin")
def rotate_key(path: KeyPath, body: Rotation) -> Response:
    """Make a new key with the same grants; the old one ends after the overlap."""
    return _shown_once(*rotate(path.key_id, body))


def make(body: NewKey) -> tuple[ApiKey, str]:
    """Make a key for the caller; return it and its text, which stands nowhere else. Raises Forbidden, InvalidRequest."""
    expires_at = _future(body.expires_at)
    chosen = body.limits or list(limits_of_new_keys())
    _require_within(caller(), body.models, expires_at)
    _require_limits_kept(caller(), chosen)
    text, parsed = keys.make_key()
    with services().change(caller().id):
        made = catalog.add_key(
            id=parsed.id, name=body.name, hash=keys.hash_secret(parsed.secret, services().secrets.key_pepper), scopes=tuple(dict.fromkeys(body.scopes)),
            models=tuple(body.models), limits=tuple(chosen), expires_at=expires_at,
        )  # fmt: skip
    return made, text


def limits_of_new_keys() -> tuple[str, ...]:
    """Return the limits of a key that the caller makes without naming any."""
    return caller().key.limits if caller().key.models else services().config.default_limits


def visible_keys(query: Listing) -> Page[ApiKey]:
    """Return one page of the keys, newest first, without those that the caller may not see."""
    page = catalog.list_keys(limit=query.limit, cursor=query.cursor)
    return Page([key for key in page.items if may_touch(caller(), key)], page.next_cursor)


def change(key_id: str, body: KeyChange) -> ApiKey:
    """Change a key for the caller. Raises KeyNotFound, Forbidden, InvalidRequest."""
    changes = body.given()
    for name in ("scopes", "models", "limits"):
        if name in changes:
            changes[name] = tuple(changes[name])
    if changes.get("limits") == ():
        changes["limits"] = tuple(services().config.default_limits)
    key = visible_key(key_id)
    _require_within(caller(), list(key.models), key.expires_at)
    _require_limits_kept(caller(), list(changes.get("limits", caller().key.limits)))
    expires_at = _future(changes.pop("expires_at")) if "expires_at" in changes else UNCHANGED
    _require_within(caller(), list(changes.get("models", key.models)), key.expires_at if expires_at is UNCHANGED else expires_at)
    with services().change(caller().id):
        return catalog.change_key(key_id, **changes, expires_at=expires_at)


def revoke(key_id: str) -> ApiKey:
    """Revoke a key for the caller. Raises KeyNotFound."""
    visible_key(key_id)
    with services().change(caller().id):
        return catalog.revoke_key(key_id)


def rotate(key_id: str, body: Rotation) -> tuple[ApiKey, str]:
    """Replace a key for the caller; return the new one and its text. Raises KeyNotFound, Forbidden, InvalidRequest."""
    key = visible_key(key_id)
    _require_within(caller(), list(key.models), key.expires_at)
    text, parsed = keys.make_key()
    with services().change(caller().id):
        made = catalog.rotate_key(key_id, parsed.id, keys.hash_secret(parsed.secret, services().secrets.key_pepper), body.overlap_seconds)
    return made, text


def _shown_once(made: ApiKey, text: str) -> Response:
    headers = {"Location": f"/keys/{made.id}", "Cache-Control": "no-store"}
    answer: answers.MadeKey = {**representations.key(made), "key": text}
    return representations.json_response(answer, 201, headers)


@blueprint.get("/me")
@needs(ANY_KEY)
def show_me() -> Response:
    """Show the caller's own key, its limits and what is left of them."""
    left = cast("list[answers.LimitStanding]", limits.standings(caller().id, caller().key.limits))
    answer: answers.Me = {**representations.key(caller().key), "limits_left": left}
    return representations.json_response(answer)


def visible_key(key_id: str) -> ApiKey:
    """Return a key that the caller may see. Raises KeyNotFound for others, as if they weren't there."""
    key = catalog.get_key(key_id)
    if not may_touch(caller(), key):
        raise KeyNotFound(f"There is no key {key_id}.")  # the words of one that isn't there
    return key


def may_touch(who: Caller, key: ApiKey) -> bool:
    """Tell whether `who` may see and change `key`: bound to models itself, only keys that are bound to some of the same."""
    return not who.key.models or (bool(key.models) and set(key.models) <= set(who.key.models))


def _require_limits_kept(who: Caller, texts: list[str]) -> None:
    """Refuse to hand out more requests than `who` has: bound to models, each of its own limits must stand. Raises Forbidden."""
    if who.key.models and not set(limits.parse_limits(who.key.limits)) <= set(limits.parse_limits(tuple(texts))):
        raise Forbidden(
            "Your key is bound to models: the keys that it makes or changes must have every limit of its own; they may have more."
        )


def _require_within(who: Caller, patterns: list[str], expires_at: datetime | None) -> None:
    """Refuse to hand out, or to touch, more than `who` has: models outside its patterns, or a longer life. Raises Forbidden."""
    if who.key.models and (not patterns or not set(patterns) <= set(who.key.models)):
        raise Forbidden("Your key is bound to models: it can only make or touch keys that name some of the same patterns.")
    if who.key.expires_at is not None and (expires_at is None or expires_at > who.key.expires_at):
        raise Forbidden("Your key expires: it can only make or touch keys that expire no later.")


def _future(at: datetime | None) -> datetime | None:
    if at is None:
        return None
    if aware(at) <= datetime.now(UTC):
        raise InvalidRequest("expires_at must lie in the future.")
    return aware(at)
