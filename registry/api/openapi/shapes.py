"""Schemas of what is taken and answered, out of the types that validate it or that describe it.

An object has the members that are named, and no others: what isn't described isn't answered.
"""

from __future__ import annotations

from typing import Any

import msgspec
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

REFERENCE = "#/components/schemas/"
NULL = {"type": "null"}


class Untitled(GenerateJsonSchema):
    """Leaves out the titles that pydantic makes of the fields' names: they say nothing that the names don't."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - pydantic's signature
        """Say no."""
        return False


def reference(name: str) -> dict[str, Any]:
    """Return a reference to a schema of the components."""
    return {"$ref": REFERENCE + name}


def of_answers(shapes: list[Any]) -> dict[str, Any]:
    """Return the component of each type and of those that it is made of, by their names."""
    _, components = msgspec.json.schema_components(shapes, ref_template=REFERENCE + "{name}")
    for schema in components.values():
        if "properties" in schema:
            schema["additionalProperties"] = False
    return dict(components)


def of_body(model: type[BaseModel]) -> dict[str, Any]:
    """Return the component of a pydantic model, and of those that it is made of, by their names."""
    schema = model.model_json_schema(ref_template=REFERENCE + "{model}", schema_generator=Untitled)
    inner = schema.pop("$defs", {})
    return {model.__name__: schema, **inner}


def of_query(model: type[BaseModel]) -> dict[str, Any]:
    """Return the schema of each field of a query, in which nothing is null: a parameter is left out."""
    (schema,) = of_body(model).values()
    fields = {}
    for name, field in schema["properties"].items():
        choices = [choice for choice in field.pop("anyOf", ()) if choice != NULL]
        fields[name] = field | (choices[0] if len(choices) == 1 else {"anyOf": choices} if choices else {})
        if fields[name].get("default", "") is None:
            del fields[name]["default"]
    return fields
