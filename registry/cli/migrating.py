"""Where the database's tables stand, asked before a command uses them, so that nobody meets the driver's words for a missing table.

Changes nothing but by `upgrade`.
"""

from __future__ import annotations

import click

from registry import schema
from registry.extensions import DATABASE_AWAY, database_away, db
from registry.outage import DATABASE_UNUSABLE


def upgrade() -> None:
    """Bring the database to this version's schema. Raises click.ClickException where it is newer, RegistryUnavailable."""
    try:
        current, head = schema.current(db.engine), schema.head()
        if current is not None and current > head:
            raise click.ClickException(_newer(current, head))
        schema.upgrade(db.engine)
    except DATABASE_AWAY as error:
        raise database_away(error) from None
    except DATABASE_UNUSABLE as error:
        raise unusable(error) from None


def require_tables() -> None:
    """Raise click.ClickException unless the database is at this version's schema; RegistryUnavailable."""
    try:
        current, head = schema.current(db.engine), schema.head()
    except DATABASE_AWAY as error:
        raise database_away(error) from None
    if current is not None and current > head:  # they are numbered
        raise click.ClickException(_newer(current, head))
    if current != head:
        raise click.ClickException(f"The database is at {current or 'nothing'}, this version wants {head}: run 'modelyard db upgrade'.")


def unusable(error: BaseException) -> click.ClickException:
    """Return what is said of a database that is there and can't be used."""
    return click.ClickException(f"The database can't be used ({str(error).splitlines()[0]}); see 'modelyard doctor'.")


def _newer(current: str, head: str) -> str:
    return f"The database is at {current}, newer than this version's {head}: run the newer version, or restore a backup."
