"""The parameters of requests: what may stand in a path, and the headers that routes read.

The patterns are those of `naming.py`, in the notation of JSON Schema; a test holds the two together.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from registry.api.openapi.headers import DIGEST
from registry.api.openapi.shapes import of_query

#: No two dots stand side by side.
MODEL = r"^[a-z0-9](\.?[a-z0-9_-])*\.?$"
ALIAS = "^[a-z][a-z0-9-]{0,63}$"
SELECTOR = "^([1-9][0-9]{0,8}|@[a-z][a-z0-9-]{0,63})$"
KEY_ID = "^[0-9A-Za-z]{12}$"
IDEMPOTENCY_KEY = "^[!-~]{1,200}$"
IF_MATCH = r'^(\*|"[!#-~]*")$'

#: Fields of queries that need words or a pattern beside what validates them.
QUERIES: dict[str, dict[str, Any]] = {
    "limit": {"description": "Most items of a page.", "example": 50},
    "cursor": {
        "description": "The `next_cursor` of the page before; without it the first page comes.",
        "example": "WyJtb2RlbHMiLCJpcmlzIl0",
    },
    "tag": {"description": "Only what has this tag, as `name:value`.", "pattern": "^[^:]+:", "example": "team:credit"},
    "search": {"description": "Only what has this in its name or description.", "example": "churn"},
    "order": {"description": "By name or by age; a minus turns it round.", "example": "-created_at"},
    "status": {"description": "Only versions of this status.", "example": "ready"},
    "at": {"description": "Where it pointed then; without an offset, a time is UTC.", "example": "2026-03-01T09:30:00Z"},
    "since": {"description": "Only events from then on; without an offset, a time is UTC.", "example": "2026-03-01T09:30:00Z"},
    "model": {"description": "Only events of this model.", "example": "iris"},
    "actor": {"description": "Only what this key did; `operator` or `host` as well.", "example": "operator"},
    "kind": {"description": "Only events of this kind.", "example": "alias.pointed"},
    "description": {"description": "Words about the version.", "example": "With more flowers."},
    "flavor": {"description": "How the artifact is loaded; else it is recognised from its bytes.", "example": "sklearn"},
    "sha256": {"description": "The artifact's SHA-256 in hexadecimal; another artifact is refused.", "example": 64 * "0"},
    "alias": {"description": "An alias to point at the version once it is ready.", "pattern": ALIAS, "example": "staging"},
    "runtime": {"description": "What serves it; else what its model says.", "example": "exact"},
    "accept_skew": {"description": "Take it also where it was made with other versions of its libraries.", "example": False},
    "batching": {"description": "Let requests be joined into one call.", "example": True},
}


def components() -> dict[str, Any]:
    """Return the parameters of paths and headers, each under its name."""
    return {
        "name": _in_path("name", "A model's name.", "iris", pattern=MODEL, maxLength=64),
        "selector": _in_path(
            "selector", "A version: its number, or an alias after `@`; `@latest` is the highest that is ready.", "@production", pattern=SELECTOR
        ),
        "alias": _in_path("alias", "An alias, without `@`.", "production", pattern=ALIAS, **{"not": {"const": "latest"}}),
        "key_id": _in_path("key_id", "A key's public id: what stands between the underscores of the key.", "oLNfeoI3BthA", pattern=KEY_ID),
        "file": _in_path("file", "A file of the page at `/docs`.", "page.js", pattern="^[a-z][a-z.-]{0,39}$"),
        "X-Request-Id": _in_header("X-Request-Id", "Names the request, where it has 8 to 64 of A-Z, a-z, 0-9, `.`, `_` and `-`.", "my-request-1"),
        "Idempotency-Key": _in_header(
            "Idempotency-Key", "The same key with the same request is carried out once in 24 hours.", "run-2026-03-01-a", pattern=IDEMPOTENCY_KEY
        ),
        "If-Match": _in_header("If-Match", "Only if the alias points where this entity tag was given; `*`: only if it is there.", '"17"', pattern=IF_MATCH),
        "If-None-Match": _in_header("If-None-Match", "`*`: only if the alias isn't there yet.", "*", enum=["*"]),
        "Content-Digest": _in_header(
            "Content-Digest", "SHA-256 of the body (RFC 9530); another body is refused.", "sha-256=:" + 43 * "A" + "=:", pattern=DIGEST
        ),
        "Cache-Control": _in_header("Cache-Control", "`no-cache` doesn't look into the prediction cache, `no-store` doesn't fill it either.", "no-cache"),
        "Range": _in_header("Range", "The bytes that are wanted (RFC 9110).", "bytes=0-99"),
        "If-Range": _in_header("If-Range", "Send the range only if the artifact is still this one.", f'"{64 * "0"}"'),
        "method": _in_query("method", "The method that a CSV or npy body asks for; JSON names its own.", "predict", default="predict"),
        "Known-ETag": _in_header("If-None-Match", "Send nothing if the artifact is the one that has this entity tag.", f'"{64 * "0"}"'),
    }  # fmt: skip


def named(*names: str) -> list[dict[str, Any]]:
    """Return references to parameters of the components."""
    return [{"$ref": f"#/components/parameters/{name}"} for name in names]


def of_model(model: type[BaseModel], note: str = "") -> list[dict[str, Any]]:
    """Return the parameters of a query that a pydantic model validates."""
    found = []
    for name, schema in of_query(model).items():
        words = dict(QUERIES.get(name, {}))
        description = " ".join(filter(None, (words.pop("description", ""), note)))
        if "example" in words:
            words["examples"] = [words.pop("example")]
        found.append({"name": name, "in": "query", "description": description, "schema": {**schema, **words}})
    return found


def _in_path(name: str, description: str, example: str, **schema: Any) -> dict[str, Any]:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": {"type": "string", **schema},
        "example": example,
    }


def _in_query(name: str, description: str, example: str, **schema: Any) -> dict[str, Any]:
    return _left_out("query", name, description, example, schema)


def _in_header(name: str, description: str, example: str, **schema: Any) -> dict[str, Any]:
    return _left_out("header", name, description, example, schema)


def _left_out(place: str, name: str, description: str, example: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Return a parameter that is commonly left out: as an example of the schema, it isn't filled in by the page that shows this."""
    return {"name": name, "in": place, "description": description, "schema": {"type": "string", **schema, "examples": [example]}}
