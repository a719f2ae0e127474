"""The check of an upload before it is sent, top to bottom: its size, its manifest, and what a locked worker says of the rest.

In the order in which `publish` judges, by the same judges. Leaves nothing behind: no bytes, no row, no event, no slot taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from registry import catalog
from registry.artifacts.store import ArtifactStore
from registry.extensions import reading
from registry.flows.publish import Manifest
from registry.serving.workers import Workers

_PUBLISHED = "version.published"


@dataclass(frozen=True, slots=True)
class Announced:
    """What is known of an upload that hasn't come.

    `names` are module and qualified name of what its pickle will name, in its order; `estimator` has the traits of what is in it.
    `manifest` raises InvalidRequest for one that isn't valid.
    """

    size_bytes: int
    manifest: Callable[[], Manifest]
    names: tuple[tuple[str, str], ...]
    estimator: dict[str, Any] | None


def check_upload(name: str, announced: Announced, *, artifacts: ArtifactStore, workers: Workers) -> int:
    """Return the number that `name`'s next version would get. Raises what `publish` would of an upload that is as announced."""
    with artifacts.receive(announced.size_bytes):  # ArtifactTooLarge, NoRoom
        manifest = announced.manifest()
    told = {"input_example": manifest.input_example, "signature": manifest.signature, "flavor": manifest.flavor}
    workers.check({"manifest": told, "names": announced.names, "estimator": announced.estimator})  # UnsafeArtifact, NotAModel
    with reading():
        return _next_number(name)


def _next_number(name: str) -> int:
    """Return the number after the highest ever given: the audit trail outlives the versions, and the model."""
    published = catalog.list_events(model=name, kind=_PUBLISHED, limit=1).items
    return (published[0].version or 0) + 1 if published else 1
