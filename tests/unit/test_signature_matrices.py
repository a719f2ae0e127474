"""Bodies of numbers alone: what is read straight into an array is what the exact path reads, to the bit, and nothing else is taken."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry import frames
from registry.errors import ModelyardError
from registry.signature import Column, Signature, matrices
from registry.signature.fast import FastDecoder
from registry.signature.json_body import read_json
from registry.signature.matrices import Matrices, matrices_of

MAX_ROWS = 5
FLOATS = (Column("a", "float64"), Column("b", "float64"))
GAPPY = (Column("a", "float64", missing=True), Column("b", "float64", missing=True))
WHOLE = (Column("a", "int64"), Column("b", "int64"))
BRACKETED = (Column("a [cm]", "float64"), Column("b [cm", "float64"))
ALL = (FLOATS, GAPPY, WHOLE, BRACKETED)

#: Numbers as JSON writes them, also such as only few readers take or read right.
NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.integers(-3, 3).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.from_regex(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.sampled_from(["-0", "-0.0", "0e5", "5e-324", "1.7976931348623157e308", "9007199254740993", "9223372036854775807", "1e999", "2.0"]),
)
CELLS = st.sampled_from(["1", "2", "-3.5", "null", "true", '"x"', "[1]", "[]", "{}", "NaN", "01", "1.", "+1", ""])


def reader(columns: tuple[Column, ...]) -> Matrices:
    """Return the reader of columns that has one."""
    found = matrices_of("array", columns)
    assert found is not None
    return found


def taken(columns: tuple[Column, ...], body: bytes) -> bool:
    """Tell whether a body is read into an array; where it is, the typed decoder and the exact path must read the same, method and all."""
    got = reader(columns).read(body, MAX_ROWS)
    if got is None:
        return False
    exact, method = read_json(body, "array", columns, MAX_ROWS)
    typed = FastDecoder("array", columns)._read_typed(body, MAX_ROWS)  # the way of everything that isn't taken here
    assert (frames.encode_inputs(got[0]), got[1]) == (frames.encode_inputs(exact), method)
    assert typed is None or (frames.encode_inputs(typed[0]), typed[1]) == (frames.encode_inputs(exact), method)
    return True


def forms(columns: tuple[Column, ...], rows: list[list[str]]) -> list[str]:
    """Return the rows, whose cells are JSON texts, in every form that may be taken."""
    first, second = (json.dumps(column.name) for column in columns)
    data = "[" + ", ".join(f"[{', '.join(row)}]" for row in rows) + "]"
    by_column = [", ".join(row[index] for row in rows if index < len(row)) for index in (0, 1)]
    return [
        f'{{"data": {data}}}',
        f'{{"instances":{data}, "method": "predict_proba"}}\n',
        f'{{"data" : {data}, "params": {{}}}}',
        f'{{"inputs": {{{second}: [{by_column[1]}], {first}: [{by_column[0]}]}}}}',
        f'{{"dataframe_split": {{"columns": [{first}, {second}], "data": {data}}}}}',
        f'{{"dataframe_split": {{"index": [7, 8], "columns": [{first}, {second}], "data": {data}}}}}',
    ]


@pytest.mark.parametrize("form", range(6))
@pytest.mark.parametrize("columns", ALL, ids=["floats", "gappy", "whole", "bracketed"])
def test_good_bodies_are_taken_in_every_form(columns: tuple[Column, ...], form: int) -> None:
    """One row and several; it would be no use to take none."""
    for rows in ([["1", "2"]], [["1", "-2"], ["3", "4"], ["0", "-0"]]):
        assert taken(columns, forms(columns, rows)[form].encode())


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(st.lists(NUMBERS, min_size=2, max_size=2), min_size=1, max_size=3), form=st.integers(0, 5), index=st.integers(0, 3))
def test_numbers_are_read_to_the_bit(rows: list[list[str]], form: int, index: int) -> None:
    """Many digits, halves between two doubles, the smallest and the largest, 64 bits and more."""
    taken(ALL[index], forms(ALL[index], rows)[form].encode())


@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(st.lists(CELLS, max_size=3) | st.just(["1", "2"]), max_size=6), form=st.integers(0, 5), index=st.integers(0, 3)
)  # fmt: skip
def test_whatever_does_not_fit_is_left(rows: list[list[str]], form: int, index: int) -> None:
    """Ragged rows, other types, arrays in rows, too many rows, what isn't JSON."""
    taken(ALL[index], forms(ALL[index], rows)[form].encode())


@settings(max_examples=200, deadline=None)
@given(
    form=st.integers(0, 5), index=st.integers(0, 3), places=st.lists(st.integers(0, 120), min_size=1, max_size=3),
    put=st.sampled_from(["", "[", "]", "[]", "{", "}", ",", ":", '"', "\\", "1", "-", ".", "e", " ", "0", "null", '"a":[1,2],', "\ufeff", "\x00", "\\u005b"]),
)  # fmt: skip
def test_a_body_with_a_slip_is_read_as_the_exact_path_reads_it_or_left(form: int, index: int, places: list[int], put: str) -> None:
    """Any byte replaced by any other text, in several places."""
    body = forms(ALL[index], [["1", "2"], ["30", "4.5"]])[form]
    for place in places:
        body = body[: place % len(body)] + put + body[place % len(body) + 1 :]
    taken(ALL[index], body.encode())


