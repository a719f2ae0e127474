"""What a page's form or query holds, checked by the same rules as the JSON or the query of the REST API.

Must never let anything through that the API would refuse, nor keep a text that holds an API key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from flask import request
from pydantic import BaseModel, ValidationError

from registry.api.bodies import require_no_key, texts_of
from registry.api.problems import refuse_invalid

Kind = TypeVar("Kind", bound=BaseModel)


def checked(kind: type[Kind], values: Mapping[str, Any]) -> Kind:
    """Return values as the body or query of a REST route. Raises InvalidRequest."""
    require_no_key(*texts_of(values))
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        refuse_invalid(error)
        raise


def asked(*names: str) -> dict[str, str]:
    """Return those parameters of the query that are given and not empty: a form sends all its fields."""
    return {name: value for name in names if (value := request.args.get(name, "").strip())}
