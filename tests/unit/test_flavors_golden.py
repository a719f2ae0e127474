"""Golden predictions: kept as plain data, replayed at load, and what counts as a difference."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from sklearn.decomposition import MiniBatchNMF
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from registry import flavors, frames
from registry.errors import ModelUnloadable
from registry.flavors import golden
from registry.flavors.golden import answers_row_by_row
from registry.flavors.sklearn import LoadedEstimator
from registry.frames import Outputs
from registry.signature import Signature
from registry.signature.golden import MAX_OUTPUT_BYTES, decode_golden, encode_golden
from tests.fixture_models import CASES, case_of, dump

BUDGET_BYTES = 256 << 20


def array(*values: Any) -> Outputs:
    """Return outputs of one numeric part."""
    return Outputs((np.array(values),))


@pytest.mark.parametrize("name", CASES)
def test_every_model_repeats_its_golden_predictions_when_loaded(name: str) -> None:
    """In the form that travelled through the database."""
    blob = dump(case_of(name).estimator)
    recorded = flavors.admit(io.BytesIO(blob), {}).golden
    assert recorded is not None
    assert b"\x80\x04" not in recorded[:2]
    flavors.replay(flavors.open_flavor("sklearn").load(io.BytesIO(blob), BUDGET_BYTES), recorded)


def test_a_model_that_answers_otherwise_is_unloadable_with_place_and_values() -> None:
    """The method, the row, the column, what was recorded and what came."""
    estimator = case_of("multi_regressor").estimator
    recorded = flavors.admit(io.BytesIO(dump(estimator)), {}).golden
    assert recorded is not None
    for tree in estimator.estimators_:
        tree.tree_.value[:, 1] += 1e-3
    with pytest.raises(ModelUnloadable) as refused:
        flavors.replay(flavors.open_flavor("sklearn").load(io.BytesIO(dump(estimator)), BUDGET_BYTES), recorded)
    assert "predict, row 0, column 1: " in refused.value.detail
    assert refused.value.detail == refused.value.log_detail


def test_a_model_that_raises_on_its_golden_rows_is_unloadable() -> None:
    """As one that answers otherwise."""
    recorded = flavors.admit(io.BytesIO(dump(case_of("breast_cancer").estimator)), {}).golden
    assert recorded is not None
    with pytest.raises(ModelUnloadable, match="predict failed"):
        flavors.replay(flavors.open_flavor("sklearn").load(io.BytesIO(dump(case_of("iris").estimator)), BUDGET_BYTES), recorded)


@pytest.mark.parametrize(
    "blob", [b"", b"\x80", b"\x81\xa1a\x01", b"\x82\xa6inputs\xc4\x00\xa7outputs\x80", b"\x82\xa6inputs\x01\xa7outputs\x01"]
)
def test_a_blob_that_is_not_ours_is_unloadable(blob: bytes) -> None:
    """Nothing foreign is raised."""
    loaded = flavors.open_flavor("sklearn").load(io.BytesIO(dump(case_of("iris").estimator)), BUDGET_BYTES)
    with pytest.raises(ModelUnloadable):
        flavors.replay(loaded, blob)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (array(1.0, 1000.0), array(1.0 + 0.9e-6, 1000.0)),
        (array([1.0, 1000.0]), array([1.0, 1000.0])),
        (array(np.nan, np.inf, -np.inf), array(np.nan, np.inf, -np.inf)),
        (array(0.0, 0.0), array(0.0, 1e-10)),
        (array(1, 2), array(1, 2)),
        (array(True), array(True)),
        (Outputs((["a", None, 1],)), Outputs((["a", None, 1],))),
        (Outputs(([1.0, float("nan")],)), Outputs(([1.0 + 1e-12, float("nan")],))),
        (Outputs(([["a", "b"]],)), Outputs(([["a", "b"]],))),
        (array(), array()),
    ],
)
def test_these_are_the_same(one: Outputs, other: Outputs) -> None:
    """Within 1e-9 of the column's largest value; NaN is NaN."""
    assert golden.find_difference(one, other) is None


@pytest.mark.parametrize(
    ("one", "other", "text"),
    [
        (array(1.0, 1000.0), array(1.0 + 1.1e-6, 1000.0), "row 0"),
        (array([1.0, 1000.0]), array([1.0 + 1e-7, 1000.0]), "row 0, column 0"),
        (array(1.0), array(np.nan), "row 0"),
        (array(np.nan), array(1.0), "row 0"),
        (array(np.inf), array(-np.inf), "row 0"),
        (array(np.inf), array(1.0), "row 0"),
        (array(1, 2), array(1, 3), "row 1: 2 was recorded, 3 came"),
        (array(1.0), array([1.0]), "shape"),
        (array(1.0), Outputs((["a"],)), "shape"),
        (Outputs((["a"],)), array(1.0), "row 0"),
        (Outputs((["a"],)), Outputs((["b"],)), "row 0: 'a' was recorded, 'b' came"),
        (Outputs((["a"],)), Outputs((["a", "b"],)), "1 rows"),
        (Outputs(([1],)), Outputs(([True],)), "row 0"),
        (Outputs(([["a"]],)), Outputs(([["a", "b"]],)), "row 0"),
        (Outputs((np.ones(1), np.ones(1)), multi=True), Outputs((np.ones(1), np.zeros(1)), multi=True), "output 1, row 0"),
        (Outputs((np.ones(1), np.ones(1)), multi=True), Outputs((np.ones(1),), multi=True), "2 parts"),
    ],
)
def test_these_are_different(one: Outputs, other: Outputs, text: str) -> None:
    """And the text says where."""
    assert text in (golden.find_difference(one, other) or "")


def test_outputs_too_large_to_keep_are_left_out() -> None:
    """A transformed text of a large vocabulary would fill the database; with nothing left there is no blob."""
    rows = frames.Matrix(np.ones((2, 2)))
    large, small = Outputs((np.zeros((2, MAX_OUTPUT_BYTES)),)), array(1.0, 2.0)
    blob = encode_golden(rows, {"predict": small, "transform": large})
    assert blob is not None
    assert list(decode_golden(blob)[1]) == ["predict"]
    assert encode_golden(rows, {"transform": large}) is None


def test_the_same_model_gives_the_same_golden_bytes() -> None:
    """Made-up rows come from a fixed seed."""
    blob = dump(case_of("mixed_frame").estimator)
    first, second = (flavors.admit(io.BytesIO(blob), {}) for _ in range(2))
    assert first == second
    assert Signature.from_dict(first.signature) == Signature.from_dict(second.signature)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    ("step", "alone"),
    [(MiniBatchNMF(n_components=3, random_state=0), False), (StandardScaler(), True)],
    ids=["factorisation", "scaler"],
)
def test_a_model_whose_rows_depend_on_each_other_is_noticed(step: Any, *, alone: bool) -> None:
    """Its requests are neither joined nor cut: one caller's rows would show in another's answer."""
    rows = np.random.default_rng(0).random((60, 4))
    loaded = LoadedEstimator(make_pipeline(step, LogisticRegression()).fit(rows, rows[:, 0] > 0.5))
    inputs = frames.Matrix(rows[:8])
    golden = encode_golden(inputs, {method: loaded.call(method, inputs, {}) for method in ("predict", "predict_proba")})
    assert golden is not None
    assert answers_row_by_row(loaded, golden) is alone
