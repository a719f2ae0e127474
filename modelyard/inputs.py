"""Arrays, lists and data frames as the bodies of predict requests, and answers as NumPy arrays.

Data frames are told by what they can do and never imported. Names of columns are always sent along, so that a frame whose
columns come in another order is still read rightly. Nothing here is pickled or evaluated.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np

from modelyard.errors import ConfigurationError, Problem, problem_of

JSON, CSV, NPY = "application/json", "text/csv", "application/x-npy"
#: So many rows, and about so many bytes, go into one request; the service's own limits are 100,000 rows and 32 MiB by default.
MOST_ROWS = 50_000
TARGET_BYTES = 8 << 20

_POINTER = re.compile(r"#/(?:(data|instances)|(inputs)/([^/]*))/(\d+)(.*)")


@dataclass(frozen=True, slots=True)
class Rows:
    """Inputs that can be sent in parts: `form` is the member of the JSON body, or `npy`; `values` rows, or columns by name.

    A data frame's columns stay what they are until a part of them is sent, since Python's own objects take many times their memory.
    """

    form: str
    values: Any
    count: int

    def part(self, start: int, stop: int) -> Any:
        """Return the rows from `start` up to `stop`."""
        if self.form == "inputs":
            return {name: plain(_slice(column, start, stop)) for name, column in self.values.items()}
        return self.values if self.count == 1 else self.values[start:stop]

    def per_request(self) -> int:
        """Return how many rows one request takes, by the size of those at the start."""
        sample = min(self.count, 100)
        row_bytes = len(self.body(0, sample, "predict", None)[1]) / max(1, sample)
        return max(1, min(MOST_ROWS, int(TARGET_BYTES / max(1.0, row_bytes))))

    def body(self, start: int, stop: int, method: str, params: Mapping[str, Any] | None) -> tuple[str, bytes]:
        """Return the content type and the body of one request; an npy body names no method and no parameters."""
        if self.form == "npy" and not params:
            buffer = io.BytesIO()
            np.save(buffer, self.part(start, stop), allow_pickle=False)
            return NPY, buffer.getvalue()
        form, part = ("data", plain(self.part(start, stop))) if self.form == "npy" else (self.form, self.part(start, stop))
        asked = {form: part, "method": method} | ({"params": dict(params)} if params else {})
        return JSON, encode(asked)


def read_rows(inputs: Any) -> Rows:
    """Return anything that holds rows as what can be sent. Raises ConfigurationError for what doesn't.

    Taken are NumPy arrays of two dimensions (rows, columns) or of one (one row, or many texts), pandas and polars data frames and
    series, lists of rows, of records or of texts, and dicts of columns or of one record.
    """
    if _is_frame(inputs):
        return _of_frame(inputs)
    if _is_series(inputs):
        return _of_series(inputs)
    if isinstance(inputs, Mapping):
        return _of_mapping(inputs)
    if isinstance(inputs, np.ndarray):
        return _of_array(inputs)
    if isinstance(inputs, Sequence) and not isinstance(inputs, str | bytes | bytearray):
        return _of_list(plain(inputs))
    hint = "; call its .toarray() first" if hasattr(inputs, "toarray") else ""
    raise ConfigurationError(
        f"Inputs are an array, a data frame, or a list of rows, records or texts, not an object of {type(inputs).__name__}{hint}."
    )


def read_example(example: Any) -> Any:
    """Return an example of a few rows as it stands in a manifest. Raises ConfigurationError."""
    rows = read_rows(example)
    values = rows.part(0, rows.count) if rows.form == "inputs" else plain(rows.values)
    return [values] if rows.form != "inputs" and values and not isinstance(values[0], list | dict | str) else values


def plain(value: Any) -> Any:
    """Return nested containers of Python's own scalars; what is missing (NaN, NaT, NA) is None."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return None if value != value else float(value)  # noqa: PLR0124 - NaN
    if isinstance(value, Mapping):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain_array(np.asanyarray(value))
    if hasattr(value, "to_list"):
        return _plain_series(value)
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, date | datetime):
        return value.isoformat()
    raise ConfigurationError(f"A value of {type(value).__name__} can't be sent; numbers, texts, booleans and None can.")


def _plain_array(array: np.ndarray[Any, Any]) -> Any:
    """Return an array's values: whole at once where all are there, since one by one takes long."""
    if array.dtype.kind in "biuU" or (array.dtype.kind == "f" and not np.isnan(array).any()):
        return array.tolist()  # of a masked array, what is masked is None
    if array.dtype.kind == "M":
        return (
            [None if text == "NaT" else text for text in np.datetime_as_string(array).tolist()] if array.ndim == 1 else plain(list(array))
        )
    if array.dtype.kind in "fO":
        return plain(array.tolist())
    raise ConfigurationError(f"An array of {array.dtype} can't be sent; numbers, texts and booleans can.")


def _plain_series(series: Any) -> list[Any]:
    array = (
        series.to_numpy()
        if str(series.dtype).lower().startswith(("float", "int", "uint", "bool")) and hasattr(series, "to_numpy")
        else None
    )
    if isinstance(array, np.ndarray) and array.dtype.kind in "biuf":
        values: list[Any] = _plain_array(array)
        return values
    return [plain(inner) for inner in series.to_list()]


