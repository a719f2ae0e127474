"""Rows of a file or of standard input, in parts that fit into a request: CSV, JSON, npy and Parquet.

A CSV is sent as it stands, since its cells get their types from the version's columns; the others hold values already. Only one
part of a CSV or Parquet file is in memory at a time.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from modelyard.cli.values import long_cells, read_json, require_distinct
from modelyard.errors import ConfigurationError
from modelyard.inputs import MOST_ROWS, TARGET_BYTES

FORMATS = ("csv", "json", "npy", "parquet")
#: The forms that the body of a predict request may have; a JSON file with one of them is such a body.
FORMS = frozenset({"data", "instances", "inputs", "dataframe_split", "dataframe_records"})
_NPY, _PARQUET = b"\x93NUMPY", b"PAR1"
_STEP_BYTES = 4096
_SUFFIXES = {".csv": "csv", ".json": "json", ".npy": "npy", ".parquet": "parquet", ".pq": "parquet"}


@dataclass(frozen=True, slots=True)
class Part:
    """Rows for a request: `values` as the client takes them, or a CSV body's lines under their header."""

    values: Any = None
    lines: tuple[str, ...] = ()
    header: str = ""
    method: str | None = None
    params: dict[str, Any] | None = None

    def body(self, start: int, stop: int) -> bytes:
        """Return a CSV body of some of the lines."""
        return (self.header + "".join(self.lines[start:stop])).encode()


@contextlib.contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a file of rows. Raises ConfigurationError."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise ConfigurationError(f"{path} can't be read: {error.strerror}.") from None
    with file:
        yield file


def read_parts(file: IO[bytes], path: Path | None, kind: str | None) -> Iterator[Part]:
    """Yield the rows of an open file; its format is `kind`, or what its suffix or its first bytes say. Raises ConfigurationError."""
    name = str(path) if path is not None else "standard input"
    head = b""
    if kind is None:
        kind = _SUFFIXES.get(path.suffix.lower()) if path is not None else None
    if path is not None and not path.is_file():
        path = None  # a pipe, which can be read once and from its start alone
    if kind is None:
        head = _head_of(file)
        kind = _kind_of(head)
    if kind == "csv":
        return _csv_parts(io.BufferedReader(_Rejoined(head, file)), name)
    if kind == "json":
        return _json_parts(head + file.read(), name)
    if kind == "npy":
        return _npy_parts(head, file, path, name)
    return _parquet_parts(file if path is not None else io.BytesIO(head + file.read()), name)


def _head_of(file: IO[bytes]) -> bytes:
    """Return the first bytes, up to one that tells the format: a byte order mark and blanks may stand before it."""
    head = file.read(len(_NPY))
    while not _begun(head) and (more := file.read(_STEP_BYTES)):
        head += more
    return head


def _begun(head: bytes) -> bytes:
    return head.removeprefix(codecs.BOM_UTF8).lstrip()


def _kind_of(head: bytes) -> str:
    if head.startswith(_NPY):
        return "npy"
    if head.startswith(_PARQUET):
        return "parquet"
    return "json" if _begun(head)[:1] in (b"{", b"[") else "csv"


class _Rejoined(io.RawIOBase):
    """A file with the bytes in front that were read from it to tell its format."""

    def __init__(self, head: bytes, file: IO[bytes]) -> None:
        self._head = head
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        read, self._head = (self._head or self._file.read(len(buffer)))[: len(buffer)], self._head[len(buffer) :]
        buffer[: len(read)] = read
        return len(read)


def _csv_parts(file: io.BufferedReader, name: str) -> Iterator[Part]:
    lines = _records(io.TextIOWrapper(file, encoding="utf-8-sig", newline=""), name)
    header = next(lines, None)
    if header is None:
        raise ConfigurationError(f"{name} is empty; a CSV begins with the columns' names.")
    header = header if header.endswith("\n") else header + "\n"
    taken: list[str] = []
    size, sent = 0, False
    for line in lines:
        taken.append(line)
        size += len(line)
        if len(taken) >= MOST_ROWS or size >= TARGET_BYTES:
            yield Part(lines=tuple(taken), header=header)
            taken, size, sent = [], 0, True
    if taken or not sent:  # of a header alone, the service says what is missing
        yield Part(lines=tuple(taken), header=header)


def _records(text: io.TextIOWrapper, name: str) -> Iterator[str]:
    """Yield each record as it stands in the text; a quoted cell may hold line breaks."""
    held: list[str] = []

    def watched() -> Iterator[str]:
        for line in text:
            held.append(line)
            yield line

    try:
        with long_cells():
            for row in csv.reader(watched(), strict=True):
                if row:
                    yield "".join(held)
                held.clear()
    except UnicodeDecodeError:
        raise ConfigurationError(f"{name} isn't UTF-8; give its format with --format if it is no CSV.") from None
    except csv.Error as error:
        raise ConfigurationError(f"{name} isn't CSV: {error}.") from None


def _json_parts(content: bytes, name: str) -> Iterator[Part]:
    value = read_json(content, name)
    forms = FORMS & value.keys() if isinstance(value, dict) else frozenset()
    if not forms:
        yield Part(value)
        return
    if len(forms) > 1 or value.keys() - forms - {"method", "params"}:
        raise ConfigurationError(f"{name} must hold one of {', '.join(sorted(FORMS))}, and besides only method and params.")
    (form,) = forms
    yield Part(_rows_of(form, value[form], name), method=value.get("method"), params=value.get("params"))


def _rows_of(form: str, value: Any, name: str) -> Any:
    if form != "dataframe_split":
        return value
    try:
        columns, rows = value["columns"], value["data"]
        require_distinct(columns, f"dataframe_split in {name}")
        return [dict(zip(columns, row, strict=True)) for row in rows]
    except (KeyError, TypeError, ValueError):
        raise ConfigurationError(f"dataframe_split in {name} needs columns, and data with rows that are as long.") from None


def _npy_parts(head: bytes, file: IO[bytes], path: Path | None, name: str) -> Iterator[Part]:
    try:
        # of a file, only what is sent is read; a pipe has to be read whole
        array = np.load(path, mmap_mode="r") if path is not None else np.load(io.BytesIO(head + file.read()), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ConfigurationError(f"{name} isn't an npy array of numbers: {error}.") from None
    yield Part(array)


def _parquet_parts(file: IO[bytes], name: str) -> Iterator[Part]:
    try:
        from pyarrow import ArrowException, parquet  # noqa: PLC0415 - optional extra: parquet
    except ImportError:
        raise ConfigurationError("Parquet is read by pyarrow, which isn't here: pip install 'modelyard[parquet]'.") from None
    try:
        opened_file = parquet.ParquetFile(file)
        require_distinct(opened_file.schema_arrow.names, name)
        for batch in opened_file.iter_batches(batch_size=MOST_ROWS):
            yield Part(batch.to_pydict())
    except (ArrowException, OSError) as error:
        raise ConfigurationError(f"{name} isn't Parquet that can be read: {error}.") from None
