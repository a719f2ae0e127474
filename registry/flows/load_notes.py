"""Keeping on a version why it doesn't load, and that it does again, for whoever looks it up later.

The request that met the failure has its own answer, so nothing here is ever raised to it.
"""

from __future__ import annotations

from registry import catalog, observability
from registry.errors import ModelUnloadable, ModelyardError
from registry.extensions import reading
from registry.flows.change import Change

ACTOR = "host"


def note_load(version_id: int, error: ModelUnloadable | None, *, change: Change) -> None:
    """Write the reason, or clear it where `error` is None; nothing is written that stands there already."""
    text = None if error is None else error.detail
    try:
        with reading():
            noted = catalog.get_load_spec(version_id).load_error
        if noted != text:
            with change:
                catalog.note_load_error(version_id, text)
    except ModelyardError as failure:  # the database is away, or the version was deleted meanwhile
        observability.log.warning("a load could not be noted", version_id=version_id, load_error=text, reason=failure.slug)
