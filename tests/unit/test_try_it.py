"""The form Try it, without a service: what a form asks, what is said beside a field, and how two answers compare."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from registry.console.answers_compared import MOST_COMPARED, compare_answers
from registry.console.outputs_shown import table_of
from registry.console.try_it import advice, asked_form, call_of_text, first_form, read_form
from registry.errors import Finding, InvalidRequest, MalformedBody
from registry.frames import Outputs
from registry.signature import Column, Signature

COLUMNS = (
    Column("a b", "float64", missing=True),
    Column("n", "int64"),
    Column("yes", "bool"),
    Column("t", "string"),
    Column("u", "string", missing=True),
)
OUTPUTS: dict[str, Any] = {"predict": {"type": "int64"}, "predict_proba": {"type": "float64", "columns": ["no", "yes"]}}
SIGNATURE = Signature("frame", named=True, columns=COLUMNS, outputs=OUTPUTS)


def _asked(**fields: str) -> Any:
    return read_form(fields, SIGNATURE, "http://x", "m", 3)


def _read(body: bytes) -> Any:
    return json.loads(body)["instances"]


def test_fields_are_read_as_their_columns_want_them_and_no_further() -> None:
    """Empty is null, but for a text that can't be missing; what is no number stays the text that it is."""
    assert _read(_asked(x0=" 1.50 ", x1="7", x2="true", x3="", x4="").payload.body) == [[1.5, 7, True, "", None]]
    assert _read(_asked(x0="", x1="7.5", x2="TRUE", x3=" x ", x4="null").payload.body) == [[None, 7.5, True, " x ", "null"]]
    assert _read(_asked(x0="1,5", x1="9" * 30, x2="1", x3="1", x4="1").payload.body) == [["1,5", 1e30, "1", "1", "1"]]
    assert _read(_asked(x0="1e999", x1="NaN").payload.body)[0][:3] == ["1e999", "NaN", None]
    assert _asked(x0="1").call.rows == [{"a b": 1.0, "n": None, "yes": None, "t": "", "u": None}]
    assert (_asked(fresh="1").payload.look_up, _asked().payload.look_up) == (False, True)


@pytest.mark.parametrize(
    ("text", "content_type", "body"),
    [
        (" [[1]] ", "application/json", {"instances": [[1]], "method": "m"}),
        ('{"a": 1}', "application/json", {"instances": [{"a": 1}], "method": "m"}),
        ('{"data": 1}', "application/json", {"instances": [{"data": 1}], "method": "m"}),
        ('{"data": [[1]]\n}', "application/json", {"data": [[1]], "method": "m"}),
        ('{"inputs": {"a": [1]}, "method": "own"}', "application/json", {"inputs": {"a": [1]}, "method": "own"}),
        ("a,b\n1,2\n", "text/csv", None),
    ],
)  # fmt: skip
def test_pasted_rows_are_told_apart_by_how_they_begin(text: str, content_type: str, body: Any) -> None:
    """A list, a record, a whole body, CSV; the method is the form's unless the body names one."""
    call = call_of_text("http://x", "m", 3, "m", text)
    assert (call.content_type, call.body if body is None else json.loads(call.body)) == (content_type, text if body is None else body)


def test_what_is_no_json_is_refused_in_the_words_of_the_api() -> None:
    """Where it ends too early, and where there is nothing."""
    for text in ("[1,", '{"a": NaN}', "[1] x", '[1], "method": "x"'):
        with pytest.raises(MalformedBody):
            call_of_text("http://x", "m", 3, "m", text)
    with pytest.raises(InvalidRequest):
        call_of_text("http://x", "m", 3, "m", " \n")


@pytest.mark.parametrize(
    ("index", "text", "told"),
    [
        (0, "1,5", "Write it with a point and without separators: 1.5."),
        (1, "1 000", "Write it with a point and without separators: 1000."),
        (0, "1,234", "Write it with a point and without separators: 1.234 or 1234."),
        (0, "NaN", "Leave it empty where the value is missing."),
        (1, "", "Fill it in: this column can't be left empty."),
        (0, "", ""),
        (1, "seven", ""),
        (3, "1,5", ""),
    ],
)
def test_a_field_says_what_to_write_instead(index: int, text: str, told: str) -> None:
    """Where that can be told from what stands there."""
    shown = asked_form(SIGNATURE, {}, _asked(**{f"x{index}": text}), [Finding("bad", f"#/instances/0/{index}"), Finding("all", "#/x")])
    assert advice(shown.fields[index]) == told
    assert (shown.fields[index].wrong, shown.problems) == (["bad"], ["all"])


