"""The artifact store and the upload slots between processes: races, kills, and a disk that is really full."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from registry.artifacts.store import ArtifactStore
from registry.artifacts.sweep import sweep_orphans
from registry.artifacts.upload_slots import UploadSlots
from registry.errors import NoRoom, NoUploadSlot, TooManyUploads

RACE_SECONDS = 3.0
GRACE_SECONDS = 1.0
TINY_BYTES = 4 << 20
INODES = 9


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    """Make an empty store."""
    return ArtifactStore(tmp_path / "artifacts", tmp_path / "quarantine", max_bytes=1 << 30, min_free_bytes=0)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 4 MiB and nine inodes: root, three folders and a lock of the store, one artifact with its folders, one more."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={TINY_BYTES},nr_inodes={INODES}", "tmpfs", str(folder)], check=False, capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("a file system can't be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fork(job: Callable[[], None]) -> int:
    """Run `job` in a child and return its pid; its status is 0 unless the job raises."""
    pid = os.fork()
    if pid == 0:
        try:
            job()
        except BaseException:  # noqa: BLE001 - a child must never go on with its parent's tests
            os._exit(1)
        os._exit(0)
    return pid


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something is so, or fail."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def keep(store: ArtifactStore, data: bytes) -> str:
    """Keep `data`; return its digest."""
    with store.receive() as incoming:
        incoming.write(data)
        store.keep(incoming)
        return incoming.sha256


def forget(store: ArtifactStore, row: Path) -> None:
    """Delete a version's row, and make its bytes look as if they had been kept long ago."""
    row.unlink()
    then = time.time() - 1000
    os.utime(store.path_of(row.name), (then, then))


