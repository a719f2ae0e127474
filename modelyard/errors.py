"""Every way in which a call can fail, as one tree of exceptions: what the service answers, and what keeps it from answering.

Each problem type of the service has a class under the name that it has there, so that callers catch what they can act on.
No message may carry the API key.

    ModelyardError
    ├─ ConfigurationError        no key, no such profile, a selector or an input that can't be sent
    ├─ ConnectionFailed          no answer came; TimedOut: not in time
    ├─ DownloadDamaged           the bytes that came aren't those of the version
    └─ Problem                   the service answered with a problem (RFC 9457); one class for each type
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Finding:
    """One bad value of a request: what is wrong, where (a JSON pointer), and the column it belongs to, if any."""

    detail: str
    pointer: str | None = None
    column: str | None = None

    def __str__(self) -> str:
        """Return one line."""
        column = f" (column {self.column})" if self.column is not None else ""
        return f"{self.pointer}{column}: {self.detail}" if self.pointer is not None else f"{self.detail}{column}"


class ModelyardError(Exception):
    """Root of the tree."""


class ConfigurationError(ModelyardError):
    """There is no key, no such profile, or something was handed over that can't be sent."""


class ConnectionFailed(ModelyardError):
    """No answer came: the service can't be reached, or the connection broke."""


class TimedOut(ConnectionFailed):
    """No answer came in time. What was asked may have been carried out all the same."""


class DownloadDamaged(ModelyardError):
    """The bytes that came don't have the digest of the version's artifact; they were thrown away."""


