"""What `modelyard predict` and `publish` read and write: rows in many forms, and outputs that mean the same when they are read back."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import threading
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow.parquet
import pytest

from modelyard.cli import outputs, rows
from modelyard.cli.predicting import written_whole
from modelyard.cli.values import json_pair, number_pair, read_example, text_pair
from modelyard.errors import ConfigurationError
from modelyard.records import Prediction


def parts_of(content: bytes, kind: str | None = None) -> list[rows.Part]:
    """Return the parts of what comes through a pipe."""
    return list(rows.read_parts(io.BytesIO(content), None, kind))


def answered(values: Any, classes: list[Any] | None = None, method: str = "predict") -> Prediction:
    """Return a prediction with these outputs."""
    return Prediction(values, "m", 1, method, "exact", cached=False, classes=classes, request_ids=("r",))


def test_a_csv_goes_in_parts_of_whole_records_under_its_header(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quoted cell may hold a line break and a comma; empty lines are no rows, and a byte order mark is no letter."""
    monkeypatch.setattr(rows, "MOST_ROWS", 2)
    parts = parts_of(b'\xef\xbb\xbfa,b\n1,"x\n,y"\n\n2,z\n3,w')
    assert [part.body(0, 9) for part in parts] == [b'a,b\n1,"x\n,y"\n2,z\n', b"a,b\n3,w"]
    assert [part.lines for part in parts_of(b"a,b\n1,2\n3,4\n")] == [("1,2\n", "3,4\n")]
    assert parts_of(b"a,b\n")[0].body(0, 1) == b"a,b\n"


def test_the_format_of_a_pipe_is_told_by_its_first_bytes() -> None:
    """Npy and JSON by theirs, anything else is CSV; a name says more than they do."""
    buffer = io.BytesIO()
    np.save(buffer, np.eye(2))
    assert np.array_equal(parts_of(buffer.getvalue())[0].values, np.eye(2))
    assert parts_of(b" [[1, 2]]")[0].values == [[1, 2]]
    assert parts_of(b"\xef\xbb\xbf [1]")[0].values == [1]
    assert parts_of(b"\n" * 9000 + b'{"a": 1}')[0].values == {"a": 1}
    assert parts_of(b" " * 20)[0].header.strip() == ""
    assert parts_of(b"5.1,3\n1,2\n")[0].header == "5.1,3\n"
    assert parts_of(b"1", "json")[0].values == 1


