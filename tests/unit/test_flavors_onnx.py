"""ONNX models: what they take and answer, and what is refused before onnxruntime sees it."""

from __future__ import annotations

import io

import numpy as np
import pytest
from onnx import TensorProto, helper

from registry import flavors, frames
from registry.errors import ArtifactRefused, ModelyardError, NotAModel, PredictionFailed, UnknownFormat
from registry.flavors import onnx_models
from registry.flavors.onnx_file import looks_like_onnx, require_plain
from registry.flavors.protobuf import Malformed, Reader, run_of
from tests.fixture_models import case_of, rows_of
from tests.locked import attempt
from tests.other_formats import CASES_IN_ONNX, HOSTILE_ONNX, built_of, model_of, onnx_of, onnx_rows

BUDGET_BYTES = 1 << 30


def admitted(data: bytes, **manifest: object) -> flavors.Admission:
    """Admit a model as an upload is."""
    return flavors.admit(io.BytesIO(data), manifest, BUDGET_BYTES)


def loaded(data: bytes) -> flavors.Loaded:
    """Load a model as a worker does."""
    return flavors.open_flavor("onnx").load(io.BytesIO(data), BUDGET_BYTES)


@pytest.mark.filterwarnings("ignore")  # of skl2onnx
@pytest.mark.parametrize("name", CASES_IN_ONNX)
def test_a_converted_model_is_admitted_and_answers_as_the_estimator_does(name: str) -> None:
    """Labels are equal, numbers equal but for float32."""
    case, data = case_of(name), onnx_of(name)
    admission = admitted(data, input_example=onnx_rows(name)[:5])
    assert (admission.flavor, admission.estimator) == ("onnx", "onnx.skl2onnx")
    assert admission.golden is not None
    model = loaded(data)
    flavors.replay(model, admission.golden)
    if isinstance(case.held_out, np.ndarray) and case.held_out.dtype.kind == "f":
        expected = case.estimator.predict(case.held_out)
        given = model.call("predict", frames.Matrix(case.held_out), {}).parts[0]
        assert np.allclose(given, expected, rtol=1e-4)


def test_a_classifier_gives_probabilities_with_its_classes_in_either_form() -> None:
    """A list of maps, as skl2onnx writes by default, and a plain array."""
    rows = case_of("iris").held_out
    expected = case_of("iris").estimator.predict_proba(rows)
    for data in (onnx_of("iris"), onnx_of("iris", zipmap=False)):
        admission = admitted(data)
        assert admission.methods == ("predict", "predict_proba")
        assert admission.signature["outputs"]["predict_proba"]["columns"] == [0, 1, 2]
        assert np.allclose(loaded(data).call("predict_proba", frames.Matrix(rows), {}).parts[0], expected, atol=1e-5)


def test_several_inputs_become_the_columns_of_a_frame() -> None:
    """With their names and types; texts can't be missing."""
    signature = admitted(onnx_of("mixed_frame")).signature
    assert signature["container"] == "frame"
    assert [(one["name"], one["type"], one["missing"]) for one in signature["inputs"]] == [
        ("age", "float64", True),
        ("job", "string", False),
        ("city", "string", False),
        ("member", "bool", False),
    ]


def test_a_regressor_answers_one_number_a_row() -> None:
    """As scikit-learn's do, though the tensor has two dimensions."""
    answer = loaded(onnx_of("diabetes")).call("predict", frames.Matrix(case_of("diabetes").held_out), {})
    assert np.shape(answer.parts[0]) == (len(case_of("diabetes").held_out),)


def test_missing_numbers_are_taken_only_where_the_answers_stay_numbers() -> None:
    """A linear classifier would give some label for NaN; an imputer takes it."""
    assert not any(one["missing"] for one in admitted(onnx_of("iris", zipmap=False)).signature["inputs"])
    assert admitted(onnx_of("mixed_frame")).signature["inputs"][0]["missing"]


def test_whole_numbers_and_texts_are_typed_so() -> None:
    """Of one tensor each; a broken number doesn't become a whole one."""
    whole = model_of([helper.make_node("Cast", ["X"], ["Y"], to=TensorProto.FLOAT)], type=TensorProto.INT64)
    admission = admitted(whole)
    assert [one["type"] for one in admission.signature["inputs"]] == ["int64"] * 3
    assert admission.golden is not None
    with pytest.raises(PredictionFailed):
        loaded(whole).call("predict", frames.Matrix(np.array([[1.5, 2.0, 3.0]])), {})
    coded = helper.make_node(
        "LabelEncoder", ["X"], ["Y"], domain="ai.onnx.ml", keys_strings=["good"], values_floats=[1.0], default_float=0.0
    )
    texts = model_of([coded], type=TensorProto.STRING, shape=[None, 1])
    assert admitted(texts).signature["container"] == "texts"
    assert np.array_equal(loaded(texts).call("predict", frames.Texts(["good", "bad"]), {}).parts[0], [1.0, 0.0])


