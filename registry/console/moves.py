"""Moving an alias from the console: the dialogs that show what a move would change and ask why, and the moves themselves.

They go through `flows/switch.py` with the collaborators of the REST routes; nothing here may move an alias by itself. Each dialog
carries the alias as it was seen and a key of its own, so that nothing moves unseen, and a double click moves once.
"""

from __future__ import annotations

import secrets
from typing import Any, Literal

from flask import Response, request
from pydantic import Field

from registry import catalog
from registry.api import problems
from registry.api.aliases import PointBody, RollBackBody
from registry.api.auth import caller
from registry.api.bodies import Strict, read_idempotency_key, read_names
from registry.catalog import Alias, Version
from registry.console.checked import asked, checked
from registry.console.differences import differences
from registry.console.forms import form
from registry.console.model_shown import done, loaded_versions
from registry.console.page import page, show_problem
from registry.console.session import signed_in, wants_part
from registry.errors import AliasMoved, Finding, InvalidRequest, RollbackTargetDeleted, VersionNotFound
from registry.extensions import reading
from registry.flows import switch
from registry.flows.once import Once
from registry.naming import MAX_VERSION, PRODUCTION
from registry.wiring import services

#: So many versions are offered by name; of more, the number is typed.
MOST_OFFERED = 50


class PointQuery(Strict):
    """Which alias the dialog is about (none for a new one), and which version is chosen."""

    alias: str | None = None
    version: int | None = Field(None, ge=1, le=MAX_VERSION)


class Seen(Strict):
    """What a dialog sends along of what it showed: the alias's etag, empty where there was none, and a key for doing it once."""

    alias: str
    etag: str = ""
    once: str


@signed_in("publish")
def point_dialog(name: str) -> Response:
    """Ask where an alias shall point and why, and show what that changes."""
    query = checked(PointQuery, asked("alias", "version"))
    read_names(name, alias=query.alias)
    with reading():
        model = catalog.get_model(name)
        alias = _find_alias(name, query.alias)
        types_number = model.version_count > MOST_OFFERED
        offered = catalog.list_versions(name, status="ready", limit=2 if types_number else MOST_OFFERED).items
        target = _chosen(name, query.version, alias, offered)
        current = catalog.get_version(name, alias.version) if alias is not None else None
    if target is None:
        raise VersionNotFound(f"{name} has no version that is ready.")
    return page(
        "move_point.html", model=model, alias=alias, query=query, offered=offered, target=target,
        types_number=types_number, suggested="" if PRODUCTION in model.aliases else PRODUCTION,
        **_shown(name, current, target),
    )  # fmt: skip


@signed_in("publish")
def point(name: str) -> Response:
    """Point an alias at a version; the target is loaded and replayed first."""
    fields = form()
    seen, body = _seen(fields), checked(PointBody, {"version": _number(fields.get("version", "")), "reason": _reason(fields)})
    read_names(name, alias=seen.alias)
    expected = switch.Expected(etag=seen.etag) if seen.etag else switch.Expected(absent=True)
    try:
        switch.point(name, seen.alias, body.version, reason=body.reason, expected=expected, **_collaborators(seen))
    except AliasMoved as error:
        return _look_again(error, name, "point_dialog", alias=seen.alias, version=body.version)
    return done(name, f"@{seen.alias} points at version {body.version} now.")


@signed_in("publish")
def roll_back_dialog(name: str) -> Response:
    """Show where a rollback of an alias goes and what that changes, and ask why."""
    alias_name = request.args.get("alias", "")
    read_names(name, alias=alias_name)
    with reading():
        alias = catalog.get_alias(name, alias_name)
        number, deleted = _plan(name, alias_name)
        current = catalog.get_version(name, alias.version)
        target = catalog.get_version(name, number)
    return page("move_roll_back.html", name=name, alias=alias, target=target, deleted=deleted, **_shown(name, current, target))


@signed_in("publish")
def roll_back(name: str) -> Response:
    """Roll an alias back to the version that its dialog showed."""
    fields = form()
    given = {"to": _number(fields["to"])} if fields.get("to") else {}
    seen, body = _seen(fields), checked(RollBackBody, {**given, "reason": _reason(fields)})
    read_names(name, alias=seen.alias)
    try:
        move = switch.roll_back(
            name, seen.alias, body.to, reason=body.reason, expected=switch.Expected(etag=seen.etag), **_collaborators(seen)
        )
    except AliasMoved as error:
        return _look_again(error, name, "roll_back_dialog", alias=seen.alias)
    return done(name, f"@{seen.alias} is back at version {move['to']}.")


