"""What holds for every test: its folder says what kind it is, and which files come first.

`pytest -m unit` and the like work without a mark in any file, and a test outside the known folders is refused.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Before NumPy comes in: test processes share few cores, and idle OpenMP threads that wait for each other cost more than they give.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Before onnxruntime comes in: its telemetry is a thread.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

ROOT = Path(__file__).resolve().parent
KINDS = frozenset({"unit", "integration", "conformance", "e2e"})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with the name of the folder below `tests/` that it lies in."""
    for item in items:
        kind = _kind(item)
        if kind not in KINDS:
            raise pytest.UsageError(f"{item.nodeid}: tests lie in one of {', '.join(sorted(KINDS))}, below tests/")
        item.add_marker(kind)
    _put_in_order(items)


def _put_in_order(items: list[pytest.Item]) -> None:
    """Let files that compute take turns with files that wait, and small ones come last, so that processes end together.

    The same order in every process, which pytest-xdist insists on: so nothing here may depend on how a set is walked.
    """
    files = {kind: list(dict.fromkeys(item.path for item in items if _kind(item) == kind)) for kind in sorted(KINDS)}
    places = {path: (kind == "unit", number / len(paths)) for kind, paths in files.items() for number, path in enumerate(paths)}
    items.sort(key=lambda item: places[item.path])


def _kind(item: pytest.Item) -> str:
    return item.path.relative_to(ROOT).parts[1]
