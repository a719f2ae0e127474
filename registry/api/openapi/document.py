"""The whole document, put together: one walk over the routes of the application.

What a route needs and may be refused for follows from its scope, its path and its body; the rest stands in the tables.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, get_type_hints

from flask import Flask
from pydantic import BaseModel
from werkzeug.routing import Rule

from registry import __version__, errors
from registry.api.auth import ANY_KEY, ANYONE, BY_CONFIGURATION, BY_SESSION, required_scope
from registry.api.openapi import headers, of_aliases, of_keys, of_models, of_predictions, of_serving, of_uploads, parameters, problems
from registry.api.openapi.description import JSON, Answer, Media, Operation
from registry.api.openapi.shapes import of_answers, of_body, reference
from registry.errors import ModelyardError

SCHEME = "key"
OPERATIONS = {
    endpoint: operation
    for table in (of_models, of_uploads, of_aliases, of_predictions, of_keys, of_serving)
    for endpoint, operation in table.OPERATIONS.items()
}
TAGS = {
    "predictions": "Ask a model, by version or alias.",
    "models": "Models own versions; the first version makes its model.",
    "versions": "Publish, look at, change, delete, restore and download versions.",
    "aliases": "Movable pointers to versions: point them, roll them back, read every move that they made.",
    "serving": "What is loaded on this host, and loading, unloading and pinning by hand.",
    "keys": "API keys, and the caller's own.",
    "events": "The audit trail: who did what.",
    "service": "Health, metrics, and this document.",
}
ABOUT = """A model registry and prediction server in one plain service.

Send `Authorization: Bearer <key>`. A key has scopes (`read`, `predict`, `publish`, and `admin`, which implies the others); each
operation names the one that it needs. What a key may not see is 404.

Every problem is `application/problem+json` (RFC 9457) with one of the `type`s of the schema `Problem`. A method that a path
doesn't have is 405 with `Allow`; every path with GET answers HEAD as well, and every path OPTIONS. Unknown fields of bodies and of
queries are refused by name. No text may hold the character NUL or an API key."""

#: What the HTTP server answers by itself, without a body and before the service hears of it.
OF_THE_SERVER = {
    "414": {"description": "The address has more than 65,534 characters. The connection ends."},
    "431": {"description": "The headers have more than about 500 kB, or are more than 100. The connection ends."},
}
#: What reading any body may come to.
BODY = (
    errors.MalformedBody, errors.UnsupportedMediaType, errors.BodyTooLarge, errors.BodyTooSlow, errors.ServerBusy, errors.TooManyUploads,
    errors.NoUploadSlot, errors.RateLimited,
)  # fmt: skip
ANY_ROUTE = (errors.ModelyardError, errors.InvalidRequest)
WITH_KEY = (errors.Unauthenticated, errors.RateLimited, errors.RegistryUnavailable)
IN_PATH = {"name": errors.ModelNotFound, "key_id": errors.KeyNotFound, "selector": errors.InvalidName, "alias": errors.InvalidName}


def describe(app: Flask, *, public: bool) -> dict[str, Any]:
    """Return the OpenAPI document of an application, in its context; `public` are the routes that need a key only by configuration."""
    return Document(app, public=public).build()


def operation_id(view: Callable[..., Any]) -> str:
    """Return a view's name as clients would write it: `list_models` is `listModels`."""
    first, *others = view.__name__.split("_")
    return first + "".join(other.capitalize() for other in others)


