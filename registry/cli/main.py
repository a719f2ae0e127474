"""The command group, and which command is where.

Adds commands and does nothing else; each is defined beside what it needs.
"""

from __future__ import annotations

import click

from registry import __version__
from registry.cli.key_commands import api_keys
from registry.cli.serve import serve
from registry.cli.upkeep import database, doctor, sweep, verify


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="modelyard")
def main() -> None:
    """Modelyard: a registry of models and the service that predicts with them. Settings are MODELYARD_* variables."""


for command in (serve, database, api_keys, sweep, verify, doctor):
    main.add_command(command)
