"""CPU time and memory of a server with everything that it started, read from `/proc`.

A process belongs to the tree by descent or by the mark in its environment, so that daemons which left their parent count
too, and so do those that were started with an empty environment.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")
MARK = "MODELYARD_BENCHMARK_MARK"


def parents() -> dict[int, int]:
    """Return each process's parent."""
    found = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                found[int(entry.name)] = int(_fields(int(entry.name))[1])
    return found


def _fields(pid: int) -> list[str]:
    """Return the fields of `/proc/<pid>/stat` from the state on; the name before it may hold anything."""
    return (PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()


def members(root: int | None, mark: str) -> set[int]:
    """Return the processes below `root`, itself too, and those that carry the mark, with what is below them; None where the root has ended."""
    above = parents()
    tree = {root, *(pid for pid in above if _carries(pid, mark))} & above.keys()
    while more := {pid for pid, parent in above.items() if parent in tree} - tree:
        tree |= more
    return tree


def _carries(pid: int, mark: str) -> bool:
    try:
        return f"{MARK}={mark}".encode() in (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False


def cpu_seconds(tree: set[int]) -> float:
    """Return user and system time of the processes, with that of their children which have ended."""
    ticks = 0
    for pid in tree:
        with contextlib.suppress(OSError, ValueError, IndexError):
            ticks += sum(int(field) for field in _fields(pid)[11:15])
    return ticks / TICKS


def pss_bytes(tree: set[int]) -> int | None:
    """Return the tree's proportional set size; None where that of a process may not be read."""
    total = 0
    for pid in tree:
        try:
            text = (PROC / str(pid) / "smaps_rollup").read_text()
        except PermissionError:
            return None
        except OSError:
            continue  # it has just ended
        total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
    return total * 1024


def end(process: subprocess.Popen[bytes], mark: str, seconds: float = 20) -> None:
    """End a server: ask it, wait, and kill what is left of its tree."""
    runs = process.poll() is None
    tree = {pid: _started(pid) for pid in members(process.pid if runs else None, mark)}
    if runs:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
    tree |= {pid: _started(pid) for pid, _ in parents().items() if pid not in tree and _carries(pid, mark)}
    for _ in range(50):
        left = [pid for pid, started in tree.items() if started and _started(pid) == started]
        if not left:
            break
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
    process.wait(5)


def _started(pid: int) -> str:
    """Return when a process began, so that its number isn't mistaken for it; empty for one that has ended."""
    try:
        fields = _fields(pid)
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def clean_environment(mark: str) -> dict[str, str]:
    """Return this process's environment without what would tell a server how to behave, and with the mark."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MODELYARD_", "OMP_", "OPENBLAS_", "MKL_", "PYTHON"))}
    return {**kept, MARK: mark}
