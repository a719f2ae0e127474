"""Fitted models load and predict behind the whole lock, bit for bit as without it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def test_models_of_each_family_load_and_predict_when_locked() -> None:
    """Numbers, texts and data frames; plain and compressed; from memory and from a descriptor; as root and as an ordinary user."""
    command = [sys.executable, "-m", "tests.locked_models"]
    finished = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, check=False, timeout=100)
    assert finished.returncode == 0, finished.stderr.decode()
    results = json.loads(finished.stdout)
    assert len(results) >= 22
    assert {name: result for name, result in results.items() if result != "ok"} == {}
