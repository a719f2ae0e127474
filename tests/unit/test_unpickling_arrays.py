"""NumPy's part of the unpickler: arrays come out equal bit for bit, and no dtype, shape or length is believed."""

from __future__ import annotations

import io
import pickle
import tracemalloc
import zlib
from typing import Any

import joblib
import numpy as np
import pytest

from registry.flavors import unpickling
from registry.flavors.refusals import Refused
from registry.flavors.unpickling import Damaged
from tests.opcodes import build, call, mapping, name, new, program, text
from tests.running import dumped

BUDGET_BYTES = 256 << 20
WRAPPER = ("joblib.numpy_pickle", "NumpyArrayWrapper")
NDARRAY = name("numpy", "ndarray")


def load(blob: bytes) -> Any:
    """Load a file's bytes."""
    return unpickling.load(io.BytesIO(blob), BUDGET_BYTES).value


def dtype(code: str, order: str = "<", names: bytes = b"N", fields: bytes = b"N", size: bytes = b"J\xff\xff\xff\xff") -> bytes:
    """Push a dtype as NumPy writes it."""
    state = b"(K\x03" + text(order) + b"N" + names + fields + size + b"J\xff\xff\xff\xffK\x00t"
    return call("numpy", "dtype", text(code), b"\x89", b"\x88") + build(state)


def array(state: bytes) -> bytes:
    """Push an array as NumPy writes it."""
    return call("numpy._core.multiarray", "_reconstruct", NDARRAY, b"K\x00\x85", b"C\x01b") + build(state)


def joblib_array(shape: bytes, kind: bytes, content: bytes, **more: bytes) -> bytes:
    """Return a joblib file of one array with this header."""
    header = {"subclass": NDARRAY, "shape": shape, "order": text("C"), "dtype": kind, "allow_mmap": b"\x88", **more}
    return b"\x80\x04" + new(*WRAPPER) + mapping(**header) + b"b" + content + b"."


_RANDOM = np.random.default_rng(0)
ARRAYS: dict[str, Any] = {
    "floats": _RANDOM.standard_normal((3, 4)),
    "fortran": np.asfortranarray(_RANDOM.standard_normal((3, 4))),
    "big endian": np.arange(3, dtype=">i4"),
    "float16": np.arange(3, dtype="f2"),
    "complex": np.array([1 + 2j]),
    "bools": np.array([True, False]),
    "texts": np.array(["a", "longer"]),
    "bytes": np.array([b"a", b"bcd"]),
    "empty": np.empty((0, 3)),
    "no dimensions": np.array(1.5),
    "objects": np.array(["a", None, 1.5, True], dtype=object),
    "objects in fortran order": np.asfortranarray(np.array([["a", 1], ["b", 2]], dtype=object)),
    "a view": np.arange(10.0)[::2],
    "records": np.array([(1, 2.5)], dtype=[("a", "i8"), ("b", "f4")]),
    "padded records": np.zeros(2, np.dtype({"names": ["a", "b"], "formats": ["u1", "f8"], "offsets": [0, 8], "itemsize": 16})),
    "large": np.arange(200_000.0),
    "many": [np.arange(float(index)) for index in range(50)],
    "a scalar": np.float64(1.5),
    "a text scalar": np.str_("x"),
    "a masked array": np.ma.MaskedArray([1.0, 2.0], [True, False]),
    "masked objects": np.ma.MaskedArray(np.array(["a", None], dtype=object), [False, True]),
}  # fmt: skip


def assert_same(one: Any, other: Any) -> None:
    """Compare type, dtype, layout and bytes."""
    assert type(one) is type(other)
    if isinstance(one, list):
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
        return
    assert one.dtype == other.dtype
    assert one.shape == other.shape
    if isinstance(one, np.ndarray):
        assert one.flags.f_contiguous == other.flags.f_contiguous
        assert one.flags.writeable
        if isinstance(one, np.ma.MaskedArray):
            assert one.mask.tolist() == other.mask.tolist()
    assert one.tolist() == other.tolist() if one.dtype.hasobject else one.tobytes() == other.tobytes()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("value", ARRAYS.values(), ids=ARRAYS)
