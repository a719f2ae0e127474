"""`modelyard demo`: the whole journey on a real data set, against a service of its own or the one that the environment names.

The journey is a script that a reader can follow, examples/demo.py; it runs in a process of its own, since it fits models.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "demo.py"


@click.command()
def demo() -> None:
    """Try the whole journey on a real model.

    Publishes two versions, predicts, points an alias and rolls it back; every call is printed.
    Uses the service that MODELYARD_URL and MODELYARD_KEY name, or starts one in a temporary folder.

    Example: modelyard demo
    """
    sys.exit(subprocess.call([sys.executable, str(SCRIPT)]))  # noqa: S603 - our own script
