"""JSON bodies: every form for every container, and the words for everything that is wrong."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from registry import frames
from registry.errors import InvalidRequest, MalformedBody, MethodNotAvailable, SignatureMismatch, TooManyRows, UnsupportedMediaType
from registry.signature import MAX_FINDINGS, Request, Signature

JSON = "application/json"


def signature(container: str, *columns: tuple[Any, ...]) -> Signature:
    """Return a signature of (name, type, missing, required) columns, the last two optional."""
    fields = ("name", "type", "missing", "required")
    inputs = [dict(zip(fields, column, strict=False)) for column in columns]
    outputs = {"predict": {"type": "int64"}, "predict_proba": {"type": "float64", "columns": ["a", "b"]}}
    return Signature.from_dict({"container": container, "named": True, "inputs": inputs, "outputs": outputs})


NUMBERS = signature("array", ("a", "float64"), ("b", "float64"))
NUMBERS_FRAME = signature("frame", ("a", "float64", True), ("b", "float64", True))
MIXED = signature("frame", ("age", "float64", True), ("job", "string"), ("ok", "bool"), ("n", "int64"))
TEXTS = signature("texts", ("text", "string"))

NUMBER_ROWS = [[1, 2.5], [3, -4]]
MIXED_ROWS = [[33, "chef", True, 1], [None, "nurse", False, 2]]


def validate(sig: Signature, body: Any, max_rows: int = 1000) -> Request:
    """Return the request of a body given as bytes or as a value."""
    return sig.validate(body if isinstance(body, bytes) else json.dumps(body).encode(), JSON, max_rows=max_rows)


def findings(sig: Signature, body: Any) -> list[dict[str, str]]:
    """Return the findings that a body is refused with."""
    with pytest.raises(SignatureMismatch) as refused:
        validate(sig, body)
    return [finding.as_dict() for finding in refused.value.findings]


def forms(names: list[str], rows: list[list[Any]]) -> dict[str, Any]:
    """Return the same rows as every form of body."""
    records = [dict(zip(names, row, strict=True)) for row in rows]
    shuffled = [dict(reversed(record.items())) for record in records]
    order = list(reversed(range(len(names))))
    return {
        "data": {"data": rows},
        "instances rows": {"instances": rows},
        "instances records": {"instances": records},
        "records in any order": {"dataframe_records": shuffled},
        "inputs": {"inputs": {name: [row[i] for row in rows] for i, name in enumerate(names)}},
        "split": {"dataframe_split": {"columns": names, "data": rows}},
        "split as pandas writes it": {"dataframe_split": {"index": [7, 8], "columns": names, "data": rows}},
        "split in any order": {
            "dataframe_split": {"columns": [names[i] for i in order], "data": [[row[i] for i in order] for row in rows]}
        },
    }


@pytest.mark.parametrize("form", forms(["a", "b"], NUMBER_ROWS).values(), ids=forms(["a", "b"], NUMBER_ROWS))
@pytest.mark.parametrize("sig", [NUMBERS, NUMBERS_FRAME], ids=["array", "frame"])
def test_numbers_come_in_every_form(sig: Signature, form: Any) -> None:
    """The same rows give the same matrix, whichever form they come in."""
    inputs = validate(sig, form).inputs
    assert isinstance(inputs, frames.Matrix)
    assert inputs.array.dtype == np.float64
    assert inputs.array.flags.c_contiguous
    assert inputs.array.tolist() == NUMBER_ROWS


@pytest.mark.parametrize("form", forms(["age", "job", "ok", "n"], MIXED_ROWS).values(), ids=forms(["age", "job", "ok", "n"], MIXED_ROWS))
def test_mixed_columns_come_in_every_form(form: Any) -> None:
    """The same rows give the same typed columns, NaN for a missing number."""
    inputs = validate(MIXED, form).inputs
    assert isinstance(inputs, frames.Table)
    assert inputs.names == ("age", "job", "ok", "n")
    age, job, ok, n = inputs.columns
    np.testing.assert_array_equal(age, [33.0, np.nan])
    assert job == ["chef", "nurse"]
    assert (getattr(ok, "dtype", None), getattr(n, "dtype", None)) == (np.bool_, np.int64)


@pytest.mark.parametrize("form", [*forms(["text"], [["a: b"], ["c"]]).values(), {"data": ["a: b", "c"]}, {"instances": ["a: b", "c"]}])
def test_texts_come_in_every_form(form: Any) -> None:
    """A text model takes rows, records, columns and plain lists of texts, colons and all."""
    assert validate(TEXTS, form).inputs == frames.Texts(["a: b", "c"])


@pytest.mark.parametrize(("sig", "row"), [(NUMBERS, [1, 2]), (NUMBERS_FRAME, [1, None]), (MIXED, [None, "chef", True, 1])])
def test_one_bare_row_means_one_row(sig: Signature, row: list[Any]) -> None:
    """`data` may be one row by itself."""
    assert frames.encode_inputs(validate(sig, {"data": row}).inputs) == frames.encode_inputs(validate(sig, {"data": [row]}).inputs)


def test_only_data_takes_a_bare_row() -> None:
    """`instances` is always a list of instances."""
    assert findings(NUMBERS, {"instances": [1, 2]}) == [{"detail": "expected a row or a record, got 1", "pointer": "#/instances/0"}]


def test_a_frame_of_one_text_column_takes_a_list_of_texts() -> None:
    """A list of texts means one row each where there is one text column."""
    assert validate(signature("frame", ("t", "string")), {"data": ["a", "b"]}).inputs == frames.Table(("t",), (["a", "b"],))


@pytest.mark.parametrize(("kind", "rows", "dtype"), [("int64", [[1, 2.0]], np.int64), ("bool", [[True, False]], np.bool_)])
def test_columns_of_one_dtype_give_a_matrix_of_it(kind: str, rows: Any, dtype: Any) -> None:
    """All-integer and all-bool signatures keep their dtype; a whole float is an integer."""
    inputs = validate(signature("array", ("a", kind), ("b", kind)), {"data": rows}).inputs
    assert isinstance(inputs, frames.Matrix)
    assert inputs.array.dtype == dtype


@pytest.mark.parametrize("record", [{"a": 1}, {"a": 1, "b": None}])
@pytest.mark.parametrize("form", ["instances", "inputs"])
def test_a_column_that_is_not_required_may_be_left_out(record: dict[str, Any], form: str) -> None:
    """It counts as missing then."""
    sig = signature("frame", ("a", "float64"), ("b", "string", True, False))
    body = {form: {name: [value] for name, value in record.items()} if form == "inputs" else [record]}
    inputs = validate(sig, body).inputs
    assert isinstance(inputs, frames.Table)
    assert inputs.columns[1] == [None]


def test_a_column_name_that_json_must_escape_is_understood() -> None:
    """Quotes, slashes and controls in a name change nothing, and the pointer to it is escaped twice."""
    name = 'a"b\\/~\n é'
    sig = signature("frame", (name, "float64"))
    assert validate(sig, {"instances": [{name: 1}]}).inputs.rows == 1
    assert findings(sig, {"instances": [{name: "x"}]})[0]["pointer"] == "#/instances/0/a%22b%5C~1~0%0A%20%C3%A9"


def test_bad_values_are_listed_with_pointer_and_column() -> None:
    """Each finding says what was expected, what came, where, and in which column."""
    assert findings(MIXED, {"data": [[1, "a", True, 1], ["abc", 5, 1, 2.5]]}) == [
        {"detail": 'expected a number, got "abc"', "pointer": "#/data/1/0", "column": "age"},
        {"detail": "expected a text, got 5", "pointer": "#/data/1/1", "column": "job"},
        {"detail": "expected true or false, got 1", "pointer": "#/data/1/2", "column": "ok"},
        {"detail": "expected an integer, got 2.5", "pointer": "#/data/1/3", "column": "n"},
    ]


@pytest.mark.parametrize(
    ("value", "detail"),
    [
        (None, "expected a number, got null"),
        (True, "expected a number, got true"),
        ([1], "expected a number, got a list"),
        ({"x": 1}, "expected a number, got an object"),
        ("x" * 100, 'expected a number, got "' + "x" * 38 + "…"),
        (10**400, "the number is out of range"),
    ],
)
def test_what_is_no_number_is_named(value: Any, detail: str) -> None:
    """The finding shows a short form of the value."""
    assert findings(NUMBERS, {"data": [[value, 1]]}) == [{"detail": detail, "pointer": "#/data/0/0", "column": "a"}]


@pytest.mark.parametrize("value", [None, True, "1", 2**63, -(2**63) - 1, 1e300])
def test_integers_are_whole_and_of_64_bits(value: Any) -> None:
    """Anything else is a finding."""
    assert len(findings(signature("array", ("n", "int64")), {"data": [[value]]})) == 1


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63)])
def test_the_outermost_integers_pass(value: int) -> None:
    """The 64 bits are used to their end."""
    inputs = validate(signature("array", ("n", "int64")), {"data": [[value]]}).inputs
    assert isinstance(inputs, frames.Matrix)
    assert inputs.array.tolist() == [[value]]


@pytest.mark.parametrize("kind", ["float64", "int64", "bool", "string"])
def test_null_is_refused_where_nothing_may_be_missing(kind: str) -> None:
    """Only a column with `missing` takes null."""
    assert "got null" in findings(signature("frame", ("c", kind), ("d", "string", True)), {"data": [[None, None]]})[0]["detail"]


def test_findings_stop_at_twenty() -> None:
    """A million bad values cost no more than twenty."""
    assert len(findings(NUMBERS, {"data": [["x", "y"]] * 500})) == MAX_FINDINGS


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"data": []}, ["#/data"]),
        ({"data": [[]]}, ["#/data/0"]),
        ({"data": 5}, ["#/data"]),
        ({"data": None}, ["#/data"]),
        ({"data": [[1, 2], [1], [1, 2, 3]]}, ["#/data/1", "#/data/2"]),
        ({"data": [1, 2, 3]}, ["#/data"]),
        ({"data": [[1, 2], {"a": 1, "b": 2}]}, ["#/data/1"]),
        ({"instances": [{"a": 1, "b": 2}, [1, 2]]}, ["#/instances/1"]),
        ({"instances": [{"a": 1}]}, ["#/instances/0"]),
        ({"instances": [{"a": 1, "b": 2, "c/d": 3}]}, ["#/instances/0/c~1d"]),
        ({"inputs": []}, ["#/inputs"]),
        ({"inputs": {"a": [1], "b": 2}}, ["#/inputs/b"]),
        ({"inputs": {"a": [1], "b": [1, 2]}}, ["#/inputs/b"]),
        ({"inputs": {"a": [], "b": []}}, ["#/inputs"]),
        ({"inputs": {"a": [1], "b": ["x"]}}, ["#/inputs/b/0"]),
        ({"inputs": {"a": [1]}}, ["#/inputs"]),
        ({"dataframe_records": {"a": 1}}, ["#/dataframe_records"]),
        ({"dataframe_records": [[1, 2]]}, ["#/dataframe_records/0"]),
        ({"dataframe_split": {"columns": ["b", "x"], "data": [[1, 2]]}}, ["#/dataframe_split/columns/1", "#/dataframe_split/columns"]),
        ({"dataframe_split": {"columns": ["b", "a"], "data": [[1, "x"]]}}, ["#/dataframe_split/data/0/1"]),
        ({"dataframe_split": {"columns": ["b", "a"], "data": [[1]]}}, ["#/dataframe_split/data/0"]),
        ({"dataframe_split": {"columns": ["b", "a"], "data": 3}}, ["#/dataframe_split/data"]),
    ],
)
def test_rows_and_columns_that_do_not_fit_are_pointed_at(body: Any, pointers: list[str]) -> None:
    """Ragged rows, missing and unknown columns, lists where none belong."""
    assert [finding["pointer"] for finding in findings(NUMBERS, body)] == pointers


def test_an_unknown_column_is_shown_the_nearest_name() -> None:
    """A typo is answered with the name that was probably meant."""
    found = findings(signature("frame", ("sepal_length", "float64")), {"instances": [{"sepal_lenght": 1}]})
    assert found[0]["detail"] == 'unknown column "sepal_lenght"; did you mean "sepal_length"?'


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"{", "too early"),
        (b'{"data": [[1, 2]', "too early"),
        (b'{"data": [[1, 2]]} x', "byte"),
        (b"hello", "isn't JSON"),
        (b'{"data": [[NaN, 1]]}', "null"),
        (b'{"data": [[1, -Infinity]]}', "null"),
        (b'{"data": [[1e999, 1]]}', "out of range"),
        (b'{"data": [[1, 1' + b"0" * 5000 + b"]]}", "out of range"),
        (rb'{"data": ["\ud800"]}', "surrogate"),
        (rb'{"data": ["\ud800x"]}', "surrogate"),
        (b'{"data": ["\xff"]}', "UTF-8"),
        (b'{"data": ["\xed\xa0\x80"]}', "UTF-8"),
        (b'{"data": ' + b"[" * 200_000, "deep"),
        (b'{"params": ' + b'{"a":' * 200_000, "deep"),
        (b'\xef\xbb\xbf{"data": [[1, 2]]}', "byte order mark"),
    ],
)
@pytest.mark.parametrize("sig", [NUMBERS, TEXTS], ids=["numbers", "texts"])
def test_what_is_not_json_is_malformed_in_our_own_words(sig: Signature, body: bytes, text: str) -> None:
    """The detail says what is wrong without a word of the parser's."""
    with pytest.raises(MalformedBody) as refused:
        validate(sig, body)
    assert text in refused.value.detail


