"""JSON schemas of the OpenAPI document in words: what a value may be, and a table of fields for each named one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from docs.made.tables import table

_BOUNDS = {
    "minimum": "at least {}", "maximum": "at most {}", "maxLength": "at most {} characters", "maxItems": "at most {}", "maxProperties": "at most {}",
    "format": "{}",
}  # fmt: skip


def resolved(api: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """Return what a reference stands for, or the part itself."""
    reference = part.get("$ref")
    if reference is None:
        return part
    found: Any = api
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return dict(found)


def kind(schema: dict[str, Any]) -> str:
    """Return what a value of a schema may be, as Markdown."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{_target(name)})"
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return " or ".join(f"`{json.dumps(value)}`" for value in schema["enum"])
    for choices in ("anyOf", "oneOf"):
        if choices in schema:
            return " or ".join(dict.fromkeys(kind(choice) for choice in schema[choices]))
    return _plain(schema)


def _plain(schema: dict[str, Any]) -> str:
    types = schema.get("type", "anything")
    words = " or ".join(_typed(one, schema) for one in ([types] if isinstance(types, str) else types))
    bounds = [text.format(schema[name]) for name, text in _BOUNDS.items() if name in schema and schema["type"] != "object"]
    return ", ".join([words, *bounds])


def _typed(name: str, schema: dict[str, Any]) -> str:
    if name == "array" and "items" in schema:
        return f"list of {kind(schema['items'])}"
    if name == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {kind(schema['additionalProperties'])}"
    return name


def schema_sections(api: dict[str, Any]) -> Iterator[str]:
    """Yield a section for each schema that isn't a problem's: those have pages of their own."""
    problems = {
        one["$ref"].rpartition("/")[2] for response in api["components"]["responses"].values() for one in _problem_schemas(response)
    }
    for name, schema in sorted(api["components"]["schemas"].items()):
        if name not in problems:
            yield "\n\n".join(filter(None, (anchored(name, f"### {name}"), schema.get("description", ""), _fields(schema))))


def _problem_schemas(response: dict[str, Any]) -> list[dict[str, Any]]:
    schema = response["content"]["application/problem+json"]["schema"]
    return list(schema.get("oneOf", [schema]))


def _fields(schema: dict[str, Any]) -> str:
    forms = [one for one in schema.get("oneOf", [schema]) if "properties" in one]
    tables = [_table(form) for form in forms]
    return "\n\n".join(tables) or f"{kind(schema)}."


def _table(schema: dict[str, Any]) -> str:
    required = set(schema.get("required", ()))
    rows = [
        (f"`{name}`" + ("" if name in required else " (optional)"), kind(field), _words(field))
        for name, field in schema["properties"].items()
    ]
    return table(("field", "is", "means"), rows)


def _words(field: dict[str, Any]) -> str:
    default = field.get("default")
    return " ".join(
        filter(None, (field.get("description", ""), "" if default in (None, "", {}, []) else f"By default `{json.dumps(default)}`."))
    )


def anchored(name: str, heading: str) -> str:
    """Return a heading that can be linked to by `name`, whatever it says and whatever else is called so."""
    return f"({_target(name)})=\n{heading}"


def _target(name: str) -> str:
    return f"schema-{name.lower()}" if name[0].isupper() else name.lower()
