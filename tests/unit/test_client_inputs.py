"""What may be handed to `predict`, and what becomes of it; no service is asked."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from modelyard.errors import ConfigurationError, SignatureMismatch, problem_of
from modelyard.inputs import NPY, encode, join, plain, read_example, read_npy, read_outputs, read_rows, shifted

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("given_inputs", "body"),
    [
        ([[1.0, 2], [3, None]], {"data": [[1.0, 2], [3, None]]}),
        ([1.0, 2.0], {"data": [1.0, 2.0]}),
        (["a", "b"], {"data": ["a", "b"]}),
        (np.array(["a", "b"]), {"data": ["a", "b"]}),
        (np.array([[1, "a"], [np.nan, None]], dtype=object), {"data": [[1, "a"], [None, None]]}),
        ([{"age": 1}, {"age": None}], {"instances": [{"age": 1}, {"age": None}]}),
        ({"age": 33, "job": "chef"}, {"instances": [{"age": 33, "job": "chef"}]}),
        ({"age": [33, 41], "job": ("a", "b")}, {"inputs": {"age": [33, 41], "job": ["a", "b"]}}),
        ({"age": np.array([1.5, np.nan])}, {"inputs": {"age": [1.5, None]}}),
        (pd.DataFrame({"a": [1, 2], 7: ["x", pd.NA]}), {"inputs": {"a": [1, 2], "7": ["x", None]}}),
        (pd.DataFrame({"at": [pd.Timestamp("2026-11-25"), pd.NaT]}), {"inputs": {"at": ["2026-11-25T00:00:00", None]}}),
        (pd.Series([1.5, "a"], index=["x", "y"]), {"instances": [{"x": 1.5, "y": "a"}]}),
        ([[dt.date(2026, 11, 25)]], {"data": [["2026-11-25"]]}),
        (np.array([(1.0, 2)], dtype=[("b", "f8"), ("a", "i4")]), {"inputs": {"b": [1.0], "a": [2]}}),
        (np.ma.masked_array([[1.0, 2.0]], mask=[[False, True]]), {"data": [[1.0, None]]}),
        (
            {"at": np.array(["2026-11-25T10:00", "NaT"], dtype="datetime64[ns]")},
            {"inputs": {"at": ["2026-11-25T10:00:00.000000000", None]}},
        ),
        (pd.DataFrame({"n": pd.array([1, None], dtype="Int64"), "b": [True, False]}), {"inputs": {"n": [1, None], "b": [True, False]}}),
        (pd.Series(["a", "b"], index=["x", "y"]), {"data": ["a", "b"]}),
        (pl.DataFrame({"c": [1.5, None], "t": ["a", None]}), {"inputs": {"c": [1.5, None], "t": ["a", None]}}),
    ],
)
def test_inputs_become_the_body_that_says_the_same(given_inputs: Any, body: dict[str, Any]) -> None:
    """Rows, records, columns and texts, with null for what is missing."""
    rows = read_rows(given_inputs)
    content_type, sent = rows.body(0, rows.count, "predict_proba", None)
    assert (content_type, json.loads(sent)) == ("application/json", {**body, "method": "predict_proba"})


@pytest.mark.parametrize("dtype", ["float64", "float32", "int8", "uint16", "bool", ">f8"])
def test_an_array_of_numbers_is_sent_without_a_loss(dtype: str) -> None:
    """As npy, in parts where it is long; with parameters as JSON, since npy can carry none."""
    array = np.array([[0, 1], [1, 0], [1, 1]], dtype=dtype)
    rows = read_rows(array)
    content_type, body = rows.body(1, 3, "predict", None)
    assert content_type == NPY
    assert read_npy(body).tolist() == array[1:].tolist()
    assert read_npy(body).dtype == array.dtype
    assert json.loads(rows.body(0, 1, "predict", {"k": 1})[1]) == {"data": array[:1].tolist(), "method": "predict", "params": {"k": 1}}
    assert read_rows(array[0]).count == 1


@pytest.mark.parametrize(
    ("given_inputs", "words"),
    [
        (7, "not an object of int"),
        ("text", "not an object of str"),
        (None, "not an object of NoneType"),
        ([], "no rows"),
        (np.zeros((2, 2, 2)), "this one has 3"),
        (sparse.csr_matrix([[1.0]]), "call its .toarray"),
        ([[Decimal(1)]], "A value of Decimal can't be sent"),
        (pd.DataFrame(), "no column"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "more than one column named 'a'"),
        (pd.DataFrame([[1, 2]], columns=[1, "1"]), "more than one column named '1'"),
        ({"a": [1, 2], "b": [1]}, "different lengths: a 2, b 1"),
        (np.array([[1]], dtype="timedelta64[s]"), "timedelta64"),
    ],
)
def test_what_holds_no_rows_is_refused_with_words(given_inputs: Any, words: str) -> None:
    """Before anything is sent."""
    with pytest.raises(ConfigurationError, match=words):
        read_rows(given_inputs)


@pytest.mark.parametrize("value", [float("inf"), "\ud800"])
def test_what_json_does_not_have_is_refused_with_words(value: Any) -> None:
    """Infinity, and half of a pair."""
    with pytest.raises(ConfigurationError):
        encode([plain(value)])


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_plain_values_go_through_json_and_back(value: Any) -> None:
    """Whatever JSON has stays what it is; NaN becomes null."""
    assert json.loads(encode(plain(value)).decode("utf-8", "surrogatepass")) == plain(value)


def test_an_example_is_a_few_rows_whatever_it_came_as() -> None:
    """A bare row is a list of one; a frame is its columns."""
    assert read_example(np.array([1.0, 2.0])) == [[1.0, 2.0]]
    assert read_example([1.0, 2.0]) == [[1.0, 2.0]]
    assert read_example(["a"]) == ["a"]
    assert read_example(pd.DataFrame({"a": [1]})) == {"a": [1]}
    assert read_example({"a": 1}) == [{"a": 1}]
    assert read_example(np.array([[1.0, np.nan]])) == [[1.0, None]]


def test_outputs_are_arrays_and_parts_are_joined() -> None:
    """Also those of several targets, and lists of different lengths."""
    assert join([np.array([1]), np.array([2])]).tolist() == [1, 2]
    several = [read_outputs([[[0.1, 0.9]], [[1.0]]], [[0, 1], ["a"]])] * 2
    assert [part.tolist() for part in join(several)] == [[[0.1, 0.9]] * 2, [[1.0]] * 2]
    assert read_outputs([[1], [1, 2]], None).tolist() == [[1], [1, 2]]
    assert join([read_outputs([[1], [1, 2]], None), read_outputs([[3], [4]], None)]).tolist() == [[1], [1, 2], [3], [4]]
    assert read_outputs(["a", "b"], None).tolist() == ["a", "b"]


@pytest.mark.parametrize(
    ("pointer", "moved"),
    [
        ("#/data/3/1", "#/data/1003/1"),
        ("#/instances/0/age", "#/instances/1000/age"),
        ("#/inputs/a~1b/7", "#/inputs/a~1b/1007"),
        ("#/inputs/age", "#/inputs/age"),
        (None, None),
    ],
)
def test_pointers_count_all_rows(pointer: str | None, moved: str | None) -> None:
    """Not those of the request that met the bad value."""
    problem = problem_of(422, {"type": "x/signature-mismatch", "errors": [{"detail": "bad", "pointer": pointer}]})
    assert isinstance(problem, SignatureMismatch)
    assert shifted(problem, 1000).errors[0].pointer == moved
    assert shifted(problem, 0) is problem
