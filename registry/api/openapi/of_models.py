"""Models and versions: what their routes answer, but for uploads and predictions.

What finding and loading a version may fail with stands here for all.
"""

from __future__ import annotations

from registry import errors
from registry.api import answers
from registry.api.openapi import examples
from registry.api.openapi.description import BINARY, BYTES, NOTHING, Answer, Media, Operation, answer
from registry.api.openapi.examples import page

FIND = (errors.VersionNotFound, errors.AliasNotFound)
FIND_READY = (*FIND, errors.VersionDeleted)
LOAD = (
    errors.ModelUnloadable, errors.VersionStarting, errors.VersionResting, errors.TooLargeForBudget, errors.SandboxUnavailable,
)  # fmt: skip

_MODEL = answer(answers.Model, examples.MODEL)
_VERSION = answer(answers.Version, examples.VERSION)
_KNOWN = ("Content-Disposition", "ETag", "Last-Modified", "Repr-Digest", "Accept-Ranges")


def _bytes(status: int, description: str, *headers: str) -> Answer:
    media = Media(BINARY, {"bytes": {"summary": "The file as it was uploaded, or a part of it.", "value": "(bytes)"}})
    return Answer(status, description, {BYTES: media}, (*_KNOWN, *headers))


OPERATIONS: dict[str, Operation] = {
    "models.list_models": Operation("models", (answer(answers.ModelPage, page(examples.MODEL)),)),
    "models.get_model": Operation("models", (_MODEL,)),
    "models.change_model": Operation(
        "models",
        (_MODEL,),
        examples={"words": {"description": "Species by the measures of a flower."}, "tags": {"tags": {"team": "botany"}}},
    ),
    "models.delete_model": Operation("models", (NOTHING,), (errors.VersionInUse,)),
    "versions.list_versions": Operation("versions", (answer(answers.VersionPage, page(examples.VERSION)),)),
    "versions.get_version": Operation("versions", (_VERSION,), FIND),
    "versions.change_version": Operation(
        "versions",
        (_VERSION,),
        (*FIND_READY, *LOAD),
        examples={"words": {"description": "With more flowers.", "tags": {"stage": "good"}}, "serving": {"runtime": "fast", "cache": True}},
        note="What is told to its worker when it is loaded makes it load anew: a pinned version at once, others at the next request.",
    ),
    "versions.delete_version": Operation(
        "versions", (answer(answers.Version, examples.DELETED, "The version as it was deleted."),), (*FIND_READY, errors.VersionInUse)
    ),
    "versions.restore_version": Operation("versions", (_VERSION,), FIND),
    "versions.download_artifact": Operation(
        "versions",
        (
            _bytes(200, "The whole artifact.", "Content-Digest"),
            _bytes(206, "The range that was asked for.", "Content-Range"),
            Answer(304, "The caller has this artifact already.", headers=("ETag", "Repr-Digest")),
        ),
        (*FIND_READY, errors.ModelUnloadable, errors.RangeNotSatisfiable, errors.ServerBusy),
        parameters=("Range", "If-Range", "Known-ETag"),
    ),
}
