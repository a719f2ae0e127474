"""Who calls: the API key in the Authorization header, its scopes and the models it may see.

A scope is declared where a route is registered, and checked before the body is read. Keys are taken from that header
alone, never from a query string or cookie, and every failure reads the same.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import TypeVar, cast

from flask import Flask, current_app, g, request

from registry import keys
from registry.api import limits
from registry.catalog import ApiKey
from registry.directory import Directory
from registry.errors import Forbidden, ModelNotFound, Unauthenticated
from registry.wiring import services

View = TypeVar("View", bound=Callable[..., object])

ANYONE = "anyone"
ANY_KEY = "any-key"
BY_CONFIGURATION = "by-configuration"
#: A page of the console, where a cookie says who calls and never a header.
BY_SESSION = "by-session"
#: So many headers are remembered as checked in each process.
MOST_VERIFIED = 5000
#: Says in a request's environ that its header names nobody, so that the database isn't asked twice.
NO_CALLER = "modelyard.no-caller"
_NAME = "required_scope"


@dataclass(frozen=True, slots=True)
class Caller:
    """The authenticated holder of a key."""

    key: ApiKey
    scopes: frozenset[str]

    @property
    def id(self) -> str:
        """Return the key's public id."""
        return self.key.id

    def require(self, scope: str) -> None:
        """Raise Forbidden without `scope`."""
        if scope not in self.scopes:
            raise Forbidden(f"This needs a key with the scope {scope!r}; yours has {', '.join(sorted(self.key.scopes)) or 'none'}.")

    def require_sees(self, model: str) -> None:
        """Raise ModelNotFound, as if it weren't there, for a model outside the key's patterns."""
        if not self.sees(model):
            raise ModelNotFound(f"There is no model {model!r}.")

    def sees(self, model: str) -> bool:
        """Tell whether a model is among those of the key's patterns."""
        return not self.key.models or keys.may_see(self.key.models, model)


def needs(scope: str) -> Callable[[View], View]:
    """Declare what a route needs: a scope, ANY_KEY, ANYONE, BY_SESSION, or BY_CONFIGURATION (no key where `public_metrics` is set)."""

    def mark(view: View) -> View:
        setattr(view, _NAME, scope)
        return view

    return mark


def register(app: Flask) -> None:
    """Check every request before its view and before its body is read."""
    app.before_request(_authenticate)


def caller() -> Caller:
    """Return who calls; only where the route needs a scope."""
    return cast("Caller", g.caller)


def required_scope(endpoint: str) -> str:
    """Return what an endpoint declared. Raises KeyError for one that declared nothing."""
    scope = getattr(current_app.view_functions[endpoint], _NAME, None)
    if scope is None:
        raise KeyError(f"route {endpoint} declares no scope")
    return str(scope)


def _authenticate() -> None:
    if request.endpoint is None or request.routing_exception is not None or request.method == "OPTIONS":
        return  # a browser asks with OPTIONS before it sends a key; the answer names methods alone
    scope = required_scope(request.endpoint)
    if scope in {ANYONE, BY_SESSION} or (scope == BY_CONFIGURATION and services().config.public_metrics):
        return
    found = identify(request.headers.get("Authorization", ""))
    g.caller = found
    if scope != ANY_KEY:
        found.require("read" if scope == BY_CONFIGURATION else scope)
    name = (request.view_args or {}).get("name")
    if name is not None:
        found.require_sees(name)


def identify(header: str) -> Caller:
    """Return the caller whose key stands in the header. Raises Unauthenticated, or RateLimited for an address that keeps failing."""
    built = services()
    known_bad = request.environ.get(NO_CALLER, False)  # looked for already, in the lane of predict requests
    found = None if known_bad else find_caller(header, built.directory, built.secrets.key_pepper)
    if found is None:
        limits.count_failed_authentication(request.remote_addr or "unknown")
        raise Unauthenticated("Send a valid API key as 'Authorization: Bearer my_…'.")
    return found


class Verified:
    """The keys that this process has checked, so that each request of a known one costs no HMAC. Safe to use from many threads.

    What is remembered is a keyed digest of the header, never the key, beside the record it was checked against: a record that
    changed is another object, and is checked again.
    """

    def __init__(self, directory: Directory, pepper: bytes) -> None:
        """Remember nothing yet."""
        self._directory = directory
        self._pepper = pepper
        self._secret = secrets.token_bytes(32)
        self._known: dict[bytes, Caller] = {}

    def find(self, header: str) -> Caller | None:
        """Return the caller whose key stands in an Authorization header, or None for whatever reason. Counts nothing."""
        digest = blake2b(header.encode("utf-8", "surrogateescape"), digest_size=16, key=self._secret).digest()
        known = self._known.get(digest)
        if known is not None and self._directory.find_key(known.key.id) is known.key:
            return known if _valid(known.key) else None
        found = find_caller(header, self._directory, self._pepper)
        if found is not None:
            if len(self._known) >= MOST_VERIFIED:
                self._known.clear()
            self._known[digest] = found
        return found


def find_caller(header: str, directory: Directory, pepper: bytes) -> Caller | None:
    """Return the caller whose key stands in the header, or None for whatever reason. Counts nothing."""
    scheme, _, text = header.partition(" ")
    parsed = keys.parse_key(text.strip()) if scheme.lower() == "bearer" else None
    key = directory.find_key(parsed.id) if parsed is not None else None
    if key is None or parsed is None or not keys.secret_matches(parsed.secret, key.hash, pepper):
        return None
    return caller_of(key)


def caller_of(key: ApiKey | None) -> Caller | None:
    """Return the holder of a key, or None for one that isn't there, was revoked or has expired."""
    if key is None or not _valid(key):
        return None
    return Caller(key, keys.effective_scopes(key.scopes))


def _valid(key: ApiKey) -> bool:
    if key.revoked_at is None and key.expires_at is None:
        return True
    now = datetime.now(UTC)
    return (key.revoked_at is None or key.revoked_at > now) and (key.expires_at is None or key.expires_at > now)