def test_arrays_come_out_of_a_pickle_bit_for_bit(value: Any, protocol: int) -> None:
    """In each protocol."""
    blob = pickle.dumps(value, protocol)
    assert_same(load(blob), pickle.loads(blob))


@pytest.mark.parametrize("compress", [0, "zlib", "gzip", "bz2", "xz", "lzma", "lz4"])
@pytest.mark.parametrize("value", ARRAYS.values(), ids=ARRAYS)
def test_arrays_come_out_of_a_joblib_file_bit_for_bit(value: Any, compress: int | str) -> None:
    """In each compression, with the byte order of this machine."""
    blob = dumped(value, compress=compress)
    assert_same(load(blob), joblib.load(io.BytesIO(blob)))


@pytest.mark.parametrize(
    "random",
    [np.random.RandomState(7), np.random.default_rng(7), np.random.Generator(np.random.MT19937(7))],
    ids=["state", "pcg64", "mt19937"],
)
def test_random_generators_go_on_where_they_were(random: Any) -> None:
    """The same numbers come next."""
    random.standard_normal(3)
    found = load(pickle.dumps(random))
    assert found.standard_normal(5).tolist() == random.standard_normal(5).tolist()


TUPLE_OF_3 = b"K\x03\x85"
EIGHT = b"K\x08"


@pytest.mark.parametrize(
    "part",
    [
        dtype("V8"), dtype("f8", "?"), dtype("f8", size=b"K\x07"), dtype("f8,i8"), dtype("f99999999"), call("numpy", "dtype", b"K\x01"),
        dtype("V16", "|", names=text("a") + b"\x85", fields=mapping(a=dtype("O8", "|") + b"K\x00\x86"), size=b"K\x10"),
        dtype("V16", "|", names=text("a") + b"\x85", fields=mapping(b=dtype("f8") + b"K\x00\x86"), size=b"K\x10"),
        dtype("V16", "|", names=text("a") + b"\x85", fields=mapping(a=dtype("f8") + b"J\xff\xff\xff\xff\x86"), size=b"K\x10"),
        dtype("V16", "|", names=b"]", fields=b"}", size=b"K\x10"),
        array(b"(K\x01" + TUPLE_OF_3 + dtype("f8") + b"\x89" + b"C\x08" + b"x" * 8 + b"t"),
        array(b"(K\x01" + TUPLE_OF_3 + dtype("O8", "|") + b"\x89" + b"C\x18" + b"x" * 24 + b"t"),
        array(b"(K\x01" + TUPLE_OF_3 + dtype("O8", "|") + b"\x89" + b"]t"),
        array(b"(K\x01J\xff\xff\xff\xff\x85" + dtype("f8") + b"\x89" + b"C\x00t"),
        array(b"(K\x01" + TUPLE_OF_3 + text("f8") + b"\x89" + b"C\x18" + b"x" * 24 + b"t"),
        array(b"(K\x01" + TUPLE_OF_3 + dtype("b1") + b"\x89" + b"C\x03\x00\x01\x02t"),
        array(b"(K\x01K\x00\x85" + dtype("U0") + b"\x89" + b"C\x00t"),
        array(b"]"),
        call("numpy._core.multiarray", "_reconstruct", name("numpy", "float64"), b"K\x00\x85", b"C\x01b"),
        call("numpy._core.multiarray", "scalar", dtype("O8", "|"), b"C\x08" + b"x" * 8),
        call("numpy._core.multiarray", "scalar", dtype("f8"), b"C\x04" + b"x" * 4),
        call("numpy._core.numeric", "_frombuffer", b"C\x08" + b"x" * 8, dtype("O8", "|"), b"K\x01\x85", text("C")),
        call("numpy._core.numeric", "_frombuffer", b"C\x08" + b"x" * 8, dtype("f8"), b"K\x02\x85", text("C")),
        call("numpy.random._pickle", "__bit_generator_ctor", text("Philox")),
        call("numpy.random._pickle", "__randomstate_ctor", text("MT19937"))
        + build(mapping(bit_generator=text("MT19937"), state=mapping(key=b"N", pos=b"K\x01"))),
        call("numpy.random._pickle", "__generator_ctor", b"N"),
    ],
)  # fmt: skip
def test_a_dtype_an_array_or_a_generator_that_lies_is_refused(part: bytes) -> None:
    """Size, fields, length, kind or state."""
    with pytest.raises(Refused) as refused:
        load(program(part))
    assert refused.value.rule == "broken-array"


