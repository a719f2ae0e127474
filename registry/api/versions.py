"""Versions: publish, list, read, change, delete, restore, and the artifact's bytes.

Of a version only words and the way it is served ever change; what was uploaded never does.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Annotated, Literal

from flask import Response, request, send_file
from flask_openapi3 import APIBlueprint
from pydantic import BeforeValidator

from registry import catalog, observability
from registry.api import answers, bodies, representations
from registry.api.auth import caller, needs
from registry.api.bodies import (
    Change,
    Description,
    Listing,
    Metrics,
    ModelPath,
    Moment,
    SelectorPath,
    Strict,
    Tags,
    read_idempotency_key,
    read_names,
)
from registry.api.long_answers import while_it_is_sent
from registry.api.uploads import read_upload
from registry.api.whole_body import announced_bytes, timed_body
from registry.catalog import Version
from registry.errors import InvalidRequest, ModelUnloadable, ModelyardError, VersionDeleted, VersionNotFound
from registry.extensions import reading
from registry.flows import switch
from registry.flows.once import Once
from registry.flows.publish import publish, refusals_noted
from registry.naming import LATEST
from registry.wiring import services

blueprint = APIBlueprint("versions", __name__, doc_ui=False)


def _no_number(value: object) -> object:
    """Refuse 0 and 1, which Python finds equal to false and true."""
    if type(value) in {int, float}:
        raise ValueError("must be 'auto', true or false")
    return value


Cache = Annotated[Literal["auto", True, False], BeforeValidator(_no_number)]


class VersionQuery(Listing):
    """Filters of a listing of versions."""

    status: Literal["ready", "deleted"] | None = None
    tag: str | None = None


class VersionChange(Change):
    """What may change of a version: words about it, and how it is served."""

    description: Description | None = None
    tags: Tags | None = None
    metrics: Metrics | None = None
    runtime: Literal["exact", "fast"] | None = None
    accept_skew: bool | None = None
    batching: bool | None = None
    cache: Cache | None = None


@blueprint.post("/models/<name>/versions")
@needs("publish")
def publish_version(path: ModelPath) -> Response:
    """Publish the uploaded artifact as the next version of a model."""
    version, advice = publish_upload(path.name)
    location = f"/models/{version.model}/{version.number}"
    answer: answers.PublishedVersion = {**representations.version(version), "advice": list(advice)}
    return representations.json_response(answer, 201, {"Location": location})


def publish_upload(name: str) -> tuple[Version, tuple[str, ...]]:
    """Publish what the current request uploads as the caller's, point the alias that it names, and return the version and advice."""
    read_names(name)
    built, config = services(), services().config
    once = Once(caller().id, read_idempotency_key(request.headers.get("Idempotency-Key")))
    with built.upload_slots.take(caller().id):
        with refusals_noted(name, built.change(caller().id)):
            upload = read_upload(
                timed_body(caller().id, announced_bytes()),
                request.headers.get("Content-Type", ""),
                request.args.to_dict(),
                request.headers.get("Content-Digest"),
                config.max_manifest_bytes,
            )
        published = publish(
            name, upload, artifacts=built.artifacts, workers=built.workers, once=once,
            change=built.change(caller().id), refusal=built.change(caller().id),
        )  # fmt: skip
    observability.PUBLISHES.labels("published").inc()
    version = published.version
    if published.alias is not None:
        version = _point(version, published.alias, once)
    return version, published.advice


def _point(version: Version, alias: str, published: Once) -> Version:
    """Point the manifest's alias at what was published; when that fails, the error names the version, which stays."""
    built = services()
    # a key of its own, which no caller can send, so that a retried publish doesn't take back a move that came after it
    once = Once(published.key_id, f"{published.idempotency_key} alias" if published.idempotency_key else None)
    try:
        switch.point(
            version.model, alias, version.number, reason="published", expected=switch.Expected(), workers=built.workers,
            change=built.change(caller().id), once=once,
        )  # fmt: skip
    except ModelyardError as error:
        error.members.setdefault("published", {"model": version.model, "version": version.number})
        raise
    with reading():
        return catalog.get_version(version.model, version.number)


@blueprint.get("/models/<name>/versions")
@needs("read")
def list_versions(path: ModelPath, query: VersionQuery) -> Response:
    """List a model's versions, newest first."""
    read_names(path.name)
    page = catalog.list_versions(path.name, status=query.status, tag=bodies.read_tag(query.tag), limit=query.limit, cursor=query.cursor)
    return representations.page_response(page, representations.version)


