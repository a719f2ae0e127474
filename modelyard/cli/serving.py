"""`modelyard serving`, `load`, `unload`, `pin` and `unpin`: what is in memory, and having it there.

Loading and unloading concern the host that answers; a pin concerns every host.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from modelyard.cli.asked import json_option
from modelyard.cli.connecting import selector_argument, with_client
from modelyard.cli.printing import note, print_document, say, shown_size
from modelyard.cli.tables import print_table
from modelyard.client import Client
from modelyard.errors import ConnectionFailed


@click.command()
@json_option
@with_client
def serving(client: Client, *, as_json: bool) -> None:
    """Show what is loaded on the host that answers.

    Each version with its memory and how busy it is.

    Example: modelyard serving
    """
    report = client.serving()
    if as_json:
        print_document(report)
        return
    if not isinstance(report.get("loaded"), list):
        raise ConnectionFailed(f"What answers at {client.url} isn't Modelyard: nothing of what is loaded is in its answer.")
    if report["loaded"]:
        print_table([_row(loaded) for loaded in report["loaded"]])
    note(f"{len(report['loaded'])} loaded; {shown_size(report['used_bytes'])} of {shown_size(report['budget_bytes'])} used.")


@click.command()
@selector_argument
@json_option
@with_client
def load(client: Client, selector: str, *, as_json: bool) -> None:
    """Load a version now.

    Instead of with its first request. What failed before is tried again.

    Example: modelyard load churn/7
    """
    client.load(selector)
    _tell(selector, "is loaded", as_json=as_json, loaded=True)


@click.command()
@selector_argument
@json_option
@with_client
def unload(client: Client, selector: str, *, as_json: bool) -> None:
    """Unload a version on the host that answers.

    Requests under way are answered first; the next one loads it again.

    Example: modelyard unload churn/6
    """
    was_loaded = client.unload(selector)
    _tell(selector, "is unloaded" if was_loaded else "wasn't loaded", as_json=as_json, loaded=False, was_loaded=was_loaded)


@click.command()
@selector_argument
@json_option
@with_client
def pin(client: Client, selector: str, *, as_json: bool) -> None:
    """Keep a version loaded on every host.

    It is loaded now, and never makes room for another.

    Example: modelyard pin churn@production
    """
    client.pin(selector)
    _tell(selector, "is pinned", as_json=as_json, pinned=True)


@click.command()
@selector_argument
@json_option
@with_client
def unpin(client: Client, selector: str, *, as_json: bool) -> None:
    """Let a version be unloaded again.

    It stays loaded until room is needed or nobody asks for it.

    Example: modelyard unpin churn/6
    """
    client.unpin(selector)
    _tell(selector, "isn't pinned any more", as_json=as_json, pinned=False)


def _tell(selector: str, what: str, *, as_json: bool, **members: Any) -> None:
    if as_json:
        print_document({"selector": selector, **members})
    else:
        say(f"{selector} {what}.")


def _row(loaded: dict[str, Any]) -> dict[str, Any]:
    shown: dict[str, Callable[[Any], Any]] = {"bytes": shown_size, "idle_seconds": lambda seconds: f"{seconds:.0f} s", "pinned": _yes}
    names = ("model", "version", "state", "runtime", "bytes", "requests", "waiting", "idle_seconds", "pinned")
    return {name.replace("_seconds", ""): shown.get(name, _same)(loaded[name]) for name in names}


def _yes(value: object) -> str:
    return "yes" if value else ""


def _same(value: Any) -> Any:
    return value
