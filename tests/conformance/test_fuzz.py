"""Fuzzing of the loader: 10,000 mutated files and opcode programs, none of which may reach out, crash, hang or raise what isn't ours.

In a process of its own, since its children must be forked before any library had threads. `make fuzz` goes on for longer.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
MUTATIONS, PROGRAMS = 8_000, 2_000
#: Mutants and programs that reach constructors, object check and predict: below these the fuzzing would try nothing.
FEWEST_PREDICTED, FEWEST_ADMITTED, FEWEST_RULES = 1_000, 100, 15
MOST_MEMORY_MIB = 256

pytestmark = pytest.mark.timeout(900)


def _start(*arguments: str, folder: Path) -> subprocess.Popen[str]:
    # Not measured for coverage, which would take as long again: what it runs is counted where tests call it.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    environment = {**inherited, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.fuzzing", "--folder", str(folder), *arguments]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _finish(process: subprocess.Popen[str]) -> tuple[int, dict[str, Any]]:
    output, errors = process.communicate()
    assert output, errors
    report: dict[str, Any] = json.loads(output)
    return process.returncode, report


def _fuzz(*arguments: str, folder: Path) -> tuple[int, dict[str, Any]]:
    return _finish(_start(*arguments, folder=folder))


def test_ten_thousand_inputs_neither_escape_nor_crash_nor_hang_nor_raise(tmp_path: Path) -> None:
    """All are admitted or refused by an exception of ours, nothing shared was changed, and enough of them got as far as predict."""
    status, report = _fuzz("--mutations", str(MUTATIONS), "--programs", str(PROGRAMS), "--seed", "1", folder=tmp_path / "whole")
    assert report["findings"] == []
    assert not report["marker"]
    assert status == 0
    assert report["memory_mib"] < MOST_MEMORY_MIB
    outcomes = Counter(report["outcomes"])
    assert outcomes.total() == MUTATIONS + PROGRAMS
    assert outcomes["predicted"] > FEWEST_PREDICTED
    assert outcomes["admitted"] > FEWEST_ADMITTED
    assert sum(name.startswith("refused: ") for name in outcomes) > FEWEST_RULES


def test_the_fuzzing_notices_a_crash_a_hang_an_exception_a_change_and_an_escape(tmp_path: Path) -> None:
    """Fed with one input of each kind, the last to a plain unpickler that runs it, it names each, and the others pass."""
    status, report = _fuzz("--self-test", folder=tmp_path / "found")
    found = [(one["kind"], one["what"]) for one in report["findings"]]
    assert [kind for kind, _ in found] == ["crash", "hang", "exception", "escape", "escape", "change"]
    assert found[0][1] == "SIGSEGV"
    assert "ZeroDivisionError" in found[2][1]
    assert "os.system" in found[4][1]
    assert "registry.flavors.sklearn.METHODS" in found[5][1]
    assert report["marker"]
    assert report["count"] == 8
    assert report["outcomes"]["nothing"] == 4
    assert status == 1


def test_the_same_seed_gives_the_same_inputs(tmp_path: Path) -> None:
    """So that a run can be repeated: the outcomes of two runs agree."""
    started = [_start("--mutations", "200", "--programs", "100", "--seed", "7", folder=tmp_path / name) for name in ("one", "other")]
    runs = [_finish(process)[1] for process in started]
    assert runs[0]["outcomes"] == runs[1]["outcomes"]
