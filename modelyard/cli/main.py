"""The command group: which command is where, how the server's commands join, and how every command ends.

A command's module is imported when it is called, since `modelyard serve` becomes the host process, which has no use for an
HTTP client. Defines no command itself.
"""

from __future__ import annotations

import difflib
import errno
import functools
import io
import os
import sys
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from typing import Any

import click
from click.shell_completion import CompletionItem

from modelyard import __version__
from modelyard.cli.asked import Asked, asked_of
from modelyard.cli.exits import MEANINGS, Exit
from modelyard.cli.failing import report
from modelyard.errors import ConfigurationError, ModelyardError
from modelyard.profiles import names_an_address

#: What is installed beside the client may add commands here; of two with the same name the added one counts, but see `keys`.
GROUP = "modelyard.commands"
FULL = ConfigurationError("Standard output can't be written: no space is left.")
#: The client's commands: each one's module and its name there.
COMMANDS: dict[str, str] = {
    "completion": "modelyard.cli.completion:completion",
    "download": "modelyard.cli.artifacts:download",
    "events": "modelyard.cli.events:events",
    "history": "modelyard.cli.moves:history",
    "keys": "modelyard.cli.key_commands:api_keys",
    "list": "modelyard.cli.reading:list_",
    "load": "modelyard.cli.serving:load",
    "login": "modelyard.cli.login:login",
    "pin": "modelyard.cli.serving:pin",
    "point": "modelyard.cli.moves:point",
    "predict": "modelyard.cli.predicting:predict",
    "publish": "modelyard.cli.publishing:publish",
    "rollback": "modelyard.cli.moves:rollback",
    "serving": "modelyard.cli.serving:serving",
    "show": "modelyard.cli.reading:show",
    "unload": "modelyard.cli.serving:unload",
    "unpin": "modelyard.cli.serving:unpin",
}
SERVER = "Server, where it is installed"
#: The help of the group, told without importing a command; a test holds it to each command's own.
SECTIONS: dict[str, dict[str, str]] = {
    "Models": {
        "publish": "Upload a model as the next version of a name.",
        "list": "List models, or a model's versions.",
        "show": "Show a model, or a version.",
        "predict": "Predict rows of a file or of standard input.",
        "point": "Point an alias at a version.",
        "rollback": "Move an alias back to where it pointed before.",
        "history": "List every move of an alias.",
        "download": "Download a version's artifact and verify its digest.",
    },
    "Serving": {
        "serving": "Show what is loaded on the host that answers.",
        "load": "Load a version now.",
        "unload": "Unload a version on the host that answers.",
        "pin": "Keep a version loaded on every host.",
        "unpin": "Let a version be unloaded again.",
    },
    "Access": {
        "login": "Keep a service's address and a key in a profile.",
        "keys": "Make, list, rotate and end API keys.",
        "events": "List who did what, when and why.",
        "completion": "Print the script that completes commands in a shell.",
    },
    SERVER: {
        "serve": "Run this host until Ctrl-C or SIGTERM.",
        "demo": "Try the whole journey on a real model.",
        "db": "Look after the registry's database.",
        "sweep": "Remove what no version needs.",
        "verify": "Check every artifact's digest.",
        "doctor": "Check this host, and say what to do.",
    },
}
_SUMMARIES = {name: summary for section in SECTIONS.values() for name, summary in section.items()}


@functools.cache
def joined() -> EntryPoints:
    """Return the commands that were added by what is installed beside the client."""
    return entry_points(group=GROUP)


