"""The unpickler compares and hashes no value that a stream chose: a sparse matrix would answer with native code, a deep tuple overflows."""

from __future__ import annotations

import io

import numpy as np
import pytest

from registry.flavors import unpickling
from registry.flavors.refusals import Refused
from tests.fuzzing.programs import BUILD, MARK, NEWOBJ, REDUCE, STOP, TUPLE, named, text

DEEP = b")" + b"\x85" * 1_000_000


def _astray() -> bytes:
    """Push a sparse matrix whose indices lead far away, which no check has seen yet."""
    parts = {
        "_shape": b"K\x05K\x05\x86",
        "indptr": _array([0, 2**30, 1, 2, 3, 5]),
        "indices": _array([2**30, 3, 1, 0, -(2**30)]),
        "data": _array([1, 2, 3, 4, 5]),
    }
    state = b"}" + MARK + b"".join(text(name) + code for name, code in parts.items()) + b"u"
    return named("scipy.sparse._csr", "csr_matrix") + b")" + NEWOBJ + state + BUILD


def _array(values: list[int], kind: str = "i4") -> bytes:
    raw = np.array(values, dtype=kind).tobytes()
    shape = b"J" + len(values).to_bytes(4, "little") + b"\x85"
    return (
        named("numpy._core.numeric", "_frombuffer")
        + MARK
        + b"B"
        + len(raw).to_bytes(4, "little")
        + raw
        + _dtype(kind)
        + shape
        + text("C")
        + TUPLE
        + REDUCE
    )


def _dtype(
    code: str,
    *,
    version: bytes = b"K\x03",
    order: bytes = text("<"),
    names: bytes = b"N",
    fields: bytes = b"N",
    size: bytes = b"J\xff\xff\xff\xff",
) -> bytes:
    state = MARK + version + order + b"N" + names + fields + size + b"J\xff\xff\xff\xff" + b"K\x00" + TUPLE
    return named("numpy", "dtype") + text(code) + b"\x89\x88\x87" + REDUCE + state + BUILD


def _random_state(*, has_gauss: bytes) -> bytes:
    inner = b"}" + MARK + text("key") + _array([1] * 624, "u4") + text("pos") + b"K\x01u"
    state = (
        text("bit_generator") + text("MT19937") + text("state") + inner + text("has_gauss") + has_gauss + text("gauss") + b"G" + bytes(8)
    )
    return named("numpy.random._pickle", "__randomstate_ctor") + text("MT19937") + b"\x85" + REDUCE + b"}" + MARK + state + b"u" + BUILD


def _isotonic(*, bounds: bytes) -> bytes:
    state = text("X_thresholds_") + _array([1, 2], "f8") + text("y_thresholds_") + _array([1, 2], "f8") + text("out_of_bounds") + bounds
    return named("sklearn.isotonic", "IsotonicRegression") + b")" + NEWOBJ + b"}" + MARK + state + b"u" + BUILD


FIELD = b"}" + text("a") + _dtype("u1", order=text("|")) + b"J\xff\xff\xff\x7f\x86s"
HOSTILE = {
    "a dtype's size is a matrix": _dtype("f8", size=_astray()),
    "a dtype's version is a matrix": _dtype("f8", version=_astray()),
    "a dtype's order is deep": _dtype("f8", order=DEEP),
    "a dtype's names are deep": _dtype("V8", names=DEEP + b"\x85", fields=FIELD),
    "a dtype's field lies so far outside that 32 bits overflow": _dtype(
        "V64", order=text("|"), names=text("a") + b"\x85", fields=FIELD, size=b"K\x40"
    ),
    "a random state's flag is a matrix": _random_state(has_gauss=_astray()),
    "a bound of an isotonic regression is a matrix": _isotonic(bounds=_astray()),
    "a generator's name is a matrix": named("numpy.random._pickle", "__bit_generator_ctor") + _astray() + b"\x85" + REDUCE,
    "a partial's argument is a matrix": named("functools", "partial") + _astray() + b"\x85" + REDUCE,
    "a default's factory is a matrix": named("collections", "defaultdict") + _astray() + b"\x85" + REDUCE,
    "a text's encoding is a matrix": named("_codecs", "encode") + text("a") + _astray() + b"\x86" + REDUCE,
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_value_that_would_answer_with_native_code_is_refused_by_its_type(what: str) -> None:
    """Several of these ended the process with a crash while the value itself was asked."""
    with pytest.raises(Refused):
        unpickling.load(io.BytesIO(b"\x80\x04" + HOSTILE[what] + STOP), 64 << 20)


def test_the_same_streams_with_plain_values_load() -> None:
    """So that what is refused above is the value, and nothing around it."""
    for code in (_dtype("f8"), _random_state(has_gauss=b"K\x00"), _isotonic(bounds=text("clip")), _astray()):
        assert unpickling.load(io.BytesIO(b"\x80\x04" + code + STOP), 64 << 20).value is not None
