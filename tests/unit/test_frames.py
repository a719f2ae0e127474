"""Frames: what is packed unpacks to the same, and junk is a FrameError and nothing else."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from registry import frames
from registry.frames import FrameError, Matrix, Outputs, Table, Texts

DTYPES = st.sampled_from([np.dtype(name) for name in ("bool", "int8", "uint16", "int64", "float32", "float64")])
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


def columns_of(rows: int) -> Any:
    """Return a strategy for one column of so many rows."""
    texts = st.lists(st.none() | st.text(), min_size=rows, max_size=rows)
    return arrays.arrays(DTYPES, rows) | texts


MATRICES = arrays.arrays(DTYPES, st.tuples(st.integers(0, 5), st.integers(0, 5))).map(Matrix)
TEXTS = st.lists(st.text()).map(Texts)
TABLES = st.tuples(st.integers(0, 5), st.lists(st.text(), unique=True, max_size=4)).flatmap(
    lambda shape: st.tuples(*(columns_of(shape[0]) for _ in shape[1])).map(lambda columns: Table(tuple(shape[1]), columns))
)
INPUTS = MATRICES | TEXTS | TABLES
PARTS = arrays.arrays(DTYPES, st.tuples(st.integers(0, 5)) | st.tuples(st.integers(0, 5), st.integers(0, 3))) | st.lists(
    st.none() | st.text() | st.integers(-(2**63), 2**63 - 1)
)


def same_part(one: Any, other: Any) -> bool:
    """Tell whether two columns or parts are equal to the last bit."""
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
    return bool(one == other)


def same_inputs(one: Any, other: Any) -> bool:
    """Tell whether two inputs are equal to the last bit."""
    match one, other:
        case Matrix(a), Matrix(b):
            return same_part(a, b)
        case Texts(a), Texts(b):
            return bool(a == b)
        case Table(), Table():
            return one.names == other.names and all(same_part(a, b) for a, b in zip(one.columns, other.columns, strict=True))
    return False


# -- frames -----------------------------------------------------------------------------------------------------------


@given(st.dictionaries(st.text(), PLAIN, max_size=4), st.binary())
def test_a_frame_comes_back_whole(header: dict[str, Any], body: bytes) -> None:
    """Return header and body, and announce exactly the bytes that follow."""
    frame = frames.encode_frame(header, body)
    length = int.from_bytes(frame[:4], "little")
    assert length == len(frame) - 4
    got, rest = frames.decode_frame(frame[4:])
    assert (got, bytes(rest)) == (header, body)


@given(st.binary(max_size=64))
def test_junk_is_a_frame_error(junk: bytes) -> None:
    """Raise FrameError, or find a map; never anything else."""
    try:
        header, _ = frames.decode_frame(junk)
    except FrameError:
        return
    assert isinstance(header, dict)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\1\0\0",
        b"\xff\xff\xff\xff",
        b"\2\0\0\0\x80",
        b"\1\0\0\0\xc1",
        b"\1\0\0\0\x90",
        b"\0\0\0\0",
        b"\2\0\0\0\x80\x80",
        b"\1\0\0\0\1rest",
    ],
)
def test_each_way_of_not_being_a_frame_is_told(payload: bytes) -> None:
    """Refuse what is too short, no msgpack, or no map."""
    with pytest.raises(FrameError):
        frames.decode_frame(payload)


# -- inputs and outputs -----------------------------------------------------------------------------------------------


@given(INPUTS)
def test_inputs_come_back_bit_for_bit(inputs: frames.Inputs) -> None:
    """Keep kind, names, dtypes and every bit, NaN's too."""
    packed = frames.encode_inputs(inputs)
    got = frames.decode_inputs(packed)
    assert same_inputs(inputs, got)
    assert got.rows == inputs.rows
    assert frames.encode_inputs(got) == packed


