"""Runs in a Python of its own, as the fork server does: warm up, then admit, load and call skops and ONNX files in locked children.

Prints one JSON object: for each good file "ok", for each hostile one what it was refused with, or what went wrong; and
how many threads there are after the warm-up.
"""

from __future__ import annotations

import io
import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from registry.errors import ArtifactRefused
from registry.host.forkserver import flavors  # from there, since it keeps out what starts threads
from tests.fixture_models import CASES, case_of, rows_of
from tests.locked import attempt
from tests.other_formats import CASES_IN_ONNX, HOSTILE_ONNX, HOSTILE_SKOPS, onnx_of, onnx_rows, skops_of

BUDGET_BYTES = 1 << 30


def admitted_and_loaded(data: bytes, rows: list[Any]) -> Callable[[], str]:
    """Return what a locked child does with a good file: admit it with and without an example, load it and replay."""

    def job() -> str:
        name = flavors.recognise(io.BytesIO(data))
        for manifest in ({}, {"input_example": rows}):
            admission = flavors.admit(io.BytesIO(data), manifest, BUDGET_BYTES)
            loaded = flavors.open_flavor(name).load(io.BytesIO(data), BUDGET_BYTES)
            if admission.golden is not None:
                flavors.replay(loaded, admission.golden)
            elif manifest:
                return f"no golden predictions: {admission.findings}"
        return "ok"

    return job


def refused(data: bytes) -> Callable[[], str]:
    """Return what a locked child does with a hostile file."""

    def job() -> str:
        try:
            flavors.admit(io.BytesIO(data), {}, BUDGET_BYTES)
        except ArtifactRefused as error:
            rules = " ".join(one["rule"] for one in error.members.get("found", ()))
            return f"{error.slug} {rules} {error.detail}"
        return "admitted"

    return job


def main() -> None:
    """Try every file once."""
    warnings.simplefilter("ignore")
    flavors.warm_up()
    results: dict[str, Any] = {"threads": len(list(Path("/proc/self/task").iterdir())), "good": {}, "hostile": {}}
    good = {f"onnx {name}": (onnx_of(name), onnx_rows(name)) for name in CASES_IN_ONNX}
    good |= {f"skops {name}": (skops_of(case_of(name).estimator), rows_of(case_of(name).held_out)) for name in CASES}
    for title, (data, rows) in good.items():
        outcome = attempt(admitted_and_loaded(data, rows[:5]), memory_bytes=BUDGET_BYTES)
        results["good"][title] = outcome.text or f"status {outcome.status}"
    for title, (make, _) in {**HOSTILE_ONNX, **HOSTILE_SKOPS}.items():
        outcome = attempt(refused(make()), memory_bytes=BUDGET_BYTES)
        results["hostile"][title] = outcome.text or f"status {outcome.status}"
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
