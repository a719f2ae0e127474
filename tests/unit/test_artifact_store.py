"""The artifact store: bytes come in counted and hashed, lie under their digest, and leave nothing behind when refused."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from pathlib import Path

import pytest

from registry.artifacts.incoming import CHECK_ROOM_EVERY_BYTES, require_room
from registry.artifacts.store import ArtifactStore
from registry.errors import ArtifactTooLarge, ChecksumMismatch, NoRoom

MAX_BYTES = 1 << 20
DATA = b"the bytes of a model" * 100
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    """Make an empty store without a floor of free space."""
    return ArtifactStore(tmp_path / "artifacts", tmp_path / "quarantine", max_bytes=MAX_BYTES, min_free_bytes=0)


def keep(store: ArtifactStore, data: bytes = DATA) -> str:
    """Receive and keep `data` in one chunk; return its digest."""
    with store.receive() as incoming:
        incoming.write(data)
        store.keep(incoming)
        return incoming.sha256


def age(store: ArtifactStore, digest: str, seconds: float) -> None:
    """Make an artifact look as if it was kept `seconds` ago."""
    then = time.time() - seconds
    os.utime(store.path_of(digest), (then, then))


def quarantined(store: ArtifactStore) -> list[Path]:
    """List what lies in quarantine."""
    return list(store.quarantine_folder.iterdir())


def test_kept_bytes_lie_under_their_digest_and_read_back(store: ArtifactStore) -> None:
    """`ab/cd/<sha256>` holds what was written, over any number of chunks of any kind of buffer."""
    with store.receive() as incoming:
        for chunk in (DATA[:7], bytearray(DATA[7:100]), memoryview(DATA)[100:], b""):
            incoming.write(chunk)
        assert (incoming.sha256, incoming.size_bytes) == (DIGEST, len(DATA))
        store.keep(incoming)
    assert store.path_of(DIGEST) == store.folder / DIGEST[:2] / DIGEST[2:4] / DIGEST
    with store.open(DIGEST) as stream:
        assert stream.read() == DATA
    assert quarantined(store) == []


def test_a_file_is_private_in_quarantine_and_read_only_once_kept(store: ArtifactStore) -> None:
    """Mode 600 on its way in, 440 afterwards; the folders are for this user alone."""
    with store.receive() as incoming:
        incoming.write(DATA)
        assert stat.S_IMODE(incoming.path.stat().st_mode) == 0o600
        store.keep(incoming)
    assert stat.S_IMODE(store.path_of(DIGEST).stat().st_mode) == 0o440
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in (store.folder, store.quarantine_folder, store.trash_folder)} == {0o700}


def test_what_is_not_kept_is_removed(store: ArtifactStore) -> None:
    """Leaving the block without `keep`, or by an exception, empties the quarantine."""
    with store.receive() as incoming:
        incoming.write(DATA)
    with pytest.raises(ArtifactTooLarge), store.receive() as incoming:
        incoming.write(bytes(MAX_BYTES + 1))
    assert quarantined(store) == []
    assert list(store.iter_digests()) == []


def test_one_byte_over_the_limit_is_refused_at_once(store: ArtifactStore) -> None:
    """The byte that is too many isn't written, and an announced size is refused before there is a file."""
    with store.receive() as incoming:
        incoming.write(bytes(MAX_BYTES))
        with pytest.raises(ArtifactTooLarge):
            incoming.write(b"x")
        assert incoming.path.stat().st_size == MAX_BYTES
    with pytest.raises(ArtifactTooLarge), store.receive(MAX_BYTES + 1):
        pass
    assert quarantined(store) == []


@pytest.mark.parametrize("announced", [None, DIGEST, DIGEST.upper()])
def test_the_right_digest_or_none_passes(store: ArtifactStore, announced: str | None) -> None:
    """A publisher may leave the digest out and may write it in either case."""
    with store.receive() as incoming:
        incoming.write(DATA)
        incoming.require_sha256(announced)


@pytest.mark.parametrize("announced", ["", "0" * 64, DIGEST[:-1], "sha256:" + DIGEST])
def test_any_other_digest_is_a_mismatch(store: ArtifactStore, announced: str) -> None:
    """Also an empty or a cut-off one: what is announced must be the whole digest."""
    with store.receive() as incoming:
        incoming.write(DATA)
        with pytest.raises(ChecksumMismatch):
            incoming.require_sha256(announced)


def test_the_same_bytes_are_stored_once_and_renewed(store: ArtifactStore) -> None:
    """The first copy stays, and counts as kept now, so that a sweep leaves it to the new version."""
    digest = keep(store)
    first = store.path_of(digest).stat().st_ino
    age(store, digest, 1000)
    assert keep(store) == digest
    assert store.path_of(digest).stat().st_ino == first
    seconds = store.age_seconds(digest)
    assert seconds is not None
    assert seconds < 100
    assert list(store.iter_digests()) == [digest]
    assert quarantined(store) == []