@given(st.lists(PARTS, min_size=1, max_size=3), st.booleans())
def test_outputs_come_back_bit_for_bit(parts: list[Any], multi: bool) -> None:
    """Keep parts, their number and whether there are several targets."""
    outputs = Outputs(tuple(parts), multi)
    got = frames.decode_outputs(frames.encode_outputs(outputs))
    assert got.multi is multi
    assert len(got.parts) == len(parts)
    assert all(same_part(one, other) for one, other in zip(parts, got.parts, strict=True))


def test_equal_inputs_have_equal_bytes_however_they_lie_in_memory() -> None:
    """Pack by value, so that the bytes can key a cache."""
    array = np.arange(12.0).reshape(4, 3)
    for same in (np.asfortranarray(array), np.repeat(array, 2, axis=0)[::2]):
        assert frames.encode_inputs(Matrix(same)) == frames.encode_inputs(Matrix(array))


@pytest.mark.parametrize("dtype", [">f8", ">i2", ">u4"])
def test_big_endian_numbers_travel_by_value(dtype: str) -> None:
    """An estimator may answer them; what arrives is the same numbers, little-endian."""
    array = np.array([[1, 2], [3, 400]], dtype)
    assert frames.encode_inputs(Matrix(array)) == frames.encode_inputs(Matrix(array.astype(array.dtype.newbyteorder("<"))))
    for multi in (False, True):
        got = frames.decode_outputs(frames.encode_outputs(Outputs((array,), multi))).parts[0]
        assert isinstance(got, np.ndarray)
        assert got.tolist() == [[1, 2], [3, 400]]


def test_inputs_of_another_shape_kind_or_name_have_other_bytes() -> None:
    """Never let two different inputs share a cache key."""
    array = np.zeros((2, 3))
    different: list[frames.Inputs] = [
        Matrix(array), Matrix(array.reshape(3, 2)), Matrix(array.astype("f4")), Matrix(array.astype("i8")), Texts(["0", "0"]), Texts(["00"]), Texts([]),
        Table(("a",), (array[:, 0],)), Table(("b",), (array[:, 0],)), Table(("a",), (["0", "0"],)), Table(("a",), (["0", None],)), Matrix(-array),
    ]  # fmt: skip
    assert len({frames.encode_inputs(one) for one in different}) == len(different)


@given(st.binary(max_size=200))
def test_junk_for_inputs_or_outputs_is_a_frame_error(junk: bytes) -> None:
    """Raise FrameError and nothing else."""
    for decode in (frames.decode_inputs, frames.decode_outputs):
        with pytest.raises(FrameError):
            decode(junk)