class Document:
    """The document while it is made: what the operations refer to is collected on the way."""

    def __init__(self, app: Flask, *, public: bool) -> None:
        """Begin without a component."""
        self._app = app
        self._public = public
        self._shapes: list[Any] = []
        self._bodies: dict[str, Any] = {}
        self._responses: dict[str, Any] = {}

    def build(self) -> dict[str, Any]:
        """Return the document."""
        paths: dict[str, dict[str, Any]] = {}
        for path, method, rule in routes(self._app):
            paths.setdefault(path, {})[method] = self._operation(rule, OPERATIONS[rule.endpoint])
        refused = problems.responses([errors.MethodNotAllowed]).values()
        return {
            "openapi": "3.1.0",
            "info": {
                "title": "Modelyard", "version": __version__, "description": ABOUT, "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "servers": [{"url": "/"}],
            "tags": [{"name": name, "description": words} for name, words in TAGS.items()],
            "paths": paths,
            "components": {
                "securitySchemes": {SCHEME: {"type": "http", "scheme": "bearer", "description": "An API key: `my_…`."}},
                "schemas": joined(of_answers(self._shapes), self._bodies, of_predictions.SCHEMAS, problems.schemas()),
                "parameters": parameters.components(),
                "headers": headers.components(),
                "responses": self._responses | {problems.name_of(response): response for response in refused},
                "examples": problems.examples(),
            },
        }  # fmt: skip

    def _operation(self, rule: Rule, described: Operation) -> dict[str, Any]:
        view = self._app.view_functions[rule.endpoint]
        hints = get_type_hints(view)
        scope = required_scope(rule.endpoint)
        in_path = re.findall(r"<(?:\w+:)?(\w+)>", rule.rule)
        body = self._body(described, hints.get("body"))
        made: dict[str, Any] = {
            "operationId": operation_id(view),
            "summary": str(view.__doc__).split("\n", maxsplit=1)[0],
            "description": "\n\n".join(filter(None, (_needs(scope, public=self._public), described.note))),
            "tags": [described.tag],
            "security": self._security(scope),
            "parameters": [
                *parameters.named(*in_path),
                *_query(described, hints),
                *parameters.named(*described.parameters, "X-Request-Id"),
            ],
        }
        if body is not None:
            made["requestBody"] = body
        may_fail = {*described.problems, *self._implied(scope, in_path, has_body=body is not None)}
        made["responses"] = self._responses_of(described, may_fail)
        return made

    def _security(self, scope: str) -> list[dict[str, list[str]]]:
        if scope == ANYONE or (scope == BY_CONFIGURATION and self._public):
            return []
        return [{SCHEME: [] if scope == ANY_KEY else ["read" if scope == BY_CONFIGURATION else scope]}]

    def _implied(self, scope: str, in_path: list[str], *, has_body: bool) -> Iterator[type[ModelyardError]]:
        """Yield what may go wrong because of a route's scope, path and body."""
        yield from ANY_ROUTE
        if self._security(scope):
            yield from WITH_KEY
            if scope != ANY_KEY:
                yield errors.Forbidden
        if in_path:
            yield errors.PageNotFound  # a slash in a name leads elsewhere
            yield errors.InvalidName
            yield from (IN_PATH[name] for name in in_path if name in IN_PATH)
        if has_body:
            yield from BODY

    def _body(self, described: Operation, hinted: type[BaseModel] | None) -> dict[str, Any] | None:
        model = described.body or hinted
        for each in (*described.models, *filter(None, (model,))):
            self._bodies |= of_body(each)
        if described.content:
            return {"required": True, "content": {kind: self._media(media) for kind, media in described.content.items()}}
        if model is None:
            return None
        schema = self._bodies[model.__name__]
        required = bool(schema.get("required")) or schema.get("minProperties", 0) > 0
        return {"required": required, "content": {JSON: self._media(Media(reference(model.__name__), described.examples))}}

    def _media(self, media: Media) -> dict[str, Any]:
        schema = media.shape
        if not isinstance(schema, dict):
            self._shapes.append(schema)
            schema = reference(schema.__name__)
        shown = {
            name: value if isinstance(value, dict) and "summary" in value else {"value": value} for name, value in media.examples.items()
        }
        return {"schema": schema, "examples": shown, **({"encoding": media.encoding} if media.encoding else {})}

    def _responses_of(self, described: Operation, may_fail: set[type[ModelyardError]]) -> dict[str, Any]:
        responses: dict[str, Any] = dict(OF_THE_SERVER)
        for status, response in problems.responses(may_fail, counted=described.counted).items():
            name = problems.name_of(response)
            self._responses[name] = response
            responses[status] = {"$ref": f"#/components/responses/{name}"}
        for answer in described.answers:
            responses[str(answer.status)] = self._answer(answer, responses.get(str(answer.status)))
        return dict(sorted(responses.items()))

    def _answer(self, answer: Answer, problem: dict[str, Any] | None) -> dict[str, Any]:
        assert problem is None, f"{answer.status} is both an answer and a problem"  # noqa: S101 - one of them would be lost
        made: dict[str, Any] = {"description": answer.description, "headers": headers.named(*headers.EVERYWHERE, *answer.headers)}
        if answer.content:
            made["content"] = {kind: self._media(media) for kind, media in answer.content.items()}
        return made


def joined(*components: dict[str, Any]) -> dict[str, Any]:
    """Return components of several kinds together. No two may have one name, or one of them would be lost."""
    names = [name for each in components for name in each]
    doubles = {name for name in names if names.count(name) > 1}
    assert not doubles, f"described twice: {doubles}"  # noqa: S101 - a fault of ours, met by any test
    return {name: schema for each in components for name, schema in each.items()}


def routes(app: Flask) -> Iterator[tuple[str, str, Rule]]:
    """Yield path, method in lower case and rule of each route of the API, but for HEAD and OPTIONS, which all have."""
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
        if required_scope(rule.endpoint) == BY_SESSION:
            continue
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            yield re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower(), rule


def _needs(scope: str, *, public: bool) -> str:
    if scope == ANYONE or (scope == BY_CONFIGURATION and public):
        return "Needs no key."
    if scope == ANY_KEY:
        return "Needs a key, whatever its scopes."
    return f"Needs a key with the scope `{'read' if scope == BY_CONFIGURATION else scope}`."


def _query(described: Operation, hints: dict[str, Any]) -> list[dict[str, Any]]:
    model = described.query or hints.get("query")
    return [] if model is None else parameters.of_model(model, described.query_note)
