"""Upload slots: so many for a host, so many for a key, never waited for, and gone with whoever held them."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from registry.artifacts.upload_slots import UploadSlots
from registry.errors import NoUploadSlot, TooManyUploads


@pytest.fixture
def slots(tmp_path: Path) -> UploadSlots:
    """Five slots for the host, two for a key."""
    return UploadSlots(tmp_path / "slots", per_host=5, per_key=2)


def test_a_key_gets_as_many_as_it_may_have_and_again_after_release(slots: UploadSlots) -> None:
    """The third of two is refused at once, with a time to come back; other keys don't notice."""
    with slots.take("one"), slots.take("one"), slots.take("two"):
        with pytest.raises(TooManyUploads) as caught, slots.take("one"):
            pass
        assert caught.value.retry_after_seconds
    with slots.take("one"), slots.take("one"):
        pass


def test_a_host_gets_as_many_as_it_may_have(slots: UploadSlots) -> None:
    """The sixth of five is refused, whatever its key, and leaves no slot of its key taken."""
    with ExitStack() as held:
        for number in range(5):
            held.enter_context(slots.take(f"key{number}"))
        for _ in range(3):
            with pytest.raises(NoUploadSlot) as caught, slots.take("another"):
                pass
        assert caught.value.retry_after_seconds
    with slots.take("another"), slots.take("another"):
        pass


def test_two_views_of_one_folder_count_together(slots: UploadSlots, tmp_path: Path) -> None:
    """Each web process has its own object; the files are what counts."""
    other = UploadSlots(tmp_path / "slots", per_host=5, per_key=2)
    with slots.take("one"), other.take("one"), pytest.raises(TooManyUploads), slots.take("one"):
        pass


def test_nothing_is_left_behind(slots: UploadSlots, tmp_path: Path) -> None:
    """Keys that came once leave no file, also when the upload fails."""
    with pytest.raises(ZeroDivisionError), slots.take("one"):
        raise ZeroDivisionError
    assert list((tmp_path / "slots").iterdir()) == []


@pytest.mark.parametrize("key_id", ["", "..", "a/b", "a\0b", "é", "x" * 65])
def test_only_a_key_id_names_a_slot(slots: UploadSlots, key_id: str) -> None:
    """No other text becomes a path."""
    with pytest.raises(ValueError, match="not a key id"), slots.take(key_id):
        pass


def test_a_lock_on_a_removed_file_is_taken_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who opened a slot's file just before its holder removed it must not hold a slot that binds nobody."""
    slots = UploadSlots(tmp_path, per_host=5, per_key=1)
    real_open = os.open
    removed: list[Path] = []

    def open_then_lose(path: Path, flags: int, mode: int) -> int:
        descriptor = real_open(path, flags, mode)
        if not removed:
            removed.append(path)
            path.unlink()
        return descriptor

    monkeypatch.setattr(os, "open", open_then_lose)
    with slots.take("one"), pytest.raises(TooManyUploads), slots.take("one"):
        pass
    assert removed
