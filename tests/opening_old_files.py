"""Opens the files named on its command line and prints as JSON what became of each; run in a process of its own.

A crash of the interpreter then is a result of the test, and not the end of it. Must never judge: the test does.
"""

from __future__ import annotations

import io
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from registry.flavors import unpickling
from registry.flavors.refusals import Refused
from registry.flavors.soundness import require_sound

BUDGET_BYTES = 16 * 2**20


def main(paths: list[str]) -> None:
    """Print one line for each artifact, as soon as it is known."""
    warnings.simplefilter("ignore")
    for path in paths:
        print(json.dumps({"path": path, **opened(Path(path))}), flush=True)


def opened(path: Path) -> dict[str, Any]:
    """Return how far an artifact came: refused, failing at predict, or answering; and the versions found in it."""
    try:
        unpickled = unpickling.load(io.BytesIO(path.read_bytes()), BUDGET_BYTES)
        require_sound(unpickled.created)
    except Refused as refused:
        return {"outcome": "refused", "rule": refused.rule, "text": refused.text}
    try:
        answers = {method: getattr(unpickled.value, method)(rows_of(path)).tolist() for method in ("predict", "predict_proba")}
    except Exception as error:  # noqa: BLE001 - an older model may lack anything; that it is an ordinary error is what counts
        return {"outcome": "fails", "error": f"{type(error).__name__}: {error}"[:200], "recorded": unpickled.recorded}
    return {"outcome": "answers", "recorded": unpickled.recorded, **answers}


def record_of(path: Path) -> dict[str, Any]:
    """Return what was noted when an artifact was made."""
    record: dict[str, Any] = json.loads(path.with_name(path.stem.partition("-")[0] + ".json").read_text(encoding="utf-8"))
    return record


def rows_of(path: Path) -> Any:
    """Return the rows whose answers were noted: texts as a list, numbers and mixed columns as an array."""
    record = record_of(path)
    if record["dtype"] == "text":
        return record["rows"]
    return np.array([[np.nan if value is None else value for value in row] for row in record["rows"]], dtype=record["dtype"])


if __name__ == "__main__":
    main(sys.argv[1:])
