"""Every kind of estimator answers over our own path exactly what it answers its own user, bit for bit."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from registry import flavors, frames
from registry.errors import MethodNotAvailable, ModelUnloadable, PredictionFailed
from registry.flavors import answers
from registry.signature import Signature
from tests import misbehaving
from tests.fixture_models import CASES, Case, case_of, dump, rows_of

BUDGET_BYTES = 256 << 20


@pytest.fixture(scope="module", autouse=True)
def _extra_names() -> None:
    """Vouch for the models that misbehave."""
    misbehaving.allow_here()


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    """Return each case once."""
    return case_of(request.param)


def load(blob: bytes) -> flavors.Loaded:
    """Load an artifact as a worker does."""
    return flavors.open_flavor("sklearn").load(io.BytesIO(blob), BUDGET_BYTES)


def travelled(inputs: frames.Inputs) -> frames.Inputs:
    """Return inputs as a worker gets them: read-only and at any address."""
    return frames.decode_inputs(frames.encode_inputs(inputs))


def expected(estimator: Any, method: str, held_out: Any) -> list[Any]:
    """Return what the estimator itself answers, as a list of parts."""
    with np.errstate(divide="ignore"):
        answer = getattr(estimator, method)(held_out)
    parts = answer if isinstance(answer, list) else [answer]
    return [part.toarray() if scipy.sparse.issparse(part) else part for part in parts]


def require_equal(part: frames.OutputPart, wanted: Any) -> None:
    """Compare the bytes of numbers, the values of labels."""
    if isinstance(part, np.ndarray):
        assert part.dtype == wanted.dtype
        assert part.tobytes() == np.ascontiguousarray(wanted).tobytes()
    else:
        assert part == wanted.tolist()


def bodies(signature: Signature, rows: list[Any]) -> dict[str, dict[str, Any]]:
    """Return the rows in every form of body that the API has."""
    names = [column.name for column in signature.columns]
    lists = [[row] if isinstance(row, str) else [row[n] for n in names] if isinstance(row, dict) else row for row in rows]
    records = [dict(zip(names, row, strict=True)) for row in lists]
    return {
        "data": {"data": rows if signature.container == "texts" else lists},
        "instances": {"instances": rows},
        "records": {"dataframe_records": records},
        "inputs": {"inputs": {name: [row[i] for row in lists] for i, name in enumerate(names)}},
        "split": {"dataframe_split": {"columns": names, "data": lists}},
    }


@pytest.mark.parametrize("with_example", [True, False])
def test_every_method_of_every_model_equals_the_estimator_in_every_form(case: Case, *, with_example: bool) -> None:
    """Published with or without an example, asked in any form, the answer is the estimator's own."""
    blob, rows = dump(case.estimator), rows_of(case.held_out)
    admission = flavors.admit(io.BytesIO(blob), {"input_example": rows[:7]} if with_example else {})
    if not with_example:  # a bool column that nobody showed is one of numbers
        numbers = {c["name"] for c in admission.signature["inputs"] if c["type"] == "float64"}
        rows = [_without_bools(row, numbers) for row in rows]
    signature, loaded = Signature.from_dict(json.loads(json.dumps(admission.signature))), load(blob)
    for method in admission.methods:
        wanted = expected(case.estimator, method, case.held_out)
        for body in bodies(signature, rows).values():
            request = signature.validate(json.dumps({**body, "method": method}).encode(), "application/json", max_rows=10_000)
            outputs = frames.decode_outputs(frames.encode_outputs(loaded.call(method, travelled(request.inputs), {})))
            assert outputs.multi == (len(wanted) > 1)
            for part, one in zip(outputs.parts, wanted, strict=True):
                require_equal(part, one)


def _without_bools(row: Any, numbers: set[str]) -> Any:
    if not isinstance(row, dict):
        return row
    return {name: float(value) if isinstance(value, bool) and name in numbers else value for name, value in row.items()}


def test_missing_values_equal_the_estimators_own(case: Case) -> None:
    """Whichever column admission found to allow missing values, the answer is that for the user's own missing value."""
    rows = rows_of(case.held_out)[:3]
    blob = dump(case.estimator)
    signature = Signature.from_dict(flavors.admit(io.BytesIO(blob), {"input_example": rows_of(case.held_out)}).signature)
    loaded = load(blob)
    for index, column in enumerate(signature.columns[:6]):
        if not column.missing:
            continue
        asked = [
            {**row, column.name: None} if isinstance(row, dict) else [None if i == index else v for i, v in enumerate(row)] for row in rows
        ]
        outputs = loaded.call("predict", travelled(signature.read_example(asked)), {})
        require_equal(outputs.parts[0], case.estimator.predict(_blanked(case.held_out[:3], index)))


def _blanked(held_out: Any, index: int) -> Any:
    blank = held_out.copy()
    if isinstance(blank, pd.DataFrame):
        missing = np.nan if pd.api.types.is_float_dtype(blank.dtypes.iloc[index]) else None
        blank[blank.columns[index]] = blank.iloc[:, index].where([False] * len(blank), missing)
    else:
        blank[:, index] = np.nan if blank.dtype != object else None
    return blank


