"""The word that the processes of a host share."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from registry.directory import SharedWord

RAISE = "import sys; from pathlib import Path; from registry.directory import SharedWord; word = SharedWord(Path(sys.argv[1]))\n"


def test_whoever_maps_the_file_sees_what_another_raised(tmp_path: Path) -> None:
    """Without a call to the kernel, and from the next read on."""
    one, other = SharedWord(tmp_path / "word"), SharedWord(tmp_path / "word")
    assert one.read() == 0
    one.raise_to(7)
    assert other.read() == 7


def test_the_word_never_goes_back_and_never_stays(tmp_path: Path) -> None:
    """A generation that was counted before, in a database restored from a backup, is news all the same."""
    word = SharedWord(tmp_path / "word")
    seen = [word.read()]
    for generation in (300, 255, 256, 300, 301, 1, 2**40):
        word.raise_to(generation)
        seen.append(word.read())
    assert seen == sorted(set(seen))
    assert seen[-1] == 2**40


def test_no_rise_is_lost_between_processes(tmp_path: Path) -> None:
    """Four processes raise it five hundred times each."""
    path = tmp_path / "word"
    word = SharedWord(path)
    command = [sys.executable, "-c", RAISE + "for _ in range(500): word.raise_to(0)", str(path)]
    children = [subprocess.Popen(command) for _ in range(4)]
    assert [child.wait(60) for child in children] == [0] * 4
    assert word.read() == 2000


def test_a_word_that_is_there_already_keeps_its_value(tmp_path: Path) -> None:
    """A web process that starts again finds what the others raised."""
    SharedWord(tmp_path / "word").raise_to(9)
    assert SharedWord(tmp_path / "word").read() == 9
    assert (tmp_path / "word").stat().st_size == 8
