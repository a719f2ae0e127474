"""CSV and npy bodies."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

from registry import frames
from registry.errors import MalformedBody, ModelyardError, SignatureMismatch, TooManyRows
from registry.signature import Signature


def signature(container: str, **columns: str) -> Signature:
    """Return a signature of columns by name; a type with `?` may be missing, with `??` also be left out."""
    inputs = [
        {"name": name, "type": kind.rstrip("?"), "missing": "?" in kind, "required": "??" not in kind} for name, kind in columns.items()
    ]
    return Signature.from_dict({"container": container, "named": True, "inputs": inputs, "outputs": {"predict": {}, "transform": {}}})


NUMBERS = signature("array", a="float64", b="float64")
MIXED = signature("frame", age="float64?", job="string", ok="bool", n="int64")


def csv(sig: Signature, text: str | bytes, max_rows: int = 100) -> frames.Inputs:
    """Return the inputs of a CSV body."""
    return sig.validate(text.encode() if isinstance(text, str) else text, "text/csv", max_rows=max_rows).inputs


def npy(sig: Signature, array: Any, max_rows: int = 100) -> frames.Inputs:
    """Return the inputs of an npy body, given as bytes or as an array."""
    return sig.validate(array if isinstance(array, bytes) else saved(array), "application/x-npy", max_rows=max_rows).inputs


def saved(array: Any, version: tuple[int, int] | None = None) -> bytes:
    """Return what NumPy saves."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asanyarray(array), version=version)
    return buffer.getvalue()


def matrix(inputs: frames.Inputs) -> Any:
    """Return the array of a Matrix."""
    assert isinstance(inputs, frames.Matrix)
    assert inputs.array.flags.c_contiguous
    return inputs.array


def test_csv_columns_come_by_name_in_any_order() -> None:
    """The header decides; an empty cell is missing; a blank line is none."""
    inputs = csv(MIXED, 'ok,n,job,age\r\ntrue,1,chef,33.5\r\n\r\nFALSE,-2,"a, b",\r\n')
    assert isinstance(inputs, frames.Table)
    age, job, ok, n = inputs.columns
    np.testing.assert_array_equal(age, [33.5, np.nan])
    assert job == ["chef", "a, b"]
    np.testing.assert_array_equal(ok, [True, False])
    np.testing.assert_array_equal(n, [1, -2])


def test_csv_of_numbers_gives_a_matrix() -> None:
    """Spaces around numbers, exponents, a byte order mark and quotes are fine."""
    assert matrix(csv(NUMBERS, '\ufeffb,a\n 1e3 ,"2"\n.5,+3\n')).tolist() == [[2, 1000], [3, 0.5]]


def test_csv_of_texts_has_one_column() -> None:
    """Quoted texts keep their newlines."""
    assert csv(signature("texts", text="string"), 'text\n"a\nb"\nc\n') == frames.Texts(["a\nb", "c"])


def test_csv_may_leave_out_what_is_not_required() -> None:
    """The column counts as missing in every row."""
    assert np.isnan(matrix(csv(signature("frame", a="float64", b="float64??"), "a\n1\n"))[0, 1])


@pytest.mark.parametrize("cell", ["abc", "nan", "inf", "-Infinity", "1_000", "0x10", "1e999", "1,5", "٣"])
def test_csv_numbers_are_finite_and_plain(cell: str) -> None:
    """Nothing that Python's float would take on top is a number here."""
    with pytest.raises(SignatureMismatch) as refused:
        csv(NUMBERS, f'b,a\n1,"{cell}"\n')
    assert (refused.value.findings[0].pointer, refused.value.findings[0].column) == ("#/data/0/1", "a")


@pytest.mark.parametrize(
    ("text", "pointer"),
    [
        ("a,b\n1\n", "#/data/0"),
        ("a,b\n1,2,3\n", "#/data/0"),
        ("a,b\n", "#/data"),
        ("a,c\n1,2\n", "#/header/1"),
        ("a\n1\n", "#/header"),
        ("a,b\n1,\n", "#/data/0/1"),
    ],
)
def test_csv_that_does_not_fit_is_pointed_at(text: str, pointer: str) -> None:
    """Cells, columns and rows too many or too few."""
    with pytest.raises(SignatureMismatch) as refused:
        csv(NUMBERS, text)
    assert refused.value.findings[0].pointer == pointer


@pytest.mark.parametrize("text", ["", "\n\n", b"\xff\xfe", "a,a\n1,2\n", 'a,b\n"1,2', 'a,b\n"1"x,2\n'])
def test_what_is_not_csv_is_malformed(text: Any) -> None:
    """No header, not UTF-8, a name twice, a quote that never ends."""
    with pytest.raises(MalformedBody):
        csv(NUMBERS, text)


def test_csv_rows_are_limited() -> None:
    """Reading stops at the first row too many."""
    with pytest.raises(TooManyRows):
        csv(NUMBERS, "a,b\n" + "1,2\n" * 3, max_rows=2)


