"""The command group, and which command is where.

A command's module is imported when it is asked for: `serve` becomes the host process, which has no use for what the
others need of the database. Defines no command itself.
"""

from __future__ import annotations

import importlib
from typing import cast

import click

from registry import __version__

#: Each command's module and its name there.
COMMANDS = {
    "serve": "registry.cli.serve:serve",
    "db": "registry.cli.upkeep:database",
    "keys": "registry.cli.key_commands:api_keys",
    "sweep": "registry.cli.upkeep:sweep",
    "verify": "registry.cli.upkeep:verify",
    "doctor": "registry.cli.upkeep:doctor",
}


class Commands(click.Group):
    """A group whose commands are looked up in COMMANDS."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names, in the order of the alphabet."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as above
        """Import a command's module and return the command, or None where there is none of that name."""
        module, _, name = COMMANDS.get(cmd_name, "").partition(":")
        return cast("click.Command", getattr(importlib.import_module(module), name)) if module else None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="modelyard")
def main() -> None:
    """Modelyard: a registry of models and the service that predicts with them. Settings are MODELYARD_* variables."""
