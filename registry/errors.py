"""Everything that can be refused or fail, as one tree of exceptions.

Domain code raises these; only `api/problems.py` knows which HTTP status each one gets. Nothing here
may import Flask, and no message may carry the text of a foreign exception.

    ModelyardError
    ├─ InvalidName, MalformedBody, UnsupportedMediaType, NotAcceptable, InvalidRequest, BodyTooLarge, BodyTooSlow, MethodNotAllowed,
    │     RangeNotSatisfiable
    ├─ SignatureMismatch, TooManyRows, MethodNotAvailable            (what a predict request brings)
    ├─ Unauthenticated, Forbidden, RateLimited                       (who asks, and how often)
    ├─ NotFound: PageNotFound, ModelNotFound, VersionNotFound, AliasNotFound, KeyNotFound
    ├─ VersionDeleted, VersionInUse, AliasMoved, NothingToRollBackTo, RollbackTargetDeleted, TargetNotServable
    ├─ ArtifactRefused: UnsafeArtifact, NotAModel, ChecksumMismatch, UnknownFormat, VersionSkew, ArtifactTooLarge
    ├─ UploadIncomplete, UploadTimeout, TooManyUploads, NoUploadSlot, NoRoom, IdempotencyKeyReused
    ├─ PredictionFailed, PredictionTimeout, ModelUnloadable
    └─ Unavailable: RegistryUnavailable, SandboxUnavailable, VersionBusy, VersionStarting, VersionResting, TooLargeForBudget, ServerBusy
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Finding:
    """One bad value: what is wrong, where (a JSON pointer), and the column it belongs to, if any."""

    detail: str
    pointer: str | None = None
    column: str | None = None

    def as_dict(self) -> dict[str, str]:
        """Return the members that are set, as they stand in a problem's `errors`."""
        named = {"detail": self.detail, "pointer": self.pointer, "column": self.column}
        return {name: value for name, value in named.items() if value is not None}


class ModelyardError(Exception):
    """Root of the tree. `slug` is the last part of the problem's `type`; `title` never varies per occurrence."""

    slug: ClassVar[str] = "internal-error"
    title: ClassVar[str] = "Something went wrong on our side"

    def __init__(
        self,
        detail: str = "",
        *,
        findings: tuple[Finding, ...] | list[Finding] = (),
        retry_after_seconds: float | None = None,
        members: dict[str, Any] | None = None,
        log_detail: str | None = None,
    ) -> None:
        """Keep what the caller may read (`detail`, `findings`, `members`) apart from `log_detail`, which goes to the log only."""
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.findings = tuple(findings)
        self.retry_after_seconds = retry_after_seconds
        self.members = members or {}
        self.log_detail = log_detail


class InvalidName(ModelyardError):
    """A model, alias, selector or key id that can't exist."""

    slug = "invalid-name"
    title = "Not a valid name"


class MalformedBody(ModelyardError):
    """Not JSON, not UTF-8, NaN, duplicate names, too deep, bad CSV or npy."""

    slug = "malformed-body"
    title = "The body can't be read"


class UnsupportedMediaType(ModelyardError):
    """The Content-Type is missing or unknown."""

    slug = "unsupported-media-type"
    title = "This content type isn't accepted here"


class NotAcceptable(ModelyardError):
    """Only for `application/x-npy` of outputs that aren't numbers."""

    slug = "not-acceptable"
    title = "No representation that the Accept header allows"


class InvalidRequest(ModelyardError):
    """A field, query parameter or header of a control route is wrong or unknown."""

    slug = "invalid-request"
    title = "The request isn't valid"


class BodyTooLarge(ModelyardError):
    """More bytes than the route accepts."""

    slug = "body-too-large"
    title = "The body is too large"


class BodyTooSlow(ModelyardError):
    """No bytes for too long, or under the lowest average rate."""

    slug = "body-too-slow"
    title = "The body comes too slowly"


class MethodNotAllowed(ModelyardError):
    """The path exists, the HTTP method doesn't."""

    slug = "method-not-allowed"
    title = "This method isn't allowed here"


