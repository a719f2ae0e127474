"""Uploads: both forms of body with the manifest's fields, what publishing answers, and every way of being refused.

The check of an upload is refused for what the upload would be.
"""

from __future__ import annotations

from typing import Any

from registry import errors
from registry.api import answers
from registry.api.openapi import examples
from registry.api.openapi.description import BINARY, BYTES, Media, Operation, answer
from registry.api.openapi.of_aliases import MOVE
from registry.api.openapi.shapes import reference
from registry.api.upload_check import UploadCheckBody
from registry.api.uploads import MULTIPART, ManifestBody, ScalarFields

JUDGED = (
    errors.UnsafeArtifact, errors.NotAModel, errors.UnknownFormat, errors.VersionSkew, errors.SignatureMismatch, errors.ArtifactTooLarge, errors.NoRoom,
    errors.SandboxUnavailable, errors.VersionStarting, errors.TooLargeForBudget, errors.ModelUnloadable,
)  # fmt: skip
_FORM: dict[str, Any] = {
    "type": "object",
    "required": ["artifact"],
    "additionalProperties": False,
    "properties": {"artifact": BINARY | {"description": "The file."}, "manifest": reference(ManifestBody.__name__)},
}
_FILE = "(the bytes of model.joblib)"
_CHECK = {
    "manifest": examples.MANIFEST, "size_bytes": 5541, "names": ["sklearn.pipeline:Pipeline", "sklearn.linear_model._logistic:LogisticRegression"],
    "estimator": {"type": "Pipeline", "has_fit": True, "has_predict": True, "fitted": True},
}  # fmt: skip

OPERATIONS: dict[str, Operation] = {
    "versions.publish_version": Operation(
        "versions",
        (
            answer(
                answers.PublishedVersion,
                examples.VERSION | {"advice": []},
                "The version, or the one that the same Idempotency-Key published before.",
                status=201,
                headers=("Location",),
            ),
        ),
        (
            *JUDGED, *(error for error in MOVE if error is not errors.AliasMoved), errors.ChecksumMismatch, errors.UploadIncomplete, errors.UploadTimeout,
            errors.TooManyUploads, errors.NoUploadSlot, errors.MalformedBody, errors.UnsupportedMediaType, errors.BodyTooLarge,
        ),
        parameters=("Content-Digest", "Idempotency-Key"),
        query=ScalarFields,
        query_note="Only beside a bare body: in a form it stands in the manifest.",
        content={
            MULTIPART: Media(
                _FORM,
                {"file-and-manifest": {"artifact": _FILE, "manifest": examples.MANIFEST}, "file-alone": {"artifact": _FILE}},
                {"artifact": {"contentType": BYTES}, "manifest": {"contentType": "application/json"}},
            ),
            BYTES: Media(BINARY, {"file": _FILE}),
        },
        models=(ManifestBody,),
        note="The model is made if it is not there. The parts may come in either order; the file's name means nothing.",
    ),
    "upload_check.check_version": Operation(
        "versions",
        (answer(answers.UploadAccepted, {
            "accepted": True, "model": "iris", "next_version": 4, "limits": {"max_artifact_bytes": 2_147_483_648, "max_manifest_bytes": 4_194_304},
        }),),
        JUDGED,
        body=UploadCheckBody,
        examples={"all": _CHECK, "size": {"size_bytes": 5541}},
        note="Leaves nothing behind. What is in the bytes themselves only the upload tells.",
    ),
}  # fmt: skip
