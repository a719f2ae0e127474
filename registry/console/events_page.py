"""The page Events: the audit trail with filters, and the same as a CSV file.

Read only. A key that is bound to models sees the events of one of those at a time, as over the REST API.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from flask import Response, current_app, request
from pydantic import Field, ValidationError

from registry import catalog
from registry.api import keys, problems
from registry.api.auth import Caller, caller
from registry.api.bodies import Listing, Moment
from registry.api.events import require_trail_of
from registry.api.long_answers import while_it_is_sent
from registry.api.versions import aware
from registry.catalog import Event, Page
from registry.console import told_events
from registry.console.page import page
from registry.console.session import signed_in
from registry.extensions import reading

CSV_PAGE = 500
#: So many keys that have a name in common are looked for.
MOST_ACTORS = 100
#: What stands at the begin of a cell that a spreadsheet would take for a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
COLUMNS = ("at", "actor", "actor_name", "kind", "model", "version", "alias", "key_id", "key_name", "from", "to", "reason", "detail")


class Filters(Listing):
    """What the page is asked for; a field left empty filters nothing."""

    model: str = ""
    actor: Annotated[str, Field(max_length=200)] = ""
    kind: str = ""
    since: Moment | None = None
    until: Moment | None = None


@dataclass(frozen=True, slots=True)
class Trail:
    """The events that some filters let through."""

    model: str | None
    actors: tuple[str, ...] | None
    kind: str | None
    since: datetime | None
    until: datetime | None

    def page(self, limit: int, cursor: str | None = None) -> Page[Event]:
        """Return one page of them, newest first."""
        return catalog.list_events(
            model=self.model, actors=self.actors, kind=self.kind, since=self.since, until=self.until, limit=limit, cursor=cursor
        )


@signed_in("admin")
def events() -> Response:
    """Show the audit trail."""
    given = {name: value.strip() for name, value in request.args.items()}
    fields = {name: value for name, value in given.items() if name not in {"cursor", "limit"}}
    query = _read(given)
    models = caller().key.models
    if models and not query.model:
        return page(
            "events_page.html",
            fields=fields,
            kinds=catalog.EVENT_KINDS,
            events=(),
            names={},
            cursor=None,
            next_cursor=None,
            must_name=models,
        )
    with reading():
        shown = _trail(query).page(query.limit, query.cursor)
        names = names_of(shown.items, caller())
    return page(
        "events_page.html", fields=fields, kinds=catalog.EVENT_KINDS, events=[(event, told_events.sentence(event), told_events.parts(event)) for event in shown.items],
        names=names, cursor=query.cursor, next_cursor=shown.next_cursor, must_name=(),
    )  # fmt: skip


@signed_in("admin")
def events_csv() -> Response:
    """Send all events that the filters let through as a CSV file, page by page as it is read."""
    query = _read({name: value.strip() for name, value in request.args.items()})
    with reading():
        trail = _trail(query)
    headers = {"Content-Disposition": f'attachment; filename="modelyard-events-{datetime.now(UTC):%Y-%m-%d}.csv"'}
    return while_it_is_sent(Response(_csv(trail, caller(), current_app.app_context), 200, headers, mimetype="text/csv"))


def names_of(shown: Iterable[Event], who: Caller) -> dict[str, str]:
    """Return the names of the keys that events name, by id; of those alone that `who` may see."""
    ids = {key_id for event in shown for key_id in (event.actor, event.key_id) if key_id is not None}
    return {key.id: key.name for key in catalog.find_keys(ids).values() if keys.may_touch(who, key)}


def cell(text: str) -> str:
    """Return a text as a cell that no spreadsheet takes for a formula."""
    return "'" + text if text.startswith(FORMULA) else text


def _read(given: dict[str, str]) -> Filters:
    """Return the filters of a query. Raises InvalidRequest."""
    try:
        return Filters.model_validate({name: value for name, value in given.items() if value})
    except ValidationError as error:
        problems.refuse_invalid(error)
        raise


def _trail(query: Filters) -> Trail:
    """Return what a query asks for, as far as the caller may ask. Raises ModelNotFound, Forbidden."""
    require_trail_of(query.model or None)
    since, until = (None if at is None else aware(at) for at in (query.since, query.until))
    return Trail(query.model or None, _actors(query.actor) if query.actor else None, query.kind or None, since, until)


def _actors(text: str) -> tuple[str, ...]:
    """Return the ids that a text may mean: itself, and those of the keys that have it in their names."""
    named = [key.id for key in catalog.keys_named(text, limit=MOST_ACTORS) if keys.may_touch(caller(), key)]
    return tuple(dict.fromkeys([text, *named]))


def _csv(trail: Trail, who: Caller, new_context: Callable[[], AbstractContextManager[object]]) -> Iterator[str]:
    """Yield the file in parts; between them nothing is held, however slowly the browser takes them."""
    yield _lines([COLUMNS])
    cursor: str | None = None
    while True:
        with new_context(), reading():
            part = trail.page(CSV_PAGE, cursor)
            names = names_of(part.items, who)
        yield _lines(_row(event, names) for event in part.items)
        cursor = part.next_cursor
        if cursor is None:
            return


def _row(event: Event, names: dict[str, str]) -> tuple[str, ...]:
    texts = (
        event.at.astimezone(UTC).isoformat().replace("+00:00", "Z"), event.actor, names.get(event.actor, ""), event.kind, event.model, event.version, event.alias,
        event.key_id, names.get(event.key_id or "", ""), event.from_, event.to, event.reason, msgspec.json.encode(event.detail).decode() if event.detail else "",
    )  # fmt: skip
    return tuple("" if text is None else cell(str(text)) for text in texts)


def _lines(rows: Iterable[tuple[str, ...]]) -> str:
    written = io.StringIO(newline="")
    csv.writer(written, lineterminator="\r\n").writerows(rows)
    return written.getvalue()


ROUTES = (("/events", events, "GET"), ("/events.csv", events_csv, "GET"))
