"""What a selector stands for, as the predict path needs it, and how it is read from the catalog.

Remembers nothing: that is the directory's part.
"""

from __future__ import annotations

from dataclasses import dataclass

from registry import catalog
from registry.errors import VersionDeleted, VersionNotFound
from registry.naming import LATEST
from registry.signature import Signature


@dataclass(frozen=True, slots=True)
class Resolved:
    """A version with nothing left to look up: no ORM, its signature ready to validate.

    `runtime` is the effective one. `cache` is `auto`, `on` or `off`; `cacheable` tells whether answers may be kept at all.
    """

    id: int
    model: str
    number: int
    sha256: str
    runtime: str
    signature: Signature
    cacheable: bool
    cache: str


def get_resolved(name: str, number: int) -> Resolved:
    """Return a version that may serve. Raises ModelNotFound, VersionNotFound, VersionDeleted."""
    version = catalog.get_version(name, number)
    if version.deleted_at is not None:
        raise VersionDeleted(f"Version {number} of {name} was deleted; a publisher may restore it.")
    return Resolved(
        version.id,
        version.model,
        version.number,
        version.sha256,
        version.effective_runtime,
        Signature.from_dict(version.signature),
        version.deterministic and version.cache != "off",
        version.cache,
    )


def get_number(name: str, alias: str) -> int:
    """Return where an alias points; `latest` is the highest version that is ready. Raises ModelNotFound, AliasNotFound, VersionNotFound."""
    if alias != LATEST:
        return catalog.get_alias(name, alias).version
    catalog.get_model(name)
    latest = catalog.find_latest(name)
    if latest is None:
        raise VersionNotFound(f"Model {name} has no version that is ready.")
    return latest.number
