"""Reading the settings for one command, so that a wrong one reads the same everywhere.

Apart from `opening.py`, because `serve` needs the settings but must not load what the database needs.
"""

from __future__ import annotations

import warnings

import click

from config import Config, ConfigError, ConfigWarning


def read_config() -> Config:
    """Read the settings, or end with every problem and exit status 2."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConfigWarning)
        try:
            config = Config.from_environ()
        except ConfigError as error:
            raise click.UsageError("\n".join(error.problems)) from None
    for warning in caught:
        click.echo(f"warning: {warning.message}", err=True)
    return config
