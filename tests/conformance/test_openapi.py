"""The OpenAPI document is complete and valid: every route and method, with examples that fit, and every problem."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import TypeAdapter

from config import Config
from registry import naming
from registry.api import routing
from registry.api.auth import ANY_KEY, ANYONE
from registry.api.keys import Limit
from registry.api.openapi import describe, parameters, problems
from registry.api.openapi.document import OF_THE_SERVER
from registry.api.problems import STATUS, TYPE_PREFIX
from registry.app import create_app
from registry.errors import ModelyardError, every_error
from tests.readme_tables import routes_table
from tests.running import ROOT

Document = dict[str, Any]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    """Return an application that nobody asks."""
    return create_app(Config(instance_path=tmp_path_factory.mktemp("openapi")))


@pytest.fixture(scope="module")
def document(app: Flask) -> Document:
    """Return its document."""
    with app.app_context():
        return describe(app, public=False)


def operations(document: Document) -> Iterator[tuple[str, Document]]:
    """Yield each operation, and what it is called in messages."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def resolved(document: Document, value: Document) -> Document:
    """Return what a reference refers to, or the value itself."""
    while "$ref" in value:
        found: Any = document
        for step in value["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        value = found
    return value


def bodies_and_answers(document: Document) -> Iterator[tuple[str, Document]]:
    """Yield the description of each content type of each body and answer, and where it stands."""
    for name, operation in operations(document):
        for kind, media in operation.get("requestBody", {"content": {}})["content"].items():
            yield f"{name} takes {kind}", media
        for status, answer in operation["responses"].items():
            for kind, media in resolved(document, answer).get("content", {}).items():
                yield f"{name} answers {status} {kind}", media


def test_the_document_is_valid_openapi_3_1(document: Document) -> None:
    """A validator finds nothing."""
    assert document["openapi"] == "3.1.0"
    assert [str(error) for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


def test_every_route_and_method_is_described(document: Document, tmp_path: Path) -> None:
    """The table of routes, which is made from the URL map, and the paths of the document are the same."""
    table = re.findall(r"^\| `([A-Z]+) (\S+)` \|", routes_table(tmp_path), re.MULTILINE)
    assert len(table) >= 40
    assert {f"{method} {path}" for method, path in table} == {name for name, _ in operations(document)}


def test_each_operation_says_what_it_is_and_needs(document: Document, tmp_path: Path) -> None:
    """An id of its own, the view's docstring, a tag that is explained, and the scope in words and as security."""
    ids = [operation["operationId"] for _, operation in operations(document)]
    assert len(set(ids)) == len(ids)
    tags = {tag["name"] for tag in document["tags"]}
    rows = {row[0]: row[1:] for row in re.findall(r"^\| `([^`]+)` \| (\S+) \| (.+) \|$", routes_table(tmp_path), re.MULTILINE)}
    for name, operation in operations(document):
        scope, does = rows[name]
        scope = {"by-configuration": "read"}.get(scope, scope)
        expected = [] if scope == ANYONE else [{"key": [] if scope == ANY_KEY else [scope]}]
        assert (operation["security"], operation["summary"]) == (expected, does), name
        assert scope in {ANYONE, ANY_KEY} or f"`{scope}`" in operation["description"], name
        assert set(operation["tags"]) <= tags, name


def test_where_the_configuration_asks_for_no_key_the_document_does_not(app: Flask) -> None:
    """Only the routes that it concerns change."""
    with app.app_context():
        public = describe(app, public=True)
    unlocked = {name for name, operation in operations(public) if operation["security"] == []}
    assert unlocked == {
        "GET /docs", "GET /docs/{file}", "GET /health/live", "GET /health/ready", "GET /metrics", "GET /openapi.json",
    }  # fmt: skip


KEYWORDS = {
    "$ref", "additionalProperties", "anyOf", "const", "default", "description", "enum", "examples", "format", "items", "maxItems", "maxLength",
    "maxProperties", "maximum", "minItems", "minLength", "minProperties", "minimum", "not", "oneOf", "pattern", "properties", "propertyNames",
    "required", "title", "type", "uniqueItems",
}  # fmt: skip


def keywords(schema: Any) -> Iterator[str]:
    """Yield each keyword of a schema and of those within it."""
    if not isinstance(schema, dict):
        return
    yield from schema
    inner = [schema[name] for name in ("items", "additionalProperties", "propertyNames", "not") if name in schema]
    inner += [each for name in ("anyOf", "oneOf") for each in schema.get(name, ())]
    for each in (*inner, *schema.get("properties", {}).values()):
        yield from keywords(each)


def test_schemas_say_nothing_that_json_schema_does_not_know(document: Document) -> None:
    """A bound under another name would bind nobody."""
    schemas = [*document["components"]["schemas"].values(), *(media["schema"] for _, media in bodies_and_answers(document))]
    schemas += [resolved(document, each)["schema"] for _, operation in operations(document) for each in operation["parameters"]]
    assert {name for schema in schemas for name in keywords(schema)} <= KEYWORDS


def test_each_body_and_answer_has_an_example_that_fits(document: Document) -> None:
    """Of every content type, for every form and every problem."""
    registry = document["components"] | {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    count = 0
    for name, media in bodies_and_answers(document):
        schema = {"components": registry, **media["schema"]}
        validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
        assert media["examples"], name
        for title, example in media["examples"].items():
            found = [error.message for error in validator.iter_errors(resolved(document, example)["value"])]
            assert found == [], f"{name}: {title}"
            count += 1
    assert count >= 500


def test_each_parameter_and_header_has_an_example_that_fits(document: Document) -> None:
    """An optional one as an example of its schema, so that pages don't fill it in."""
    found = [resolved(document, each) for _, operation in operations(document) for each in operation["parameters"]]
    found += document["components"]["headers"].values()
    for each in found:
        schema = each["schema"]
        examples = [each["example"]] if "example" in each else schema.get("examples", ())
        for example in examples:
            jsonschema.Draft202012Validator(schema).validate(example)
        assert examples, each
        assert each["description"], each


def test_the_words_that_are_no_selector_are_those_of_the_routes(app: Flask) -> None:
    """A path that stands for something else in a selector's place is never read as one."""
    words = {rule.rule.split("/")[3] for rule in app.url_map.iter_rules() if rule.rule.startswith("/models/<name>/")}
    assert words - {"<selector>"} == set(routing.WORDS)


@given(
    st.one_of(st.text(max_size=80), st.from_regex(r"[a-z0-9._-]{1,70}", fullmatch=True), st.from_regex(r"@?[a-z0-9-]{1,66}", fullmatch=True))
)  # fmt: skip
def test_the_patterns_are_those_that_names_are_read_by(text: str) -> None:
    """What the document allows is allowed, and what it doesn't is refused, but for version numbers that nobody will reach."""

    def fits(**schema: Any) -> bool:
        return jsonschema.Draft202012Validator({"type": "string", **schema}).is_valid(text) and not text.endswith("\n")

    assert fits(pattern=parameters.MODEL, maxLength=64) == allowed(naming.require_model_name, text)
    assert (fits(pattern=parameters.ALIAS) and text != naming.LATEST) == allowed(naming.require_alias, text)
    if not (text.isdigit() and len(text) == 10):
        assert fits(pattern=parameters.SELECTOR) == allowed(naming.parse_selector, text)


def allowed(read: Any, text: str) -> bool:
    """Tell whether a reader takes a text."""
    try:
        read(text)
    except ModelyardError:
        return False
    return True


@given(st.from_regex("^[1-9][0-9]{0,8}/([1-9][0-9]? )?(second|minute|hour|day)s?$", fullmatch=True))
def test_limits_as_they_are_described_are_limits(text: str) -> None:
    """None is out of bounds."""
    TypeAdapter(Limit).validate_python(text)


def test_every_problem_has_a_schema_and_an_example(document: Document) -> None:
    """With its fixed members, and only those that a parent alone is are left out."""
    schemas, examples = document["components"]["schemas"], document["components"]["examples"]
    left_out = {cls for cls in every_error() if cls.slug not in examples}
    assert left_out == set(problems.PARENTS)
    for cls in set(every_error()) - left_out:
        properties = schemas[cls.__name__]["properties"]
        fixed = {name: properties[name]["const"] for name in ("type", "title", "status")}
        assert fixed == {"type": TYPE_PREFIX + cls.slug, "title": cls.title, "status": STATUS[cls]}
    kinds = schemas["Problem"]["properties"]["type"]["enum"]
    assert kinds == list(dict.fromkeys(kinds))


def test_every_problem_that_may_be_answered_stands_at_an_operation(document: Document) -> None:
    """None but 405, which no operation has, is described for nobody."""
    answered = {
        slug
        for _, operation in operations(document)
        for answer in operation["responses"].values()
        for slug in resolved(document, answer).get("content", {}).get("application/problem+json", {}).get("examples", ())
    }
    assert set(document["components"]["examples"]) - answered == {"method-not-allowed"}


def test_every_member_that_a_problem_is_given_is_described() -> None:
    """Each `members={…}` in the code names members that the schema of its class has."""
    by_name = {cls.__name__: cls for cls in every_error()}
    found = 0
    for path in (ROOT / "registry").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.func.id not in by_name:
                continue
            for keyword in node.keywords:
                if keyword.arg == "members" and isinstance(keyword.value, ast.Dict):
                    named = {key.value for key in keyword.value.keys if isinstance(key, ast.Constant)}
                    assert named <= problems.MEMBERS.get(by_name[node.func.id], {}).keys(), f"{path}:{node.lineno}"
                    found += 1
    assert found >= 10


def test_answers_that_must_say_more_have_headers_for_it(document: Document) -> None:
    """The request's id everywhere, Retry-After on 429 and 503, how to authenticate on 401, what is allowed on 405."""
    for name, operation in operations(document):
        for status, reference in operation["responses"].items():
            answer = resolved(document, reference)
            if status in OF_THE_SERVER:
                assert answer.keys() == {"description"}
                continue
            assert "X-Request-Id" in answer["headers"], (name, status)
            is_problem = "application/problem+json" in answer.get("content", {})
            assert ("Retry-After" in answer["headers"]) == (is_problem and status in {"429", "503"}), (name, status)
            assert ("WWW-Authenticate" in answer["headers"]) == (status == "401"), (name, status)
    assert "Allow" in document["components"]["responses"]["method-not-allowed"]["headers"]
