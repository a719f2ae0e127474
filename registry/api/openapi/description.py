"""What the tables of the document are made of: an operation, its answers and its bodies.

Plain values; `document.py` turns them into OpenAPI.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from registry.errors import ModelyardError

JSON, BYTES, CSV, NPY, TEXT = "application/json", "application/octet-stream", "text/csv", "application/x-npy", "text/plain"
#: How bytes are described, as the tools that read the document know it.
BINARY: dict[str, Any] = {"type": "string", "format": "binary"}


@dataclass(frozen=True, slots=True)
class Media:
    """One content type: its schema, or a type of `answers.py` in place of one, and an example for each form."""

    shape: Any
    examples: Mapping[str, Any]
    encoding: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer that isn't a problem. `headers` name components, beside those that every answer has."""

    status: int
    description: str
    content: Mapping[str, Media] = field(default_factory=dict)
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """What the code doesn't say of a route: its tag, its answers, the problems of its own, and examples of its body.

    `parameters` name components. `body` is a pydantic model where the view reads its JSON itself; `content` are bodies of several
    content types, and `models` what those refer to. Problems of `counted` ones may tell how the key stands with its limits.
    """

    tag: str
    answers: tuple[Answer, ...]
    problems: tuple[type[ModelyardError], ...] = ()
    parameters: tuple[str, ...] = ()
    query: type[BaseModel] | None = None
    query_note: str = ""
    body: type[BaseModel] | None = None
    examples: Mapping[str, Any] = field(default_factory=dict)
    content: Mapping[str, Media] = field(default_factory=dict)
    models: tuple[type[BaseModel], ...] = ()
    counted: bool = False
    note: str = ""


def answer(shape: Any, example: Any, description: str = "", *, status: int = 200, headers: tuple[str, ...] = ()) -> Answer:
    """Return a JSON answer of a type of `answers.py`, which describes itself unless something better is said."""
    return Answer(status, description or str(shape.__doc__).split("\n", maxsplit=1)[0], {JSON: Media(shape, {"answer": example})}, headers)


NOTHING = Answer(204, "It is done, and there is nothing to say.")
