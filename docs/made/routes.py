"""The routes of the HTTP API, from the OpenAPI document that the service itself serves: an application is made for it, and connects to nothing."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from config import Config
from docs.made.schemas import anchored, kind, resolved, schema_sections
from docs.made.tables import table
from registry.api.openapi import describe
from registry.app import create_app

PROBLEM = "application/problem+json"
#: What every route takes or answers is said once, on the page itself.
EVERYWHERE = frozenset({"X-Request-Id", "X-Content-Type-Options", "Content-Security-Policy"})
LONGEST_LINE = 128


def page(_docname: str) -> str:
    """Return a section for each tag and route, and one for each schema."""
    api = read_document()
    parts = []
    for tag in api["tags"]:
        parts.append(f"## {tag['name'].capitalize()}\n\n{tag['description']}")
        parts += [_section(api, path, method, one) for path, method, one in _operations(api) if one["tags"] == [tag["name"]]]
    return "\n\n".join([*parts, "## Schemas", *schema_sections(api)])


@cache
def read_document() -> dict[str, Any]:
    """Return the OpenAPI document."""
    with tempfile.TemporaryDirectory() as folder:
        app = create_app(Config(instance_path=Path(folder)))
        with app.app_context():
            return describe(app, public=False)


def _operations(api: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in api["paths"].items():
        for method, operation in methods.items():
            yield path, method.upper(), operation


def _section(api: dict[str, Any], path: str, method: str, operation: dict[str, Any]) -> str:
    parts = [
        anchored(operation["operationId"], f"### `{method} {path}`"),
        operation["summary"],
        operation["description"],
        _parameters(api, operation),
        _body(operation),
        _answers(api, operation),
    ]
    return "\n\n".join(part for part in parts if part)


def _parameters(api: dict[str, Any], operation: dict[str, Any]) -> str:
    found = [resolved(api, one) for one in operation["parameters"]]
    rows = [
        (f"`{one['name']}`", one["in"], kind(one["schema"]), one.get("description", "")) for one in found if one["name"] not in EVERYWHERE
    ]
    return table(("parameter", "in", "takes", "means"), rows) if rows else ""


def _body(operation: dict[str, Any]) -> str:
    if "requestBody" not in operation:
        return ""
    content = operation["requestBody"]["content"]
    words = "**Body**" if operation["requestBody"].get("required") else "**Body**, may be left out"
    kinds = ", ".join(f"`{name}` ({kind(media['schema'])})" for name, media in content.items())
    shown = content.get("application/json", {}).get("examples", {}).values()
    examples = "\n".join(_shown(example["value"]) for example in shown)
    return f"{words}: {kinds}." + (f"\n\n```json\n{examples}\n```" if examples else "")


def _answers(api: dict[str, Any], operation: dict[str, Any]) -> str:
    rows = []
    for status, answer in operation["responses"].items():
        found = resolved(api, answer)
        problems = found.get("content", {}).get(PROBLEM)
        rows.append((status, _problems(problems["examples"]) if problems is not None else _told(found)))
    return table(("status", "answer"), rows)


def _problems(slugs: dict[str, Any]) -> str:
    return ", ".join(f"[`{slug}`](../problems/{slug}.md)" for slug in slugs)


def _told(answer: dict[str, Any]) -> str:
    kinds = ", ".join(f"`{name}` ({kind(media['schema'])})" for name, media in answer.get("content", {}).items())
    headers = ", ".join(f"`{name}`" for name in answer.get("headers", {}) if name not in EVERYWHERE)
    return " ".join(filter(None, (answer["description"], kinds and f"{kinds}.", headers and f"Headers: {headers}.")))


def _shown(value: Any) -> str:
    line = json.dumps(value, ensure_ascii=False)
    return line if len(line) <= LONGEST_LINE else json.dumps(value, ensure_ascii=False, indent=2)
