"""Opening the registry for one command: settings, database, services, and errors as one line.

Every command but `serve` opens the registry this way, so that a wrong setting reads the same everywhere.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator

import click
from flask import Flask

from config import Config, ConfigError, ConfigWarning
from registry.errors import ModelyardError
from registry.extensions import init_database
from registry.observability import configure_logging
from registry.wiring import Services, attach, build

OPERATOR = "operator"


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


@contextlib.contextmanager
def application() -> Iterator[Services]:
    """Open the registry for one command; its errors become one line."""
    config = read_config()
    configure_logging("warning")
    built = build(config)
    app = Flask("modelyard")
    attach(app, built)
    init_database(app, built.instance.database_url)
    try:
        with app.app_context():
            yield built
    except ModelyardError as error:
        raise click.ClickException(error.detail) from None