@pytest.mark.parametrize(
    "body",
    [
        b'{"data": [[1, 2]], "data": [[3, 4]]}',
        rb'{"data": [[1, 2]], "d\u0061ta": [[3, 4]]}',
        b'{"data": [[1, 2]], "method": "predict", "method": "predict"}',
        b'{"instances": [{"a": 1, "b": 2, "a": 3}]}',
        b'{"inputs": {"a": [1], "b": [2], "a": [3]}}',
        b'{"dataframe_split": {"columns": ["a", "b"], "columns": ["a", "b"], "data": [[1, 2]]}}',
        b'{"data": [[1, 2]], "params": {}, "params": {}}',
        b'{"dataframe_split": {"columns": ["a", "b", "a"], "data": [[1, 2, 3]]}}',
    ],
)
def test_a_name_that_occurs_twice_is_malformed(body: bytes) -> None:
    """No parser's choice of first or last ever decides what was meant."""
    with pytest.raises(MalformedBody, match="twice"):
        validate(NUMBERS, body)


def test_a_text_full_of_colons_may_not_hide_a_name_twice() -> None:
    """Counting colons is a shortcut, never the proof."""
    with pytest.raises(MalformedBody, match="twice"):
        validate(TEXTS, b'{"data": ["a: b"], "data": ["c: d"]}')


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ([1], "JSON object"),
        ({}, "must have one of"),
        ({"method": "predict"}, "must have one of"),
        ({"data": [[1, 2]], "instances": []}, "exactly one"),
        ({"data": [[1, 2]], "inputs": {"a": [1], "b": [2]}}, "exactly one"),
        ({"data": [[1, 2]], "dta": 1}, '"dta"'),
        ({"data": [[1, 2]], "method": 3}, "method"),
        ({"data": [[1, 2]], "method": None}, "method"),
        ({"data": [[1, 2]], "params": []}, "params"),
        ({"data": [[1, 2]], "params": {"return_std": True}}, '"return_std"'),
        ({"dataframe_split": [[1, 2]]}, "columns and data"),
        ({"dataframe_split": {"columns": ["a", "b"]}}, "columns and data"),
        ({"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2]], "names": []}}, "columns and data"),
        ({"dataframe_split": {"columns": [1, 2], "data": [[1, 2]]}}, "list of names"),
    ],
)
def test_fields_that_do_not_belong_are_named(body: Any, text: str) -> None:
    """Unknown fields, several forms, parameters that no method takes."""
    with pytest.raises(InvalidRequest) as refused:
        validate(NUMBERS, body)
    assert text in refused.value.detail


