"""What admission finds out about an upload, and what it refuses it for."""

from __future__ import annotations

import io
import json
import pickle
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import DBSCAN
from sklearn.compose import TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import BaggingClassifier, VotingClassifier
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from registry import flavors
from registry.errors import ArtifactRefused, NotAModel, SignatureMismatch, UnknownFormat, UnsafeArtifact
from registry.flavors import failures
from tests import misbehaving
from tests.fixture_models import CASES, Case, case_of, dump, people, rows_of

FLOATS = ["float64"]


@pytest.fixture(scope="module", autouse=True)
def _extra_names() -> None:
    """Vouch for the models that misbehave."""
    misbehaving.allow_here()


def admit(estimator: Any, **manifest: Any) -> flavors.Admission:
    """Admit an estimator, or the bytes of an artifact."""
    return flavors.admit(io.BytesIO(estimator if isinstance(estimator, bytes) else dump(estimator)), manifest)


def columns(admission: flavors.Admission) -> list[tuple[str, str, bool]]:
    """Return name, type and missing of each input."""
    return [(c["name"], c["type"], c["missing"]) for c in admission.signature["inputs"]]


@pytest.mark.parametrize("name", CASES)
def test_every_kind_of_model_is_admitted_with_golden_predictions(name: str) -> None:
    """Without an example, from rows made up; and all of it is plain data."""
    admission = admit(case_of(name).estimator)
    assert (admission.flavor, admission.deterministic, admission.golden_from, admission.golden_rows) == ("sklearn", True, "seeded", 5)
    assert "predict" in admission.methods
    assert tuple(admission.signature["outputs"]) == admission.methods
    assert admission.findings == ()
    assert json.loads(json.dumps(admission.signature)) == admission.signature
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(admission.as_dict()))["golden"] == admission.golden


@pytest.mark.parametrize(
    ("example", "container", "names"),
    [([[1, 2]], "array", ["x0", "x1"]), ([{"a": 1, "b": "x"}], "array", ["a", "b"]), (["one", "two"], "texts", ["text"])],
)
def test_a_model_that_does_not_say_its_width_is_admitted_by_its_example(example: Any, container: str, names: list[str]) -> None:
    """Without one its publisher is told to send one."""
    model = DummyClassifier(strategy="constant", constant=1).fit([[0], [1]], [0, 1])
    vars(model).pop("n_features_in_", None)
    admission = admit(model, input_example=example)
    assert (admission.signature["container"], [name for name, _, _ in columns(admission)]) == (container, names)
    with pytest.raises(NotAModel, match="input_example"):
        admit(model)


@pytest.mark.parametrize("kind", ["int64", "bool"])
def test_golden_rows_are_made_up_in_the_declared_types(kind: str) -> None:
    """Integers and bools as well as floats."""
    admission = admit(case_of("iris").estimator, signature={"inputs": [{"name": name, "type": kind} for name in "abcd"]})
    assert (admission.golden_from, columns(admission)[0]) == ("seeded", ("a", kind, False))


@pytest.mark.parametrize("name", CASES)
def test_an_example_gives_the_golden_rows(name: str) -> None:
    """All of them, up to a hundred."""
    case: Case = case_of(name)
    rows = rows_of(case.held_out)
    admission = admit(case.estimator, input_example=rows)
    assert (admission.golden_from, admission.golden_rows) == ("example", min(100, len(rows)))


def test_an_array_model_has_unnamed_float_columns() -> None:
    """Nothing more is known of it."""
    admission = admit(case_of("iris").estimator)
    assert (admission.signature["container"], admission.signature["named"]) == ("array", False)
    assert columns(admission) == [(f"x{i}", "float64", False) for i in range(4)]
    assert admission.signature["outputs"]["predict_proba"] == {"type": "float64", "columns": [0, 1, 2], "shape": [3]}
    assert admission.signature["outputs"]["predict"] == {"type": "int64"}


