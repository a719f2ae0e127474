"""Opening the registry for one command: database, services, and errors as one line.

Every command but `serve` opens the registry this way, in a process without a server.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import click
from flask import Flask

from registry.cli.settings import read_config
from registry.errors import ModelyardError
from registry.extensions import init_database
from registry.observability import configure_logging
from registry.wiring import Services, attach, build

OPERATOR = "operator"


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
