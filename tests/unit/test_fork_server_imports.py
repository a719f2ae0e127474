"""What the fork server keeps out of itself when it starts: nothing that starts a thread, since it forks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[2]


def test_an_arrow_that_happens_to_be_installed_stays_out(tmp_path: Path) -> None:
    """The pandas that it loads would take it, threads and all; what comes later may find it as usual."""
    (tmp_path / "pyarrow.py").write_text("raise SystemExit('it was imported')\n")
    script = "import sys, registry.host.forkserver; print('pandas' in sys.modules, 'pyarrow' in sys.modules)"
    environment = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()) == (0, ["True", "False"]), done.stderr