def test_method_and_empty_params_are_taken() -> None:
    """The method is one of the version's; empty params mean none."""
    assert validate(NUMBERS, {"data": [[1, 2]]}).method == "predict"
    request = validate(NUMBERS, {"data": [[1, 2]], "method": "predict_proba", "params": {}})
    assert (request.method, request.params) == ("predict_proba", {})


@pytest.mark.parametrize("method", ["transform", "", "fit", "__class__"])
def test_a_method_that_the_version_lacks_is_refused_with_those_it_has(method: str) -> None:
    """The answer lists the methods."""
    with pytest.raises(MethodNotAvailable) as refused:
        validate(NUMBERS, {"data": [[1, 2]], "method": method})
    assert refused.value.members == {"methods": ["predict", "predict_proba"]}


@pytest.mark.parametrize("form", forms(["a", "b"], [[1, 2]] * 3).values(), ids=forms(["a", "b"], [[1, 2]] * 3))
def test_rows_over_the_limit_are_refused_in_every_form(form: Any) -> None:
    """Exactly the limit passes."""
    assert validate(NUMBERS, form, max_rows=3).inputs.rows == 3
    with pytest.raises(TooManyRows) as refused:
        validate(NUMBERS, form, max_rows=2)
    assert refused.value.members == {"rows": 3, "max_rows": 2}