def test_bytes_that_are_kept_while_sweeps_run_are_never_lost(store: ArtifactStore, tmp_path: Path) -> None:
    """Publishers of the same few artifacts in three threads and a process, sweeps in two processes: a row never lacks its bytes."""
    rows = tmp_path / "rows"
    rows.mkdir()
    until = time.monotonic() + RACE_SECONDS
    lost: list[str] = []
    kept = [0]

    def publish_and_delete(number: int) -> None:
        chance = random.Random(number)
        while time.monotonic() < until:
            data = bytes([number, chance.randrange(3)]) * 500
            digest = keep(store, data)
            time.sleep(chance.random() * 0.01)  # a publish goes on for a while before its row is there
            (rows / digest).touch()
            if not store.verify(digest):
                lost.append(digest)
            kept[0] += 1
            time.sleep(chance.random() * 0.01)
            forget(store, rows / digest)

    def publish_apart() -> None:
        publish_and_delete(9)
        assert not lost

    def sweep_again_and_again() -> None:
        removed = 0
        while time.monotonic() < until:
            report = sweep_orphans(store, lambda digests: {d for d in digests if (rows / d).exists()}, GRACE_SECONDS, dry_run=False)
            removed += len(report.removed)
        assert removed > 10

    children = [fork(sweep_again_and_again), fork(sweep_again_and_again), fork(publish_apart)]
    threads = [threading.Thread(target=publish_and_delete, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lost == []
    assert kept[0] > 50
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0, 0, 0]
    assert list(store.trash_folder.iterdir()) == []


def test_a_kill_in_the_middle_of_an_upload_leaves_a_quarantine_file_only(store: ArtifactStore) -> None:
    """Nothing appears among the artifacts, and the next clean-up takes what was left; while the upload lives, it doesn't."""

    def upload_for_ever() -> None:
        with store.receive() as incoming:
            while True:
                incoming.write(b"x" * 1000)
                time.sleep(0.001)

    pid = fork(upload_for_ever)
    wait_for(lambda: any(path.stat().st_size > 5000 for path in store.quarantine_folder.iterdir()))
    assert store.empty_quarantine(0) == 0
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert list(store.iter_digests()) == []
    assert len(list(store.quarantine_folder.iterdir())) == 1
    assert store.empty_quarantine(0) == 1
    assert list(store.quarantine_folder.iterdir()) == []


def test_a_kill_at_any_moment_of_keeping_leaves_whole_artifacts_only(store: ArtifactStore) -> None:
    """Whatever digest is listed verifies, and the next upload of the same bytes works."""

    def keep_for_ever() -> None:
        for number in range(1_000_000):
            keep(store, number.to_bytes(4, "big") * 20_000)

    for round_number in range(10):
        pid = fork(keep_for_ever)
        time.sleep(0.02 + round_number * 0.007)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        digests = list(store.iter_digests())
        assert all(store.verify(digest) for digest in digests)
    store.empty_quarantine(0)
    assert store.verify(keep(store, bytes(4) * 20_000))
    assert digests
    assert list(store.quarantine_folder.iterdir()) == []


def test_a_full_disk_refuses_the_upload_and_gives_its_room_back(tiny_disk: Path) -> None:
    """The kernel's ENOSPC becomes NoRoom, the half upload is removed, and a smaller one then fits."""
    store = ArtifactStore(tiny_disk / "a", tiny_disk / "q", max_bytes=1 << 30, min_free_bytes=0)
    chunk = bytes(64 << 10)
    with pytest.raises(NoRoom), store.receive() as incoming:
        deque(map(incoming.write, [chunk] * (TINY_BYTES // len(chunk) + 1)))
    assert list((tiny_disk / "q").iterdir()) == []
    assert store.verify(keep(store, bytes(TINY_BYTES // 2)))


def test_a_disk_without_inodes_refuses_the_upload_at_each_step(tiny_disk: Path) -> None:
    """Neither making the file in quarantine nor moving it to folders that aren't there yet fails with anything but NoRoom."""
    store = ArtifactStore(tiny_disk / "a", tiny_disk / "q", max_bytes=1 << 30, min_free_bytes=0)
    digest = keep(store, b"first")
    with pytest.raises(NoRoom):
        keep(store, b"second")
    with store.receive(), pytest.raises(NoRoom), store.receive():
        pass
    assert list(store.iter_digests()) == [digest]
    assert list((tiny_disk / "q").iterdir()) == []


def test_the_floor_leaves_room_on_a_small_disk(tiny_disk: Path) -> None:
    """An upload is refused while there is space, so that the database beside it can go on."""
    store = ArtifactStore(tiny_disk / "a", tiny_disk / "q", max_bytes=1 << 30, min_free_bytes=TINY_BYTES // 2)
    (tiny_disk / "other").write_bytes(bytes(TINY_BYTES * 3 // 4))
    with pytest.raises(NoRoom), store.receive():
        pass
    (tiny_disk / "other").unlink()
    assert store.verify(keep(store, b"small"))


def test_slots_hold_over_processes_and_end_with_a_killed_one(tmp_path: Path) -> None:
    """A crashed web process blocks nobody, and its files are taken over and tidied."""
    folder = tmp_path / "slots"
    slots = UploadSlots(folder, per_host=2, per_key=1)
    held = tmp_path / "held"

    def hold() -> None:
        with slots.take("one"):
            held.touch()
            time.sleep(60)

    pid = fork(hold)
    wait_for(held.exists)
    with pytest.raises(TooManyUploads), slots.take("one"):
        pass
    with slots.take("two"), pytest.raises(NoUploadSlot), slots.take("three"):
        pass
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    with slots.take("one"), slots.take("two"):
        pass
    assert list(folder.iterdir()) == []


def test_no_more_than_the_slots_are_ever_held_at_once(tmp_path: Path) -> None:
    """Eight threads that take and release as fast as they can, while files come and go, never exceed the limit of two."""
    slots = UploadSlots(tmp_path / "slots", per_host=100, per_key=2)
    until = time.monotonic() + 1.5
    guard = threading.Lock()
    counts = {"now": 0, "most": 0, "taken": 0}

    def change(by: int) -> None:
        with guard:
            counts["now"] += by
            counts["most"] = max(counts["most"], counts["now"])
            counts["taken"] += by > 0

    def take_and_release() -> None:
        while time.monotonic() < until:
            try:
                with slots.take("one"):
                    change(+1)
                    time.sleep(0)
                    change(-1)
            except TooManyUploads:
                continue

    threads = [threading.Thread(target=take_and_release) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts["most"] == 2
    assert counts["taken"] > 100
