"""Strict reading of control requests: JSON that means one thing, fields that are known, sizes that are bounded.

The predict and upload routes keep out of this; they read their bodies themselves.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, ClassVar

import msgspec
from flask import Request
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from registry.api.auth import caller
from registry.api.whole_body import whole_body
from registry.errors import Finding, InvalidRequest, MalformedBody, UnsupportedMediaType
from registry.keys import holds_key
from registry.naming import parse_selector, require_alias, require_model_name

MAX_CONTROL_BODY_BYTES = 1 << 20
MAX_IDEMPOTENCY_KEY = 200
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d", re.ASCII)
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,200}", re.ASCII)


class StrictRequest(Request):
    """A request whose JSON is read strictly, whatever the framework would forgive."""

    def get_json(self, force: bool = False, silent: bool = False, cache: bool = True) -> Any:  # noqa: ARG002, FBT001, FBT002 - Flask's signature
        """Return the JSON object of the body; an empty body is an empty object. Raises MalformedBody, UnsupportedMediaType, and what `whole_body` does."""
        with whole_body(caller().id, MAX_CONTROL_BODY_BYTES) as body:
            if not body:
                return {}
            if self.mimetype != "application/json":
                raise UnsupportedMediaType("Send JSON with 'Content-Type: application/json'.")
            value = strict_json(body)
        if not isinstance(value, dict):
            raise InvalidRequest("The body must be a JSON object.")  # the framework would parse a text once more, less strictly
        return value


def strict_json(body: bytes) -> Any:
    """Parse JSON whose texts are kept: no NaN, infinity, number out of range, name twice, deep nesting, NUL in a text, and no API key.

    Raises MalformedBody, InvalidRequest.
    """
    try:
        value = msgspec.json.decode(body)
        json.loads(body, object_pairs_hook=_without_doubles)
    except RecursionError:
        raise MalformedBody("The JSON is nested too deeply.") from None
    except (msgspec.MsgspecError, ValueError) as error:
        raise MalformedBody(f"The body isn't valid JSON: {_own_words(error)}") from None
    if b"\\u0000" in body and any("\0" in text for text in texts_of(value)):
        raise MalformedBody("A text in the body holds the character NUL, which can't be kept.")
    if b"my_" in body:
        require_no_key(*texts_of(value))
    return value


def require_no_key(*texts: str) -> None:
    """Raise InvalidRequest where a text that would be kept, or shown to others, holds an API key."""
    if any(holds_key(text) for text in texts):
        raise InvalidRequest(
            "An API key stands where others would read it. Send it in the Authorization header alone, and rotate this one."
        )


def texts_of(value: Any) -> Iterator[str]:
    """Yield every text and name of a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from texts_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts_of(inner)


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) < len(pairs):
        raise DoubleName("a name stands twice in one object")
    return names


class DoubleName(ValueError):
    """A name stands twice in one JSON object."""


def _own_words(error: Exception) -> str:
    """Return the parser's finding without the input that it may quote."""
    text = str(error)
    return text.split(" - at ", maxsplit=1)[0] if len(text) < 120 else "it can't be parsed"  # noqa: PLR2004 - a bound on foreign text


class Strict(BaseModel):
    """A query or body whose unknown fields are refused by name."""

    model_config = ConfigDict(extra="forbid", strict=False)


class Body(Strict):
    """A JSON body, whose values have the types that they should have: no number is read out of a text, and no yes out of a 1."""

    model_config = ConfigDict(strict=True)


def _as_change(schema: dict[str, Any], cls: type[Change]) -> None:
    """Describe a change as it is validated: one field at least, and no null but where that means something."""
    schema["minProperties"] = 1
    for name, field in schema["properties"].items():
        field.pop("default", None)
        if name not in cls.may_be_null:
            choices = [choice for choice in field.pop("anyOf") if choice != {"type": "null"}]
            field.update(choices[0] if len(choices) == 1 else {"anyOf": choices})


