"""An estimator's diagram: what it shows, what it costs at most, and what the web side takes of one."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import RandomForestClassifier, StackingClassifier, VotingClassifier
from sklearn.feature_selection import SelectFromModel
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

from registry import flavors
from registry.flavors.declaring import draft_of
from registry.flavors.diagram import MAX_BYTES, MAX_CHILDREN, MAX_DEPTH, MAX_NODES, draw, draw_operators
from registry.flavors.onnx_file import OnnxFile
from registry.flavors.value_texts import short
from registry.flows.told_diagram import read_diagram
from tests.fixture_models import CASES, case_of, dump

X = np.random.default_rng(0).normal(size=(60, 4))
Y = (X[:, 0] > 0).astype(int)


def _drawn(estimator: Any) -> dict[str, Any]:
    drawn = draw(estimator, draft_of(estimator, {}))
    assert drawn is not None
    return drawn


def _tree(node: dict[str, Any]) -> Any:
    name = ":".join(filter(None, [node["name"], node["class"].rsplit(".", 1)[-1]]))
    return (node["kind"], name, [_tree(one) for one in node["children"]]) if node["children"] else name


@pytest.mark.parametrize("name", CASES)
def test_every_model_has_a_diagram_that_the_web_side_takes(name: str) -> None:
    """As it is admitted, within the bounds of both sides, and unchanged by the check."""
    diagram = flavors.admit(io.BytesIO(dump(case_of(name).estimator)), {}).diagram
    assert diagram is not None
    assert diagram["text"].startswith(type(case_of(name).estimator).__name__)
    assert read_diagram(diagram) == diagram


def test_parts_stand_one_after_another_or_side_by_side_as_scikit_learn_has_them() -> None:
    """Pipelines, unions, wrappers, stacks, votes and searches."""
    one = make_pipeline(make_union(StandardScaler(), FunctionTransformer(np.sin)), SelectFromModel(LogisticRegression(C=2)), SVC())
    assert _tree(_drawn(one.fit(X, Y))) == (
        "serial", "Pipeline", [
            ("parallel", "featureunion:FeatureUnion", ["standardscaler:StandardScaler", "functiontransformer:FunctionTransformer"]),
            ("parallel", "selectfrommodel:SelectFromModel", ["estimator:LogisticRegression"]),
            "svc:SVC",
        ],
    )  # fmt: skip
    stack = StackingClassifier([("a", SVC()), ("b", LogisticRegression())], LogisticRegression(), cv=2).fit(X, Y)
    assert _tree(_drawn(stack)) == (
        "serial", "StackingClassifier", [("parallel", "", ["a:SVC", "b:LogisticRegression"]), "final_estimator:LogisticRegression"],
    )  # fmt: skip
    votes = VotingClassifier([("a", LogisticRegression()), ("b", "drop")]).fit(X, Y)
    assert _tree(_drawn(votes)) == ("parallel", "VotingClassifier", ["a:LogisticRegression", "b:drop"])
    search = GridSearchCV(make_pipeline(StandardScaler(), SVC()), {"svc__C": [0.1, 1]}, cv=2).fit(X, Y)
    assert _tree(_drawn(search)) == (
        "parallel", "GridSearchCV", [("serial", "best_estimator_:Pipeline", ["standardscaler:StandardScaler", "svc:SVC"])],
    )  # fmt: skip


def test_the_columns_of_a_column_transformer_and_the_categories_of_its_encoders_are_told() -> None:
    """By the names of the data frame; what is dropped isn't shown, what passes is."""
    diagram = _drawn(case_of("mixed_frame").estimator)
    transformer = diagram["children"][0]
    assert [(one["name"], one["columns"]) for one in transformer["children"]] == [
        ("pipeline", ["age"]), ("onehotencoder", ["job"]), ("ordinalencoder", ["city"]), ("remainder", ["member"]),
    ]  # fmt: skip
    assert diagram["categories"] == {"job": ["chef", "nurse", "pilot"], "city": ["Bonn", "Oslo"]}


def test_parameters_are_texts_and_those_that_were_changed_are_named() -> None:
    """Kernels are written with their own parameters; what loading silences counts as unchanged."""
    forest = RandomForestClassifier(3, class_weight={0: 1.5, 1: 2}, random_state=np.int64(7)).fit(X, Y)
    forest.verbose = 0
    diagram = _drawn(forest)
    assert diagram["changed"] == ["class_weight", "n_estimators", "random_state"]
    assert [diagram["parameters"][name] for name in (*diagram["changed"], "criterion")] == ["{0: 1.5, 1: 2}", "3", "7", "'gini'"]
    assert diagram["text"] == "RandomForestClassifier(class_weight={0: 1.5, 1: 2}, n_estimators=3, random_state=7)"
    kernel = _drawn(GaussianProcessRegressor(RBF(2.0) + WhiteKernel()).fit(X, Y))["parameters"]["kernel"]
    assert kernel == "Sum(k1=RBF(length_scale=2.0), k2=WhiteKernel())"


