"""A command's client: opened from what was said before the command, closed when it ends; and names completed by asking the service.

The only module of the command line that makes a client. Completion must stay silent: whatever fails there completes nothing.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from itertools import islice
from typing import Concatenate, ParamSpec, TypeVar

import click
from click.shell_completion import CompletionItem

from modelyard.cli.asked import asked_of
from modelyard.client import Client
from modelyard.errors import ModelyardError

P = ParamSpec("P")
R = TypeVar("R")
#: Longest that a key press waits for the service.
COMPLETION_SECONDS = 2.0
MOST_COMPLETIONS = 50


def with_client(command: Callable[Concatenate[Client, P], R]) -> Callable[P, R]:
    """Call a command with a client in front of its own arguments."""

    @functools.wraps(command)
    def connected(*args: P.args, **options: P.kwargs) -> R:
        asked = asked_of(click.get_current_context())
        with Client(asked.url, profile=asked.profile) as client:
            return command(client, *args, **options)

    return connected


def complete_model(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001 - click's signature
    """Return the models that the key may see and that begin like this; nothing where the service can't be asked."""
    return _completed(ctx, incomplete, _models)


def complete_selector(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001 - click's signature
    """Return models, and once one stands there with an @, its aliases."""
    return _completed(ctx, incomplete, _aliases if "@" in incomplete else _models)


def complete_alias(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001 - click's signature
    """Return the aliases of the model that was named before."""
    model = ctx.params.get("model")
    return _completed(ctx, incomplete, lambda client, _: list(client.model(model).aliases)) if model else []


def _completed(ctx: click.Context, incomplete: str, ask: Callable[[Client, str], list[str]]) -> list[CompletionItem]:
    asked = ctx.find_root().params
    with (
        contextlib.suppress(ModelyardError),
        Client(asked.get("url"), profile=asked.get("profile"), timeout_seconds=COMPLETION_SECONDS, retries=0) as client,
    ):
        return [CompletionItem(name) for name in ask(client, incomplete) if name.startswith(incomplete)]
    return []


def _models(client: Client, incomplete: str) -> list[str]:
    return [model.name for model in islice(client.models(search=incomplete or None), MOST_COMPLETIONS)]


def _aliases(client: Client, incomplete: str) -> list[str]:
    model = incomplete.partition("@")[0]
    return [f"{model}@{alias}" for alias in client.model(model).aliases]


model_argument = click.argument("model", shell_complete=complete_model)
selector_argument = click.argument("selector", shell_complete=complete_selector)
