"""The check of an upload before its bytes are sent: refused early, with the problem that the upload itself would get.

What it is told is text from a stranger: bounded in number and length here, and judged by a locked worker alone. It tells of no
artifact that is kept, since that would tell of other people's.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from flask import Response, request
from flask_openapi3 import APIBlueprint
from pydantic import AfterValidator, Field, ValidationError, WithJsonSchema

from registry.api import representations
from registry.api.auth import caller, needs
from registry.api.bodies import MAX_CONTROL_BODY_BYTES, WHOLE, Body, ModelPath, read_names, strict_json
from registry.api.problems import refuse_invalid
from registry.api.uploads import ManifestBody, read_manifest
from registry.api.whole_body import whole_body
from registry.errors import InvalidRequest, UnsupportedMediaType
from registry.flows.check_upload import Announced, check_upload
from registry.wiring import services

#: More than the table of names that artifacts may use has, and longer than any of them.
MOST_NAMES, LONGEST_NAME = 2000, 600

blueprint = APIBlueprint("upload_check", __name__, doc_ui=False)


def _require_pair(name: str) -> str:
    module, _, qualname = name.partition(":")
    if not module or not qualname:
        raise ValueError("must be module:qualname, such as sklearn.pipeline:Pipeline")
    return name


Name = Annotated[
    str,
    Field(max_length=LONGEST_NAME),
    AfterValidator(_require_pair),
    WithJsonSchema({"type": "string", "maxLength": LONGEST_NAME, "pattern": r"^[^:]+:[\s\S]+$"}),
]


class EstimatorBody(Body):
    """What an artifact will hold, as far as it is known: the name of its class, and what tells a model from anything else."""

    type: Annotated[str, Field(max_length=200)]
    kind: Literal["object", "class", "container"] = "object"
    has_fit: bool | None = None
    has_predict: bool | None = None
    fitted: bool | None = None


class UploadCheckBody(Body):
    """What is known of an upload that hasn't come. Of its digest nothing can be said before its bytes are there."""

    manifest: Annotated[Any, WithJsonSchema(ManifestBody.model_json_schema())] = Field(default_factory=dict)
    size_bytes: Annotated[int, Field(ge=0), WHOLE] = 0
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    names: Annotated[list[Name], Field(max_length=MOST_NAMES)] = Field(default_factory=list)
    estimator: EstimatorBody | None = None


@blueprint.post("/models/<name>/versions/check")
@needs("publish")
def check_version(path: ModelPath) -> Response:
    """Say whether an upload would be refused, before it is sent."""
    read_names(path.name)
    built = services()
    body = _read_body(int(built.config.max_manifest_bytes))
    number = check_upload(path.name, _announced(body), artifacts=built.artifacts, workers=built.workers)
    limits = {"max_artifact_bytes": int(built.config.max_artifact_bytes), "max_manifest_bytes": int(built.config.max_manifest_bytes)}
    return representations.json_response({"accepted": True, "model": path.name, "next_version": number, "limits": limits})


def _read_body(max_manifest_bytes: int) -> UploadCheckBody:
    """Return the body, in which the largest manifest has room. Raises what reading any control request's body raises."""
    with whole_body(caller().id, max_manifest_bytes + MAX_CONTROL_BODY_BYTES) as content:
        if content and request.mimetype != "application/json":
            raise UnsupportedMediaType("Send JSON with 'Content-Type: application/json'.")
        values = strict_json(content) if content else {}
        if not isinstance(values, dict):
            raise InvalidRequest("The body must be a JSON object.")
        try:
            return UploadCheckBody.model_validate(values)
        except ValidationError as error:
            refuse_invalid(error)
            raise


def _announced(body: UploadCheckBody) -> Announced:
    return Announced(
        size_bytes=body.size_bytes,
        manifest=lambda: read_manifest(body.manifest),
        names=tuple((module, qualname) for module, _, qualname in (name.partition(":") for name in body.names)),
        estimator=None if body.estimator is None else body.estimator.model_dump(),
    )