@given(INPUTS.filter(lambda inputs: not isinstance(inputs, Table) or bool(inputs.names)), st.data())
def test_a_changed_byte_raises_a_frame_error_or_nothing(inputs: frames.Inputs, data: st.DataObject) -> None:
    """Survive every flip of a byte of what was well packed."""
    packed = bytearray(frames.encode_inputs(inputs))
    packed[data.draw(st.integers(0, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
    for decode in (frames.decode_inputs, frames.decode_outputs):
        try:
            decode(bytes(packed))
        except FrameError:
            continue


def packed_by_hand(header: Any, raw: bytes = b"") -> bytes:
    """Return values packed as ours are, with a header of one's own."""
    text = msgspec.msgpack.encode(header)
    return len(text).to_bytes(4, "little") + text + raw


#: What `decode_inputs` does not look at: that there is a part at all, that sizes are positive, that each column has a name.
@pytest.mark.parametrize(
    ("header", "raw"),
    [
        (["z", None, []], b""),
        (["m", None, []], b""),
        (["t", None, []], b""),
        (["m", None, [[None, ["a"]]]], b""),
        (["t", None, [["<f8", [1]]]], bytes(8)),
        (["m", None, [["|O", [1]]]], bytes(8)),
        (["m", None, [["<U4", [1]]]], bytes(16)),
        (["m", None, [["<f8", [2, 2]]]], bytes(31)),
        (["m", None, [["<f8", [-1]]]], bytes(8)),
        (["m", None, [["<f8", [-1, 1]]]], bytes(8)),
        (["m", None, [[">f8", [1]]]], bytes(8)),
        (["m", None, [[",<f8", [1]]]], bytes(8)),
        (["m", None, [["<f8,(1", [1]]]], bytes(8)),
        (["m", None, [["<f9", [1]]]], bytes(9)),
        (["m", None, [[["<f8"], [1]]]], bytes(8)),
        (["m", None, [["<f8", [-1, -1]]]], bytes(8)),
        (["m", None, [["<f8", [2**62, 2**62]]]], bytes(8)),
        (["m", None, [["nonsense", [1]]]], bytes(8)),
        (["m", None, [["<f8", 3]]], bytes(8)),
        (["m", None, [7]], b""),
        (["m", None], b""),
        (["c", 7, [[None, ["a"]]]], b""),
        (["c", ["a"], []], b""),
        ({"m": 1}, b""),
    ],
)
def test_values_that_are_packed_wrongly_are_a_frame_error(header: Any, raw: bytes) -> None:
    """Refuse unknown kinds, objects, texts as arrays, and shapes that lie."""
    with pytest.raises(FrameError):
        frames.decode_inputs(packed_by_hand(header, raw))


def test_outputs_are_not_taken_for_inputs() -> None:
    """Keep the two apart by their kind."""
    with pytest.raises(FrameError):
        frames.decode_inputs(frames.encode_outputs(Outputs((np.zeros(2),))))
    with pytest.raises(FrameError):
        frames.decode_outputs(frames.encode_inputs(Matrix(np.zeros((2, 2)))))


# -- joining ----------------------------------------------------------------------------------------------------------


@given(INPUTS, st.integers(1, 4))
def test_joined_inputs_are_the_rows_of_each_in_order(inputs: frames.Inputs, times: int) -> None:
    """Join any input with copies of itself."""
    assert frames.joinable(inputs, inputs)
    joined = frames.join([inputs] * times)
    assert joined.rows == times * inputs.rows
    match inputs, joined:
        case Matrix(a), Matrix(b):
            assert same_part(np.concatenate([a] * times), b)
        case Texts(a), Texts(b):
            assert a * times == b
        case Table(), Table():
            for one, many in zip(inputs.columns, joined.columns, strict=True):
                assert same_part(np.concatenate([one] * times) if isinstance(one, np.ndarray) else one * times, many)
        case _:
            pytest.fail("another kind came out")


def test_unlike_inputs_are_not_joined() -> None:
    """Demand the same kind, names, dtypes and widths."""
    numbers = np.zeros(2)
    unlike: list[frames.Inputs] = [
        Matrix(np.zeros((2, 3))), Matrix(np.zeros((2, 2))), Matrix(np.zeros((2, 3), "f4")), Texts(["a"]), Table(("a",), (numbers,)), Table(("b",), (numbers,)),
        Table(("a",), (numbers.astype("i8"),)), Table(("a",), (["x", "y"],)), Table(("a", "b"), (numbers, numbers)),
    ]  # fmt: skip
    for i, one in enumerate(unlike):
        for j, other in enumerate(unlike):
            assert frames.joinable(one, other) is (i == j)


@given(PARTS, st.data())
def test_outputs_of_joined_inputs_are_given_back_by_rows(part: Any, data: st.DataObject) -> None:
    """Cut outputs anywhere and get all rows, once."""
    outputs = Outputs((part,))
    cut = data.draw(st.integers(0, outputs.rows))
    first, second = outputs.take(0, cut), outputs.take(cut, outputs.rows)
    assert (first.rows, second.rows) == (cut, outputs.rows - cut)
    assert repr(first.to_plain() + second.to_plain()) == repr(outputs.to_plain())  # its text, since NaN equals nothing


def test_plain_outputs_are_nested_only_where_there_are_several_targets() -> None:
    """Give a list of rows, or one such list for each target."""
    part = np.array([1, 2])
    assert Outputs((part,)).to_plain() == [1, 2]
    assert Outputs((part, ["a", "b"]), multi=True).to_plain() == [[1, 2], ["a", "b"]]
    assert Outputs(()).rows == Table((), ()).rows == 0
