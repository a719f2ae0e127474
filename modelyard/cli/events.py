"""`modelyard events`: the audit trail, once or as it grows.

Needs a key with the scope admin; nothing here can change an event.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from modelyard.cli.asked import json_option, limit_option
from modelyard.cli.connecting import complete_model, with_client
from modelyard.cli.printing import note, one_line, print_line, shown_moment
from modelyard.cli.tables import print_list, up_to
from modelyard.client import Client
from modelyard.errors import ConnectionFailed, Unavailable
from modelyard.records import Event

POLL_SECONDS = 1.0
_AGO = re.compile(r"(\d{1,6})([smhd])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def moment(text: str) -> datetime:
    """Return a time as RFC 3339 writes it (one without an offset is in UTC), or of how long ago, such as 30m, 2h or 7d."""
    try:
        if ago := _AGO.fullmatch(text):
            return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        at = datetime.fromisoformat(text)
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise click.BadParameter(f"{text!r} is no time such as 2026-05-01T08:00Z, and not how long ago, such as 30m, 2h or 7d.") from None


@click.command()
@click.option("--model", shell_complete=complete_model, help="Only of this model.")
@click.option("--actor", help="Only what the key with this id did.")
@click.option("--kind", help="Only of this kind, such as alias.pointed.")
@click.option("--since", type=moment, metavar="TIME", help="Only from then on: a time, or how long ago, such as 30m, 2h or 7d.")
@click.option("--follow", is_flag=True, help="Go on with what happens, a line each, oldest first, until Ctrl-C.")
@limit_option
@json_option
@with_client
def events(client: Client, /, limit: int, *, follow: bool, as_json: bool, **filters: Any) -> None:
    """List who did what, when and why.

    Newest first. With --json an array of them; with --follow a JSON document on each line.

    Example: modelyard events --model churn --since 2h
    """
    if follow:
        _follow(client, limit, as_json=as_json, **filters)
        return
    rows = ({**_row(event), "raw": event.raw} for event in client.events(**filters))
    print_list(rows, as_json=as_json, limit=limit, nothing="Nothing happened.")


def _follow(client: Client, limit: int, *, as_json: bool, since: datetime | None, **filters: Any) -> None:
    """Print what is there, then what comes. The last event is asked for again each time, so that none of its moment is missed.

    A service that is away is asked on, and said to be so once.
    """
    taken, _ = up_to(client.events(since=since, **filters), limit)
    fresh = taken[::-1]
    last, away = 0, False
    while True:
        for event in fresh:
            print_line(one_line(event.raw) if as_json else "  ".join(text for text in map(str, _row(event).values()) if text))
            last, since = max(last, event.id), event.at
        time.sleep(POLL_SECONDS)
        try:
            fresh, away = _newer(client.events(since=since, **filters), last), False
        except (ConnectionFailed, Unavailable) as error:
            if not away:
                note(f"{str(error).splitlines()[0]} It is asked again until it answers.")
            fresh, away = [], True


def _newer(found: Iterator[Event], last: int) -> list[Event]:
    return sorted((event for event in found if event.id > last), key=lambda event: event.id)


def _row(event: Event) -> dict[str, Any]:
    return {
        "at": shown_moment(event.at),
        "actor": event.actor,
        "kind": event.kind,
        "what": _subject(event),
        "change": f"{_shown(event.from_)} -> {_shown(event.to)}" if (event.from_, event.to) != (None, None) else "",
        "reason": event.reason,
    }


def _subject(event: Event) -> str:
    if event.model is None:
        return f"key {event.key_id}" if event.key_id else ""
    return event.model + (f"@{event.alias}" if event.alias else f"/{event.version}" if event.version is not None else "")


def _shown(value: Any) -> str:
    return "nothing" if value is None else str(value)