class Problem(ModelyardError):
    """The service answered with a problem.

    `status` is the HTTP status, `slug` the last part of the problem's type, `errors` the bad values, `members` whatever the
    problem tells besides (such as `found` of a refused upload), `retry_after_seconds` when the service says that asking again
    will help, `body` the whole problem document as it came.
    """

    slug: ClassVar[str] = "internal-error"

    def __init__(self, status: int, body: Mapping[str, Any], retry_after_seconds: float | None = None) -> None:
        """Read a problem document."""
        self.status = status
        self.body = dict(body)
        self.type = str(body.get("type", "about:blank"))
        self.title = str(body.get("title", "The service answered with an error"))
        self.detail = str(body.get("detail", ""))
        self.request_id = body.get("request_id")
        self.errors = tuple(_findings(body))
        self.members = {name: value for name, value in body.items() if name not in _STANDARD}
        self.retry_after_seconds = retry_after_seconds
        super().__init__(self._text())

    def _text(self) -> str:
        lines = [
            f"{self.title} ({self.status})"
            if self.detail.rstrip(".") in ("", self.title)
            else f"{self.title} ({self.status}): {self.detail}"
        ]
        lines += [f"  {finding}" for finding in self.errors]
        lines += [f"  found {_told(found)}" for found in _listed(self.members.get("found")) if isinstance(found, dict)]
        if self.request_id:
            lines.append(f"  request {self.request_id}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what rebuilds the error in another process."""
        return type(self), (self.status, self.body, self.retry_after_seconds)


_STANDARD = frozenset({"type", "title", "status", "detail", "instance", "request_id", "errors"})


def _told(found: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in found.items() if isinstance(value, str | int | float))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _findings(body: Mapping[str, Any]) -> Iterator[Finding]:
    for found in _listed(body.get("errors")):
        if isinstance(found, Mapping):
            yield Finding(str(found.get("detail", "")), found.get("pointer"), found.get("column"))


class InvalidName(Problem):
    """A model, alias, selector or key id that can't exist."""

    slug = "invalid-name"


class MalformedBody(Problem):
    """Not JSON, not UTF-8, NaN, duplicate names, too deep, bad CSV or npy."""

    slug = "malformed-body"


class UnsupportedMediaType(Problem):
    """The Content-Type is missing or unknown."""

    slug = "unsupported-media-type"


class NotAcceptable(Problem):
    """Only for `application/x-npy` of outputs that aren't numbers."""

    slug = "not-acceptable"


class InvalidRequest(Problem):
    """A field, query parameter or header of a control route is wrong or unknown."""

    slug = "invalid-request"


class BodyTooLarge(Problem):
    """More bytes than the route accepts."""

    slug = "body-too-large"


class BodyTooSlow(Problem):
    """No bytes for too long, or under the lowest average rate."""

    slug = "body-too-slow"


class MethodNotAllowed(Problem):
    """The path exists, the HTTP method doesn't."""

    slug = "method-not-allowed"


class RangeNotSatisfiable(Problem):
    """The Range header asks for bytes that the artifact doesn't have."""

    slug = "range-not-satisfiable"


class SignatureMismatch(Problem):
    """Each bad value is a finding, up to 20."""

    slug = "signature-mismatch"


class TooManyRows(Problem):
    """More rows than `max_rows`."""

    slug = "too-many-rows"


class MethodNotAvailable(Problem):
    """`method` isn't among the version's methods."""

    slug = "method-not-available"


class Unauthenticated(Problem):
    """One text for unknown, wrong, revoked and expired keys."""

    slug = "unauthenticated"


class Forbidden(Problem):
    """A scope is missing."""

    slug = "forbidden"


class RateLimited(Problem):
    """A limit of the key or address is used up."""

    slug = "rate-limited"


class NotFound(Problem):
    """Parent of what can't be found or may not be seen."""

    slug = "not-found"


class PageNotFound(NotFound):
    """No route matches."""

    slug = "page-not-found"


class ModelNotFound(NotFound):
    """Unknown, deleted, or hidden from the key."""

    slug = "model-not-found"


class VersionNotFound(NotFound):
    """The number was never given, or was swept."""

    slug = "version-not-found"


class AliasNotFound(NotFound):
    """The model has no alias of that name."""

    slug = "alias-not-found"


class KeyNotFound(NotFound):
    """No API key has this id."""

    slug = "key-not-found"


class VersionDeleted(Problem):
    """It can be restored until it is swept."""

    slug = "version-deleted"


class VersionInUse(Problem):
    """An alias points at it, or it is pinned: move the alias or take the pin away first."""

    slug = "version-in-use"


class AliasMoved(Problem):
    """`If-Match` doesn't name where the alias points now."""

    slug = "alias-moved"


class NothingToRollBackTo(Problem):
    """The stack is empty, or `to` isn't in it."""

    slug = "nothing-to-roll-back-to"


class RollbackTargetDeleted(Problem):
    """Names it and the next one."""

    slug = "rollback-target-deleted"


class TargetNotServable(Problem):
    """The target did not load or its golden predictions differ."""

    slug = "target-not-servable"


class ArtifactRefused(Problem):
    """Parent of what is wrong with an uploaded artifact."""

    slug = "artifact-refused"


class UnsafeArtifact(ArtifactRefused):
    """Loading did what a model never needs to do."""

    slug = "unsafe-artifact"


class NotAModel(ArtifactRefused):
    """It loads, but it isn't a fitted estimator."""

    slug = "not-a-model"


class ChecksumMismatch(ArtifactRefused):
    """sha256 or Content-Digest differ from what arrived."""

    slug = "checksum-mismatch"


class UnknownFormat(ArtifactRefused):
    """Neither joblib, pickle, skops nor ONNX; or the extra that reads it isn't installed."""

    slug = "unknown-format"


class VersionSkew(ArtifactRefused):
    """It was made with other versions of its libraries, and nothing shows that it answers the same here."""

    slug = "version-skew"


class ArtifactTooLarge(ArtifactRefused):
    """More bytes than `max_artifact_bytes`."""

    slug = "artifact-too-large"


class UploadIncomplete(Problem):
    """Fewer bytes came than announced."""

    slug = "upload-incomplete"


class UploadTimeout(Problem):
    """No bytes for too long, or under the lowest average rate."""

    slug = "upload-timeout"


class TooManyUploads(Problem):
    """Each key may have so many uploads under way."""

    slug = "too-many-uploads"


class NoUploadSlot(Problem):
    """Every upload slot of the host is taken."""

    slug = "no-upload-slot"


class NoRoom(Problem):
    """The disk's free space is under the floor."""

    slug = "no-room"


class IdempotencyKeyReused(Problem):
    """The same key came with another request."""

    slug = "idempotency-key-reused"


class PredictionFailed(Problem):
    """It raised, crashed or answered the wrong length; details are in the log."""

    slug = "prediction-failed"


class PredictionTimeout(Problem):
    """The worker was ended; the next request gets a new one."""

    slug = "prediction-timeout"


class ModelUnloadable(Problem):
    """Bytes changed, loading fails, or golden predictions differ."""

    slug = "model-unloadable"


class Unavailable(Problem):
    """Parent of what passes by itself."""

    slug = "unavailable"


class RegistryUnavailable(Unavailable):
    """Changes need it; known predictions go on for a while."""

    slug = "registry-unavailable"


class SandboxUnavailable(Unavailable):
    """A wall that must stand doesn't."""

    slug = "sandbox-unavailable"


class VersionBusy(Unavailable):
    """Its queue is full."""

    slug = "version-busy"


class VersionStarting(Unavailable):
    """Loading took longer than a request may wait."""

    slug = "version-starting"


class VersionResting(Unavailable):
    """It is tried again after the back-off."""

    slug = "version-resting"


class TooLargeForBudget(Unavailable):
    """Even with everything else unloaded."""

    slug = "too-large-for-budget"


class ServerBusy(Unavailable):
    """Its bound on large requests at once is reached."""

    slug = "server-busy"


def every_problem() -> dict[str, type[Problem]]:
    """Return the class of each problem type, by its slug."""
    found: list[type[Problem]] = [Problem]
    for cls in found:
        found.extend(cls.__subclasses__())
    return {cls.slug: cls for cls in found}


def problem_of(status: int, body: Mapping[str, Any], retry_after_seconds: float | None = None) -> Problem:
    """Return the error of a problem document; of a type that this client doesn't know yet, the class that its status suggests."""
    slug = str(body.get("type", "")).rpartition("/")[2]
    cls = every_problem().get(slug) or _BY_STATUS.get(status, Problem)
    return cls(status, body, retry_after_seconds)


_BY_STATUS: dict[int, type[Problem]] = {
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    408: BodyTooSlow,
    413: BodyTooLarge,
    422: InvalidRequest,
    429: RateLimited,
    503: Unavailable,
    502: Unavailable,
    504: Unavailable,
}
