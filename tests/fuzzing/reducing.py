"""Makes a finding small: takes back what need not differ from the good file, or leaves out bytes that need not be there.

Only looks at what a child says of each attempt; bounded in attempts, so that a report comes in time.
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import SequenceMatcher

from tests.fuzzing.judge import Finding, findings_of
from tests.fuzzing.pieces import unpacked

MOST_ATTEMPTS = 150
_SHOWN, _MOST_SHOWN = 60, 1000


def reduced(finding: Finding, files: dict[str, bytes]) -> tuple[bytes, str]:
    """Return a smaller input with the same kind of finding, and what is left of the mutation or of the program."""

    def still(data: bytes) -> bool:
        return any(found.kind == finding.kind for found in findings_of(finding.case._replace(data=data)))

    if not still(finding.case.data):
        return finding.case.data, "not found with this input alone"
    name, _, kind = finding.case.label.partition(", ")
    if name not in files or kind == "packed":
        small = _shortened(finding.case.data, still)
        return small, repr(small[:400])
    return _taken_back(unpacked(files[name])[0], unpacked(finding.case.data)[0], still)


def _taken_back(good: bytes, bad: bytes, still: Callable[[bytes], bool]) -> tuple[bytes, str]:
    """Keep only those differences from the good stream without which nothing is found."""
    matcher = SequenceMatcher(None, good, bad, autojunk=False)
    changes = [(start, stop, bad[at:to]) for tag, start, stop, at, to in matcher.get_opcodes() if tag != "equal"]
    for change in list(changes):
        fewer = [one for one in changes if one != change]
        if still(_changed(good, fewer)):
            changes = fewer
    shown = [
        f"{start}: {good[start:stop][:_SHOWN]!r} -> {new[:_SHOWN]!r} after {good[max(0, start - 40) : start]!r}"
        for start, stop, new in changes
    ]
    return _changed(good, changes), "; ".join(shown)[:_MOST_SHOWN]


def _changed(good: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    data = bytearray(good)
    for start, stop, new in reversed(changes):
        data[start:stop] = new
    return bytes(data)


def _shortened(data: bytes, still: Callable[[bytes], bool]) -> bytes:
    """Leave out parts, large ones first."""
    size, attempts = len(data) // 2, 0
    while size and attempts < MOST_ATTEMPTS:
        at = 0
        while at < len(data) and attempts < MOST_ATTEMPTS:
            attempts += 1
            shorter = data[:at] + data[at + size :]
            if still(shorter):
                data = shorter
            else:
                at += size
        size //= 2
    return data