def test_the_method_of_a_csv_or_npy_body_is_said_beside_it() -> None:
    """Bodies that can't carry a method take the one given."""
    assert NUMBERS.validate(b"a,b\n1,2\n", "text/csv", max_rows=1, method="transform").method == "transform"


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize("dtype", ["<f8", ">f8", "<f4", "f2", "i1", "<i8", ">u2"])
def test_npy_of_any_plain_dtype_and_version_is_read(version: tuple[int, int], dtype: str) -> None:
    """Numbers become float64 for float columns."""
    array = np.array([[1, 2], [3, 4]], dtype)
    result = matrix(npy(NUMBERS, saved(array, version)))
    assert result.dtype == np.float64
    assert result.tolist() == [[1, 2], [3, 4]]


def test_npy_arrays_with_one_header_keep_their_own_values() -> None:
    """A header is parsed once for all that are alike, and a bad one is refused every time."""
    assert [matrix(npy(NUMBERS, np.full((2, 2), value))).tolist() for value in (1.0, 2.0)] == [[[1, 1], [1, 1]], [[2, 2], [2, 2]]]
    for _ in range(2):
        with pytest.raises(MalformedBody):
            npy(NUMBERS, saved(np.zeros((1, 2))).replace(b"<f8", b"|O8"))


def test_npy_in_fortran_order_keeps_its_rows() -> None:
    """The order in memory is not the order of the values."""
    assert matrix(npy(NUMBERS, np.asfortranarray([[1.0, 2], [3, 4], [5, 6]]))).tolist() == [[1, 2], [3, 4], [5, 6]]


def test_npy_of_one_dimension_is_one_row() -> None:
    """As a bare row is in JSON."""
    assert matrix(npy(NUMBERS, np.array([1.0, 2]))).tolist() == [[1, 2]]


def test_npy_may_hold_nan_where_values_may_be_missing() -> None:
    """NaN is npy's way to say null."""
    assert np.isnan(matrix(npy(signature("array", a="float64?"), np.array([[np.nan]])))).all()


@pytest.mark.parametrize(("kind", "array"), [("int64", [[3.0]]), ("int64", np.array([[3]], "u8")), ("bool", [[True]])])
def test_npy_values_take_the_type_of_their_column(kind: str, array: Any) -> None:
    """Whole floats are integers."""
    assert matrix(npy(signature("array", a=kind), np.array(array))).dtype == kind


@pytest.mark.parametrize(
    ("kind", "array"),
    [
        ("float64", [[np.nan]]),
        ("float64", [[np.inf]]),
        ("float64?", [[np.inf]]),
        ("float64", [[True]]),
        ("int64", [[2.5]]),
        ("int64", [[1e300]]),
        ("int64", [[np.nan]]),
        ("int64", [[2**63]]),
        ("bool", [[1]]),
        ("string", [[1.0]]),
        ("float64", [[1.0, 2.0]]),
        ("float64", np.zeros((0, 1))),
        ("float64", np.zeros((1, 1, 1))),
        ("float64", np.array(1.0)),
    ],
)
def test_npy_that_does_not_fit_is_refused(kind: str, array: Any) -> None:
    """Values, columns and dimensions."""
    with pytest.raises(SignatureMismatch):
        npy(signature("array", a=kind), np.array(array))


def test_npy_rows_are_limited_by_the_header_alone() -> None:
    """A header of a trillion rows is refused before anything is made of it."""
    body = saved(np.zeros((1, 2))).replace(b"(1, 2)", b"(10**9")
    with pytest.raises(MalformedBody):
        npy(NUMBERS, body)
    with pytest.raises(TooManyRows):
        npy(NUMBERS, _with_header("'descr': '<f8', 'fortran_order': False, 'shape': (999999999999, 2)"))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x93NUMPY",
        b"PK\x03\x04" + b"\0" * 80,
        saved(np.zeros((1, 2)))[:-1],
        saved(np.zeros((1, 2))) + b"\0",
        saved(np.zeros((1, 2))).replace(b"\x93NUMPY\x01", b"\x93NUMPY\x04"),
        saved(np.zeros((1, 2))).replace(b"<f8", b"|O8"),
        saved(np.zeros((1, 2))).replace(b"<f8", b"<c8"),
        saved(np.zeros((1, 2))).replace(b"<f8", b"<f9"),
        saved(np.array([["a", "b"]])),
        saved(np.zeros(1, dtype=[("a", "f8"), ("b", "f8")])),
        b"\x93NUMPY\x01\x00\xff\xff{}",
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}",
    ],
)
def test_what_is_not_plain_npy_is_malformed(body: bytes) -> None:
    """Objects, structures, texts, wrong lengths and torn headers: nothing is ever unpickled or evaluated."""
    with pytest.raises(MalformedBody):
        npy(NUMBERS, body)


@pytest.mark.parametrize("shape", ["(-1, 2)", "(1, 2", "[1, 2]", "(1 2,)", "(9999999999999999999999, 2)", "__import__('os')"])
def test_npy_shapes_are_matched_never_evaluated(shape: str) -> None:
    """Only digits and commas make a shape."""
    with pytest.raises(ModelyardError):
        npy(NUMBERS, _with_header(f"'descr': '<f8', 'fortran_order': False, 'shape': {shape}"))


def _with_header(text: str) -> bytes:
    header = f"{{{text}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"\0" * 16
