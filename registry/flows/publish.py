"""The publish flow, top to bottom: receive and hash, admit, keep, insert, commit.

Bytes first, row second: a crash in between leaves an unreferenced artifact for the sweep, never a row without bytes.
No byte of an upload is parsed here; a locked worker is the only judge.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from registry import catalog, observability
from registry.artifacts.store import ArtifactStore
from registry.catalog import NewVersion, Version
from registry.errors import ModelyardError
from registry.extensions import reading
from registry.flows.change import Change
from registry.flows.once import Once
from registry.flows.told_diagram import read_diagram
from registry.serving.workers import Workers


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a publisher says about an artifact; everything is optional."""

    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    source: dict[str, str] = field(default_factory=dict)
    input_example: Any = None
    signature: dict[str, Any] | None = None
    flavor: str | None = None
    sha256: str | None = None
    alias: str | None = None
    runtime: str | None = None
    accept_skew: bool = False
    batching: bool = True


@dataclass(frozen=True, slots=True)
class Published:
    """A version that was made, or made before under the same Idempotency-Key; the alias to point at it; what its admission advises."""

    version: Version
    alias: str | None
    advice: tuple[str, ...] = ()


class Upload(Protocol):
    """An upload under way: the artifact's bytes as they come, and the manifest once they have all come.

    `least_bytes` is what the artifact surely has, as far as the request announced it.
    """

    least_bytes: int

    def chunks(self) -> Iterator[bytes]:
        """Yield the artifact. Raises UploadIncomplete, UploadTimeout, MalformedBody."""

    def manifest(self) -> Manifest:
        """Return the manifest, after the last chunk. Raises InvalidRequest."""

    def require_digest(self, sha256: str) -> None:
        """Compare what came with the digest that a header announced. Raises ChecksumMismatch."""


def publish(
    name: str, upload: Upload, *, artifacts: ArtifactStore, workers: Workers, change: Change, refusal: Change, once: Once
) -> Published:
    """Store an artifact and make it the next version of `name`."""
    with refusals_noted(name, refusal), artifacts.receive(upload.least_bytes) as incoming:
        for chunk in upload.chunks():
            incoming.write(chunk)  # hashes as it writes; ArtifactTooLarge, NoRoom
        manifest = upload.manifest()
        upload.require_digest(incoming.sha256)  # ChecksumMismatch
        incoming.require_sha256(manifest.sha256)
        fingerprint = f"publish {name} {incoming.sha256}"
        with reading():
            repeated = once.find(fingerprint)
        if repeated is not None:
            return Published(_published_before(name, repeated), manifest.alias)
        admitted = workers.admit(incoming.path.name, _for_admission(manifest))  # the only judge of bytes: UnsafeArtifact, NotAModel
        artifacts.keep(incoming)  # fsync, rename to its digest, renew its time
    with change:  # the only commit of a published version
        repeated = once.find(fingerprint)
        if repeated is not None:
            return Published(catalog.get_version(name, repeated["version"]), manifest.alias)
        version = catalog.add_version(_new_version(name, manifest, admitted, incoming.sha256, incoming.size_bytes))
        once.keep(fingerprint, {"version": version.number})
    return Published(version, manifest.alias, tuple(admitted["findings"]))


@contextmanager
def refusals_noted(name: str, refusal: Change) -> Iterator[None]:
    """Leave one audit event, in a transaction of its own, when the upload to `name` is refused, for whatever reason."""
    try:
        yield
    except ModelyardError as error:
        observability.PUBLISHES.labels(error.slug).inc()
        with refusal:
            catalog.record_event("upload.refused", model=name, **_told(error))
        raise


def _told(error: ModelyardError) -> dict[str, Any]:
    """Return what the audit trail keeps of a refusal: an upload may name anything, and a key is kept nowhere."""
    told: dict[str, Any] = observability.without_keys({"reason": error.detail, "detail": {"problem": error.slug, **error.members}})
    return {**told, "reason": told["reason"][:2000]}


def _published_before(name: str, repeated: dict[str, Any]) -> Version:
    with reading():
        return catalog.get_version(name, repeated["version"])


def _for_admission(manifest: Manifest) -> dict[str, Any]:
    return {
        "input_example": manifest.input_example,
        "signature": manifest.signature,
        "flavor": manifest.flavor,
        "accept_skew": manifest.accept_skew,
    }


def _new_version(name: str, manifest: Manifest, admitted: dict[str, Any], sha256: str, size_bytes: int) -> NewVersion:
    return NewVersion(
        model=name,
        flavor=admitted["flavor"],
        estimator=admitted["estimator"],
        sha256=sha256,
        size_bytes=size_bytes,
        signature=admitted["signature"],
        methods=tuple(admitted["methods"]),
        environment=admitted["environment"],
        golden=admitted["golden"],
        golden_rows=admitted["golden_rows"],
        golden_from=admitted["golden_from"],
        deterministic=admitted["deterministic"],
        runtime=manifest.runtime,
        accept_skew=manifest.accept_skew,
        batching=manifest.batching,
        description=manifest.description,
        tags=manifest.tags,
        metrics=manifest.metrics,
        parameters=manifest.parameters,
        source=manifest.source,
        diagram=read_diagram(admitted.get("diagram")),
    )