class Change(Body):
    """What a PATCH changes: the fields that are given, and no others."""

    model_config = ConfigDict(json_schema_extra=_as_change)
    may_be_null: ClassVar[frozenset[str]] = frozenset()

    def given(self) -> dict[str, Any]:
        """Return the fields that are given. Raises InvalidRequest where there is none, and for null."""
        fields = self.model_dump(exclude_unset=True)
        if not fields:
            raise InvalidRequest(f"Name at least one of {', '.join(type(self).model_fields)}.")
        nulls = [name for name, value in fields.items() if value is None and name not in self.may_be_null]
        if nulls:
            findings = [Finding("can't be null", f"#/{name}") for name in nulls]
            raise InvalidRequest("A field can't be null; leave out what shall stay as it is.", findings=findings)
        return fields


class ModelPath(BaseModel):
    """Path of a model."""

    name: str


class SelectorPath(ModelPath):
    """Path of a version, by number or alias."""

    selector: str


class AliasPath(ModelPath):
    """Path of an alias."""

    alias: str


class KeyPath(BaseModel):
    """Path of an API key."""

    key_id: str


class Listing(Strict):
    """Paging of every list."""

    limit: Annotated[int, Field(ge=1, le=1000)] = 50
    cursor: str | None = None


def _require_text_size(tags: dict[str, str]) -> dict[str, str]:
    if any(len(name) > 256 or len(value) > 4096 for name, value in tags.items()):  # noqa: PLR2004 - said in the message
        raise ValueError("a tag has at most 256 characters in its name and 4096 in its value")
    return tags


def _whole(value: object) -> object:
    """Take 3.0 for the integer that it is in JSON."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _require_time(value: object) -> object:
    """Refuse what pydantic would read a time out of besides: a count of seconds, and a date alone."""
    if not isinstance(value, str) or _TIME.match(value) is None:
        raise ValueError("must be a date and time such as 2026-03-01T09:30:00Z")
    return value


Tags = Annotated[
    dict[str, str],
    Field(max_length=100),
    AfterValidator(_require_text_size),
    WithJsonSchema(
        {
            "type": "object",
            "maxProperties": 100,
            "propertyNames": {"maxLength": 256},
            "additionalProperties": {"type": "string", "maxLength": 4096},
        }
    ),
]
Metrics = Annotated[dict[str, Annotated[float, Field(allow_inf_nan=False, strict=True)]], Field(max_length=1000)]
Description = Annotated[str, Field(max_length=20_000)]
Reason = Annotated[str, Field(max_length=2000)]
#: Beside an integer's bounds in a JSON body.
WHOLE = BeforeValidator(_whole)
Moment = Annotated[datetime, Field(strict=False), BeforeValidator(_require_time)]


def read_names(name: str, selector: str | None = None, alias: str | None = None) -> int | str:
    """Check what stands in a path and return the parsed selector (0 where there is none). Raises InvalidName."""
    require_model_name(name)
    if alias is not None:
        require_alias(alias)
    return parse_selector(selector) if selector is not None else 0


def read_tag(text: str | None) -> tuple[str, str] | None:
    """Return the name and value of `?tag=k:v`. Raises InvalidRequest."""
    if text is None:
        return None
    name, colon, value = text.partition(":")
    if not colon or not name:
        raise InvalidRequest("tag must be name:value.", findings=[Finding("must be name:value", "#/tag")])
    return name, value


def read_idempotency_key(text: str | None) -> str | None:
    """Return the Idempotency-Key header. Raises InvalidRequest."""
    if text is not None and _IDEMPOTENCY_KEY.fullmatch(text) is None:
        raise InvalidRequest(f"Idempotency-Key must have 1 to {MAX_IDEMPOTENCY_KEY} visible ASCII characters.")
    require_no_key(text or "")
    return text


def read_etag(text: str | None) -> str | None:
    """Return the etag of an If-Match header without its quotes, or `*`. Raises InvalidRequest for lists and weak etags."""
    if text is None or text == "*":
        return text
    match = re.fullmatch(r'"([\x21\x23-\x7e]*)"', text, re.ASCII)
    if match is None:
        raise InvalidRequest('If-Match must be one strong entity tag in quotes, such as "17", or *.')
    return match[1]
