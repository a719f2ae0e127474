"""Every error as RFC 9457 `application/problem+json`: one table maps class to status, one function writes the body.

No exception text of a library, a driver or a model ever reaches a body; it goes to the log under the same request id.
"""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import Any

import msgspec
from flask import Flask, Response, g, request
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestedRangeNotSatisfiable

from registry import errors, observability
from registry.extensions import DATABASE_AWAY, database_away, roll_back_session

TYPE_PREFIX = "https://modelyard.dev/problems/"
MAX_FINDINGS = 20

STATUS: dict[type[errors.ModelyardError], int] = {
    errors.ModelyardError: 500,
    errors.InvalidName: 400,
    errors.MalformedBody: 400,
    errors.UnsupportedMediaType: 415,
    errors.NotAcceptable: 406,
    errors.InvalidRequest: 422,
    errors.BodyTooLarge: 413,
    errors.BodyTooSlow: 408,
    errors.MethodNotAllowed: 405,
    errors.RangeNotSatisfiable: 416,
    errors.SignatureMismatch: 422,
    errors.TooManyRows: 413,
    errors.MethodNotAvailable: 422,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.RateLimited: 429,
    errors.NotFound: 404,
    errors.PageNotFound: 404,
    errors.ModelNotFound: 404,
    errors.VersionNotFound: 404,
    errors.AliasNotFound: 404,
    errors.KeyNotFound: 404,
    errors.VersionDeleted: 410,
    errors.VersionInUse: 409,
    errors.AliasMoved: 412,
    errors.NothingToRollBackTo: 409,
    errors.RollbackTargetDeleted: 409,
    errors.TargetNotServable: 409,
    errors.ArtifactRefused: 422,
    errors.UnsafeArtifact: 422,
    errors.NotAModel: 422,
    errors.ChecksumMismatch: 422,
    errors.VersionSkew: 422,
    errors.UnknownFormat: 415,
    errors.ArtifactTooLarge: 413,
    errors.UploadIncomplete: 400,
    errors.UploadTimeout: 408,
    errors.TooManyUploads: 429,
    errors.NoUploadSlot: 503,
    errors.NoRoom: 507,
    errors.IdempotencyKeyReused: 422,
    errors.PredictionFailed: 500,
    errors.PredictionTimeout: 504,
    errors.ModelUnloadable: 500,
    errors.Unavailable: 503,
    errors.RegistryUnavailable: 503,
    errors.SandboxUnavailable: 503,
    errors.VersionBusy: 503,
    errors.VersionStarting: 503,
    errors.VersionResting: 503,
    errors.TooLargeForBudget: 503,
    errors.ServerBusy: 503,
}

DEFAULT_RETRY_SECONDS = 1


def register(app: Flask) -> None:
    """Handle every exception of `app`. On the app, since blueprints don't see routing errors; the console shows its own as pages."""
    app.register_error_handler(Exception, respond)


def respond(error: Exception) -> Response:
    """Return the problem response of whatever was raised."""
    if isinstance(error, errors.ModelyardError):
        return answer(error)
    if isinstance(error, HTTPException):
        return _answer_http(error)
    return _answer_away(error) if isinstance(error, DATABASE_AWAY) else _answer_unknown(error)


def answer(error: errors.ModelyardError) -> Response:
    """Return the problem response of a domain error, and log what callers may not read."""
    status = STATUS[type(error)]
    g.problem = error.slug
    if error.log_detail is not None or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        observability.log.warning("problem", problem=error.slug, detail=error.detail, cause=error.log_detail, request_id=g.request_id)
    response = problem_response(status, error.slug, error.title, error.detail, error.findings, error.members)
    seconds = error.retry_after_seconds
    if seconds is None and status in {429, 503}:
        seconds = DEFAULT_RETRY_SECONDS
    if seconds is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(seconds)))
    if isinstance(error, errors.Unauthenticated):
        response.headers["WWW-Authenticate"] = 'Bearer realm="modelyard"'
    if _may_be_unread() or isinstance(error, errors.UploadTimeout | errors.UploadIncomplete | errors.BodyTooSlow):
        response.headers["Connection"] = "close"
    return response


def _may_be_unread() -> bool:
    """Tell whether the body may be left unread: the server drops such a connection, so its client must hear of it.

    However small it is: it may still be on its way when the answer goes out.
    """
    has_body = bool(request.content_length) or "chunked" in request.headers.get("Transfer-Encoding", "").lower()
    timed = g.get("timed_body")
    return has_body and not g.get("body_is_read", False) and not (timed is not None and timed.is_read)


def problem_response(
    status: int, slug: str, title: str, detail: str, findings: tuple[errors.Finding, ...] = (), members: dict[str, Any] | None = None
) -> Response:
    """Write one problem. A key that stood in path, query or body isn't repeated: bodies of errors end up in other people's logs."""
    body: dict[str, Any] = {
        "type": TYPE_PREFIX + slug,
        "title": title,
        "status": status,
        "detail": detail,
        "instance": request.path,
        "request_id": g.request_id,
        **(members or {}),
    }
    if findings:
        body["errors"] = [finding.as_dict() for finding in findings[:MAX_FINDINGS]]
    return Response(observability.hide_keys(msgspec.json.encode(body).decode()), status, mimetype="application/problem+json")


def refuse_invalid(error: ValidationError) -> None:
    """Turn pydantic's findings into ours, with JSON pointers and without echoing the input. Always raises InvalidRequest."""
    findings = [errors.Finding(_sentence(found), "#/" + "/".join(_escape(part) for part in found["loc"])) for found in error.errors()]
    raise errors.InvalidRequest("Some values aren't valid; see errors.", findings=findings) from None


def _sentence(found: Any) -> str:
    if found["type"] == "extra_forbidden":
        return f"unknown field {found['loc'][-1]!r}"
    return str(found["msg"]).removeprefix("Value error, ")


def _escape(part: int | str) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")


def _answer_http(error: HTTPException) -> Response:
    status = error.code or 500
    if status == HTTPStatus.NOT_FOUND:
        return answer(errors.PageNotFound(f"Nothing is served at {request.path!r}."))
    if isinstance(error, MethodNotAllowed):
        allowed = ", ".join(sorted(error.valid_methods or ()))
        response = answer(errors.MethodNotAllowed(f"Allowed here: {allowed}."))
        response.headers["Allow"] = allowed
        return response
    if isinstance(error, RequestedRangeNotSatisfiable):
        response = answer(errors.RangeNotSatisfiable(f"There are {error.length} bytes."))
        response.headers["Content-Range"] = f"{error.units} */{error.length}"
        return response
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return answer(errors.BodyTooLarge())
    if error.response is not None and status < HTTPStatus.BAD_REQUEST:
        return error.response  # type: ignore[return-value]
    if status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return answer(errors.MalformedBody(error.name))
    return answer(errors.ModelyardError())


def _answer_away(error: Exception) -> Response:
    roll_back_session()
    return answer(database_away(error))


def _answer_unknown(error: Exception) -> Response:
    roll_back_session()
    observability.log.error("unexpected error", request_id=g.get("request_id"), exc_info=error)
    g.problem = errors.ModelyardError.slug
    root = errors.ModelyardError
    return problem_response(500, root.slug, root.title, "The error is in the log under this request id.")
