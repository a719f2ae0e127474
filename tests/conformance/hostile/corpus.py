"""The whole corpus, built once a run: some 800 files, each different from every other in what it tries.

`run` starts `runs.py` in a Python of its own, so that nothing here is loaded into the process of the tests.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.conformance.hostile import bombs, build, names, nested, predicts, sizes, stack
from tests.conformance.hostile.case import Hostile, Trap

ROOT = Path(__file__).resolve().parents[3]
ENVIRONMENT = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
KINDS = (names, stack, nested, build, sizes, bombs, predicts)

#: Odd, but without harm once a loader ignores, recomputes, rebuilds or bounds what is odd in them: it may take them.
TAMED = frozenset(
    {
        "bomb-frame-in-the-middle-of-an-array",
        "bomb-frame-longer-than-the-file",
        "size-many-empty-lists",
        "size-many-empty-sets",
        "nested-inner-stream-gives-the-array-itself",
        "nested-array-of-a-huge-shape-reconstructed",
        "nested-masked-array",
        "build-key-is-long",
        "build-bunch-with-a-dunder-key",
        "build-coefficients-are-a-class",
        "build-coefficients-are-an-estimator",
        "size-nested-tuples",
        "size-nested-lists",
        "size-nested-dicts",
        "size-random-state-of-a-huge-key",
        "predict-clusters-in-a-million-threads",
        "predict-polynomials-of-a-huge-degree",
        "predict-pipeline-step-is-a-text",
    }
)


def build_all(trap: Trap) -> list[Hostile]:
    """Make every hostile file, each with a canary of its own below the trap's folder."""
    files = [hostile for kind in KINDS for hostile in kind.make(trap)]
    return [replace(one, outcome="tamed") if one.name in TAMED else one for one in files]


def run() -> dict[str, dict[str, dict[str, Any]]]:
    """Run the corpus in one Python, in one way after the other, and return for each way what came of each file by name."""
    command = [sys.executable, "-m", "tests.conformance.hostile.runs"]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, timeout=380, check=False)
    assert done.returncode == 0, done.stderr.decode()
    results: dict[str, dict[str, dict[str, Any]]] = json.loads(done.stdout)
    return results