class _Loud:
    def __repr__(self) -> str:
        raise AssertionError("a foreign text method was called")

    __str__ = __repr__


def test_a_text_never_asks_a_foreign_class_and_never_grows() -> None:
    """Neither with a value's size nor with how often it lies in itself."""
    knot: Any = ["x"]
    for _ in range(60):
        knot = [knot, knot, knot]
    endless: list[Any] = []
    endless.append(endless)
    for value in (
        _Loud(),
        [_Loud()] * 3,
        {_Loud(): _Loud()},
        "x" * 10**6,
        list(range(10**6)),
        knot,
        endless,
        10**5000,
        np.zeros((300, 300)),
    ):
        assert len(short(value)) <= 200
    assert short(_Loud()) == "_Loud(…)"
    assert short(np.zeros((300, 300))) == "array of 300 by 300, f8"
    assert short("a\n<b>") == "'a\\n<b>'"


class _Wide(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    def __init__(self, first: Any = None, second: Any = None) -> None:
        self.first = first
        self.second = second


def test_a_large_estimator_is_cut_and_says_so() -> None:
    """Depth, parts and bytes have bounds; what is left out is counted."""
    deep: Any = StandardScaler()
    for _ in range(100):
        deep = make_pipeline(deep)
    node, depth = _drawn(deep.fit(X)), 1
    while node["children"]:
        node, depth = node["children"][0], depth + 1
    assert (depth, node["more"]) == (MAX_DEPTH, 1)
    wide = Pipeline([(f"step {i}", "passthrough") for i in range(1000)])
    diagram = draw(wide, draft_of(make_pipeline(StandardScaler()).fit(X), {}))
    assert diagram is not None
    assert (len(diagram["children"]), diagram["more"]) == (MAX_CHILDREN, 1000 - MAX_CHILDREN)
    tree: Any = StandardScaler()
    for _ in range(20):
        tree = _Wide(tree, tree)
    diagram = draw(tree, draft_of(make_pipeline(StandardScaler()).fit(X), {}))
    assert diagram is not None
    assert len(json.dumps(diagram)) <= 2 * MAX_BYTES
    assert read_diagram(diagram) == diagram


def test_what_can_not_be_drawn_has_no_diagram_and_is_no_error() -> None:
    """An attribute that raises, a pipeline that lost its steps."""
    draft = draft_of(make_pipeline(StandardScaler()).fit(X), {})
    broken = make_pipeline(StandardScaler())
    broken.steps = None
    assert draw(broken, draft) is None


def test_operators_of_an_onnx_file_stand_in_a_row() -> None:
    """With what comes in and out as parameters; the names are the file's, so they are made plain."""
    found = OnnxFile(nodes=70, operators=["ai.onnx.ml.Scaler", "ai.onnx.MatMul"])
    diagram = draw_operators("onnx.skl2onnx", found, [("input X\n", "tensor(float) any by 4")])
    assert diagram is not None
    assert (diagram["kind"], diagram["parameters"], diagram["more"]) == ("serial", {"input X\\n": "tensor(float) any by 4"}, 68)
    assert [one["class"] for one in diagram["children"]] == ["ai.onnx.ml.Scaler", "ai.onnx.MatMul"]
    assert read_diagram(diagram) == diagram


def _node(**fields: Any) -> dict[str, Any]:
    usual: dict[str, Any] = {
        "class": "a.B", "name": None, "kind": "single", "parameters": {}, "changed": [], "columns": None, "columns_more": 0,
        "children": [], "more": 0,
    }  # fmt: skip
    return {**usual, **fields}


def _root(**fields: Any) -> dict[str, Any]:
    return {**_node(), "text": "B()", "categories": {}, **fields}


def _nested(depth: int) -> dict[str, Any]:
    node = _node()
    for _ in range(depth):
        node = _node(children=[node])
    return node


@pytest.mark.parametrize(
    "told",
    [
        "text", [], {}, _node(), _root(kind="<script>"), _root(name=1), _root(text="x" * 5000), _root(parameters={"a": 1}),
        _root(parameters={"a": "x" * 201}), _root(columns=["x"] * 201), _root(children=[{"class": "a"}]), _root(extra="x"),
        _root(categories={"a": [{}]}), _root(more=-1), _root(children=[_nested(MAX_DEPTH)]), _root(children=[_node()] * MAX_NODES),
        _root(children=[_nested(500)]), _root(**{"class": None}), _root(children=[_node(parameters={str(i): "x" * 200 for i in range(180)})] * 3),
    ],
)  # fmt: skip
def test_what_a_worker_tells_in_another_shape_is_dropped(told: Any) -> None:
    """A worker that an artifact took over fills no page and breaks no template."""
    assert read_diagram(_root()) == _root()
    assert read_diagram(told) is None
