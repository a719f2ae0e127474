"""The lane of plain predict requests: in front of Flask, with the same router, checks, counts, headers and log line, and none of its bookkeeping.

What it doesn't know it leaves to Flask before it has done anything; what went wrong it hands over, for Flask's one way of
answering errors. So it must never answer an error itself, and never do twice what it did before it handed over.
"""

from __future__ import annotations

from collections.abc import Iterable
from time import perf_counter, time
from typing import TYPE_CHECKING, Any, cast

from flask import Flask, g, request
from werkzeug.exceptions import HTTPException

from registry import observability
from registry.api import predictions, whole_body
from registry.api.auth import NO_CALLER, Caller, Verified
from registry.api.bodies import read_names
from registry.api.ledger import Answered, Ledger
from registry.api.limits import Standing, counters
from registry.api.requests import NO_CONTENT, limit_headers
from registry.errors import ModelyardError, RateLimited
from registry.flows.predict import Prediction, predict
from registry.naming import PRODUCTION
from registry.wiring import Services

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

#: What isn't a plain predict request.
_NO_TARGET = ("", 0, "")
#: Paths whose target is remembered; a path that names no predict route isn't.
MOST_PATHS = 20_000
MOST_PATH_CHARACTERS = 160
#: A thousand rows of twenty columns in JSON.
MOST_BODY_BYTES = 512 * 1024
_HANDED_OVER = "modelyard.handed-over"
_LEDGER = "modelyard-ledger"

Target = tuple[str, int | str, str]


class Exchange:
    """One request in the lane: what was found out of it so far."""

    __slots__ = ("body_is_read", "caller", "error", "failed", "prediction", "request_id", "standing", "started")

    def __init__(self, offered_id: str | None, caller: Caller | None, started: float) -> None:
        """Begin with an authenticated caller, or without one where looking for it failed."""
        self.started = started
        self.request_id = observability.request_id(offered_id)
        self.caller = caller
        self.body_is_read = False
        self.standing: Standing | None = None
        self.prediction: Prediction | None = None
        self.error: Exception | None = None
        self.failed: tuple[str, str, str] | None = None