def test_an_example_of_records_names_the_columns_of_an_array_model() -> None:
    """In the order of its first record."""
    admission = admit(case_of("iris").estimator, input_example=[{"sl": 5, "sw": 3, "pl": 1, "pw": 0}])
    assert admission.signature["named"]
    assert [name for name, _, _ in columns(admission)] == ["sl", "sw", "pl", "pw"]


def test_a_frame_model_keeps_the_names_order_and_types_of_its_columns() -> None:
    """Types come from what its encoders were fitted on, missing from asking the model."""
    admission = admit(case_of("mixed_frame").estimator)
    assert admission.signature["container"] == "frame"
    assert columns(admission) == [
        ("age", "float64", True),
        ("job", "string", True),
        ("city", "string", False),
        ("member", "float64", False),
    ]
    assert "pandas" in admission.environment


def test_an_example_says_which_columns_are_bools() -> None:
    """And in which order it has them doesn't matter."""
    admission = admit(case_of("mixed_frame").estimator, input_example=[{"member": True, "age": 3, "city": "Bonn", "job": None}])
    assert columns(admission) == [("age", "float64", True), ("job", "string", True), ("city", "string", False), ("member", "bool", False)]


@pytest.mark.parametrize(
    "example",
    [
        [[3, None, "Bonn", True]],
        [3, None, "Bonn", True],
        {"age": [3], "job": [None], "city": ["Bonn"], "member": [True]},
    ],
)
def test_an_example_may_be_rows_one_row_or_columns(example: Any) -> None:
    """As the bodies of predict."""
    assert admit(case_of("mixed_frame").estimator, input_example=example).golden_rows == 1


@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(CountVectorizer(), MultinomialNB()),
        make_pipeline(HashingVectorizer(n_features=16), LogisticRegression()),
        make_pipeline(make_union(TfidfVectorizer(), CountVectorizer(analyzer="char")), LogisticRegression()),
        CalibratedClassifierCV(make_pipeline(TfidfVectorizer(), LogisticRegression()), cv=2),
    ],
)
def test_text_models_take_texts_however_deep_the_vectorizer_stands(model: Any) -> None:
    """First step, union, or inside a wrapper."""
    admission = admit(model.fit(["a good one", "a bad one", "good", "bad"], [1, 0, 1, 0]))
    assert admission.signature["container"] == "texts"
    assert columns(admission) == [("text", "string", False)]
    assert admission.golden_rows == 5


WRAPPERS = {
    "voting": lambda model: VotingClassifier([("model", model)]),
    "calibrated": lambda model: CalibratedClassifierCV(model, cv=2),
    "bagging": lambda model: BaggingClassifier(model, 2),
}


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_wrappers_of_frame_models_are_seen_through(wrap: Any) -> None:
    """The names and width are found where the wrapper keeps them."""
    frame, labels = people()
    frame = frame[["age"]].fillna(40)
    model = wrap(make_pipeline(StandardScaler(), LogisticRegression())).fit(frame, labels)
    assert columns(admit(model)) == [("age", "float64", False)]


def test_a_target_transformer_is_admitted() -> None:
    """It has no width of its own."""
    x = np.random.default_rng(0).random((20, 2))
    assert admit(TransformedTargetRegressor(Ridge()).fit(x, x[:, 0])).methods == ("predict",)


def test_several_targets_have_several_lists_of_classes() -> None:
    """One part for each."""
    proba = admit(case_of("multi_classifier").estimator).signature["outputs"]["predict_proba"]
    assert proba == {"type": "float64", "columns": [[0, 1, 2], [0, 1]], "multi": True}


def test_a_declared_signature_is_taken_over() -> None:
    """Types and missing as declared, in the order of the estimator's columns."""
    inputs = [{"name": n, "type": t, "missing": m} for n, t, m in (("city", "string", True), ("age", "float64", False))]
    frame, labels = people()
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression()).fit(frame[["age", "city"]], labels)
    assert columns(admit(model, signature={"inputs": inputs})) == [("age", "float64", False), ("city", "string", True)]


