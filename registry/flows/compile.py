"""The compile flow, top to bottom: what is pending, make and judge it in a locked worker, note what came of it, load anew.

Runs after the version was published, or `fast` was chosen for it; the exact runtime serves meanwhile. Several hosts may make the
same form: the first to note it wins, and the others change nothing.
"""

from __future__ import annotations

from registry import catalog, observability
from registry.errors import ModelyardError
from registry.extensions import reading
from registry.flows.change import Change
from registry.serving.workers import Workers

ACTOR = "host"


def compile_version(version_id: int, *, workers: Workers, change: Change) -> None:
    """Make the compiled form of a pending version and let it serve, or keep why not. Raises what is worth another try."""
    with reading():
        spec = catalog.find_compile_spec(version_id)
    if spec is None:
        return  # another host made it, or it isn't wanted any more
    made = workers.compile(spec)  # the only judge: a locked worker
    with change:
        if made["golden"] is None:
            noted = catalog.note_compile_refused(version_id, made["report"])
        else:
            noted = catalog.note_compiled(version_id, made["golden"], made["report"])
    if noted and made["golden"] is not None:
        _load_anew(spec.model, spec.number, workers)


def _load_anew(model: str, number: int, workers: Workers) -> None:
    """Let the compiled form serve from now on where the version is loaded; what can't be done now is done by its next load."""
    try:
        with reading():
            version = catalog.get_version(model, number)
        workers.refresh(version)
    except ModelyardError as error:
        observability.log.warning("a compiled version isn't loaded anew", model=model, version=number, reason=error.slug)
