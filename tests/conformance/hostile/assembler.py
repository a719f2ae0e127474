"""A small assembler of pickle programs: values, names, calls and raw opcodes, framed as no pickler would frame them.

Also two picklers that write such programs in the middle of a real estimator: a plain one and joblib's.
"""

from __future__ import annotations

import io
import pickle
import struct
from typing import Any, Self

import joblib.numpy_pickle as joblib_pickle
import numpy as np

MARK, STOP, REDUCE, BUILD, NEWOBJ, TUPLE, EMPTY_TUPLE = b"(", b".", b"R", b"b", b"\x81", b"t", b")"
POP, DUP, POP_MARK, MEMOIZE, NONE = b"0", b"2", b"1", b"\x94", b"N"


class Expression:
    """What a program computes when it is loaded; hashable by identity, so that it may stand as a key."""


class Name(Expression):
    """A global, by module and qualified name."""

    def __init__(self, module: str, name: str) -> None:
        """Keep the parts."""
        self.module, self.name = module, name


class Call(Expression):
    """`function(*arguments)` by REDUCE."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        """Keep the parts."""
        self.function, self.arguments = function, arguments


class New(Expression):
    """`cls.__new__(cls, *arguments)` by NEWOBJ."""

    def __init__(self, cls: Any, *arguments: Any) -> None:
        """Keep the parts."""
        self.cls, self.arguments = cls, arguments


class Built(Expression):
    """`target` after BUILD with `state`."""

    def __init__(self, target: Any, state: Any) -> None:
        """Keep the parts."""
        self.target, self.state = target, state


class Raw(Expression):
    """Opcodes as they stand; they must push one value."""

    def __init__(self, code: bytes) -> None:
        """Keep the parts."""
        self.code = code


class InnerArray(Expression):
    """An object array of `items`, as joblib writes it: a wrapper, then a pickle stream of its own."""

    def __init__(self, *items: Any, protocol: int = 5, stream: bytes | None = None, shape: Any = None) -> None:
        """Keep the parts."""
        self.items, self.protocol, self.stream = items, protocol, stream
        self.shape = (len(items),) if shape is None else shape


class Program:
    """Opcodes, appended one by one; `stop` gives the bytes."""

    def __init__(self, proto: int = 4) -> None:
        """Start with PROTO."""
        self.proto = proto
        self.code = bytearray(b"\x80" + bytes([proto]))

    def op(self, *codes: bytes) -> Self:
        """Append raw opcodes."""
        self.code += b"".join(codes)
        return self

    def push(self, *values: Any) -> Self:
        """Append what pushes each value."""
        for value in values:
            self.code += code_of(value, self.proto)
        return self

    def frame(self, body: bytes, length: int | None = None) -> Self:
        """Append a FRAME that says `length`."""
        self.code += b"\x95" + struct.pack("<Q", len(body) if length is None else length) + body
        return self

    def stop(self) -> bytes:
        """Append STOP and return everything."""
        return bytes(self.code + STOP)


def code_of(value: Any, proto: int = 4) -> bytes:
    """Return opcodes that push `value`."""
    if isinstance(value, Expression):
        return _expression(value, proto)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, (bytes, bytearray)):
        return b"B" + struct.pack("<I", len(value)) + bytes(value)
    if isinstance(value, tuple):
        return MARK + b"".join(code_of(one, proto) for one in value) + TUPLE
    if isinstance(value, list):
        return b"](" + b"".join(code_of(one, proto) for one in value) + b"e"
    if isinstance(value, dict):
        return b"}(" + b"".join(code_of(one, proto) for pair in value.items() for one in pair) + b"u"
    return pickle.dumps(value, 2)[2:-1]


def loading(value: Any, proto: int = 4) -> bytes:
    """Return the program that pushes `value` and stops."""
    return Program(proto).push(value).stop()


def planted(value: Any, protocol: int = 4) -> bytes:
    """Return the plain pickle of an object in which expressions stand."""
    buffer = io.BytesIO()
    _Planting(buffer, protocol).dump(value)
    return buffer.getvalue()


def planted_joblib(value: Any, protocol: int = 4) -> bytes:
    """Return the joblib file of an object in which expressions stand."""
    buffer = io.BytesIO()
    _PlantingJoblib(buffer, protocol).dump(value)
    return buffer.getvalue()


def wrapper(**state: Any) -> Built:
    """Return joblib's place-holder of an array with this state, whose array is to follow."""
    full = {
        "subclass": Name("numpy", "ndarray"),
        "shape": (1,),
        "order": "C",
        "dtype": dtype("f8"),
        "allow_mmap": False,
        "numpy_array_alignment_bytes": None,
        **state,
    }
    return Built(New(Name("joblib.numpy_pickle", "NumpyArrayWrapper")), full)


def dtype(code: str, state: Any = None) -> Expression:
    """Return the expression of a dtype, by default a little-endian one of one field."""
    made = Call(Name("numpy", "dtype"), code, False, True)
    return Built(made, (3, "<", None, None, None, -1, -1, 0) if state is None else state)


def _text(value: str) -> bytes:
    data = value.encode("utf-8", "surrogatepass")
    return b"\x8c" + bytes([len(data)]) + data if len(data) < 256 else b"X" + struct.pack("<I", len(data)) + data


def _expression(value: Expression, proto: int) -> bytes:
    if isinstance(value, Name):
        if proto >= 4:
            return _text(value.module) + _text(value.name) + b"\x93"
        return b"c" + f"{value.module}\n{value.name}\n".encode()
    if isinstance(value, Call):
        return code_of(value.function, proto) + code_of(value.arguments, proto) + REDUCE
    if isinstance(value, New):
        return code_of(value.cls, proto) + code_of(value.arguments, proto) + NEWOBJ
    if isinstance(value, Built):
        return code_of(value.target, proto) + code_of(value.state, proto) + BUILD
    if isinstance(value, Raw):
        return value.code
    raise TypeError(value)


class _Planting(pickle._Pickler):
    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        if isinstance(obj, Expression):
            self.write(code_of(obj, self.proto))
        else:
            super().save(obj, save_persistent_id)


class _PlantingJoblib(joblib_pickle.NumpyPickler):
    def save(self, obj: Any) -> None:
        if isinstance(obj, InnerArray):
            self._save_inner(obj)
        elif isinstance(obj, Expression):
            self.write(code_of(obj, self.proto))
        else:
            super().save(obj)

    def _save_inner(self, array: InnerArray) -> None:
        placeholder = joblib_pickle.NumpyArrayWrapper(np.ndarray, array.shape, "C", np.dtype(object))
        pickle._Pickler.save(self, placeholder)
        if self.proto >= 4:
            self.framer.commit_frame(force=True)
        if array.stream is not None:
            self.file_handle.write(array.stream)
            return
        items = np.empty(len(array.items), dtype=object)
        items[:] = array.items
        _Planting(self.file_handle, array.protocol).dump(items)
