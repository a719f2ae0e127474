"""Opening the registry for one command: database, services, and errors as the API would tell them.

Every command but `serve` opens the registry this way, in a process without a server.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import click
from flask import Flask

from config import Config
from modelyard.errors import ConfigurationError, Problem, problem_of
from registry.api.problems import STATUS, TYPE_PREFIX
from registry.cli.migrating import require_tables, unusable
from registry.cli.settings import read_config
from registry.errors import ModelyardError, RegistryUnavailable
from registry.extensions import DATABASE_AWAY, database_away, init_database
from registry.instance import Instance
from registry.observability import configure_logging
from registry.outage import DATABASE_UNUSABLE
from registry.wiring import Services, attach, build

OPERATOR = "operator"
DATABASE_FILE = "modelyard.db"


@contextlib.contextmanager
def application(*, any_schema: bool = False, may_make: bool = False) -> Iterator[Services]:
    """Open the registry for one command; its errors become problems. Unless `any_schema`, the database must be at this version's.

    Makes none where there is none, unless it `may_make` one: an empty registry in the wrong folder would hide the right one.
    """
    config = read_config()
    configure_logging("warning")
    try:
        if not may_make:
            _require_registry(config)
        built = build(config)
        app = Flask("modelyard")
        attach(app, built)
        init_database(app, built.instance.database_url)
        with app.app_context():
            if not any_schema:
                require_tables()
            yield built
    except ModelyardError as error:
        raise told(error) from None
    except DATABASE_AWAY as error:
        raise told(database_away(error)) from None
    except DATABASE_UNUSABLE as error:
        raise unusable(error) from None
    except OSError as error:
        if error.filename is None:  # a pipe or a socket: of standard output, the command line says so by itself
            raise
        raise click.ClickException(f"{error.filename} can't be used: {error.strerror}.") from None


def _require_registry(config: Config) -> None:
    """Raise ConfigurationError where the embedded database isn't there."""
    file = Instance(config).folder / DATABASE_FILE
    if config.embedded_database and not file.exists():
        raise ConfigurationError(
            f"There is no registry at {file}; run it where the service runs, with its settings (MODELYARD_INSTANCE_PATH, MODELYARD_DATABASE_URL)."
        )


def told(error: ModelyardError) -> Problem:
    """Return an error as a caller of the API gets it, so that the command line tells it in one way and ends with one exit code."""
    status = STATUS[type(error)]
    detail = error.detail
    if isinstance(error, RegistryUnavailable) and error.log_detail:
        detail = f"{detail} ({error.log_detail.splitlines()[0]})"  # whoever has the settings may know what the driver says
    body = {"type": TYPE_PREFIX + error.slug, "title": error.title, "status": status, "detail": detail, **error.members}
    if error.findings:
        body["errors"] = [finding.as_dict() for finding in error.findings]
    return problem_of(status, body, error.retry_after_seconds)
