"""Keyset paging: a page begins after the last row of the page before, so that rows which come meanwhile shift nothing.

Cursors are opaque to callers and come back from them: each is checked before its values reach a statement.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import BigInteger, ColumnElement, Select, literal, tuple_
from sqlalchemy.orm import InstrumentedAttribute

from registry.catalog.records import Page
from registry.errors import InvalidRequest
from registry.extensions import db

R = TypeVar("R")
T = TypeVar("T")

_MAX_CURSOR = 512
_MAX_INTEGER = 2**31 - 1
_MAX_BIG_INTEGER = 2**63 - 1


@dataclass(frozen=True)
class Keyset:
    """The order of a listing: columns that an index has in this order and that are unique together."""

    listing: str
    columns: tuple[InstrumentedAttribute[Any], ...]
    descending: bool = True

    def page(self, statement: Select[R], *, limit: int, cursor: str | None, records: Callable[[list[R]], list[T]]) -> Page[T]:
        """Run `statement` for at most `limit` rows after `cursor`. Raises InvalidRequest on a cursor of no listing or another."""
        if cursor is not None:
            statement = statement.where(self._after(self._decode(cursor)))
        ordered = statement.order_by(*(column.desc() if self.descending else column.asc() for column in self.columns))
        rows = list(db.session.scalars(ordered.limit(limit + 1)))
        more = len(rows) > limit
        return Page(records(rows[:limit]), self._encode(rows[limit - 1]) if more else None)

    def _after(self, values: list[Any]) -> ColumnElement[bool]:
        keys = tuple_(*self.columns)
        given = tuple_(*(literal(value, column.type) for value, column in zip(values, self.columns, strict=True)))
        return keys < given if self.descending else keys > given

    def _encode(self, row: R) -> str:
        values = [getattr(row, column.key) for column in self.columns]
        texts = [value.isoformat() if isinstance(value, datetime) else value for value in values]
        return base64.urlsafe_b64encode(json.dumps([self.listing, *texts]).encode()).decode().rstrip("=")

    def _decode(self, cursor: str) -> list[Any]:
        try:
            listing, *values = _unpack(cursor)
            read = [_read(value, column) for value, column in zip(values, self.columns, strict=True)]
        except (ValueError, TypeError, OverflowError, RecursionError):
            listing, read = None, []
        if listing != self.listing:
            raise InvalidRequest("`cursor` isn't one that this listing gave; begin without it.")
        return read


def _unpack(cursor: str) -> Any:
    if len(cursor) > _MAX_CURSOR:
        raise ValueError(cursor)
    padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
    return json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))


def _read(value: Any, column: InstrumentedAttribute[Any]) -> Any:
    """Return a key that its column can be compared with. Raises ValueError, TypeError, OverflowError."""
    kind = column.type.python_type
    if kind is datetime:
        return datetime.fromisoformat(value).astimezone(UTC)
    largest = _MAX_BIG_INTEGER if isinstance(column.type, BigInteger) else _MAX_INTEGER
    good = 0 <= value <= largest if type(value) is int else isinstance(value, str) and value.isascii() and value.isprintable()
    if not isinstance(value, kind) or not good:
        raise ValueError(value)
    return value