def test_a_position_past_the_end_of_a_random_state_is_refused() -> None:
    """Compiled code would read past its words."""
    blob = pickle.dumps(np.random.RandomState(0), 4)
    at = blob.index(b"pos") + len(b"pos") + 1
    with pytest.raises(Refused):
        load(blob[:at] + b"M\xff\xff" + blob[blob.index(b"u", at) :])


@pytest.mark.parametrize(
    ("blob", "raised"),
    [
        (joblib_array(b"K\x02\x85", dtype("f8"), b"x" * 16), None),
        (joblib_array(b"J\xff\xff\xff\x7f\x85", dtype("f8"), b"x" * 16), Damaged),
        (joblib_array(b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x87", dtype("f8"), b"x" * 16), Damaged),
        (joblib_array(b"J\xff\xff\xff\xff\x85", dtype("f8"), b"x" * 16), Refused),
        (joblib_array(b"]", dtype("f8"), b""), Refused),
        (joblib_array(b"K\x02\x85", text("f8"), b"x" * 16), Refused),
        (joblib_array(b"K\x02\x85", dtype("f8"), b"x" * 16, order=text("A")), Refused),
        (joblib_array(b"K\x02\x85", dtype("f8"), b"x" * 16, subclass=name("numpy", "float64")), Refused),
        (joblib_array(b"K\x02\x85", dtype("f8"), b"x" * 16, more=b"N"), Refused),
        (joblib_array(b"K\x02\x85", dtype("O8", "|"), pickle.dumps(np.array([1, None], object))), None),
        (joblib_array(b"K\x03\x85", dtype("O8", "|"), pickle.dumps(np.array([1, None], object))), Refused),
        (joblib_array(b"K\x02\x85", dtype("O8", "|"), pickle.dumps([1, 2])), Refused),
        (joblib_array(b"K\x02\x85", dtype("O8", "|"), program(call("os", "system", text("true")))), Refused),
    ],
)
def test_the_header_of_a_joblib_array_is_not_believed(blob: bytes, raised: type[Exception] | None) -> None:
    """And the stream inside an array of objects is held to the same rules."""
    if raised is None:
        assert len(load(blob)) == 2
        return
    with pytest.raises(raised):
        load(blob)


def test_arrays_of_objects_do_not_nest_without_end() -> None:
    """Each is a stream inside a stream."""
    inner = program(b"N")
    for _ in range(10):
        inner = joblib_array(b")", dtype("O8", "|"), inner)
    with pytest.raises(Refused) as refused:
        load(inner)
    assert refused.value.rule == "nested-too-deep"


@pytest.mark.parametrize("compress", [False, True])
def test_memory_is_taken_as_bytes_come_and_not_as_a_shape_declares(compress: bool) -> None:
    """A file of some bytes that announces gigabytes costs nothing."""
    blob = joblib_array(b"J\x00\x00\x00\x7f\x85", dtype("f8"), b"x" * 1000)
    if compress:
        blob = zlib.compress(blob)
    tracemalloc.start()
    with pytest.raises((Damaged, Refused)):
        load(blob)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20


def test_dates_are_refused_with_advice_of_their_own() -> None:
    """Dumping the model anew would not help."""
    with pytest.raises(Refused) as refused:
        load(pickle.dumps(np.array(["2026-01-01"], dtype="M8[D]")))
    assert refused.value.rule == "dates-not-allowed"
    assert "before you fit" in refused.value.text