@signed_in("publish")
def delete_alias_dialog(name: str) -> Response:
    """Ask whether an alias shall go, and why."""
    alias_name = request.args.get("alias", "")
    read_names(name, alias=alias_name)
    with reading():
        alias = catalog.get_alias(name, alias_name)
    return page("move_delete.html", name=name, alias=alias, once=_new_key())


@signed_in("publish")
def delete_alias(name: str) -> Response:
    """Take an alias away; its history stays."""
    seen, reason = _seen(form()), _reason(form())
    read_names(name, alias=seen.alias)
    checked(RollBackBody, {"reason": reason})
    try:
        with services().change(caller().id):
            catalog.delete_alias(name, seen.alias, reason=reason, if_match=seen.etag)
    except AliasMoved as error:
        return _look_again(error, name, "delete_alias_dialog", alias=seen.alias)
    return done(name, f"@{seen.alias} is deleted.")


def _find_alias(name: str, alias: str | None) -> Alias | None:
    """Return an alias, or None where the dialog makes one. Raises AliasNotFound, which says that it has gone meanwhile."""
    return None if alias is None else catalog.get_alias(name, alias)


def _chosen(name: str, number: int | None, alias: Alias | None, offered: list[Version]) -> Version | None:
    """Return the version that is asked for, else the newest where the alias doesn't point yet."""
    if number is not None:
        return catalog.get_version(name, number)
    others = [version for version in offered if alias is None or version.number != alias.version]
    return next(iter(others or offered), None)


def _plan(name: str, alias: str) -> tuple[int, int | None]:
    """Return where a rollback would go, and the deleted version that it would pass by, if any."""
    try:
        return catalog.plan_rollback(name, alias, None), None
    except RollbackTargetDeleted as error:
        if error.members["next"] is None:
            raise
        return int(error.members["next"]), int(error.members["deleted"])


def _shown(name: str, current: Version | None, target: Version) -> dict[str, Any]:
    """Return what every dialog of a move shows, with the connection given back before the host process is asked."""
    loaded = loaded_versions(name)
    return {
        "current": current,
        "target_loaded": None if loaded is None else target.number in loaded,
        "changes": None if current is None else differences(current, target),
        "once": _new_key(),
    }


def _new_key() -> str:
    return secrets.token_urlsafe(16)


def _seen(fields: dict[str, str]) -> Seen:
    return checked(Seen, {name: fields[name] for name in ("alias", "etag", "once") if name in fields})


def _reason(fields: dict[str, str]) -> str:
    """Return why, which the console insists on: whoever looks at the history later has nothing else. Raises InvalidRequest."""
    reason = fields.get("reason", "").strip()
    if not reason:
        raise InvalidRequest("Say why: the history and the audit trail keep it.", findings=[Finding("can't be empty", "#/reason")])
    return reason


def _number(text: str) -> int | str:
    """Return a number where it is one; what isn't is refused with what else is wrong."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else text  # noqa: PLR2004 - far beyond any version


def _collaborators(seen: Seen) -> dict[str, Any]:
    built = services()
    return {"workers": built.workers, "change": built.change(caller().id), "once": Once(caller().id, read_idempotency_key(seen.once))}


Dialog = Literal["point_dialog", "roll_back_dialog", "delete_alias_dialog"]


def _look_again(error: AliasMoved, name: str, dialog: Dialog, **query: str | int) -> Response:
    """Say that the alias isn't where the dialog saw it, and offer the dialog as it would be now."""
    if not wants_part():
        return show_problem(error)
    answer = problems.answer(error)
    return page("move_stale.html", answer.status_code, problem=answer.get_json(), name=name, dialog=dialog, again=query)


ROUTES = (
    ("/models/<name>/point", point_dialog, "GET"),
    ("/models/<name>/point", point, "POST"),
    ("/models/<name>/rollback", roll_back_dialog, "GET"),
    ("/models/<name>/rollback", roll_back, "POST"),
    ("/models/<name>/delete-alias", delete_alias_dialog, "GET"),
    ("/models/<name>/delete-alias", delete_alias, "POST"),
)