@pytest.mark.parametrize("body", [{"data": [["x", "y"]] * 3}, {"instances": [{"z": 1}] * 3}, {"inputs": {"a": ["x"] * 3, "b": ["y"] * 3}}])
def test_too_many_rows_are_refused_before_their_values_are_read(body: Any) -> None:
    """The count is the first thing that is said, and the only one."""
    with pytest.raises(TooManyRows):
        validate(NUMBERS, body, max_rows=2)


def test_too_many_texts_are_refused() -> None:
    """A list of texts has rows as well."""
    with pytest.raises(TooManyRows):
        validate(TEXTS, {"data": ["a"] * 3}, max_rows=2)


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"'])
def test_json_is_accepted_in_utf8(content_type: str) -> None:
    """Case and quotes don't matter."""
    assert NUMBERS.validate(b'{"data": [[1, 2]]}', content_type, max_rows=1).inputs.rows == 1


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "application/json; charset=latin-1", "application/x-www-form-urlencoded", ";", "text/html"]
)
def test_other_content_types_are_refused(content_type: str) -> None:
    """The answer names those that are accepted."""
    with pytest.raises(UnsupportedMediaType):
        NUMBERS.validate(b'{"data": [[1, 2]]}', content_type, max_rows=1)


def test_a_signature_comes_back_from_its_dict() -> None:
    """What is kept on the version says everything."""
    assert Signature.from_dict(MIXED.as_dict()) == MIXED
    assert json.loads(json.dumps(MIXED.as_dict())) == MIXED.as_dict()
    assert (MIXED.classes("predict_proba"), MIXED.classes("predict"), MIXED.classes("x")) == (["a", "b"], None, None)


def test_a_signature_can_not_be_changed() -> None:
    """Threads share it."""
    with pytest.raises(AttributeError):
        MIXED.container = "array"  # type: ignore[misc]
    with pytest.raises(TypeError):
        MIXED.outputs["x"] = {}  # type: ignore[index]
