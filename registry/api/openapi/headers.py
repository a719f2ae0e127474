"""The headers of answers: each described once, and named where it comes.

Those that every answer has stand in EVERYWHERE, those of every problem of a status in OF_STATUS.
"""

from __future__ import annotations

from typing import Any

DIGEST = "^sha-256=:[A-Za-z0-9+/]{43}=:$"
STRONG_ETAG = '^"[!#-~]*"$'

EVERYWHERE = ("X-Request-Id", "X-Content-Type-Options", "Content-Security-Policy")
#: What a predict request is told of its key's tightest limit, once it was counted.
LIMITS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
OF_STATUS = {401: ("WWW-Authenticate",), 416: ("Content-Range",), 429: ("Retry-After",), 503: ("Retry-After",)}
OF_405 = ("Allow",)


SOMETIMES = ".sometimes"


def components() -> dict[str, Any]:
    """Return each header under its name, and those that come with some answers of a kind under a second one."""
    headers = _headers()
    return headers | {name + SOMETIMES: headers[name] | {"required": False} for name in LIMITS}


def _headers() -> dict[str, Any]:
    return {
        "X-Request-Id": _header("Names this request in logs and problems: the caller's own, where that is well-formed.", "req-8f14e45f"),
        "X-Content-Type-Options": _header("Browsers take the content type at its word.", "nosniff", enum=["nosniff"]),
        "Content-Security-Policy": _header(
            "What a browser may run or load because of this answer.", "default-src 'none'; frame-ancestors 'none'"
        ),
        "WWW-Authenticate": _header("How to authenticate.", 'Bearer realm="modelyard"'),
        "Retry-After": _header("Seconds until another try makes sense.", 1, type="integer", minimum=1),
        "Allow": _header("The methods that the path has.", "GET, HEAD, OPTIONS, POST"),
        "Location": _header("Where what was made is found.", "/models/iris/3", pattern="^/"),
        "ETag": _header("Names this state; for `If-Match` and `If-None-Match`.", '"17"', pattern=STRONG_ETAG),
        "X-Cache": _header("Whether the prediction came from the cache.", "miss", enum=["hit", "miss", "bypass"]),
        "X-Model-Version": _header("The version that made the prediction.", 3, type="integer", minimum=1),
        "Server-Timing": _header(
            "Milliseconds spent on reading the inputs and on answering.", "validate;dur=0.041, predict;dur=0.830",
            pattern="^validate;dur=[0-9.]+, predict;dur=[0-9.]+$",
        ),
        "X-RateLimit-Limit": _header("Requests in each window of the key's tightest limit.", 6000, type="integer", minimum=1),
        "X-RateLimit-Remaining": _header("How many of them are left.", 5999, type="integer", minimum=0),
        "X-RateLimit-Reset": _header("Seconds until its window ends.", 60, type="integer", minimum=0),
        "Repr-Digest": _header("SHA-256 of the whole artifact (RFC 9530).", "sha-256=:" + 43 * "A" + "=:", pattern=DIGEST),
        "Content-Digest": _header("SHA-256 of what this answer carries (RFC 9530).", "sha-256=:" + 43 * "A" + "=:", pattern=DIGEST),
        "Content-Disposition": _header("An attachment, under a name for it.", "attachment; filename=iris-3.joblib"),
        "Accept-Ranges": _header("Parts may be asked for.", "bytes", enum=["bytes"]),
        "Content-Range": _header("Which bytes these are, of how many; `*` where there are none.", "bytes 0-99/5541", pattern="^bytes "),
        "Last-Modified": _header("When the version was published.", "Sun, 01 Mar 2026 09:30:00 GMT"),
        "Cache-Control": _header("Whether anyone may keep this answer.", "no-store"),
    }  # fmt: skip


def _header(description: str, example: Any, **schema: Any) -> dict[str, Any]:
    return {"description": description, "required": True, "schema": {"type": "string", **schema}, "example": example}


def named(*names: str, sometimes: bool = False) -> dict[str, Any]:
    """Return references to headers of the components."""
    return {name: {"$ref": f"#/components/headers/{name}{SOMETIMES if sometimes else ''}"} for name in names}