class Commands(click.Group):
    """A group whose commands are looked up in COMMANDS and among the entry points of GROUP."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names, in the order of the alphabet."""
        return sorted(COMMANDS.keys() | joined().names)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command's module and return the command, or None where there is none of that name."""
        over_rest = cmd_name == "keys" and names_an_address(ctx.params.get("url"), ctx.params.get("profile"))
        for added in () if over_rest else joined().select(name=cmd_name):
            return _command(added.load())
        if cmd_name in COMMANDS:
            return _command(EntryPoint(cmd_name, COMMANDS[cmd_name], GROUP).load())
        return None

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the words name; of one that isn't there, say which is near."""
        names = self.list_commands(ctx)
        if args[0] not in names and not args[0].startswith("-") and not ctx.resilient_parsing:
            if args[0] in SECTIONS[SERVER]:
                ctx.fail(f"{args[0]!r} is the server's, which isn't installed here.")
            near = difflib.get_close_matches(args[0], names, n=1)
            ctx.fail(f"There is no command {args[0]!r}" + (f"; did you mean {near[0]!r}?" if near else "."))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what each command does, in sections, without importing it, and the exit codes."""
        rest = set(self.list_commands(ctx))
        for title, summaries in SECTIONS.items():
            if rows := [(name, summary) for name, summary in summaries.items() if name in rest]:
                with formatter.section(title):
                    formatter.write_dl(rows)
            rest -= summaries.keys()
        if others := [(name, _help(self.get_command(ctx, name))) for name in sorted(rest)]:
            with formatter.section("Others"):
                formatter.write_dl(others)
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code.value), meaning) for code, meaning in MEANINGS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands that begin like this, without importing one."""
        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        found = [CompletionItem(name, help=_SUMMARIES.get(name, "")) for name in names]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def main(self, *args: Any, **extra: Any) -> Any:
        """Be called by the script; what is printed without a command, such as the help, may find no room either."""
        _open_closed_streams()
        try:
            return super().main(*args, **extra)
        except OSError as error:
            _require_full(error)
            _drop_output()
            sys.exit(report(FULL, as_json=False))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the group's options; of a command whose own can't be read, --json counts all the same."""
        ctx.obj = Asked(as_json="--json" in args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Call the command; whatever it raises becomes a few lines and an exit code."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            _drop_output()
            ctx.exit(Exit.CLOSED_PIPE)
        except OSError as error:
            _require_full(error)
            _drop_output()
            ctx.exit(report(FULL, as_json=asked_of(ctx).as_json))
        except (KeyboardInterrupt, click.Abort):
            click.echo(err=True)  # the terminal shows ^C
            ctx.exit(Exit.INTERRUPTED)
        except (ModelyardError, click.ClickException) as error:
            ctx.exit(report(error, as_json=asked_of(ctx).as_json))


def _open_closed_streams() -> None:
    """Read nothing from standard streams that are closed, and let what goes there go nowhere, as if they were /dev/null."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8"))


def _require_full(error: OSError) -> None:
    """Raise the error again unless it says that standard output has no room."""
    if error.errno != errno.ENOSPC or error.filename is not None:
        raise error


def _drop_output() -> None:
    """Let what is still buffered go nowhere, since where it was to go takes no more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _command(loaded: object) -> click.Command:
    if not isinstance(loaded, click.Command):
        raise TypeError(f"{loaded!r} isn't a command")
    return loaded


def _help(command: click.Command | None) -> str:
    return command.get_short_help_str(80) if command is not None else ""


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option("--url", help="Address of the service. Default: MODELYARD_URL, or the profile's.")
@click.option(
    "--profile", help="Profile of ~/.config/modelyard.toml with address and key. Default: MODELYARD_PROFILE, or the file's default."
)
@click.version_option(__version__, prog_name="modelyard")
@click.pass_context
def main(ctx: click.Context, url: str | None, profile: str | None) -> None:
    """Publish models, predict with them by URL, point aliases, roll back.

    The key is MODELYARD_KEY, or stands in a profile that 'modelyard login' wrote; it is no option, since others can see a command line.
    A version is named MODEL/NUMBER, such as churn/7, or MODEL@ALIAS; MODEL alone means MODEL@production, MODEL@latest the highest one.
    Where the server is installed, 'keys' works on its database, unless an address is given: --url, --profile,
    MODELYARD_URL or MODELYARD_PROFILE.

    Tables are for people, fitted to the terminal and plain in a pipe. Programs add --json to a command: one JSON document, an array for
    a list; errors are then a problem document (RFC 9457) on standard error.
    """
    asked = asked_of(ctx)
    asked.url, asked.profile = url, profile
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # what the locale can't write is no reason to fail
