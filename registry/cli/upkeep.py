"""`modelyard db`, `sweep`, `verify` and `doctor`: looking after what is kept.

They work beside a running service, on the same database and artifacts, and must be safe to repeat.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime, timedelta

import click
from flask import Flask

from registry import catalog, schema
from registry.artifacts.sweep import sweep_orphans
from registry.cli.doctor import examine
from registry.cli.opening import OPERATOR, application
from registry.cli.settings import read_config
from registry.cli.verification import Verification
from registry.extensions import db, init_database, reading
from registry.instance import Instance
from registry.wiring import Services


@click.group(name="db")
def database() -> None:
    """Look after the registry's database."""


@database.command()
def upgrade() -> None:
    """Bring the database to this version's schema. `serve` does so by itself.

    Example: modelyard db upgrade
    """
    with application():
        schema.upgrade(db.engine)
        click.echo(f"The database is at {schema.head()}.")


@database.command()
def check() -> None:
    """Tell whether the database is at this version's schema; exit status 1 when it isn't.

    Example: modelyard db check
    """
    with application():
        current, head = schema.current(db.engine), schema.head()
    click.echo(f"The database is at {current or 'nothing'}; this version wants {head}.")
    sys.exit(0 if current == head else 1)


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option("--grace-seconds", type=click.FloatRange(min=0), help="Age of orphans. Default: MODELYARD_SWEEP_GRACE_SECONDS.")
def sweep(*, dry_run: bool, grace_seconds: float | None) -> None:
    """Remove what was deleted long enough ago, and artifacts that no version needs.

    Example: modelyard sweep --dry-run
    """
    with application() as built:
        grace = built.config.sweep_grace_seconds if grace_seconds is None else grace_seconds
        before = datetime.now(UTC) - timedelta(seconds=built.config.deleted_keep_seconds)
        with reading():
            removable = catalog.swept_candidates(before)
        for version in removable:
            click.echo(f"{'would remove' if dry_run else 'removing'} {version.model}/{version.number}")
        if removable and not dry_run:
            with built.change(OPERATOR):
                catalog.remove_deleted_versions(before)
        report = sweep_orphans(built.artifacts, referenced, grace, dry_run=dry_run)
        if not dry_run:
            built.artifacts.empty_quarantine(grace)
        click.echo(str(report))


@click.command()
@click.option("--load", is_flag=True, help="Also load every version here and replay its golden predictions.")
def verify(*, load: bool) -> None:
    """Check every artifact's digest; exit status 1 when one is wrong. With --load, try an image before an upgrade.

    Example: modelyard verify --load
    """
    with application() as built:
        with reading():
            stored = list(catalog.all_digests())
        wrong = 0
        for version in stored:
            if not built.artifacts.verify(version.sha256):
                wrong += 1
                click.echo(f"{version.model}/{version.number}: the bytes are missing or changed ({version.sha256})")
        click.echo(f"{len(stored) - wrong} of {len(stored)} artifacts are whole.")
        if load:
            wrong += verify_loads(built)
    sys.exit(1 if wrong else 0)


@click.command()
def doctor() -> None:
    """Check settings, database, Redis, disk and the walls around workers, and say what to do.

    Example: modelyard doctor
    """
    config = read_config()
    instance = Instance(config)
    instance.prepare()
    findings = examine(config, instance, ask_schema)
    for finding in findings:
        click.echo(f"{'ok  ' if finding.ok else 'FAIL'}  {finding.part}: {finding.text}")
    sys.exit(0 if all(finding.ok for finding in findings) else 1)


def referenced(digests: list[str]) -> set[str]:
    """Return those digests that a version still needs, read afresh."""
    with reading():
        return catalog.referenced_digests(digests)


def verify_loads(built: Services) -> int:
    """Load every version in a worker of its own and replay it; return how many can't serve here."""
    with reading():
        specs = [catalog.get_load_spec(record.version_id) for record in catalog.all_digests() if record.ready]
    failures = asyncio.run(Verification(built.config, built.instance).run(specs))
    for spec, reason in failures:
        click.echo(f"{spec.model}/{spec.number}: would not serve here: {reason}")
    click.echo(f"{len(specs) - len(failures)} of {len(specs)} versions load and replay equal here.")
    return len(failures)


def ask_schema(instance: Instance) -> tuple[str | None, str]:
    """Return the database's revision and the one that this version wants."""
    app = Flask("modelyard")
    init_database(app, instance.database_url)
    with app.app_context():
        return schema.current(db.engine), schema.head()