@blueprint.get("/models/<name>/<selector>")
@needs("read")
def get_version(path: SelectorPath) -> Response:
    """Show a version, by number or alias; a deleted one shows when it was deleted."""
    return representations.json_response(representations.version(find(path)))


def find(path: SelectorPath) -> Version:
    """Return the version that a path names, deleted or not. Raises the NotFound ones."""
    selector = read_names(path.name, path.selector)
    if selector == LATEST:
        catalog.get_model(path.name)
        latest = catalog.find_latest(path.name)
        if latest is None:
            raise VersionNotFound(f"Model {path.name} has no version that is ready.")
        return latest
    number = catalog.get_alias(path.name, selector).version if isinstance(selector, str) else selector
    return catalog.get_version(path.name, number)


def find_ready(path: SelectorPath) -> Version:
    """Return the version that a path names. Raises VersionDeleted as well."""
    version = find(path)
    if version.deleted_at is not None:
        raise VersionDeleted(f"Version {version.number} of {version.model} was deleted; a publisher may restore it.")
    return version


@blueprint.patch("/models/<name>/<selector>")
@needs("publish")
def change_version(path: SelectorPath, body: VersionChange) -> Response:
    """Change the words about a version, or how it is served."""
    changes = body.given()
    if "cache" in changes:
        changes["cache"] = {"auto": "auto", True: "on", False: "off"}[changes["cache"]]
    version = find_ready(path)
    with services().change(caller().id):
        changed = catalog.change_version(version.model, version.number, **changes)
    if _told_at_load(changed) != _told_at_load(version):
        _load_anew(changed)
    return representations.json_response(representations.version(changed))


@blueprint.delete("/models/<name>/<selector>")
@needs("publish")
def delete_version(path: SelectorPath) -> Response:
    """Hide a version and stop its serving; it can be restored until it is swept."""
    version = find_ready(path)
    with services().change(caller().id):
        deleted = catalog.delete_version(version.model, version.number)
    services().workers.stop(version.id)
    return representations.json_response(representations.version(deleted))


def _told_at_load(version: Version) -> tuple[bool, bool, str]:
    return version.batching, version.accept_skew, version.effective_runtime


def _load_anew(version: Version) -> None:
    """Let its worker go, which was told how to serve when it was loaded; a pinned version gets its new one at once."""
    services().workers.stop(version.id)
    services().workers.forget_failures(version.id)
    if version.pinned:
        services().workers.warm(version.id)


@blueprint.post("/models/<name>/<selector>/restore")
@needs("publish")
def restore_version(path: SelectorPath) -> Response:
    """Bring a deleted version back, and its model where that was deleted too."""
    selector = read_names(path.name, path.selector)
    number = selector if isinstance(selector, int) else find(path).number
    with services().change(caller().id):
        restored = catalog.restore_version(path.name, number)
    return representations.json_response(representations.version(restored))


@blueprint.get("/models/<name>/<selector>/artifact")
@needs("read")
def download_artifact(path: SelectorPath) -> Response:
    """Send the uploaded bytes, whole or a range, as an attachment."""
    version = find_ready(path)
    file = services().artifacts.path_of(version.sha256)
    if not file.exists():
        raise ModelUnloadable("The artifact's bytes are missing on this host.", log_detail=version.sha256)
    response = send_file(
        file, mimetype="application/octet-stream", as_attachment=True, download_name=f"{version.model}-{version.number}.joblib",
        conditional=True, etag=version.sha256, last_modified=version.created_at, max_age=None,
    )  # fmt: skip
    digest = base64.b64encode(bytes.fromhex(version.sha256)).decode()
    response.headers["Repr-Digest"] = f"sha-256=:{digest}:"
    if response.status_code == 200:  # noqa: PLR2004 - of a range, the digest would be another
        response.headers["Content-Digest"] = f"sha-256=:{digest}:"
    return while_it_is_sent(response)


class AtQuery(Strict):
    """A moment in time."""

    at: Moment | None = None


def aware(at: datetime) -> datetime:
    """Return a time in UTC; one without an offset is read as such. Raises InvalidRequest at the ends of the calendar."""
    try:
        return at.astimezone(UTC) if at.tzinfo is not None else at.replace(tzinfo=UTC)
    except OverflowError:
        raise InvalidRequest("A time lies outside the calendar.") from None
