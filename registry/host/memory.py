"""How much memory a worker costs, and how much there is to give.

A worker's cost is the part of its PSS that it has alone: what ending it gives back. The pages that it still shares
with the fork server stay there whether it lives or not, so they are counted once, nowhere here.
"""

from __future__ import annotations

import os
from pathlib import Path

_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def private_bytes(pid: int) -> int | None:
    """Return the private PSS of a process in bytes, or None when it has ended or this process has no right to look inside.

    Source: `Private_Clean` and `Private_Dirty` of /proc/<pid>/smaps_rollup (proc(5)), each in KiB.
    """
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:  # also for root without CAP_SYS_PTRACE, where a worker is of another user
        return None
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith(("Private_Clean:", "Private_Dirty:"))) * 1024


def anonymous_bytes(pid: int) -> int | None:
    """Return resident less file-backed and shared pages, which counts what was inherited from the fork server too, or None.

    A thousand times cheaper than `private_bytes`, which looks at every page. Source: fields 2 and 3 of /proc/<pid>/statm (proc(5)), in pages.
    """
    try:
        _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()
    except OSError:
        return None
    return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")


def default_budget_bytes() -> int:
    """Return half of what the machine or the cgroup has, whichever is less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in _CGROUP_LIMITS:
        try:
            text = path.read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdigit():
            total = min(total, int(text))
    return total // 2