@pytest.mark.parametrize("damaged", [DATA[:-1], b"X" + DATA[1:], b""])
def test_keeping_good_bytes_replaces_a_damaged_copy(store: ArtifactStore, damaged: bytes) -> None:
    """Short, flipped or empty: the copy on disk fails `verify` and is healed by the next upload of the same bytes."""
    keep(store)
    store.path_of(DIGEST).chmod(0o600)
    store.path_of(DIGEST).write_bytes(damaged)
    assert not store.verify(DIGEST)
    keep(store)
    assert store.verify(DIGEST)


def test_verify_is_false_for_bytes_that_are_missing(store: ArtifactStore) -> None:
    """Missing isn't an error of its own, and has no age; opening it is an error."""
    assert not store.verify(DIGEST)
    assert store.age_seconds(DIGEST) is None
    with pytest.raises(FileNotFoundError):
        store.open(DIGEST)


@pytest.mark.parametrize("name", ["", "..", "../../etc/passwd", DIGEST.upper(), DIGEST + "\n", DIGEST[:-1], "/" + DIGEST[1:]])
def test_only_a_digest_names_an_artifact(store: ArtifactStore, name: str) -> None:
    """No other text becomes a path."""
    with pytest.raises(ValueError, match="not a sha256"):
        store.path_of(name)


def test_digests_are_listed_in_order_and_nothing_else_is(store: ArtifactStore) -> None:
    """Trash, lock file and what doesn't belong there aren't artifacts."""
    digests = sorted(keep(store, bytes([number]) * 10) for number in range(20))
    (store.folder / digests[0][:2] / digests[0][2:4] / f"{digests[0]}.tmp").touch()
    (store.trash_folder / DIGEST).touch()
    (store.folder / "README").touch()
    assert list(store.iter_digests()) == digests


def test_the_time_of_a_long_upload_counts_from_its_keeping(store: ArtifactStore) -> None:
    """Admission may have taken long after the last byte was written."""
    with store.receive() as incoming:
        incoming.write(DATA)
        then = time.time() - 1000
        os.utime(incoming.path, (then, then))
        store.keep(incoming)
    seconds = store.age_seconds(DIGEST)
    assert seconds is not None
    assert seconds < 100


def test_too_little_free_space_is_refused_before_there_is_a_file(tmp_path: Path) -> None:
    """The floor counts together with the announced size."""
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    full = ArtifactStore(tmp_path / "a", tmp_path / "q", max_bytes=MAX_BYTES, min_free_bytes=free * 2)
    with pytest.raises(NoRoom) as caught, full.receive():
        pass
    assert caught.value.retry_after_seconds
    nearly = ArtifactStore(tmp_path / "a", tmp_path / "q", max_bytes=free * 4, min_free_bytes=0)
    with pytest.raises(NoRoom), nearly.receive(free * 2):
        pass
    assert quarantined(full) == []
    require_room(tmp_path, 0)


def test_the_floor_is_looked_at_again_while_an_upload_goes_on(tmp_path: Path) -> None:
    """Space that others take meanwhile is noticed every few MiB."""
    store = ArtifactStore(tmp_path / "a", tmp_path / "q", max_bytes=1 << 30, min_free_bytes=0)
    with store.receive() as incoming:
        incoming.write(b"x")
        incoming._min_free_bytes = 1 << 62
        incoming.write(bytes(CHECK_ROOM_EVERY_BYTES - 2))
        with pytest.raises(NoRoom):
            incoming.write(b"x")


def test_leftovers_are_removed_by_age_and_uploads_under_way_stay(store: ArtifactStore) -> None:
    """What a killed process left goes; what is being received is locked and stays, however old; so does what isn't ours."""
    for name, seconds in (("old.part", 100.0), ("new.part", 1.0), ("other", 100.0)):
        path = store.quarantine_folder / name
        path.touch()
        os.utime(path, (time.time() - seconds,) * 2)
    (store.quarantine_folder / "old.part").chmod(0o440)
    with store.receive() as incoming:
        os.utime(incoming.path, (time.time() - 1000,) * 2)
        assert store.empty_quarantine(50) == 1
        assert {path.name for path in quarantined(store)} == {"new.part", "other", incoming.path.name}


def test_a_quarantine_on_another_file_system_is_refused(tmp_path: Path) -> None:
    """A rename couldn't move artifacts out of it, so a store never starts that way."""
    shared_memory = Path("/dev/shm")
    if not shared_memory.is_dir() or shared_memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system here")
    quarantine = shared_memory / f"modelyard-test-{os.getpid()}"
    try:
        with pytest.raises(ValueError, match="same file system"):
            ArtifactStore(tmp_path / "a", quarantine, max_bytes=MAX_BYTES, min_free_bytes=0)
    finally:
        quarantine.rmdir()
