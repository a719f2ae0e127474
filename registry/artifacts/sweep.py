"""Removing artifacts that no version refers to.

A publish may be keeping the same bytes at this very moment: an artifact goes only when it is old, unreferenced, and
still both under the store's exclusive lock. Knows no SQL: the caller says what is referenced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from registry.artifacts.store import ArtifactStore, sync_folder

BATCH = 500

#: Returns those of the given digests that a version refers to, deleted but not yet removed versions included.
Referenced = Callable[[list[str]], set[str]]


@dataclass(slots=True)
class SweepReport:
    """What a sweep did, or in a dry run would have done."""

    dry_run: bool
    examined: int = 0
    removed: list[str] = field(default_factory=list)
    removed_bytes: int = 0
    put_back: list[str] = field(default_factory=list)


def sweep_orphans(store: ArtifactStore, referenced: Referenced, grace_seconds: float, *, dry_run: bool) -> SweepReport:
    """Remove artifacts that are unreferenced and were last kept over `grace_seconds` ago.

    The grace period must be longer than any publish takes from keeping its bytes to its commit. What `referenced`
    raises ends the sweep, with nothing lost.
    """
    report = SweepReport(dry_run)
    if not dry_run:
        _settle_trash(store, referenced, report)
    digests = store.iter_digests()
    while batch := list(islice(digests, BATCH)):
        report.examined += len(batch)
        for sha256 in _orphans(store, batch, referenced, grace_seconds):
            if dry_run:
                _note_removed(report, store.path_of(sha256))
            else:
                _remove(store, sha256, referenced, grace_seconds, report)
    return report


def _orphans(store: ArtifactStore, batch: list[str], referenced: Referenced, grace_seconds: float) -> Iterator[str]:
    old = [sha256 for sha256 in batch if _is_old(store, sha256, grace_seconds)]
    if old:
        kept = referenced(old)
        yield from (sha256 for sha256 in old if sha256 not in kept)


def _remove(store: ArtifactStore, sha256: str, referenced: Referenced, grace_seconds: float, report: SweepReport) -> None:
    """Move an artifact to the trash, look again, and delete it or put it back; nothing can be kept meanwhile."""
    with store.locked(exclusive=True):
        if not _is_old(store, sha256, grace_seconds):
            return  # kept again since we looked
        store.path_of(sha256).replace(store.trash_path_of(sha256))
        _settle(store, sha256, referenced, report)


def _settle_trash(store: ArtifactStore, referenced: Referenced, report: SweepReport) -> None:
    """Finish what a sweep that was cut off left in the trash."""
    for path in sorted(store.trash_folder.glob("[0-9a-f]" * 64)):
        with store.locked(exclusive=True):
            if path.exists():
                _settle(store, path.name, referenced, report)


def _settle(store: ArtifactStore, sha256: str, referenced: Referenced, report: SweepReport) -> None:
    """Delete an artifact from the trash, or put it back when it is referenced or nobody can tell."""
    trashed, target = store.trash_path_of(sha256), store.path_of(sha256)
    is_orphan = False
    try:
        is_orphan = sha256 not in referenced([sha256])
    finally:
        if is_orphan:
            _note_removed(report, trashed)
            trashed.unlink()
        elif target.exists():  # kept anew after the sweep that was cut off, and then checked: the better copy
            trashed.unlink()
        else:
            trashed.replace(target)
            sync_folder(target.parent)
            report.put_back.append(sha256)
        sync_folder(store.trash_folder)


def _note_removed(report: SweepReport, path: Path) -> None:
    report.removed.append(path.name)
    report.removed_bytes += path.stat().st_size


def _is_old(store: ArtifactStore, sha256: str, grace_seconds: float) -> bool:
    age = store.age_seconds(sha256)
    return age is not None and age > grace_seconds
