"""Predictions as people and programs want them: a table, CSV, JSON or npy, on standard output or into a file.

Numbers are written so that reading them back gives the same bits.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import IO, Any

import numpy as np

from modelyard.cli.printing import note, plain
from modelyard.cli.tables import print_rows
from modelyard.errors import ConfigurationError
from modelyard.inputs import join
from modelyard.records import Prediction

KINDS = ("csv", "json", "npy", "table")
SHOWN_ROWS = 50


def write_csv(answers: Iterable[Prediction], file: IO[bytes], *, harmless: bool) -> None:
    """Write one line for each row, as the answers come. `harmless`: a terminal reads it, so control characters are written out."""
    first = True
    for answer in answers:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if first:
            writer.writerow(_told(name, harmless=harmless) for name in column_names(answer))
        writer.writerows([_told(cell, harmless=harmless) for cell in row] for row in rows_of(answer.outputs))
        file.write(text.getvalue().encode())
        first = False
    file.flush()


def write_json(answers: Iterable[Prediction], file: IO[bytes]) -> None:
    """Write the answer to one request, whatever the number of requests that it took."""
    whole = joined(answers)
    document: dict[str, Any] = {
        "prediction": as_lists(whole.outputs),
        "model": whole.model,
        "version": whole.version,
        "method": whole.method,
        "runtime": whole.runtime,
        "cached": whole.cached,
        "request_ids": list(whole.request_ids),
    }
    if whole.classes is not None:
        document["classes"] = whole.classes
    file.write(json.dumps(document).replace("\x7f", "\\u007f").encode() + b"\n")
    file.flush()


def write_npy(answers: Iterable[Prediction], file: IO[bytes]) -> None:
    """Write one array. Raises ConfigurationError where the outputs are no array of numbers."""
    outputs = joined(answers).outputs
    if isinstance(outputs, list) or outputs.dtype.kind not in "biuf":
        raise ConfigurationError("These outputs aren't one array of numbers; ask for csv or json.")
    buffer = io.BytesIO()  # a pipe has no position, which NumPy asks a file for
    np.save(buffer, outputs, allow_pickle=False)
    file.write(buffer.getbuffer())
    file.flush()


def write_table(answers: Iterable[Prediction]) -> None:
    """Print the first rows as a table, and say which version answered."""
    whole = joined(answers)
    names = column_names(whole)
    rows = list(rows_of(whole.outputs))
    if rows:
        width = max(len(names), *map(len, rows))  # an output that is a list has more cells than names
        shown = [[number, *row, *[None] * (width - len(row))] for number, row in enumerate(rows[:SHOWN_ROWS])]
        print_rows(["#", *names, *[""] * (width - len(names))], shown)
    if len(rows) > SHOWN_ROWS:
        note(f"These are {SHOWN_ROWS} of {len(rows)} rows; --as csv, or --output FILE, gives all.")
    note(f"Answered by {whole.model}/{whole.version}, {whole.runtime}" + (", from the cache." if whole.cached else "."))


def joined(answers: Iterable[Prediction]) -> Prediction:
    """Return the answers to consecutive requests as one."""
    parts = list(answers)
    first = parts[0]
    return Prediction(
        outputs=join([part.outputs for part in parts]),
        model=first.model,
        version=first.version,
        method=first.method,
        runtime=first.runtime,
        cached=all(part.cached for part in parts),
        classes=first.classes,
        request_ids=tuple(request_id for part in parts for request_id in part.request_ids),
    )


def column_names(answer: Prediction) -> list[str]:
    """Return a name for each column of the outputs: the method, the classes, or the method with a number."""
    outputs, classes = answer.outputs, answer.classes
    if isinstance(outputs, list):
        labels: list[Any] = classes or [range(part.shape[1]) for part in outputs]
        return [f"{number}:{label}" for number, some in enumerate(labels) for label in some]
    if outputs.ndim == 1:
        return ["prediction" if answer.method == "predict" else answer.method]
    if classes and outputs.ndim == 2 and len(classes) == outputs.shape[1]:  # noqa: PLR2004 - rows and columns
        return [str(label) for label in classes]
    return [f"{answer.method}_{number}" for number in range(int(np.prod(outputs.shape[1:])))]


def rows_of(outputs: Any) -> Iterator[list[Any]]:
    """Yield each row as a flat list of Python's own values."""
    if isinstance(outputs, list):
        for parts in zip(*outputs, strict=True):
            yield [value for part in parts for value in part.tolist()]
        return
    if outputs.dtype == object and outputs.ndim == 1:
        yield from (value if isinstance(value, list) else [value] for value in outputs)
        return
    flat = outputs.reshape(len(outputs), -1)
    for row in flat:
        yield row.tolist()


def as_lists(outputs: Any) -> Any:
    """Return outputs as JSON writes them."""
    return [part.tolist() for part in outputs] if isinstance(outputs, list) else outputs.tolist()


def _told(cell: Any, *, harmless: bool) -> Any:
    return plain(cell) if harmless and isinstance(cell, str) else cell
