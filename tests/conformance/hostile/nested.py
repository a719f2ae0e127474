"""Arrays in joblib files: crafted place-holders, streams inside of the stream, dtypes, shapes and padding."""

# ruff: noqa: ARG005 - each maker is handed its canary, also where it leaves no trace
from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tests.conformance.hostile.assembler import (
    Built,
    Call,
    InnerArray,
    Name,
    New,
    Program,
    Raw,
    code_of,
    dtype,
    loading,
    planted,
    planted_joblib,
    wrapper,
)
from tests.conformance.hostile.case import Canary, Hostile, Trap
from tests.conformance.hostile.names import fitted, with_state
from tests.conformance.hostile.payloads import call, name

Maker = Callable[[Canary], bytes]
OBJECT = dtype("O8", (3, "|", None, None, None, -1, -1, 63))
TRACE: Callable[[Canary], Call] = lambda c: call("builtins:open", c.marker, "w")  # noqa: E731 - one of many


def _placed(placeholder: Any, data: bytes = bytes(64)) -> bytes:
    """Return a file whose estimator's coefficients are a place-holder, with the array's bytes right behind it."""
    return planted(with_state(coef_=Raw(code_of(placeholder) + data)), 2)


def _inner(*items: Any, **options: Any) -> bytes:
    return planted_joblib(with_state(classes_=InnerArray(*items, **options)))


def _array(state: Any) -> Call:
    return Built(call("numpy._core.multiarray:_reconstruct", name("numpy:ndarray"), (0,), b"b"), state)  # type: ignore[return-value]


def _in_plain(value: Any) -> bytes:
    return planted(with_state(coef_=value))


FIRING: dict[str, Maker] = {
    "inner-stream-of-a-dict": lambda c: _inner(1, stream=loading({"x": TRACE(c)})),
    "inner-stream-with-inst": lambda c: _inner(1, stream=Program(2).op(b"(").push(c.command).op(b"ios\nsystem\n").stop()),
    "inner-stream-without-protocol": lambda c: _inner(1, stream=b"cos\nsystem\n(V" + c.command.encode() + b"\ntR."),
    "inner-stream-of-protocol-2": lambda c: _inner(1, stream=loading(TRACE(c), 2)),
    "inner-stream-in-a-frame": lambda c: _inner(1, stream=Program().frame(code_of(TRACE(c))).stop()),
    "inner-array-in-a-tuple": lambda c: planted_joblib(with_state(classes_=(1, [InnerArray(TRACE(c))]))),
    "inner-array-as-a-key": lambda c: planted_joblib({"model": fitted(), InnerArray(TRACE(c)): 1}),
    "inner-array-on-top": lambda c: planted_joblib(InnerArray(TRACE(c))),
    "inner-array-of-shape-zero": lambda c: _inner(1, stream=loading(TRACE(c)), shape=(0,)),
    "inner-array-without-shape": lambda c: _inner(1, stream=loading(TRACE(c)), shape=()),
    "placeholder-with-a-called-dtype": lambda c: _placed(wrapper(dtype=TRACE(c)), b""),
    "placeholder-with-a-called-subclass": lambda c: _placed(wrapper(subclass=TRACE(c))),
    "placeholder-with-a-called-shape": lambda c: _placed(wrapper(shape=(TRACE(c),))),
    "object-array-in-a-plain-pickle": lambda c: _in_plain(_array((1, (1,), OBJECT, False, [TRACE(c)]))),
    "object-array-of-an-object-array": lambda c: _in_plain(
        _array((1, (1,), OBJECT, False, [_array((1, (1,), OBJECT, False, [TRACE(c)]))]))
    ),
}