@pytest.mark.parametrize(
    ("document", "values"),
    [
        ({"data": [[1]]}, [[1]]),
        ({"inputs": {"a": [1, 2]}}, {"a": [1, 2]}),
        ({"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2]]}}, [{"a": 1, "b": 2}]),
        ({"dataframe_records": [{"a": 1}]}, [{"a": 1}]),
        ({"age": 33, "job": "chef"}, {"age": 33, "job": "chef"}),
    ],
)
def test_json_may_be_rows_or_the_body_of_a_request(document: Any, values: Any) -> None:
    """With the method and parameters of such a body."""
    (part,) = parts_of(json.dumps(document).encode())
    assert part.values == values
    (part,) = parts_of(b'{"instances": ["x"], "method": "transform", "params": {"k": 1}}')
    assert (part.method, part.params) == ("transform", {"k": 1})


@pytest.mark.parametrize(
    ("content", "kind", "said"),
    [
        (b"", None, "is empty"),
        (b'a\n"x', "csv", "isn't CSV"),
        (b"\xff\xfe\n", "csv", "isn't UTF-8"),
        (b"[1,", None, "isn't JSON"),
        (b"[NaN]", None, "NaN isn't JSON"),
        (b"[" * 100_000, None, "nested too deeply"),
        (b'{"data": [1], "inputs": {}}', None, "must hold one of"),
        (b'{"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}', None, "as long"),
        (b'{"dataframe_split": {"columns": ["a", "a"], "data": [[1, 2]]}}', None, "the column 'a' twice"),
        (b'[{"a": 1, "b": 2, "a": 3}]', None, "'a' stands twice"),
        (b"\x93NUMPY\x01", None, "isn't an npy array"),
        (b"PAR1", None, "isn't Parquet"),
    ],
)
def test_rows_that_cannot_be_read_are_refused_before_anything_is_sent(content: bytes, kind: str | None, said: str) -> None:
    """By what is wrong with them; a pickle in an npy file is never read."""
    with pytest.raises(ConfigurationError, match=said):
        parts_of(content, kind)


def test_a_cell_may_be_as_long_as_a_body(tmp_path: Path) -> None:
    """The service says what it takes; Python's own bound stays what it was for everyone else."""
    before = csv.field_size_limit()
    text = "x" * 200_000
    assert parts_of(f"a\n{text}\n".encode())[0].lines == (f"{text}\n",)
    (tmp_path / "e.csv").write_text(f"a\n{text}\n")
    assert read_example(tmp_path / "e.csv") == {"a": [text]}
    assert csv.field_size_limit() == before


@pytest.mark.parametrize("name", ["rows.npy", "rows.parquet", "rows"])
def test_a_pipe_with_a_path_is_read_once_and_in_order(name: str, tmp_path: Path) -> None:
    """As the shell hands over the output of a command; the suffix, if there is one, still counts."""
    content = io.BytesIO()
    if name == "rows.parquet":
        pyarrow.parquet.write_table(pyarrow.table({"a": [1.0, 2.0]}), content)
    else:
        np.save(content, np.eye(2))
    os.mkfifo(tmp_path / name)
    writer = threading.Thread(target=(tmp_path / name).write_bytes, args=(content.getvalue(),))
    writer.start()
    with rows.opened(tmp_path / name) as file:
        (part,) = rows.read_parts(file, tmp_path / name, None)
    writer.join()
    assert part.values == {"a": [1.0, 2.0]} if name == "rows.parquet" else np.array_equal(part.values, np.eye(2))


def test_a_column_that_parquet_holds_twice_is_not_dropped() -> None:
    """As in every other form, it is refused by name."""
    content = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table([[1.0], [2.0]], names=["a", "a"]), content)
    with pytest.raises(ConfigurationError, match="the column 'a' twice"):
        parts_of(content.getvalue())


def test_parquet_without_its_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client works without it."""
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ConfigurationError, match=r"modelyard\[parquet\]"):
        parts_of(b"PAR1")


def test_outputs_read_back_from_every_form_are_the_same_bits() -> None:
    """CSV, JSON and npy alike; columns are named by classes."""
    values = np.array([[0.1, 1 / 3], [1e-300, 2.5]])
    answer, labels = answered(values, ["no", "yes"], "predict_proba"), np.array(["a,b", 'q"'])
    file = io.BytesIO()
    outputs.write_csv([answer, answer], file, harmless=False)
    header, *lines = csv.reader(io.StringIO(file.getvalue().decode()))
    assert header == ["no", "yes"]
    assert np.array_equal(np.array(lines, float), np.vstack([values, values]))
    outputs.write_json([answer, answered(values)], document := io.BytesIO())
    assert np.array_equal(json.loads(document.getvalue())["prediction"], np.vstack([values, values]))
    outputs.write_npy([answer], array := io.BytesIO())
    assert np.array_equal(np.load(io.BytesIO(array.getvalue())), values)
    outputs.write_csv([answered(labels)], text := io.BytesIO(), harmless=False)
    assert list(csv.reader(io.StringIO(text.getvalue().decode()))) == [["prediction"], ["a,b"], ['q"']]
    with pytest.raises(ConfigurationError, match="one array of numbers"):
        outputs.write_npy([answered(labels)], io.BytesIO())


@pytest.mark.parametrize(
    ("values", "classes", "names", "first"),
    [
        (np.array([1, 2]), None, ["prediction"], [1]),
        (np.array([[1.0, 2.0]]), None, ["predict_0", "predict_1"], [1.0, 2.0]),
        ([np.array([[0.1, 0.9]]), np.array([[1.0]])], [["a", "b"], ["c"]], ["0:a", "0:b", "1:c"], [0.1, 0.9, 1.0]),
        (np.zeros((1, 2, 2)), None, ["predict_0", "predict_1", "predict_2", "predict_3"], [0.0, 0.0, 0.0, 0.0]),
    ],
)
def test_each_output_has_a_column_of_its_own(values: Any, classes: list[Any] | None, names: list[str], first: list[Any]) -> None:
    """Also of a model with several outputs."""
    assert outputs.column_names(answered(values, classes)) == names
    assert next(outputs.rows_of(values)) == first


def test_a_file_of_predictions_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    """What stood there stays where writing fails; a pipe is written as it is."""
    path = tmp_path / "out.csv"
    path.write_text("before")
    with contextlib.suppress(RuntimeError), written_whole(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert path.read_text() == "before"
    with written_whole(path) as file:
        file.write(b"whole")
    with written_whole(Path(os.devnull)) as file:
        file.write(b"nothing")
    assert (path.read_text(), list(tmp_path.iterdir())) == ("whole", [path])
    with pytest.raises(ConfigurationError, match="can't be written"), written_whole(tmp_path / "no" / "x"):
        pass


def test_pairs_are_read_as_text_number_or_json() -> None:
    """A value may hold an equals sign; what is no pair or no number is refused."""
    assert text_pair("a=b=c") == ("a", "b=c")
    assert number_pair("auc=.5") == ("auc", 0.5)
    assert [json_pair(text)[1] for text in ("k=8", "k=[1]", "k=true", "k=lbfgs", "k=NaN")] == [8, [1], True, "lbfgs", "NaN"]
    for text in ("a", "=b"):
        with pytest.raises(click.BadParameter, match="name=value"):
            text_pair(text)
    with pytest.raises(click.BadParameter, match="isn't a number"):
        number_pair("auc=good")


def test_an_example_is_read_from_json_csv_and_npy(tmp_path: Path) -> None:
    """Of a CSV, columns whose cells are all numbers are numbers, and an empty cell is missing."""
    (tmp_path / "e.csv").write_text("n,f,b,t\n1,0.5,true,x\n2,,false,7\n")
    assert read_example(tmp_path / "e.csv") == {"n": [1, 2], "f": [0.5, None], "b": [True, False], "t": ["x", "7"]}
    (tmp_path / "e.json").write_text("[[1, 2]]")
    assert read_example(tmp_path / "e.json") == [[1, 2]]
    np.save(tmp_path / "e.npy", np.eye(2))
    assert np.array_equal(read_example(tmp_path / "e.npy"), np.eye(2))
    np.save(tmp_path / "o.npy", np.array([{}], dtype=object), allow_pickle=True)
    (tmp_path / "short.csv").write_text("a,b\n1\n")
    (tmp_path / "twice.csv").write_text("a,a\n1,2\n")
    for name, said in (
        ("o.npy", "isn't an npy array"),
        ("short.csv", "as long"),
        ("twice.csv", "the column 'a' twice"),
        ("e.txt", "must end in"),
        ("none.json", "can't be read"),
    ):
        (tmp_path / "e.txt").touch()
        with pytest.raises(ConfigurationError, match=said):
            read_example(tmp_path / name)