class RangeNotSatisfiable(ModelyardError):
    """The Range header asks for bytes that the artifact doesn't have."""

    slug = "range-not-satisfiable"
    title = "There are no such bytes"


class SignatureMismatch(ModelyardError):
    """Each bad value is a finding, up to 20."""

    slug = "signature-mismatch"
    title = "The input doesn't fit the model's signature"


class TooManyRows(ModelyardError):
    """More rows than `max_rows`."""

    slug = "too-many-rows"
    title = "Too many rows in one request"


class MethodNotAvailable(ModelyardError):
    """`method` isn't among the version's methods."""

    slug = "method-not-available"
    title = "The version has no such method"


class Unauthenticated(ModelyardError):
    """One text for unknown, wrong, revoked and expired keys."""

    slug = "unauthenticated"
    title = "A valid API key is needed"


class Forbidden(ModelyardError):
    """A scope is missing."""

    slug = "forbidden"
    title = "The key doesn't allow this"


class RateLimited(ModelyardError):
    """A limit of the key or address is used up."""

    slug = "rate-limited"
    title = "Too many requests"


class NotFound(ModelyardError):
    """Parent of what can't be found or may not be seen."""

    slug = "not-found"
    title = "Not found"


class PageNotFound(NotFound):
    """No route matches."""

    slug = "page-not-found"
    title = "There is nothing at this path"


class ModelNotFound(NotFound):
    """Unknown, deleted, or hidden from the key."""

    slug = "model-not-found"
    title = "No such model"


class VersionNotFound(NotFound):
    """The number was never given, or was swept."""

    slug = "version-not-found"
    title = "No such version"


class AliasNotFound(NotFound):
    """The model has no alias of that name."""

    slug = "alias-not-found"
    title = "No such alias"


class KeyNotFound(NotFound):
    """No API key has this id."""

    slug = "key-not-found"
    title = "No such key"


class VersionDeleted(ModelyardError):
    """It can be restored until it is swept."""

    slug = "version-deleted"
    title = "The version was deleted"


class VersionInUse(ModelyardError):
    """An alias points at it, or it is pinned: move the alias or take the pin away first."""

    slug = "version-in-use"
    title = "The version is in use"


class AliasMoved(ModelyardError):
    """`If-Match` doesn't name where the alias points now."""

    slug = "alias-moved"
    title = "The alias isn't where you expected"


class NothingToRollBackTo(ModelyardError):
    """The stack is empty, or `to` isn't in it."""

    slug = "nothing-to-roll-back-to"
    title = "The alias never pointed anywhere else"


class RollbackTargetDeleted(ModelyardError):
    """Names it and the next one."""

    slug = "rollback-target-deleted"
    title = "The version to go back to was deleted"


class TargetNotServable(ModelyardError):
    """The target did not load or its golden predictions differ."""

    slug = "target-not-servable"
    title = "The target can't serve, so nothing moved"


class ArtifactRefused(ModelyardError):
    """Parent of what is wrong with an uploaded artifact."""

    slug = "artifact-refused"
    title = "The upload was refused"


class UnsafeArtifact(ArtifactRefused):
    """Loading did what a model never needs to do."""

    slug = "unsafe-artifact"
    title = "The artifact isn't safe to load"


class NotAModel(ArtifactRefused):
    """It loads, but it isn't a fitted estimator."""

    slug = "not-a-model"
    title = "The artifact isn't a model that can predict"


class ChecksumMismatch(ArtifactRefused):
    """sha256 or Content-Digest differ from what arrived."""

    slug = "checksum-mismatch"
    title = "The bytes aren't those that were announced"


class UnknownFormat(ArtifactRefused):
    """Neither joblib, pickle, skops nor ONNX; or the extra that reads it isn't installed."""

    slug = "unknown-format"
    title = "The artifact's format isn't known"


class VersionSkew(ArtifactRefused):
    """It was made with other versions of its libraries, and nothing shows that it answers the same here."""

    slug = "version-skew"
    title = "The artifact was made with other versions"