@pytest.mark.parametrize(
    ("declared", "pointer"),
    [
        (5, "#/signature"),
        ({}, "#/signature"),
        ({"inputs": []}, "#/signature"),
        ({"inputs": [{"type": "float64"}] * 3}, "#/signature/inputs"),
        ({"inputs": [{"type": "float64"}]}, "#/signature"),
        ({"inputs": [5]}, "#/signature/inputs/0"),
        ({"inputs": [{"type": "int"}]}, "#/signature/inputs/0/type"),
        ({"inputs": [{"type": "int64", "missing": True}]}, "#/signature/inputs/0/missing"),
        ({"inputs": [{"type": "float64", "nme": "x"}]}, "#/signature/inputs/0/nme"),
        ({"inputs": [{"type": "float64"}], "x": 1}, "#/signature/x"),
    ],
)
def test_a_declared_signature_that_does_not_fit_is_pointed_at(declared: Any, pointer: str) -> None:
    """Before anything is kept."""
    if isinstance(declared, dict) and len(declared.get("inputs", [])) == 3:
        declared["inputs"] = [{"name": "a", "type": "float64"}] * 4
    with pytest.raises(SignatureMismatch) as refused:
        admit(case_of("iris").estimator, signature=declared)
    assert refused.value.findings[0].pointer == pointer


@pytest.mark.parametrize(
    ("example", "pointer"),
    [
        ([], "#/input_example"),
        ("abc", "#/input_example"),
        ({}, "#/input_example"),
        ([{}], "#/input_example"),
        ([[1, 2, 3]], "#/input_example"),
        ([[1, 2, 3, 4], [1, 2]], "#/input_example/1"),
        ([{"a": 1, "b": 2, "c": 3, "d": 4}, {"a": 1, "b": 2, "c": 3}], "#/input_example/1"),
        ([[1, 2, 3, "x"], [1, 2, 3, 4]], "#/input_example/0/3"),
        ([[1, 2, 3, True], [1, 2, 3, None]], "#/input_example/0/3"),
        ({"a": [1], "b": [1], "c": [1], "d": 5}, "#/input_example/d"),
        ({"a": [1], "b": [1], "c": [1], "d": [1, 2]}, "#/input_example/d"),
        ([[1, 2, 3, "x"]], "#/input_example"),
        ([[1, 2, 3, None]], "#/input_example"),
    ],
)
def test_an_example_that_does_not_fit_is_pointed_at(example: Any, pointer: str) -> None:
    """Ragged, mixed, too narrow, or refused by the model itself."""
    with pytest.raises(SignatureMismatch) as refused:
        admit(case_of("iris").estimator, input_example=example)
    assert refused.value.findings[0].pointer == pointer


@pytest.mark.parametrize("example", [[{"age": 3}], [{"age": 3, "job": None, "city": "Bonn", "member": True, "x": 1}]])
def test_an_example_must_have_the_columns_of_a_frame_model(example: Any) -> None:
    """Each missing or unknown one is named."""
    with pytest.raises(SignatureMismatch) as refused:
        admit(case_of("mixed_frame").estimator, input_example=example)
    assert {finding.column for finding in refused.value.findings} in ({"job", "city", "member"}, {"x"})


def test_a_model_that_raises_on_its_example_is_refused_with_the_class_alone() -> None:
    """The exception's text may hold anything, so it goes to the log."""
    with pytest.raises(SignatureMismatch) as refused:
        admit(misbehaving.model("raises"), input_example=[[misbehaving.TRIGGER, 1, 2, 3]])
    assert refused.value.detail == "The model raised ValueError on the input_example."
    assert "secret of the model" in (refused.value.log_detail or "")