QUIET: dict[str, Maker] = {
    "inner-stream-is-cut": lambda c: _inner(1, stream=pickle.dumps(np.array([1, "x"], dtype=object))[:-20]),
    "inner-stream-is-empty": lambda c: _inner(1, stream=b""),
    "inner-stream-gives-no-array": lambda c: _inner(1, stream=loading("text")),
    "inner-stream-gives-a-number-array": lambda c: _inner(1, stream=pickle.dumps(np.arange(3), 2)),
    "inner-stream-gives-another-shape": lambda c: _inner(1, stream=pickle.dumps(np.array([[1, "x"]], dtype=object), 2), shape=(7,)),
    "inner-stream-gives-an-estimator": lambda c: _inner(1, stream=pickle.dumps(fitted())),
    "inner-stream-gives-the-array-itself": lambda c: _inner(1, stream=_endless_array()),
    "inner-stream-with-a-module": lambda c: _inner(name("sklearn:base"), 1),
    "inner-stream-with-a-class": lambda c: _inner(name("subprocess:Popen"), 1),
    "placeholder-of-a-memmap": lambda c: _placed(wrapper(subclass=name("numpy:memmap"), allow_mmap=True)),
    "placeholder-of-a-foreign-class": lambda c: _placed(wrapper(subclass=name("pathlib:Path"))),
    "placeholder-of-a-huge-shape": lambda c: _placed(wrapper(shape=(1 << 40,))),
    "placeholder-of-an-overflowing-shape": lambda c: _placed(wrapper(shape=(1 << 33, 1 << 33))),
    "placeholder-of-a-shape-that-wraps-to-one": lambda c: _placed(wrapper(shape=((1 << 63) + 1, 1 << 1))),
    "placeholder-of-a-negative-shape": lambda c: _placed(wrapper(shape=(-1,))),
    "placeholder-of-two-negative-lengths": lambda c: _placed(wrapper(shape=(-2, -2))),
    "placeholder-of-a-shape-of-floats": lambda c: _placed(wrapper(shape=(1.5,))),
    "placeholder-of-a-shape-of-texts": lambda c: _placed(wrapper(shape=("1",))),
    "placeholder-of-65-dimensions": lambda c: _placed(wrapper(shape=(1,) * 65)),
    "placeholder-of-a-zero-in-a-huge-shape": lambda c: _placed(wrapper(shape=(0, 1 << 62, 1 << 62))),
    "placeholder-whose-order-is-a-list": lambda c: _placed(wrapper(order=["F"])),
    "placeholder-whose-dtype-is-a-text": lambda c: _placed(wrapper(dtype="f8")),
    "placeholder-whose-dtype-is-an-array": lambda c: _placed(wrapper(dtype=call("numpy:zeros", 3))),
    "placeholder-without-dtype": lambda c: _placed(Built(New(Name("joblib.numpy_pickle", "NumpyArrayWrapper")), {"shape": (1,)})),
    "placeholder-without-state": lambda c: _in_plain(New(Name("joblib.numpy_pickle", "NumpyArrayWrapper"))),
    "placeholder-built-twice": lambda c: _in_plain(Raw(code_of(wrapper()) + bytes(8) + code_of({"shape": (2,)}) + b"b")),
    "placeholder-with-a-method-as-state": lambda c: _placed(wrapper(read=name("os:system"))),
    "placeholder-with-dunder-state": lambda c: _placed(wrapper(__class__=name("pathlib:Path"))),
    "placeholder-called": lambda c: _in_plain(
        Call(Name("joblib.numpy_pickle", "NumpyArrayWrapper"), name("numpy:ndarray"), (1,), "C", dtype("f8"))
    ),
    "alignment-of-a-gigabyte": lambda c: _placed(wrapper(numpy_array_alignment_bytes=1 << 30), b"\xff"),
    "alignment-that-is-negative": lambda c: _placed(wrapper(numpy_array_alignment_bytes=-16)),
    "padding-longer-than-the-file": lambda c: _placed(wrapper(numpy_array_alignment_bytes=16), b"\xff" + bytes(4)),
    "data-is-cut": lambda c: planted(with_state(coef_=Raw(code_of(wrapper(shape=(100_000,))) + bytes(64))), 2),
    "dtype-of-a-gigabyte": lambda c: _placed(wrapper(dtype=call("numpy:dtype", "V1073741824", False, True))),
    "dtype-of-no-bytes": lambda c: _placed(wrapper(dtype=call("numpy:dtype", "V0", False, True), shape=(1 << 40,))),
    "dtype-of-fields": lambda c: _placed(wrapper(dtype=call("numpy:dtype", [("a", "f8"), ("b", "O")], False, True))),
    "dtype-by-text-of-fields": lambda c: _placed(wrapper(dtype=call("numpy:dtype", "f8,O,(1000,1000,1000)f8", False, True))),
    "dtype-of-a-class": lambda c: _placed(wrapper(dtype=call("numpy:dtype", name("builtins:object"), False, True))),
    "dtype-of-an-object-with-dtype": lambda c: _placed(wrapper(dtype=call("numpy:dtype", name("numpy:ndarray"), False, True))),
    "dtype-state-hides-objects": lambda c: _in_plain(
        _array((1, (8,), dtype("O8", (3, "|", None, None, None, -1, -1, 0)), False, bytes(64)))
    ),
    "dtype-state-with-another-size": lambda c: _in_plain(
        _array((1, (8,), dtype("V8", (3, "|", None, None, None, 1 << 30, 1, 0)), False, bytes(64)))
    ),
    "dtype-state-with-offsets-outside": lambda c: _in_plain(_array((1, (1,), dtype("V8", _fields(1 << 20)), False, bytes(8)))),
    "dtype-state-with-an-object-field": lambda c: _in_plain(_array((1, (1,), dtype("V8", _fields(0, "O8")), False, b"A" * 8))),
    "dtype-state-of-a-negative-size": lambda c: _in_plain(dtype("V8", (3, "|", None, None, None, -8, 1, 0))),
    "dtype-state-with-a-subarray": lambda c: _in_plain(dtype("V8", (3, "|", (dtype("O8"), (1 << 20,)), None, None, 8, 1, 0))),
    "dtype-state-of-version-99": lambda c: _in_plain(dtype("f8", (99, "<", None, None, None, -1, -1, 0))),
    "dtype-state-twice": lambda c: _in_plain(Built(dtype("f8"), (3, ">", None, None, None, -1, -1, 0))),
    "dtype-shared-and-changed": lambda c: _in_plain(Built(name("numpy:dtypes.Float64DType"), (3, ">", None, None, None, -1, -1, 0))),
    "array-state-with-fewer-bytes": lambda c: _in_plain(_array((1, (1000,), dtype("f8"), False, bytes(8)))),
    "array-state-of-a-huge-shape": lambda c: _in_plain(_array((1, (1 << 40,), dtype("f8"), False, bytes(8)))),
    "array-state-of-a-negative-shape": lambda c: _in_plain(_array((1, (-1,), dtype("f8"), False, bytes(8)))),
    "array-state-of-pointers": lambda c: _in_plain(_array((1, (1,), OBJECT, False, b"A" * 8))),
    "array-state-list-too-short": lambda c: _in_plain(_array((1, (1000,), OBJECT, False, [1]))),
    "array-state-with-itself": lambda c: _in_plain(_array_of_itself()),
    "array-state-twice": lambda c: _in_plain(
        Built(_array((1, (1,), dtype("f8"), False, bytes(8))), (1, (2,), dtype("f8"), False, bytes(16)))
    ),
    "array-of-a-huge-shape-reconstructed": lambda c: _in_plain(
        call("numpy._core.multiarray:_reconstruct", name("numpy:ndarray"), (1 << 30,), b"d")
    ),
    "array-of-a-memmap-reconstructed": lambda c: _in_plain(call("numpy._core.multiarray:_reconstruct", name("numpy:memmap"), (0,), b"b")),
    "array-of-a-foreign-class-reconstructed": lambda c: _in_plain(
        call("numpy._core.multiarray:_reconstruct", name("builtins:dict"), (0,), b"b")
    ),
    "frombuffer-of-objects": lambda c: _in_plain(call("numpy._core.numeric:_frombuffer", b"A" * 8, OBJECT, (1,), "C")),
    "frombuffer-of-a-huge-shape": lambda c: _in_plain(call("numpy._core.numeric:_frombuffer", bytes(8), dtype("f8"), (1 << 40,), "C")),
    "frombuffer-with-objects-only": lambda c: _in_plain(call("numpy:frombuffer", b"A" * 8, dtype("V8", _fields(0, "O8")))),
    "scalar-of-an-object": lambda c: _in_plain(call("numpy._core.multiarray:scalar", OBJECT, "text")),
    "scalar-of-a-pointer": lambda c: _in_plain(call("numpy._core.multiarray:scalar", OBJECT, b"A" * 8)),
    "scalar-with-fewer-bytes": lambda c: _in_plain(call("numpy._core.multiarray:scalar", dtype("f8"), b"A")),
    "scalar-of-a-huge-void": lambda c: _in_plain(call("numpy._core.multiarray:scalar", call("numpy:dtype", "V1073741824", False, True))),
    "masked-array": lambda c: _in_plain(
        call("numpy.ma.core:_mareconstruct", name("numpy.ma:MaskedArray"), name("numpy:ndarray"), (1 << 28,), "d")
    ),
    "masked-array-of-a-foreign-class": lambda c: _in_plain(
        call("numpy.ma.core:_mareconstruct", name("numpy:memmap"), name("numpy:ndarray"), (c.marker,), "b")
    ),
    "record-array": lambda c: _in_plain(call("numpy.rec:fromrecords", [(1, "x")])),
    "random-state-of-a-foreign-generator": lambda c: _in_plain(
        call("numpy.random._pickle:__randomstate_ctor", "MT19937", name("os:system"))
    ),
    "bit-generator-of-a-foreign-class": lambda c: _in_plain(call("numpy.random._pickle:__bit_generator_ctor", name("pathlib:Path"))),
    "codec-encode-of-a-bomb": lambda c: _in_plain(call("_codecs:encode", "text", "zlib")),
    "codec-encode-by-a-foreign-codec": lambda c: _in_plain(call("_codecs:encode", "x", "idna")),
}


def _fields(offset: int, kind: str = "f8") -> tuple[Any, ...]:
    return (3, "|", None, ("a",), {"a": (dtype(kind), offset)}, 8, 1, 16)


def _array_of_itself() -> Raw:
    """Return an object array that holds itself."""
    made = code_of(call("numpy._core.multiarray:_reconstruct", name("numpy:ndarray"), (0,), b"b"))
    state = b"(" + code_of(1) + code_of((1,)) + code_of(OBJECT) + b"\x89" + b"](" + b"h\xee" + b"et"
    return Raw(made + b"q\xee" + state + b"b")


def _endless_array() -> bytes:
    array = np.empty(1, dtype=object)
    array[0] = array
    buffer = io.BytesIO()
    pickle.Pickler(buffer, 2).dump(array)
    return buffer.getvalue()


def make(trap: Trap) -> Iterator[Hostile]:
    """Make every file of this kind."""
    for fires, makers in ((True, FIRING), (False, QUIET)):
        for title, build in makers.items():
            canary = trap.canary(f"nested-{title}")
            yield Hostile(canary.folder.name, "nested", build(canary), canary, fires=fires)
