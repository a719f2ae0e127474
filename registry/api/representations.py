"""How the catalog's records look in JSON: the shapes of the REST contract, and nothing else.

Pure functions from frozen dataclasses to plain values; they never query.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal, TypeVar, cast

import msgspec
from flask import Response

from registry.api import answers
from registry.catalog import ApiKey, Event, Model, Move, Page, Version
from registry.flows.switch import moment

T = TypeVar("T")

#: How the modes of the cache look: what old clients knew are booleans still.
CACHE_SHOWN: dict[str, Literal["auto"] | bool] = {"auto": "auto", "on": True, "off": False}


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Write `value` as JSON."""
    return Response(msgspec.json.encode(value), status, headers, mimetype="application/json")


def page_response(page: Page[T], show: Callable[[T], object]) -> Response:
    """Write one page of a list."""
    return json_response({"items": [show(item) for item in page.items], "next_cursor": page.next_cursor})


def nothing() -> Response:
    """Say that it is done; an answer without a body has no content type."""
    response = Response(status=204)
    del response.headers["Content-Type"]
    return response


def _moment_or_none(at: datetime | None) -> str | None:
    return moment(at) if at is not None else None


def model(record: Model) -> answers.Model:
    """Show a model."""
    return {
        "name": record.name,
        "description": record.description,
        "tags": record.tags,
        "runtime": cast("answers.Runtime", record.runtime),
        "latest_version": record.latest_version,
        "version_count": record.version_count,
        "aliases": record.aliases,
        "created_at": moment(record.created_at),
        "created_by": record.created_by,
        "deleted_at": _moment_or_none(record.deleted_at),
    }


def version(record: Version) -> answers.Version:
    """Show a version."""
    return {
        "model": record.model,
        "version": record.number,
        "status": cast("Any", record.status),
        "flavor": record.flavor,
        "estimator": record.estimator,
        "artifact": {"sha256": record.sha256, "size_bytes": record.size_bytes},
        "signature": cast("answers.Signature", record.signature),
        "methods": list(record.methods),
        "environment": record.environment,
        "skew": _skew(record.environment),
        "golden": cast("answers.Golden", {"rows": record.golden_rows, "from": record.golden_from}) if record.golden_from else None,
        "deterministic": record.deterministic,
        "runtime": cast("answers.Runtime", record.runtime),
        "fast": cast("Any", record.fast),
        "fast_report": record.fast_report,
        "accept_skew": record.accept_skew,
        "batching": record.batching,
        "cache": CACHE_SHOWN[record.cache],
        "pinned": record.pinned,
        "description": record.description,
        "tags": record.tags,
        "metrics": record.metrics,
        "parameters": record.parameters,
        "source": record.source,
        "aliases": list(record.aliases),
        "load_error": record.load_error,
        "created_at": moment(record.created_at),
        "created_by": record.created_by,
        "deleted_at": _moment_or_none(record.deleted_at),
    }


def _skew(environment: dict[str, Any]) -> dict[str, answers.Skew] | None:
    """Return which libraries a version was made with in another version than it was published under, or None."""
    recorded: dict[str, Any] = environment.get("recorded") or {}
    return {
        name: {"recorded": then, "published_under": environment[name]} for name, then in recorded.items() if name in environment
    } or None


def move(record: Move) -> answers.Move:
    """Show one move of an alias."""
    return {
        "model": record.model,
        "alias": record.alias,
        "kind": cast("Any", record.kind),
        "from": record.from_version,
        "to": record.to_version,
        "at": moment(record.at),
        "by": record.by,
        "reason": record.reason,
    }


def key(record: ApiKey) -> answers.Key:
    """Show an API key: never its secret or hash."""
    return {
        "id": record.id,
        "name": record.name,
        "scopes": cast("Any", list(record.scopes)),
        "models": list(record.models),
        "limits": list(record.limits),
        "created_at": moment(record.created_at),
        "created_by": record.created_by,
        "expires_at": _moment_or_none(record.expires_at),
        "revoked_at": _moment_or_none(record.revoked_at),
    }


def event(record: Event) -> answers.Event:
    """Show one event of the audit trail."""
    return {
        "id": record.id,
        "at": moment(record.at),
        "actor": record.actor,
        "kind": record.kind,
        "model": record.model,
        "version": record.version,
        "alias": record.alias,
        "key_id": record.key_id,
        "from": record.from_,
        "to": record.to,
        "reason": record.reason,
        "detail": record.detail,
    }