class ArtifactTooLarge(ArtifactRefused):
    """More bytes than `max_artifact_bytes`."""

    slug = "artifact-too-large"
    title = "The artifact is too large"


class UploadIncomplete(ModelyardError):
    """Fewer bytes came than announced."""

    slug = "upload-incomplete"
    title = "The upload ended early"


class UploadTimeout(ModelyardError):
    """No bytes for too long, or under the lowest average rate."""

    slug = "upload-timeout"
    title = "The upload is too slow"


class TooManyUploads(ModelyardError):
    """Each key may have so many uploads under way."""

    slug = "too-many-uploads"
    title = "Too many uploads at once for this key"


class NoUploadSlot(ModelyardError):
    """Every upload slot of the host is taken."""

    slug = "no-upload-slot"
    title = "The host takes no more uploads just now"


class NoRoom(ModelyardError):
    """The disk's free space is under the floor."""

    slug = "no-room"
    title = "No room to keep the artifact"


class IdempotencyKeyReused(ModelyardError):
    """The same key came with another request."""

    slug = "idempotency-key-reused"
    title = "This Idempotency-Key was used for something else"


class PredictionFailed(ModelyardError):
    """It raised, crashed or answered the wrong length; details are in the log."""

    slug = "prediction-failed"
    title = "The model failed on valid input"


class PredictionTimeout(ModelyardError):
    """The worker was ended; the next request gets a new one."""

    slug = "prediction-timeout"
    title = "The model took too long"


class ModelUnloadable(ModelyardError):
    """Bytes changed, loading fails, or golden predictions differ."""

    slug = "model-unloadable"
    title = "The version doesn't load"


class Unavailable(ModelyardError):
    """Parent of what passes by itself."""

    slug = "unavailable"
    title = "Not available just now"


class RegistryUnavailable(Unavailable):
    """Changes need it; known predictions go on for a while."""

    slug = "registry-unavailable"
    title = "The registry's database can't be reached"


class SandboxUnavailable(Unavailable):
    """A wall that must stand doesn't."""

    slug = "sandbox-unavailable"
    title = "Models can't be run safely on this host"


class VersionBusy(Unavailable):
    """Its queue is full."""

    slug = "version-busy"
    title = "Too many requests wait for this version"


class VersionStarting(Unavailable):
    """Loading took longer than a request may wait."""

    slug = "version-starting"
    title = "The version is still loading"


class VersionResting(Unavailable):
    """It is tried again after the back-off."""

    slug = "version-resting"
    title = "The version crashed repeatedly and rests"


class TooLargeForBudget(Unavailable):
    """Even with everything else unloaded."""

    slug = "too-large-for-budget"
    title = "The version doesn't fit in the memory budget"


class ServerBusy(Unavailable):
    """Its bound on large requests at once is reached."""

    slug = "server-busy"
    title = "The server takes no more of these just now"


def every_error() -> list[type[ModelyardError]]:
    """Return all classes of the tree, the root first."""
    found: list[type[ModelyardError]] = [ModelyardError]
    for cls in found:
        found.extend(sub for sub in cls.__subclasses__() if sub not in found)
    return found


def to_wire(error: ModelyardError) -> dict[str, Any]:
    """Return `error` as plain values, for the sockets between our own processes."""
    return {
        "error": error.slug,
        "detail": error.detail,
        "findings": [[finding.detail, finding.pointer, finding.column] for finding in error.findings],
        "members": error.members,
        "retry_after_seconds": error.retry_after_seconds,
        "log_detail": error.log_detail,
    }


def from_wire(values: dict[str, Any]) -> ModelyardError:
    """Return the error that `to_wire` packed; an unknown slug gives the root class."""
    by_slug = {cls.slug: cls for cls in every_error()}
    return by_slug.get(str(values["error"]), ModelyardError)(
        values["detail"],
        findings=[Finding(*finding) for finding in values.get("findings", ())],
        members=values.get("members"),
        retry_after_seconds=values.get("retry_after_seconds"),
        log_detail=values.get("log_detail"),
    )
