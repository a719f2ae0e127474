"""The sweep: it removes what is old and unreferenced, and when in doubt it removes nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from registry.artifacts import sweep
from registry.artifacts.store import ArtifactStore
from registry.artifacts.sweep import sweep_orphans

GRACE = 100.0


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    """Make an empty store."""
    return ArtifactStore(tmp_path / "artifacts", tmp_path / "quarantine", max_bytes=1 << 20, min_free_bytes=0)


def keep(store: ArtifactStore, data: bytes, *, seconds_ago: float = 2 * GRACE) -> str:
    """Keep `data` as if it had come `seconds_ago`; return its digest."""
    with store.receive() as incoming:
        incoming.write(data)
        store.keep(incoming)
    then = time.time() - seconds_ago
    os.utime(store.path_of(incoming.sha256), (then, then))
    return incoming.sha256


def only(*referenced: str) -> Callable[[list[str]], set[str]]:
    """Return a catalog that refers to these."""
    return lambda digests: set(digests) & set(referenced)


def test_old_orphans_go_and_all_else_stays(store: ArtifactStore) -> None:
    """Referenced ones stay whatever their age, young ones whether referenced or not."""
    referenced, orphan, young = keep(store, b"a"), keep(store, b"bb"), keep(store, b"c", seconds_ago=1)
    report = sweep_orphans(store, only(referenced), GRACE, dry_run=False)
    assert (report.examined, report.removed, report.removed_bytes, report.put_back) == (3, [orphan], 2, [])
    assert list(store.iter_digests()) == sorted([referenced, young])
    assert list(store.trash_folder.iterdir()) == []


def test_a_dry_run_says_what_would_go_and_touches_nothing(store: ArtifactStore) -> None:
    """Its report equals the one of the real sweep that follows."""
    orphan = keep(store, b"bb")
    dry = sweep_orphans(store, only(), GRACE, dry_run=True)
    assert store.verify(orphan)
    real = sweep_orphans(store, only(), GRACE, dry_run=False)
    assert (dry.removed, dry.removed_bytes, dry.dry_run) == (real.removed, real.removed_bytes, True) == ([orphan], 2, True)


def test_what_became_referenced_meanwhile_is_put_back(store: ArtifactStore) -> None:
    """The second look, under the lock, sees a reference that the first did not."""
    digest = keep(store, b"a")
    answers = iter([set[str](), {digest}])
    report = sweep_orphans(store, lambda _: next(answers), GRACE, dry_run=False)
    assert (report.removed, report.put_back) == ([], [digest])
    assert store.verify(digest)


def test_what_was_kept_again_meanwhile_is_left_alone(store: ArtifactStore) -> None:
    """A publish of the same bytes between the first look and the lock renews them; its row may come later."""
    digest = keep(store, b"a")

    def look(digests: list[str]) -> set[str]:
        if store.age_seconds(digest):  # in the trash, and the store locked, where a sweep would take it all the same
            keep(store, b"a", seconds_ago=0)
        return set()

    report = sweep_orphans(store, look, GRACE, dry_run=False)
    assert report.removed == []
    assert store.verify(digest)


def test_a_catalog_that_fails_loses_nothing(store: ArtifactStore) -> None:
    """An error of the first look, or of the second with the artifact in the trash already, leaves it in its place."""
    digest = keep(store, b"a")
    for good_answers in (0, 1):
        looks = iter(range(good_answers))

        def look(_: list[str], looks: Iterator[int] = looks) -> set[str]:
            if next(looks, None) is None:
                raise ConnectionError
            return set()

        with pytest.raises(ConnectionError):
            sweep_orphans(store, look, GRACE, dry_run=False)
        assert store.verify(digest)


def test_a_sweep_that_was_cut_off_is_finished_by_the_next(store: ArtifactStore) -> None:
    """From the trash, what is referenced goes back, what is not goes away, and a newer copy in place wins."""
    referenced, orphan, again = (keep(store, data) for data in (b"a", b"b", b"c"))
    for digest in (referenced, orphan, again):
        store.path_of(digest).rename(store.trash_path_of(digest))
    keep(store, b"c", seconds_ago=0)
    (store.trash_folder / ".nfs0001").touch()
    report = sweep_orphans(store, only(referenced, again), GRACE, dry_run=False)
    assert (report.removed, report.put_back) == ([orphan], [referenced])
    assert store.verify(referenced)
    assert store.verify(again)
    assert [path.name for path in store.trash_folder.iterdir()] == [".nfs0001"]


def test_the_catalog_is_asked_in_batches(store: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A big store doesn't become one query, nor one query for each artifact."""
    monkeypatch.setattr(sweep, "BATCH", 4)
    digests = {keep(store, bytes([number])) for number in range(10)}
    asked: list[int] = []

    def look(batch: list[str]) -> set[str]:
        asked.append(len(batch))
        return set(batch)

    assert sweep_orphans(store, look, GRACE, dry_run=False).examined == 10
    assert asked == [4, 4, 2]
    assert set(store.iter_digests()) == digests