@pytest.mark.parametrize(
    "body",
    [
        '{"data": [[[1], [2]]]}',
        '{"data": [[[1, 2], []]]}',
        '{"data": [[1, 2], [[3, 4]]]}',
        '{"data": [[1], [2, 3, 4]]}',
        '{"data": [[1, 2]], "data": [[3, 4]]}',
        '{"data": [[1, 2]], "d\\u0061ta": [[3, 4]]}',
        '{"data": [[1, 2]], "instances": [[1, 2]]}',
        '{"data": [[1, 2]], "params": []}',
        '{"data": [[1, 2]], "params": {"a": 1}}',
        '{"data": [[1, 2]], "params": {}, "params": {}}',
        '{"data": [[1, 2]], "method": 3}',
        '{"data": [[1, 2]], "more": 3}',
        '{"data": [[1, 2]] }x',
        '\ufeff{"data": [[1, 2]]}',
        '{"data": []}',
        '{"data": [[]]}',
        '{"data": [[1, 2],[1, 2],[1, 2],[1, 2],[1, 2],[1, 2]]}',
        '{"data": {"more": [[1, 2]]}, "x": "\\"data\\": [["}',
        '{"inputs": {"a": [1], "b": [2], "a": [3]}}',
        '{"inputs": {"a": [1], "b": [2], "c": [3]}}',
        '{"inputs": {"a": [1, 2], "b": [[3, 4]]}}',
        '{"inputs": {"a": [[1], 2], "b": [3, 4]}}',
        '{"inputs": {"a": 1, "b": 2}}',
        '{"inputs": {"a": [], "b": []}}',
        '{"dataframe_split": {"columns": ["b", "a"], "data": [[1, 2]]}}',
        '{"dataframe_split": {"columns": ["a", "b"], "columns": ["a", "b"], "data": [[1, 2]]}}',
        '{"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2]], "index": [{"a": 1, "a": 2}]}}',
        '{"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2]], "names": [1]}}',
        '{"x": 1, "y": {"data": [[1, 2]]}}',
        '[{"data": [[1, 2]]}]',
    ],
)
def test_what_only_looks_like_a_matrix_is_left(body: str) -> None:
    """Arrays in rows that make up for each other, names that come twice, fields that don't belong."""
    assert reader(FLOATS).read(body.encode(), MAX_ROWS) is None


def test_a_bracket_in_a_name_hides_no_array_in_a_column() -> None:
    """A name may be written with escapes, so that its brackets can't be counted."""
    body = rb'{"inputs": {"a \u005bcm]": [[1], 2], "b [cm": [3, 4]}}'
    assert reader(BRACKETED).read(body, MAX_ROWS) is None
    assert reader(BRACKETED).read(body.replace(b"[1]", b"1"), MAX_ROWS) is None


def test_large_bodies_are_taken_as_small_ones_are() -> None:
    """Past a few kilobytes brackets and nulls are looked for in another way."""
    rows = np.random.default_rng(0).standard_normal((300, 2))
    body = json.dumps({"data": rows.tolist()}).encode()
    for columns in (FLOATS, GAPPY):
        got = reader(columns).read(body, 300)
        assert got is not None
        assert got[0].array.tobytes() == rows.tobytes()
        assert reader(columns).read(body.replace(b"]]}", b"], [null, 1]]}"), 301) is None
        assert reader(columns).read(body.replace(b"]]}", b"], [[1], 2]]}"), 301) is None


@pytest.mark.parametrize(
    ("container", "columns"),
    [("texts", (Column("t", "string"),)), ("array", (Column("a", "bool"),)), ("frame", (Column("a", "float64"), Column("b", "int64")))],
)
def test_only_columns_of_one_kind_of_number_have_such_a_reader(container: str, columns: Any) -> None:
    """Texts, truth values and mixtures are the typed decoder's."""
    assert matrices_of(container, columns) is None


def test_without_simdjson_the_typed_decoder_reads_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """There isn't a wheel for every Python; it only costs time."""
    monkeypatch.setattr(matrices, "INSTALLED", False)
    signature = Signature("array", named=True, columns=(Column("alone", "float64"),), outputs={"predict": {}})
    inputs = signature.validate(b'{"data": [[1], [2]]}', "application/json", max_rows=2).inputs
    assert isinstance(inputs, frames.Matrix)
    assert inputs.array.tolist() == [[1], [2]]
    with pytest.raises(ModelyardError):
        signature.validate(b'{"data": [[1], ["x"]]}', "application/json", max_rows=2)
