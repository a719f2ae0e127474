"""The commands of `modelyard`, from what `--help` is made of: the client's, then those that the server adds where it is installed.

Both are installed where the site is built. Asks no environment: of two commands with one name, each stands in its own part.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from importlib.metadata import EntryPoint

import click

from docs.made.tables import table
from modelyard.cli.exits import MEANINGS
from modelyard.cli.main import COMMANDS, GROUP, SECTIONS, joined, main

PROGRAM = "modelyard"
SERVER = list(SECTIONS)[-1]
_EXAMPLE = re.compile(r"^Examples?:\s*", re.MULTILINE)


def page(_docname: str) -> str:
    """Return what the group says, its options, the exit codes, and a section for each command."""
    group = click.Context(main, info_name=PROGRAM, **main.context_settings)
    codes = table(("code", "means"), [(str(int(code)), meaning) for code, meaning in MEANINGS.items()])
    parts = [_words(main.help), _options(group), f"## Exit codes\n\n{codes}"]
    for title, commands in _sections().items():
        parts += [f"## {title}", *(_section(leaf) for name, command in commands.items() for leaf in _leaves(group, name, command))]
    return "\n\n".join(part for part in parts if part)


def _sections() -> dict[str, dict[str, click.Command]]:
    """Return the commands by section, in the order of the group's help; `keys` is in two."""
    found = {
        title: {name: _loaded(EntryPoint(name, COMMANDS[name], GROUP)) for name in names if name in COMMANDS}
        for title, names in SECTIONS.items()
        if title != SERVER
    }
    order = [*SECTIONS[SERVER], *sorted(joined().names - SECTIONS[SERVER].keys())]
    return {**found, SERVER: {name: _loaded(one) for name in order for one in joined().select(name=name)}}


def _loaded(entry_point: EntryPoint) -> click.Command:
    command = entry_point.load()
    assert isinstance(command, click.Command)  # noqa: S101 - the group refuses anything else
    return command


def _leaves(parent: click.Context, name: str, command: click.Command) -> Iterator[click.Context]:
    """Yield the context of a command, or of each below a group."""
    context = click.Context(command, parent=parent, info_name=name)
    if not isinstance(command, click.Group):
        yield context
        return
    for inner in command.list_commands(context):
        found = command.get_command(context, inner)
        if found is not None:
            yield from _leaves(context, inner, found)


def _section(context: click.Context) -> str:
    help_text = inspect.cleandoc((context.command.help or "").replace("\b", "").replace("\f", ""))
    words, _, examples = _EXAMPLE.sub("\0", help_text, count=1).partition("\0")
    pieces = " ".join(context.command.collect_usage_pieces(context))
    parts = [f"### {context.command_path}", _words(words), f"```text\n{context.command_path} {pieces}\n```", _options(context)]
    if examples.strip():
        parts.append("```console\n" + "\n".join(_prompted(line.strip()) for line in examples.strip().splitlines()) + "\n```")
    return "\n\n".join(part for part in parts if part)


def _prompted(line: str) -> str:
    return f"$ {line}" if line else line


def _options(context: click.Context) -> str:
    left_out = context.command.get_help_option(context) if context.parent is not None else None  # said once, for all
    options = [one for one in context.command.get_params(context) if isinstance(one, click.Option) and one is not left_out]
    records = [one.get_help_record(context) for one in options]
    rows = [(f"`{record[0]}`", _words(record[1])) for record in records if record is not None]
    return table(("option", "does"), rows) if rows else ""


def _words(text: str | None) -> str:
    """Return plain text as Markdown that says the same."""
    return re.sub(r"([\\*_`<\[\]#])", r"\\\1", inspect.cleandoc((text or "").replace("\b", "").replace("\f", "")))
