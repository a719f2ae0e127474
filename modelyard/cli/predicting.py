"""`modelyard predict`: rows of a file or of standard input, answered by a version.

Many rows go in several requests, all to the version that answered the first, so that an alias that moves meanwhile mixes nothing.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import click
from tqdm import tqdm

from modelyard.cli.asked import json_option
from modelyard.cli.connecting import selector_argument, with_client
from modelyard.cli.outputs import KINDS, write_csv, write_json, write_npy, write_table
from modelyard.cli.printing import is_terminal
from modelyard.cli.rows import FORMATS, Part, opened, read_parts
from modelyard.client import Client
from modelyard.errors import BodyTooLarge, ConfigurationError, ConnectionFailed, Problem, TooManyRows
from modelyard.inputs import CSV, read_outputs, shifted
from modelyard.records import Prediction

_SUFFIXES = {".csv": "csv", ".json": "json", ".npy": "npy"}


@click.command()
@selector_argument
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path), default="-")
@click.option("--format", "kind", type=click.Choice(FORMATS), help="Format of the rows. Default: by the suffix, or by the first bytes.")
@click.option("--method", help="Such as predict_proba. Default: predict, or what a JSON body says.")
@click.option(
    "--as", "wanted", type=click.Choice(KINDS), help="Default: by the suffix of --output; else a table on a terminal, CSV in a pipe."
)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the predictions to this file.")
@json_option
@with_client
def predict(
    client: Client,
    selector: str,
    file: Path,
    kind: str | None,
    method: str | None,
    wanted: str | None,
    output: Path | None,
    *,
    as_json: bool,
) -> None:
    """Predict rows of a file or of standard input.

    FILE holds rows as CSV with a header, JSON (rows, records, columns, or the body of a predict request), npy, or Parquet (with the
    extra modelyard[parquet]); - or nothing means standard input. --json is --as json: one document with all predictions.

    Example: modelyard predict churn@production rows.csv --method predict_proba
    """
    wanted = "json" if as_json else wanted or (_SUFFIXES.get(output.suffix.lower()) if output else None) or _usual(output)
    _require_sense(wanted, output)
    asking = Asking(client, selector, method)
    if str(file) != "-":
        with opened(file) as rows:
            _write(asking.answers(read_parts(rows, file, kind)), wanted, output)
        return
    if sys.stdin.isatty():
        raise click.UsageError("Give a FILE, or pipe rows into standard input.")
    _write(asking.answers(read_parts(sys.stdin.buffer, None, kind)), wanted, output)


class Asking:
    """Sends parts one after the other, all to the version that answered the first."""

    def __init__(self, client: Client, selector: str, method: str | None) -> None:
        """Ask `selector`; `method` comes before what a part says."""
        self._client = client
        self._selector = selector
        self._method = method
        self._rows = 0

    def answers(self, parts: Iterator[Part]) -> Iterator[Prediction]:
        """Yield the answer to each request. Raises Problem with pointers that count all rows, ConfigurationError where there is none."""
        with tqdm(unit=" rows", desc="Predicting", delay=1, leave=False, disable=not sys.stderr.isatty()) as bar:
            for part in parts:
                for answer in self._ask_lines(part) if part.header else self._ask_values(part):
                    self._selector = f"{answer.model}/{answer.version}"
                    self._rows += _count(answer)
                    bar.update(_count(answer))
                    yield answer
        if not self._rows:
            raise ConfigurationError("There are no rows.")

    def _ask_values(self, part: Part) -> Iterator[Prediction]:
        try:
            yield self._client.ask(self._selector, part.values, self._method or part.method or "predict", params=part.params)
        except Problem as problem:
            raise shifted(problem, self._rows) from None

    def _ask_lines(self, part: Part) -> Iterator[Prediction]:
        """Send a CSV as it stands; a service that takes fewer rows at once gets fewer."""
        start, size = 0, max(1, len(part.lines))
        while start < len(part.lines) or not start:
            try:
                yield self._send(part.body(start, start + size))
            except (BodyTooLarge, TooManyRows):
                if size == 1:
                    raise
                size = max(1, min(size, len(part.lines) - start) // 2)
            except Problem as problem:
                raise shifted(problem, self._rows) from None
            else:
                start += size

    def _send(self, body: bytes) -> Prediction:
        content = self._client.send(self._selector, body, CSV, self._method or "predict").content
        try:
            answer = json.loads(content)
            return Prediction(
                outputs=read_outputs(answer["prediction"], answer.get("classes")),
                model=answer["model"],
                version=answer["version"],
                method=answer["method"],
                runtime=answer["runtime"],
                cached=answer["cached"],
                classes=answer.get("classes"),
                request_ids=(answer["request_id"],),
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ConnectionFailed(f"What answers at {self._client.url} isn't Modelyard: no prediction came.") from None


def _write(answers: Iterator[Prediction], wanted: str, output: Path | None) -> None:
    first = next(answers)  # before a file is opened: what is refused leaves it as it was
    everything = itertools.chain([first], answers)
    if wanted == "table":
        write_table(everything)
    elif output is None:
        _write_to(sys.stdout.buffer, everything, wanted, harmless=is_terminal())
    else:
        with written_whole(output) as file:
            _write_to(file, everything, wanted, harmless=False)


def _write_to(file: IO[bytes], answers: Iterator[Prediction], wanted: str, *, harmless: bool) -> None:
    if wanted == "csv":
        write_csv(answers, file, harmless=harmless)
    elif wanted == "json":
        write_json(answers, file)
    else:
        write_npy(answers, file)


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[IO[bytes]]:
    """Yield a file that gets its name once it is written to its end. Raises ConfigurationError."""
    special = path.exists() and not path.is_file()  # a pipe, or /dev/null
    target = path if special else path.with_name(f".{path.name}.part")
    try:
        with target.open("wb") as file:
            yield file
        if not special:
            target.replace(path)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise ConfigurationError(f"{path} can't be written: {error.strerror}.") from None
    finally:
        if not special:
            target.unlink(missing_ok=True)


def _usual(output: Path | None) -> str:
    return "table" if output is None and is_terminal() else "csv"


def _require_sense(wanted: str, output: Path | None) -> None:
    if wanted == "table" and output is not None:
        raise click.UsageError("A table is for a terminal; write csv, json or npy into a file.")
    if wanted == "npy" and output is None and is_terminal():
        raise click.UsageError("npy isn't for a terminal; give --output FILE, or pipe it.")


def _count(answer: Prediction) -> int:
    return len(answer.outputs[0] if isinstance(answer.outputs, list) else answer.outputs)
