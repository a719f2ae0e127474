"""Granian's main process: prepares the registry at the first start, then forks web processes that have nothing left to import.

What it loads stands once in memory for all of them, and one that died is back at once. It must start no thread and hold
no connection before it forks.
"""
# ruff: noqa: E402 - the collector must rest before the first import

from __future__ import annotations

import gc

# Imports make hardly any garbage, and looking for it takes a sixth of their time.
gc.disable()

import multiprocessing
import socket
import sys

import click
import msgspec
from flask import Flask
from granian.cli import entrypoint

from config import Config
from registry import app as web_application
from registry import catalog, watcher
from registry.cli import migrating
from registry.cli.minting import make_key
from registry.errors import ModelyardError
from registry.extensions import db, init_database, reading
from registry.instance import Instance, write_private
from registry.observability import configure_logging
from registry.wiring import attach, build

#: Not used here by name: what a web process loads.
PRELOADED = (web_application, watcher)


def main(report_to: int | None, arguments: list[str]) -> None:
    """Prepare the registry and say so to `report_to`, a socket of the host process, if there is one; then become Granian."""
    if report_to is not None:
        # Closed early, it would have the host process end this one before it has said what is wrong.
        report = socket.socket(fileno=report_to)
        config = Config.from_environ()
        configure_logging(config.log_level)
        report.sendall(msgspec.json.encode({"first_key": prepare_registry(config, Instance(config))}) + b"\n")
        report.close()
    multiprocessing.set_start_method("fork")
    gc.freeze()
    gc.enable()
    sys.argv[:] = ["granian", *arguments]
    entrypoint()  # type: ignore[no-untyped-call]


def prepare_registry(config: Config, instance: Instance) -> str | None:
    """Migrate the database and, where there is no key yet, make the first; return its text, if it was made.

    Raises RegistryUnavailable, and click.ClickException where the database is newer than this version.
    """
    built = build(config)
    application = Flask("modelyard")
    attach(application, built)
    init_database(application, instance.database_url)
    made = None
    with application.app_context():
        migrating.upgrade()
        with reading():
            count = catalog.count_keys()
        if count == 0:
            made, _ = make_key(built, "admin", ("admin",), (), config.admin_limits, None)
            instance.admin_key.unlink(missing_ok=True)
            write_private(instance.admin_key, made)
        db.engine.dispose()
    built.announcements.close()
    return made


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]) if sys.argv[1] else None, sys.argv[2:])
    except ModelyardError as error:
        click.ClickException(f"{error.detail} ({error.log_detail})").show()
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(1)