class PredictLane:
    """A WSGI application around Flask's. Safe to use from many threads."""

    def __init__(self, app: Flask, built: Services) -> None:
        """Stand in front of `app`; its routes must be complete."""
        self._flask: WSGIApplication = app.wsgi_app
        self._built = built
        self._counters = counters(app)
        self._bodies = whole_body.small_bodies(app)
        self._ledger = ledger_of(app)
        self._router = app.url_map.bind("")
        self._targets: dict[str, Target] = {}
        self._most_bytes = min(MOST_BODY_BYTES, int(built.config.max_body_bytes))
        self._verified = Verified(built.directory, built.secrets.key_pepper)

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer a plain predict request; give everything else to Flask."""
        started = perf_counter()
        name, selector, route = self._target_of(environ)
        if not name:
            return self._flask(environ, start_response)
        try:
            caller = self._verified.find(environ.get("HTTP_AUTHORIZATION", ""))
        except Exception as error:  # noqa: BLE001 - the database may be away
            return self._hand_over(Exchange(environ.get("HTTP_X_REQUEST_ID"), None, started), error, environ, start_response)
        if caller is None:
            environ[NO_CALLER] = True
        if caller is None or "predict" not in caller.scopes or not caller.sees(name):
            return self._flask(environ, start_response)
        exchange = Exchange(environ.get("HTTP_X_REQUEST_ID"), caller, started)
        try:
            content_type, answer = self._answer(environ, exchange, name, selector)
        except Exception as error:  # noqa: BLE001 - every error has one way out, which is Flask's
            return self._hand_over(exchange, error, environ, start_response)
        start_response("200 OK", self._headers(exchange, content_type))
        self._write_down(exchange, environ["PATH_INFO"], route)
        return [answer]

    def _hand_over(self, exchange: Exchange, error: Exception, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        exchange.error = error
        environ[_HANDED_OVER] = exchange
        return self._flask(environ, start_response)

    def _target_of(self, environ: dict[str, Any]) -> Target:
        """Return model, selector and route where this is a plain predict request, as Flask's router says."""
        if (
            environ["REQUEST_METHOD"] != "POST"
            or environ["QUERY_STRING"]
            or "HTTP_ORIGIN" in environ
            or "HTTP_TRANSFER_ENCODING" in environ
        ):
            return _NO_TARGET
        if not _is_length(environ.get("CONTENT_LENGTH", ""), self._most_bytes):
            return _NO_TARGET
        path = environ["PATH_INFO"]
        if len(path) > MOST_PATH_CHARACTERS:  # the router takes any number of slashes in front; names and selectors are shorter
            return _NO_TARGET
        target = self._targets.get(path)
        return self._match(path) if target is None else target

    def _match(self, path: str) -> Target:
        try:
            rule, arguments = self._router.match(path, "POST", return_rule=True)
            if rule.endpoint == predictions.VERSION_ENDPOINT:
                target = (arguments["name"], read_names(arguments["name"], arguments["selector"]), rule.rule)
            elif rule.endpoint == predictions.PRODUCTION_ENDPOINT:
                read_names(arguments["name"])
                target = (arguments["name"], PRODUCTION, rule.rule)
            else:
                return _NO_TARGET
        except (HTTPException, ModelyardError):
            return _NO_TARGET
        if len(self._targets) >= MOST_PATHS:
            self._targets.clear()
        self._targets[path] = target
        return target

    def _answer(self, environ: dict[str, Any], exchange: Exchange, name: str, selector: int | str) -> tuple[str, bytes]:
        key = cast("Caller", exchange.caller).key
        body = self._bodies.read(key.id, environ["wsgi.input"], int(environ.get("CONTENT_LENGTH") or 0))
        exchange.body_is_read = True
        try:
            exchange.standing = self._counters.count(key.id, key.limits)
        except RateLimited as error:
            exchange.standing = Standing(**error.members)
            raise
        asked = predictions.payload(body, environ.get("CONTENT_TYPE", ""), environ.get("HTTP_CACHE_CONTROL", ""))
        try:
            exchange.prediction = prediction = predict(name, selector, asked, self._built.serving)
            return predictions.render(prediction, environ.get("HTTP_ACCEPT", ""), exchange.request_id)
        except ModelyardError as error:
            exchange.failed = (*predictions.resolved_to(self._built, name, selector, error), error.slug)
            raise

    def _headers(self, exchange: Exchange, content_type: str) -> list[tuple[str, str]]:
        headers = predictions.headers_of(cast("Prediction", exchange.prediction))
        headers += [
            ("Content-Type", content_type),
            ("X-Request-Id", exchange.request_id),
            ("X-Content-Type-Options", "nosniff"),
            ("Content-Security-Policy", NO_CONTENT),
        ]
        if exchange.standing is not None:
            headers += limit_headers(exchange.standing)
        return headers

    def _write_down(self, exchange: Exchange, path: str, route: str) -> None:
        """Have the answer counted and logged, as those of Flask's requests are."""
        prediction = cast("Prediction", exchange.prediction)
        version = prediction.version
        self._ledger.add(
            Answered(
                time(), perf_counter() - exchange.started, exchange.request_id, path, route, cast("Caller", exchange.caller).id, version.model,
                version.number, prediction.cache, prediction.tier, prediction.outputs.rows, prediction.validate_seconds,
                prediction.predict_seconds,
            )
        )  # fmt: skip


def ledger_of(app: Flask) -> Ledger:
    """Return what an application's lane has answered and not yet written down."""
    return cast("Ledger", app.extensions[_LEDGER])


def take_over() -> None:
    """Go on with what the lane handed over: raise its error inside Flask's request, with everything that is known of it."""
    exchange: Exchange | None = request.environ.get(_HANDED_OVER)
    if exchange is None:
        return
    g.started, g.request_id = exchange.started, exchange.request_id
    if exchange.caller is not None:
        g.caller = exchange.caller
    g.body_is_read = exchange.body_is_read
    if exchange.standing is not None:
        g.standing = exchange.standing
    if exchange.failed is not None:
        g.failed_prediction = exchange.failed
    assert exchange.error is not None  # noqa: S101 - it is what made the lane hand over
    raise exchange.error


def register(app: Any, built: Services) -> None:
    """Put the lane in front of an application whose routes and hooks are complete."""
    app.extensions[_LEDGER] = Ledger(built.traffic)
    app.before_request_funcs.setdefault(None, []).insert(0, take_over)  # before the hooks that would do again what the lane did
    app.wsgi_app = PredictLane(app, built)


def _is_length(text: str, most: int) -> bool:
    """Tell whether a Content-Length is a plain number that a small body may have; none at all is 0."""
    return not text or (text.isdigit() and text.isascii() and len(text) < 10 and int(text) <= most)  # noqa: PLR2004 - digits