def test_labels_and_scalars_arrive_plain() -> None:
    """NumPy's own scalars become Python's."""
    outputs = answers.outputs_of(np.array([np.int64(1), "a", None, np.bool_(True), 2.5], dtype=object), 5)
    assert outputs.parts == ([1, "a", None, True, 2.5],)
    assert [type(value) for value in outputs.parts[0]] == [int, str, type(None), bool, float]


def test_two_dimensional_labels_arrive_as_rows() -> None:
    """A multi-output classifier of text labels answers a list for each row."""
    assert answers.outputs_of(np.array([["a", "b"], ["c", "d"]], dtype=object), 2).to_plain() == [["a", "b"], ["c", "d"]]


def test_frames_series_and_sparse_answers_become_arrays() -> None:
    """Transformers may be set to answer pandas, and many answer sparse matrices."""
    assert answers.outputs_of(pd.DataFrame({"a": [1, 2]}), 2).to_plain() == [[1], [2]]
    assert answers.outputs_of(pd.Series([1.5]), 1).to_plain() == [1.5]
    assert answers.outputs_of(scipy.sparse.csr_matrix([[0, 1.0]]), 1).to_plain() == [[0, 1]]
    assert answers.outputs_of([3, 4], 2).to_plain() == [3, 4]


def test_wide_floats_and_foreign_byte_orders_become_native() -> None:
    """What travels is little-endian and at most 8 bytes wide."""
    part = answers.outputs_of(np.array([1.0], ">f8"), 1).parts[0]
    wide = answers.outputs_of(np.array([1.0], np.longdouble), 1).parts[0]
    assert isinstance(part, np.ndarray)
    assert isinstance(wide, np.ndarray)
    assert (part.dtype.str, wide.dtype.str) == ("<f8", "<f8")


@pytest.mark.parametrize(
    "answer",
    [
        np.zeros(3),
        np.float64(1),
        None,
        "text",
        np.array([object(), 1], dtype=object),
        np.array([2**70, 1], dtype=object),
        np.array([1j, 2]),
        np.array(["2020-01-01", "2020-01-02"], "M8[D]"),
        [np.zeros(2), np.zeros(3)],
        scipy.sparse.csr_matrix((2, 2**40)),
    ],
)
def test_answers_that_can_not_travel_are_failed_predictions(answer: Any) -> None:
    """Wrong lengths, objects, giants: never passed on."""
    with pytest.raises(PredictionFailed):
        answers.outputs_of(answer, 2)


@pytest.mark.parametrize("behaviour", ["raises", "wrong_length", "raises_exit", "answers_objects"])
def test_a_model_that_misbehaves_is_a_failed_prediction(behaviour: str) -> None:
    """Its text goes to the log, not to the caller; rows that don't trigger it are answered."""
    loaded = load(misbehaving.model(behaviour))
    assert loaded.call("predict", frames.Matrix(np.ones((1, 4))), {}).to_plain() == [4.0]
    with pytest.raises(PredictionFailed) as failed:
        loaded.call("predict", frames.Matrix(np.full((1, 4), misbehaving.TRIGGER)), {})
    assert failed.value.log_detail
    assert "secret" not in failed.value.detail


def test_running_out_of_memory_is_a_failed_prediction(monkeypatch: pytest.MonkeyPatch) -> None:
    """As any other exception."""
    loaded: Any = load(dump(case_of("iris").estimator))

    def predict(_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(loaded.estimator, "predict", predict, raising=False)
    with pytest.raises(PredictionFailed, match="failed"):
        loaded.call("predict", frames.Matrix(np.ones((1, 4))), {})


@pytest.mark.parametrize("method", ["fit", "__class__", "set_params", "predict_prob"])
def test_only_prediction_methods_can_be_called(method: str) -> None:
    """A frame can't reach any other attribute of the model."""
    with pytest.raises(MethodNotAvailable):
        load(dump(case_of("iris").estimator)).call(method, frames.Matrix(np.ones((1, 4))), {})


def test_parameters_that_a_method_does_not_take_are_a_failed_prediction() -> None:
    """The web side lets none through; if one comes all the same, nothing breaks."""
    with pytest.raises(PredictionFailed):
        load(dump(case_of("iris").estimator)).call("predict", frames.Matrix(np.ones((1, 4))), {"x": 1})


@pytest.mark.parametrize("blob", [dump({"a": 1})[:-4], b"\x80\x04cnowhere\nX\n."])
def test_what_does_not_load_any_more_is_unloadable(blob: bytes) -> None:
    """At load time it is the version that is wrong, not an upload."""
    with pytest.raises(ModelUnloadable) as failed:
        load(blob)
    assert failed.value.log_detail


def test_the_estimator_is_named_by_its_public_path() -> None:
    """As its user imports it."""
    assert load(dump(case_of("iris").estimator)).estimator_name == "sklearn.linear_model.LogisticRegression"
    assert load(dump(case_of("breast_cancer").estimator)).estimator_name == "sklearn.pipeline.Pipeline"
