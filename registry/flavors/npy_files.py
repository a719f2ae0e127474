"""Arrays out of npy files and lists, for files that anyone may have written.

Never reads a pickle, and takes no memory for a shape that the bytes don't bear out.
"""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np

from registry.flavors.refusals import Refused
from registry.flavors.unpickling import building


def odd(rule: str, what: str, **found: Any) -> Refused:
    """Return the refusal of a file in which something is unlike anything that skops writes."""
    return Refused(rule, f"The file holds {what}. Write the fitted estimator anew with skops.io.dump and publish that.", **found)


def array_of(content: bytes) -> Any:
    """Return the array of an npy file: no objects, and exactly as many bytes as its shape says. Raises Refused."""
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read_header(stream)
    except (ValueError, EOFError, TypeError, SyntaxError, RecursionError, MemoryError):
        raise odd("broken-array", "an array that can't be read") from None
    if dtype.hasobject:
        raise odd("broken-array", "an array of pickled objects, which are never read from here")
    if not _is_plain(dtype) or not all(type(one) is int and one >= 0 for one in shape):
        raise odd("broken-array", "an array of elements that no model has")
    count = math.prod(shape)
    raw = content[stream.tell() :]
    if count * dtype.itemsize != len(raw) or max(shape, default=0) > building.MOST_COLUMNS:
        raise odd("broken-array", "an array that isn't as long as its shape says")
    if dtype.kind == "b" and max(raw, default=0) > 1:  # compiled code counts on 0 and 1
        raise odd("broken-array", "an array of true and false that has other values")
    array = np.frombuffer(bytearray(raw), dtype, count) if count else np.empty(0, dtype)
    return array.reshape(shape, order="F" if fortran else "C")


def _is_plain(dtype: Any) -> bool:
    if dtype.fields is not None:
        return all(_is_plain(one) and one.fields is None for one, *_ in dtype.fields.values())
    return dtype.subdtype is None and dtype.kind in "biufcUSmM" and dtype.itemsize > 0


def object_array(items: list[Any], shape: Any) -> Any:
    """Return an array of objects that are listed row by row. Raises Refused where they don't fit its shape."""
    if type(shape) is not tuple or not all(type(one) is int and 0 <= one <= building.MOST_COLUMNS for one in shape):
        raise odd("broken-array", "an array of objects with an odd shape")
    flat = items
    for _ in shape[1:]:
        if not all(type(one) is list for one in flat):
            raise odd("broken-array", "an array of objects that doesn't fit its shape")
        flat = [one for part in flat for one in part]
    count = math.prod(shape)
    if count != len(flat):
        raise odd("broken-array", "an array of objects that doesn't fit its shape")
    array = np.empty(count, dtype=object)
    array[:] = flat if not any(isinstance(one, (list, tuple, np.ndarray)) for one in flat) else _one_by_one(flat)
    return array.reshape(shape)


def _one_by_one(values: list[Any]) -> Any:
    array = np.empty(len(values), dtype=object)
    for index, value in enumerate(values):
        array[index] = value
    return array


def sparse_arguments(form: str, parts: dict[str, Any]) -> Any:
    """Return what SciPy makes a sparse matrix of, by its form. Raises Refused where a part is missing."""
    try:
        if form == "coo":
            return parts["data"], (parts["row"], parts["col"])
        if form == "dia":
            return parts["data"], parts["offsets"]
        return parts["data"], parts["indices"], parts["indptr"]
    except KeyError:
        raise odd("broken-array", "a sparse matrix that lacks a part") from None