def test_what_the_file_says_of_itself_is_recorded() -> None:
    """Who made it, and for which operators; in plain characters alone."""
    environment = admitted(onnx_of("iris")).environment
    assert environment["recorded"]["onnx opset"].isdigit()
    assert environment["recorded"]["producer"].startswith("skl2onnx ")
    odd = model_of([helper.make_node("Identity", ["X"], ["Y"])], producer_name="<b>\n", producer_version="\0")
    assert admitted(odd).estimator == "onnx._b__"
    assert admitted(odd).environment["recorded"]["producer"] == "_b__"


def test_a_model_that_does_not_say_its_width_needs_an_example() -> None:
    """Then it has the example's columns."""
    data = model_of([helper.make_node("Identity", ["X"], ["Y"])], shape=[None, None])
    with pytest.raises(NotAModel, match="input_example"):
        admitted(data)
    assert len(admitted(data, input_example=[[1.0, 2.0]]).signature["inputs"]) == 2


def test_a_manifest_that_says_another_flavor_is_refused() -> None:
    """The bytes count."""
    with pytest.raises(UnknownFormat, match="'onnx'"):
        admitted(onnx_of("iris"), flavor="sklearn")


def test_a_model_over_the_budget_is_refused() -> None:
    """Before it is looked at."""
    with pytest.raises(ArtifactRefused, match="larger than this server accepts"):
        onnx_models.admit(io.BytesIO(onnx_of("iris")), {}, 100)


def test_no_rows_of_missing_values_reach_a_method_that_is_not_there() -> None:
    """A regressor has no probabilities."""
    with pytest.raises(ModelyardError):
        loaded(onnx_of("diabetes")).call("predict_proba", frames.Matrix(np.zeros((1, 10))), {})


@pytest.mark.parametrize("kind", HOSTILE_ONNX)
def test_a_hostile_model_is_refused(kind: str) -> None:
    """In a child, since native code may be reached."""
    make, words = HOSTILE_ONNX[kind]
    data = make()

    def job() -> str:
        with pytest.raises(ArtifactRefused) as refused:
            admitted(data)
        return f"{refused.value.members.get('found')} {refused.value.detail}"

    outcome = attempt(job, locked=False)
    assert words in outcome.text, outcome


@pytest.mark.parametrize("cut", range(2, 200, 7))
def test_a_file_cut_anywhere_is_refused(cut: int) -> None:
    """With our own sentence."""
    with pytest.raises(NotAModel):
        require_plain(memoryview(onnx_of("diabetes")[:-cut]))


def test_values_of_an_attribute_are_passed_over_in_runs_and_what_follows_is_seen() -> None:
    """Long texts, negative numbers and floats among them."""
    node = helper.make_node("Identity", ["X"], ["Y"])
    model = built_of([node])
    attribute = model.graph.node[0].attribute.add()
    attribute.name = "own"
    attribute.ints.extend([-1, 0, 1 << 62] * 50)
    attribute.floats.extend([0.5] * 50)
    attribute.strings.extend([b"short", b"", b"l" * 200] * 5)
    data = model.SerializeToString()
    assert require_plain(memoryview(data)).nodes == 1
    attribute.g.CopyFrom(helper.make_graph([node], "inner", [], []))
    with pytest.raises(Exception, match="graph inside"):
        require_plain(memoryview(model.SerializeToString()))


@pytest.mark.parametrize(
    "data", [b"\x0b", b"\x00\x01", b"\x0a\x05ab", b"\x08" + b"\xff" * 10 + b"\x01", b"\x80\x80\x80\x80\x80\x01", b"\x0d\x01", b"\x09\x01"]
)
def test_a_message_that_no_parser_should_take_is_malformed(data: bytes) -> None:
    """Groups, field 0, cut fields, overlong numbers."""
    with pytest.raises(Malformed):
        list(Reader(memoryview(data), 100).fields(0, len(data)))


def test_fields_are_counted() -> None:
    """So that a file of tiny fields costs no more than it may."""
    with pytest.raises(Malformed, match="too many"):
        list(Reader(memoryview(b"\x08\x01" * 11), 10).fields(0, 22))
    assert list(Reader(memoryview(b"\x08\x01" * 11), 10).fields(0, 22, run_of(varints=(1,)))) == []


@pytest.mark.parametrize(
    ("head", "onnx"),
    [
        (b"\x08\x08\x12\x08skl2onnx", True),
        (b"\x08\x0a:\x05", True),
        (b"\x08\x07", False),
        (b"\x08\xff\xff", False),
        (b"\x09\x08\x12", False),
    ],
)
def test_the_first_bytes_tell_onnx(head: bytes, onnx: bool) -> None:
    """The version of the format, then a field of a model."""
    assert looks_like_onnx(head) is onnx


def test_the_fixture_rows_are_those_of_the_estimators() -> None:
    """The names that skl2onnx gives are all that differs."""
    assert len(onnx_rows("iris_frame")) == len(rows_of(case_of("iris_frame").held_out))