def test_fields_are_made_from_the_signature_and_filled_from_a_row() -> None:
    """Choices where the categories are known, with what stands there among them; long texts get room."""
    categories = {"t": ["a", "b"], "u": [1.5, True], "a b": "no list"}
    shown = first_form(SIGNATURE, categories, [None, 7, True, "c", "x" * 100], "rows")
    assert [(one.kind, one.value, one.choices) for one in shown.fields] == [
        ("number", "", []),
        ("number", "7", []),
        ("choice", "true", ["true", "false"]),
        ("choice", "c", ["a", "b", "c"]),
        ("choice", "x" * 100, ["", "1.5", "true", "x" * 100]),
    ]
    assert [one.kind for one in first_form(SIGNATURE, {}, None, "").fields] == ["number", "number", "choice", "text", "text"]
    wide = Signature("array", named=False, columns=tuple(Column(str(i), "float64") for i in range(31)), outputs={})
    assert (first_form(wide, {}, None, "").fields, first_form(wide, {}, None, "").as_rows) == ([], True)


def test_answers_become_tables_within_bounds() -> None:
    """One row of shares is bars; several targets have columns of their own; what is left out is counted."""
    shares = table_of(Outputs((np.array([[0.25, 0.75]]),)), "predict_proba", SIGNATURE)
    assert (shares.names, shares.bars) == (["no", "yes"], [("no", 0.25), ("yes", 0.75)])
    many = table_of(Outputs((np.zeros((50, 40)),)), "transform", SIGNATURE)
    assert (len(many.rows), many.more_rows, len(many.names), many.more_columns, many.bars) == (20, 30, 30, 10, [])
    multi = table_of(Outputs((np.array([1, 2]), ["a", None]), multi=True), "predict", SIGNATURE)
    assert (multi.names, multi.rows) == (["output 0", "output 1"], [[1, "a"], [2, None]])


def test_two_answers_are_compared_value_by_value() -> None:
    """NaN is NaN, 1 is 1.0 but no text; two that differ never look alike; a column of one alone differs."""
    a = Outputs((np.array([[0.1, math.nan], [1.0, 2.0], [1.0, 1.0]]),))
    b = Outputs((np.array([[0.1, math.nan], [1.0 + 1e-9, 5.0], [1.0, 1.0]]),))
    found = compare_answers(a, SIGNATURE, b, SIGNATURE, "predict_proba")
    assert (found.row_count, found.differing_rows, found.largest, found.largest_at) == (3, 1, 3.0, (2, "yes"))
    close = found.rows[1][0]
    assert (close.differs, close.a, close.b) == (True, "1.0", "1.000000001")
    other = compare_answers(Outputs((["1", "a"],)), SIGNATURE, Outputs((np.array([1, 2]),)), SIGNATURE, "predict")
    assert (other.differing_rows, other.largest) == (2, None)
    shapes = compare_answers(Outputs((np.zeros((1, 2)),)), SIGNATURE, Outputs((np.zeros((1, 3)),)), SIGNATURE, "transform")
    assert (shapes.names, shapes.rows[0][2].a, shapes.rows[0][2].b, shapes.rows[0][2].differs) == (["0", "1", "2"], None, "0", True)


def test_of_very_many_rows_the_first_are_compared_and_the_others_counted() -> None:
    """A page must not hold up others; what lies beyond is said, not passed over."""
    a, b = np.zeros(MOST_COMPARED + 7), np.zeros(MOST_COMPARED + 7)
    b[[3, MOST_COMPARED + 1]] = 1
    found = compare_answers(Outputs((a,)), SIGNATURE, Outputs((b,)), SIGNATURE, "predict")
    assert (found.row_count, found.more_rows, found.differing_rows, found.largest_at) == (MOST_COMPARED, 7, 1, (4, "predict"))
