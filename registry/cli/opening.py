"""Opening the registry for one command: database, services, and errors as the API would tell them.

Every command but `serve` opens the registry this way, in a process without a server.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from flask import Flask

from modelyard.errors import Problem, problem_of
from registry.api.problems import STATUS, TYPE_PREFIX
from registry.cli.migrating import require_tables
from registry.cli.settings import read_config
from registry.errors import ModelyardError
from registry.extensions import init_database
from registry.observability import configure_logging
from registry.wiring import Services, attach, build

OPERATOR = "operator"


@contextlib.contextmanager
def application(*, any_schema: bool = False) -> Iterator[Services]:
    """Open the registry for one command; its errors become problems. Unless `any_schema`, the database must be at this version's."""
    config = read_config()
    configure_logging("warning")
    built = build(config)
    app = Flask("modelyard")
    attach(app, built)
    init_database(app, built.instance.database_url)
    try:
        with app.app_context():
            if not any_schema:
                require_tables()
            yield built
    except ModelyardError as error:
        raise told(error) from None


def told(error: ModelyardError) -> Problem:
    """Return an error as a caller of the API gets it, so that the command line tells it in one way and ends with one exit code."""
    status = STATUS[type(error)]
    body = {"type": TYPE_PREFIX + error.slug, "title": error.title, "status": status, "detail": error.detail, **error.members}
    if error.findings:
        body["errors"] = [finding.as_dict() for finding in error.findings]
    return problem_of(status, body, error.retry_after_seconds)