def encode(value: Any) -> bytes:
    """Return JSON. Raises ConfigurationError for numbers that JSON doesn't have."""
    try:
        return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        raise ConfigurationError("A text holds half of a surrogate pair, which can't be sent.") from None
    except ValueError:
        raise ConfigurationError(
            "The inputs hold an infinite number; only finite ones can be sent, and None for what is missing."
        ) from None


def read_npy(content: bytes) -> np.ndarray[Any, Any]:
    """Return the array of an npy answer. Raises ValueError for what isn't one."""
    array: np.ndarray[Any, Any] = np.load(io.BytesIO(content), allow_pickle=False)
    return array


def read_outputs(prediction: Any, classes: list[Any] | None) -> Any:
    """Return the outputs of a JSON answer: an array, or a list of arrays where each of several targets has classes of its own."""
    if classes and isinstance(classes[0], list):
        return [np.asarray(part) for part in prediction]
    try:
        return np.asarray(prediction)
    except ValueError:  # rows of different lengths
        ragged = np.empty(len(prediction), dtype=object)
        ragged[:] = prediction
        return ragged


def join(parts: Sequence[Any]) -> Any:
    """Return the outputs of consecutive requests as those of one."""
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], list):
        return [np.concatenate([part[index] for part in parts]) for index in range(len(parts[0]))]
    if len({part.ndim for part in parts}) > 1:  # ragged rows in some requests, and none in others
        parts = [read_outputs([*part, None], None)[:-1] for part in parts]
    return np.concatenate(parts)


def shifted(problem: Problem, rows_before: int) -> Problem:
    """Return a problem whose pointers count the rows of all that was handed over, not of the request that met it."""
    if not rows_before or not problem.errors:
        return problem
    found = [
        {"detail": finding.detail, "pointer": _shift(finding.pointer, rows_before), "column": finding.column} for finding in problem.errors
    ]
    return problem_of(problem.status, {**problem.body, "errors": found}, problem.retry_after_seconds)


def _shift(pointer: str | None, rows_before: int) -> str | None:
    match = _POINTER.fullmatch(pointer or "")
    if match is None:
        return pointer
    form = match[1] or f"{match[2]}/{match[3]}"
    return f"#/{form}/{int(match[4]) + rows_before}{match[5]}"


def _is_frame(value: Any) -> bool:
    return hasattr(value, "columns") and hasattr(value, "shape") and hasattr(value, "__getitem__") and len(value.shape) == 2  # noqa: PLR2004


def _is_series(value: Any) -> bool:
    return hasattr(value, "to_list") and hasattr(value, "dtype") and not isinstance(value, np.ndarray)


def _of_frame(frame: Any) -> Rows:
    names = [str(name) for name in frame.columns]
    doubles = sorted({name for name in names if names.count(name) > 1})
    if doubles:
        raise ConfigurationError(f"The data frame has more than one column named {doubles[0]!r}, so a column can't be told by its name.")
    return _of_columns({str(name): frame[name] for name in frame.columns})


def _of_columns(columns: dict[str, Any]) -> Rows:
    if not columns:
        raise ConfigurationError("The data frame has no column.")
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ConfigurationError(
            f"The columns have different lengths: {', '.join(f'{name} {length}' for name, length in lengths.items())}."
        )
    return Rows("inputs", columns, next(iter(lengths.values())))


def _of_series(series: Any) -> Rows:
    values = plain(series)
    names = plain(series.index) if hasattr(series, "index") and not callable(series.index) else []
    texts = all(isinstance(value, str) for value in values)
    if names and not texts and all(isinstance(name, str) for name in names):  # a row of a data frame
        return Rows("instances", [dict(zip(names, values, strict=True))], 1)
    return _of_list(values)


def _of_mapping(inputs: Mapping[str, Any]) -> Rows:
    if inputs and all(_is_column(column) for column in inputs.values()):
        return _of_columns({str(name): column for name, column in inputs.items()})
    return Rows("instances", [plain(inputs)], 1)


def _is_column(value: Any) -> bool:
    return isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim == 1) or _is_series(value)


def _slice(column: Any, start: int, stop: int) -> Any:
    return column.iloc[start:stop] if hasattr(column, "iloc") else column[start:stop]


def _of_array(array: np.ndarray[Any, Any]) -> Rows:
    if array.dtype.names is not None:
        return _of_columns({name: array[name] for name in array.dtype.names})
    if array.ndim not in (1, 2):
        raise ConfigurationError(f"An array of inputs has two dimensions (rows, columns), or one for one row; this one has {array.ndim}.")
    if array.dtype.kind in "biuf" and not isinstance(array, np.ma.MaskedArray):
        return Rows("npy", array, 1 if array.ndim == 1 else len(array))
    return _of_list(plain(array))


def _of_list(values: list[Any]) -> Rows:
    if not values:
        raise ConfigurationError("There are no rows.")
    if isinstance(values[0], dict):
        return Rows("instances", values, len(values))
    if isinstance(values[0], list | str):
        return Rows("data", values, len(values))
    return Rows("data", values, 1)
