"""Small files that ask for much: lengths that lie, deep and recursive values, colliding keys, huge numbers."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any

from tests.conformance.hostile.assembler import Name, New, Program, Raw, code_of, planted
from tests.conformance.hostile.case import Hostile, Trap
from tests.conformance.hostile.names import fitted, with_state
from tests.conformance.hostile.payloads import call

Maker = Callable[[], bytes]
DEEP = 400_000
MANY = 300_000
HUGE = 1 << 40
#: The modulus of Python's hash of integers: all multiples of it hash to 0.
MODULUS = (1 << 61) - 1


def _with(code: bytes) -> bytes:
    """Return a file of a good model that has a value in its state."""
    return planted(with_state(class_weight=Raw(code)))


def _length(opcode: bytes, length: int, size: str) -> bytes:
    return b"\x80\x05" + opcode + struct.pack(size, length) + b"abc."


def _doubling(levels: int, opcode: bytes = b"\x86") -> bytes:
    """Return opcodes of a tuple of the same tuple twice, and so on: 2 ** levels members in few bytes."""
    return b")" + b"".join(b"2" + opcode for _ in range(levels))


def _laughs(levels: int) -> bytes:
    """Return lists of ten references to the list before."""
    code = bytearray(b"](K\x01e\x94")
    for level in range(levels):
        code += b"0](" + (b"h" + bytes([level])) * 10 + b"e\x94"
    return b"\x80\x04" + bytes(code) + b"."


def _colliding() -> bytes:
    """Return a dict of 8,000 integers of one hash."""
    keys = b"".join(code_of(MODULUS * number) + b"N" for number in range(1, 8_001))
    return b"}(" + keys + b"u"


MAKERS: dict[str, Maker] = {
    "text-of-a-terabyte": lambda: _length(b"\x8d", HUGE, "<Q"),
    "text-of-four-gigabytes": lambda: _length(b"X", 0xFFFF_FFFF, "<I"),
    "text-of-2-to-the-64": lambda: _length(b"\x8d", (1 << 64) - 1, "<Q"),
    "bytes-of-a-terabyte": lambda: _length(b"\x8e", HUGE, "<Q"),
    "bytes-of-four-gigabytes": lambda: _length(b"B", 0xFFFF_FFFF, "<I"),
    "bytes-of-2-to-the-63": lambda: _length(b"\x8e", 1 << 63, "<Q"),
    "bytearray-of-a-terabyte": lambda: _length(b"\x96", HUGE, "<Q"),
    "python-2-string-of-a-gigabyte": lambda: _length(b"T", 1 << 30, "<i"),
    "python-2-string-of-negative-length": lambda: _length(b"T", -1, "<i"),
    "integer-of-a-gigabyte": lambda: _length(b"\x8b", 1 << 30, "<i"),
    "integer-of-negative-length": lambda: _length(b"\x8b", -1, "<i"),
    "integer-of-a-megabyte": lambda: _with(b"\x8b" + struct.pack("<i", 1 << 20) + b"\x7f" * (1 << 20)),
    "integer-of-a-million-digits": lambda: _with(b"I" + b"7" * 1_000_000 + b"\n"),
    "long-of-a-million-digits": lambda: _with(b"L" + b"7" * 1_000_000 + b"L\n"),
    "float-of-a-million-digits": lambda: _with(b"F" + b"7" * 1_000_000 + b"\n"),
    "line-without-end": lambda: b"\x80\x02V" + b"a" * (4 << 20),
    "frame-of-a-terabyte": lambda: Program().frame(b"N", HUGE).stop(),
    "frame-of-2-to-the-64": lambda: Program().frame(b"N", (1 << 64) - 1).stop(),
    "memo-index-of-2-to-the-31": lambda: Program().op(b"Nr" + struct.pack("<I", 1 << 31)).stop(),
    "memo-index-of-2-to-the-32": lambda: Program().op(b"Nr" + struct.pack("<I", (1 << 32) - 1)).stop(),
    "memo-index-of-a-hundred-digits": lambda: Program(2).op(b"Np" + b"9" * 100 + b"\n").stop(),
    "memo-index-of-a-million-digits": lambda: Program(2).op(b"Np" + b"9" * 1_000_000 + b"\n").stop(),
    "many-memo-entries": lambda: Program().op(b"N" + b"\x94" * MANY).stop(),
    "many-marks": lambda: Program().op(b"(" * MANY).stop(),
    "many-values-on-the-stack": lambda: Program().op(b"N" * MANY).stop(),
    "many-duplicates": lambda: Program().op(b"]" + b"2" * MANY).stop(),
    "many-empty-lists": lambda: _with(b"](" + b"]" * MANY + b"e"),
    "many-empty-sets": lambda: _with(b"](" + b"\x8f" * MANY + b"e"),
    "many-estimators": lambda: (
        Program().op(b"](" + code_of(Name("sklearn.linear_model._base", "LinearRegression")) + b"\x94" + b"h\x00)\x81" * MANY + b"e").stop()
    ),
    "nested-tuples": lambda: _with(b")" + b"\x85" * DEEP),
    "nested-tuples-in-a-set": lambda: _with(b"\x8f()" + b"\x85" * DEEP + b"\x90"),
    "nested-tuples-in-a-frozenset": lambda: _with(b"()" + b"\x85" * DEEP + b"\x91"),
    "nested-tuples-as-a-key": lambda: _with(b"})" + b"\x85" * DEEP + b"Ns"),
    "nested-frozensets": lambda: _with(b"(" * DEEP + b"\x91" * DEEP),
    "nested-lists": lambda: _with(b"]" * DEEP + b"a" * (DEEP - 1)),
    "nested-dicts": lambda: _with(b"}" + b"K\x00}" * DEEP + b"s" * DEEP),
    "nested-lists-as-the-result": lambda: b"\x80\x04" + b"]" * DEEP + b"a" * (DEEP - 1) + b".",
    "nested-estimators": lambda: _nested_estimators(20_000),
    "nested-calls": lambda: _with(code_of(Name("collections", "OrderedDict")) * 20_000 + b")R" + b"\x85R" * 19_999),
    "tuple-of-itself-twice": lambda: _with(_doubling(60)),
    "tuple-of-itself-twice-in-a-set": lambda: _with(b"\x8f(" + _doubling(60) + b"\x90"),
    "tuple-of-itself-twice-as-a-key": lambda: _with(b"}" + _doubling(60) + b"Ns"),
    "tuple-of-itself-thrice-as-the-result": lambda: b"\x80\x04" + b")" + b"22\x87" * 60 + b".",
    "billion-laughs": lambda: _laughs(60),
    "list-of-itself": lambda: b"\x80\x04]\x94h\x00a.",
    "list-of-itself-in-the-state": lambda: _with(b"]q\xf0h\xf0a"),
    "dict-of-itself": lambda: _with(b"}q\xf0K\x01h\xf0s"),
    "tuple-of-a-list-of-itself": lambda: _with(b"]q\xf0h\xf0\x85a"),
    "pipeline-of-itself": lambda: _pipeline_of_itself(),  # noqa: PLW0108 - it is defined below
    "colliding-integers-as-keys": lambda: _with(_colliding()),
    "colliding-integers-in-a-set": lambda: _with(b"\x8f(" + b"".join(code_of(MODULUS * number) for number in range(1, 8_001)) + b"\x90"),
    "colliding-tuples-as-keys": lambda: _with(b"}(" + b"".join(code_of((MODULUS * number,)) + b"N" for number in range(1, 8_001)) + b"u"),
    "repeated-array-of-zeros": lambda: _with(code_of([call("numpy:zeros", (1 << 14, 1 << 14))] * 50)),
    "range-of-a-terabyte": lambda: _with(code_of(call("builtins:list", call("builtins:range", HUGE)))),
    "bytearray-by-call": lambda: _with(code_of(call("builtins:bytearray", HUGE))),
    "text-times-a-terabyte": lambda: _with(code_of(call("operator:mul", "x", HUGE))),
    "empty-array-by-call": lambda: _with(code_of(call("numpy:empty", (HUGE,)))),
    "random-state-of-a-huge-key": lambda: _with(code_of(call("numpy.random._pickle:__randomstate_ctor", "MT19937" * 100_000))),
    "sparse-matrix-of-a-huge-shape": lambda: _sparse(),  # noqa: PLW0108 - it is defined below
    "code-points-over-the-end": lambda: _with(b"X\x04\x00\x00\x00\xf4\x90\x80\x80"),
    "ten-thousand-classes": lambda: _with(
        b"](" + b"".join(code_of(Name("sklearn.linear_model._base", f"Missing{i}")) for i in range(10_000)) + b"e"
    ),
}


def _nested_estimators(levels: int) -> bytes:
    cls = code_of(Name("sklearn.multiclass", "OneVsRestClassifier"))
    opening = cls + b"\x94)\x81}\x8c\x09estimator"
    again = b"h\x00)\x81}\x8c\x09estimator"
    return b"\x80\x04" + opening + again * levels + b"N" + b"sb" * (levels + 1) + b"."


def _pipeline_of_itself() -> bytes:
    made = code_of(New(Name("sklearn.pipeline", "Pipeline")))
    step = code_of("step")
    return (
        b"\x80\x04"
        + made
        + b"q\xf0"
        + b"}("
        + code_of("steps")
        + b"]("
        + step
        + b"h\xf0\x86e"
        + code_of("memory")
        + b"N"
        + code_of("verbose")
        + b"\x89ub."
    )


def _sparse() -> bytes:
    state: dict[str, Any] = {"_shape": (HUGE, HUGE), "maxprint": 50, "indices": None, "indptr": None, "data": None}
    return _with(code_of(New(Name("scipy.sparse._csr", "csr_matrix"))) + code_of(state) + b"b")


def make(trap: Trap) -> Iterator[Hostile]:
    """Make every file of this kind."""
    for title, build in MAKERS.items():
        canary = trap.canary(f"size-{title}")
        yield Hostile(canary.folder.name, "size", build(), canary)
    canary = trap.canary("size-trailing-bytes")
    yield Hostile(canary.folder.name, "size", planted(fitted()) + b"x", canary)
