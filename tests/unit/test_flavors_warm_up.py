"""After the warm-up nothing is lazy any more: no file, no import, no thread, for no kind of model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.fixture_models import CASES, case_of, dump, rows_of

ROOT = Path(__file__).resolve().parents[2]
COMPRESSIONS = (0, "zlib", "gzip", "bz2", "xz", "lzma")

SCRIPT = """
import io, json, os, sys
from registry.host.forkserver import flavors  # as it stands there: without what only happens to be installed
flavors.warm_up()
work = json.load(sys.stdin)
seen = []
listening = False
def hear(event, arguments):
    lazy = event in ("open", "import", "os.fork", "os.listdir", "os.scandir", "os.mkdir", "subprocess.Popen")
    if listening and (lazy or event.startswith(("socket.", "_thread.start"))):
        seen.append([event, str(arguments)[:200]])
sys.addaudithook(hear)
for blob, rows in work:
    stream = io.BytesIO(bytes.fromhex(blob))
    listening = True
    golden = [flavors.admit(stream, {}).golden]
    stream.seek(0)
    golden.append(flavors.admit(stream, {"input_example": rows}).golden)
    stream.seek(0)
    loaded = flavors.open_flavor("sklearn").load(stream, 256 << 20)
    for one in golden:
        flavors.replay(loaded, one)
    listening = False
web = [name for name in sys.modules if name.split(".")[0] in ("flask", "redis", "sqlalchemy", "config")]
print(json.dumps({"seen": seen, "threads": len(os.listdir("/proc/self/task")), "web": web}))
"""


def test_admitting_loading_and_predicting_need_no_file_import_or_thread() -> None:
    """Every kind of model in every compression, in a process of its own with the fork server's environment."""
    cases = [case_of(name) for name in CASES]
    work = [(dump(case.estimator, COMPRESSIONS[i % 6]).hex(), rows_of(case.held_out)[:10]) for i, case in enumerate(cases)]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=json.dumps(work),
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )
    assert json.loads(done.stdout) == {"seen": [], "threads": 1, "web": []}
    assert done.stderr == ""
