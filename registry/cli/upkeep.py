"""`modelyard db`, `sweep`, `verify` and `doctor`: looking after what is kept.

They work beside a running service, on the same database and artifacts, and must be safe to repeat.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click
from tqdm import tqdm

from modelyard.cli.asked import json_option
from modelyard.cli.printing import print_document, say
from registry import catalog, schema
from registry.artifacts.sweep import sweep_orphans
from registry.cli import migrating
from registry.cli.doctor import examine
from registry.cli.opening import OPERATOR, application
from registry.cli.settings import read_config
from registry.cli.verification import Verification
from registry.extensions import db, reading
from registry.instance import Instance
from registry.wiring import Services

T = TypeVar("T")


@click.group(name="db")
def database() -> None:
    """Look after the registry's database."""


@database.command()
@json_option
def upgrade(*, as_json: bool) -> None:
    """Bring the database to this version's schema. `serve` does so by itself.

    Example: modelyard db upgrade
    """
    with application(any_schema=True, may_make=True):
        migrating.upgrade()
    if as_json:
        print_document({"current": schema.head(), "wanted": schema.head()})
    else:
        say(f"The database is at {schema.head()}.")


@database.command()
@json_option
def check(*, as_json: bool) -> None:
    """Tell whether the database is at this version's schema; exit code 1 when it isn't.

    Example: modelyard db check
    """
    with application(any_schema=True):
        current, head = schema.current(db.engine), schema.head()
    if as_json:
        print_document({"current": current, "wanted": head})
    else:
        say(f"The database is at {current or 'nothing'}; this version wants {head}.")
    sys.exit(0 if current == head else 1)


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option("--grace-seconds", type=click.FloatRange(min=0), help="Age of orphans. Default: MODELYARD_SWEEP_GRACE_SECONDS.")
@json_option
def sweep(*, dry_run: bool, grace_seconds: float | None, as_json: bool) -> None:
    """Remove what no version needs.

    Versions that were deleted long enough ago, and artifacts that no version refers to.

    Example: modelyard sweep --dry-run
    """
    with application() as built:
        grace = built.config.sweep_grace_seconds if grace_seconds is None else grace_seconds
        before = datetime.now(UTC) - timedelta(seconds=built.config.deleted_keep_seconds)
        with reading():
            removable = catalog.swept_candidates(before)
        versions = [f"{version.model}/{version.number}" for version in removable]
        if removable and not dry_run:
            with built.change(OPERATOR):
                catalog.remove_deleted_versions(before)
        for version in () if as_json else versions:  # said before what may fail
            say(f"{'would remove' if dry_run else 'removed'} {version}")
        report = sweep_orphans(built.artifacts, referenced, grace, dry_run=dry_run)
        if not dry_run:
            built.artifacts.empty_quarantine(grace)
    if as_json:
        print_document({**asdict(report), "versions": versions})
        return
    for sha256 in report.removed:
        say(f"{'would remove' if dry_run else 'removed'} artifact {sha256}")
    say(f"{report.examined} artifacts looked at, {len(report.removed)} of {report.removed_bytes} bytes in no use.")


@click.command()
@click.option("--load", is_flag=True, help="Also load every version here and replay its golden predictions.")
@json_option
def verify(*, load: bool, as_json: bool) -> None:
    """Check every artifact's digest.

    Exit code 1 when one is wrong. With --load, try an image before an upgrade.

    Example: modelyard verify --load
    """
    with application() as built:
        with reading():
            stored = list(catalog.all_digests())
        digests = list(dict.fromkeys(version.sha256 for version in stored))  # versions may share their bytes
        damaged = {sha256 for sha256 in watched(digests, "Reading") if not built.artifacts.verify(sha256)}
        loaded, failures = verify_loads(built) if load else (None, [])
    wrong = list(_wrong(version for version in stored if version.sha256 in damaged))
    told = {(each["model"], each["version"]) for each in wrong}
    wrong += [each for each in failures if (each["model"], each["version"]) not in told]
    if as_json:
        print_document({"artifacts": len(digests), "whole": len(digests) - len(damaged), "loaded": loaded, "wrong": wrong})
    else:
        for each in wrong:
            say(f"{each['model']}/{each['version']}: {each['detail']}")
        say(f"{len(digests) - len(damaged)} of {len(digests)} artifacts are whole.")
        if loaded is not None:
            say(f"{loaded - len(failures)} of {loaded} versions load and replay equal here.")
    sys.exit(1 if wrong else 0)


@click.command()
@json_option
def doctor(*, as_json: bool) -> None:
    """Check this host, and say what to do.

    Settings, database, migrations, Redis, store, disk, the walls around workers, extra names and the clock. Exit code 1 when something
    is wrong.

    Example: modelyard doctor
    """
    config = read_config()
    findings = examine(config, Instance(config))
    if as_json:
        print_document([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            say(finding)
    sys.exit(0 if all(finding.ok for finding in findings) else 1)


def watched(items: list[T], label: str) -> Iterable[T]:
    """Return the items under a bar that moves as they are taken, where somebody looks and it takes a while."""
    shown: Iterable[T] = tqdm(items, desc=label, delay=1, leave=False, disable=not sys.stderr.isatty())
    return shown


def referenced(digests: list[str]) -> set[str]:
    """Return those digests that a version still needs, read afresh."""
    with reading():
        return catalog.referenced_digests(digests)


def verify_loads(built: Services) -> tuple[int, list[dict[str, Any]]]:
    """Load every version in a worker of its own and replay it; return how many, and those that can't serve here."""
    with reading():
        specs = [catalog.get_load_spec(record.version_id) for record in catalog.all_digests() if record.ready]
    failures = asyncio.run(Verification(built.config, built.instance).run(watched(specs, "Loading")))
    return len(specs), [
        {"model": spec.model, "version": spec.number, "detail": f"would not serve here: {reason}"} for spec, reason in failures
    ]


def _wrong(damaged: Iterable[catalog.StoredVersion]) -> Iterator[dict[str, Any]]:
    for version in damaged:
        yield {"model": version.model, "version": version.number, "detail": f"the bytes are missing or changed ({version.sha256})"}