def test_a_model_that_raises_on_made_up_rows_has_no_golden_predictions() -> None:
    """It is admitted all the same, and its publisher is told what would help."""
    admission = admit(misbehaving.model("raises", always=True))
    assert (admission.golden, admission.golden_rows, admission.golden_from, admission.deterministic) == (None, 0, None, False)
    assert admission.methods == ("predict",)
    assert "input_example" in admission.findings[0]


def test_a_model_that_answers_differently_twice_has_no_golden_predictions() -> None:
    """And its answers can't be cached."""
    admission = admit(misbehaving.model("non_deterministic", always=True))
    assert (admission.golden, admission.deterministic) == (None, False)
    assert "differed" in admission.findings[0]


def test_the_environment_says_what_the_file_was_made_with() -> None:
    """Only where that isn't what is installed."""
    admission = admit(case_of("iris").estimator)
    assert set(admission.environment) == {"python", "scikit-learn", "numpy", "joblib"}
    older = pickle.dumps(case_of("iris").estimator).replace(admission.environment["scikit-learn"].encode(), b"1.0.9")
    assert admit(older).environment["recorded"] == {"scikit-learn": "1.0.9"}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (Ridge, "the name sklearn.linear_model._ridge.Ridge and no fitted estimator"),
        (Ridge(), "isn't fitted"),
        (make_pipeline(StandardScaler(), Ridge()), "isn't fitted"),
        ({"model": 1}, "dict"),
        ([1], "list"),
        (np.ones(3), "ndarray"),
        ("text", "str"),
        (None, "NoneType"),
        (PCA(), "isn't fitted"),
        (PCA().fit(np.eye(3)), "no predict"),
        (DBSCAN().fit(np.eye(3)), "no predict"),
    ],
)
def test_what_is_no_fitted_model_is_refused_in_plain_words(value: Any, words: str) -> None:
    """The publisher learns what the artifact holds and what to do."""
    with pytest.raises(NotAModel) as refused:
        admit(value)
    assert words in refused.value.detail


@pytest.mark.parametrize("compress", [0, "zlib", "gzip", "bz2", "xz", "lzma"])
@pytest.mark.parametrize("cut", [0.3, 0.9])
def test_a_truncated_file_is_refused_as_damaged(compress: int | str, cut: float) -> None:
    """In every compression."""
    blob = dump(case_of("breast_cancer").estimator, compress)
    with pytest.raises(NotAModel, match="damaged"):
        admit(blob[: int(len(blob) * cut)])


@pytest.mark.parametrize(
    ("blob", "words"),
    [
        (misbehaving.at_load("divides_by_zero"), "ZeroDivisionError"),
        (misbehaving.at_load("raises_key_error"), "KeyError"),
    ],
)
def test_an_artifact_that_does_not_load_is_refused_with_advice(blob: bytes, words: str) -> None:
    """In our own sentence; the original text is for the log."""
    with pytest.raises(NotAModel) as refused:
        admit(blob)
    assert words in refused.value.detail
    assert "secret of the model" not in refused.value.detail
    assert refused.value.log_detail


@pytest.mark.parametrize(
    ("module", "name", "words"),
    [
        ("lightgbm.sklearn", "LGBMClassifier", "lightgbm aren't accepted for now"),
        ("xgboost", "XGBClassifier", "xgboost aren't accepted for now"),
        ("catboost.core", "CatBoostClassifier", "catboost aren't accepted for now"),
        ("nowhere.at.all", "X", "MODELYARD_EXTRA_NAMES=nowhere.at.all:X"),
        ("sklearn.nowhere", "X", "another scikit-learn"),
        ("sklearn.linear_model", "NoSuch", "another scikit-learn"),
        ("__main__", "Mine", "notebook or script"),
        ("__mp_main__", "Mine", "notebook or script"),
        ("pandas", "DataFrame", "no fitted model of scikit-learn needs"),
        ("tests.winsorizer", "Winsorizer", "MODELYARD_EXTRA_NAMES=tests.winsorizer:Winsorizer"),
    ],
)
def test_an_artifact_with_a_name_that_is_not_allowed_is_refused_with_advice(module: str, name: str, words: str) -> None:
    """Unsafe by rule, whether the name could be imported or not; what was found is named, and what to do instead."""
    with pytest.raises(UnsafeArtifact) as refused:
        admit(b"\x80\x04c%b\n%b\n." % (module.encode(), name.encode()))
    assert refused.value.members["found"] == [{"rule": "name-not-allowed", "name": f"{module}.{name}"}]
    assert f"{module}.{name}" in refused.value.detail
    assert words in refused.value.detail
    assert refused.value.log_detail


def test_a_data_frame_is_refused_for_its_name() -> None:
    """It is no part of any fitted model that is accepted, so it isn't even made."""
    with pytest.raises(UnsafeArtifact) as refused:
        admit(pd.DataFrame({"a": [1]}))
    assert refused.value.members["found"][0]["rule"] == "name-not-allowed"
    assert "pandas" in refused.value.detail


@pytest.mark.parametrize("what", ["opens_file", "raises_exit", "raises_permission_error"])
def test_an_artifact_that_reaches_out_while_it_loads_is_unsafe(what: str) -> None:
    """What the system refused it, and an attempt to end the process."""
    with pytest.raises(UnsafeArtifact) as refused:
        admit(misbehaving.at_load(what, path="/nowhere/at/all"))
    assert refused.value.log_detail


def test_a_model_that_is_stopped_by_the_lock_while_it_predicts_is_unsafe() -> None:
    """Found out at admission, from the number of the system's error."""
    with pytest.raises(UnsafeArtifact, match="predicted"):
        admit(misbehaving.model("opens_file", always=True, path="/nowhere/at/all"))


def test_memory_that_runs_out_at_load_is_said() -> None:
    """As a matter of size, not of safety."""
    refusal = failures.refusal_of_load(MemoryError())
    assert isinstance(refusal, NotAModel)
    assert "memory" in refusal.detail


def test_an_exception_whose_text_raises_is_described() -> None:
    """Exceptions may be a model's own classes."""

    class Nasty(Exception):
        def __str__(self) -> str:
            raise ValueError

    assert failures.describe(Nasty()) == "Nasty: (no text)"


@pytest.mark.parametrize("width", [0, -1, 10**12])
def test_a_width_that_can_not_be_is_refused(width: int) -> None:
    """Before a name is made for each column."""
    model = case_of("iris").estimator
    model.n_features_in_ = width
    with pytest.raises(NotAModel, match="columns"):
        admit(model)


@pytest.mark.parametrize(
    "attributes", [{"classes_": [[object()]]}, {"classes_": 5}, {"feature_names_in_": 5}, {"feature_names_in_": ["\ud800"] * 4}]
)
def test_attributes_that_make_no_sense_never_raise_anything_foreign(attributes: dict[str, Any]) -> None:
    """They are refused or left out."""
    model = LinearRegression().fit(np.eye(4), np.ones(4))
    vars(model).update(attributes)
    try:
        admission = admit(model)
    except ArtifactRefused:
        return
    msgspec.msgpack.encode(admission.as_dict())


def test_a_frame_with_a_name_twice_is_refused() -> None:
    """No record could carry it."""
    model = LinearRegression().fit(pd.DataFrame(np.eye(2), columns=["a", "b"]), np.ones(2))
    model.feature_names_in_ = np.array(["a", "a"], dtype=object)
    with pytest.raises(NotAModel, match="twice"):
        admit(model)


def test_the_manifest_may_name_the_flavor() -> None:
    """If it is the one that the bytes have."""
    assert admit(case_of("iris").estimator, flavor="sklearn").flavor == "sklearn"
    with pytest.raises(UnknownFormat):
        admit(case_of("iris").estimator, flavor="onnx")


def test_what_is_no_artifact_at_all_is_an_unknown_format() -> None:
    """Before anything is loaded."""
    with pytest.raises(UnknownFormat):
        admit(b"")
