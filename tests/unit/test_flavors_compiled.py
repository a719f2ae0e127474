"""Compiled forms: what has one, how near it is to the estimator, and what is refused, with the figure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Binarizer, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from registry import frames
from registry.errors import ModelUnloadable, ModelyardError
from registry.flavors.compiled import compile_version, form, open_compiled
from registry.flavors.compiled.comparing import TOLERANCE, compare
from registry.flavors.compiled.form import compile_loaded
from registry.flavors.compiled.making import Compilation
from registry.flavors.declaring import draft_of
from registry.flavors.golden import replay
from registry.flavors.sklearn import METHODS, LoadedEstimator
from registry.signature.golden import encode_golden

X, Y = load_iris(return_X_y=True)
TWO = Y > 0
TEXTS = np.array(["setosa", "versicolor", "virginica"])[Y]
NUMBERS = X @ np.array([1.0, -2.0, 3.0, 0.5]) + 7
GAPS = np.where(np.random.default_rng(0).random(X.shape) < 0.2, np.nan, X)

TREES = {
    "forest": (RandomForestClassifier(8, random_state=0), X, Y),
    "forest of two classes": (RandomForestClassifier(8, max_depth=3, random_state=0), X, TWO),
    "forest of texts": (ExtraTreesClassifier(8, max_depth=3, random_state=0), X, TEXTS),
    "forest of numbers": (RandomForestRegressor(8, random_state=0), X, NUMBERS),
    "forest of several numbers": (ExtraTreesRegressor(8, random_state=0), X, np.column_stack([NUMBERS, Y])),
    "tree": (DecisionTreeClassifier(max_depth=3), X, TEXTS),
    "tree of numbers": (DecisionTreeRegressor(max_depth=3), X, NUMBERS),
    "tree that asks nothing": (DecisionTreeRegressor(), X, np.ones(len(X))),
    "boosting": (GradientBoostingClassifier(n_estimators=8), X, TEXTS),
    "boosting of two classes": (GradientBoostingClassifier(n_estimators=8), X, TWO),
    "boosting with another loss": (GradientBoostingClassifier(n_estimators=8, loss="exponential"), X, TWO),
    "boosting of numbers": (GradientBoostingRegressor(n_estimators=8, init="zero"), X, NUMBERS),
    "histograms": (HistGradientBoostingClassifier(max_iter=8), X, TEXTS),
    "histograms with gaps": (HistGradientBoostingClassifier(max_iter=8), GAPS, TWO),
    "histograms of counts": (HistGradientBoostingRegressor(max_iter=8, loss="poisson"), X, NUMBERS),
}
OTHERS = {
    "linear": (LinearRegression(), X, NUMBERS),
    "logistic pipeline": (make_pipeline(StandardScaler(), LogisticRegression()), X, TEXTS),
    "naive Bayes": (GaussianNB(), X, Y),
    "pipeline that ends in trees": (make_pipeline(SimpleImputer(), RandomForestClassifier(8, random_state=0)), GAPS, Y),
}


def _compiled(estimator: Any, rows: Any) -> tuple[LoadedEstimator, dict[str, Any], Compilation]:
    """Return a loaded estimator, its signature, and what compiling it came to."""
    exact = LoadedEstimator(estimator)
    example = [[None if np.isnan(value) else value for value in row] for row in rows[::10].tolist()]
    draft = draft_of(estimator, {"input_example": example})
    assert draft.rows is not None
    columns = tuple(replace(one, missing=bool(np.isnan(rows).any())) for one in draft.signature.columns)
    signature = replace(draft.signature, columns=columns).as_dict()
    golden = {method: exact.call(method, draft.rows, {}) for method in METHODS if hasattr(estimator, method)}
    return exact, signature, compile_version(exact, encode_golden(draft.rows, golden), signature)


@pytest.mark.parametrize("name", [*TREES, *OTHERS])
def test_a_compiled_form_answers_as_its_estimator_does(name: str) -> None:
    """On the rows it was fitted on: the same labels and shapes, numbers within the tolerance; and its golden predictions replay."""
    estimator, rows, wanted = {**TREES, **OTHERS}[name]
    exact, signature, made = _compiled(estimator.fit(rows, wanted), rows)
    assert made.report["reason"] is None
    assert made.report["worst"] <= TOLERANCE == made.report["tolerance"]
    assert made.golden is not None
    fast = open_compiled(exact, signature)
    assert [method for method in METHODS if fast.runtime_of(method) == "fast"] == made.report["methods"]
    for method in made.report["methods"]:
        assert compare(exact, fast, method, [frames.Matrix(rows)]).passed, method
    replay(fast, made.golden)


@pytest.mark.parametrize("name", list(TREES))
def test_trees_are_walked_as_scikit_learn_walks_them_at_their_thresholds(name: str) -> None:
    """Also one unit in the last place below and above, as a double and as a single, and far outside."""
    estimator, rows, wanted = TREES[name]
    exact = LoadedEstimator(estimator.fit(rows, wanted))
    fast = compile_loaded(exact, has_texts=False)
    middles = np.unique((X[:-1] + X[1:]) / 2)
    near = [
        middles,
        np.nextafter(middles, -np.inf),
        np.nextafter(middles, np.inf),
        middles.astype(np.float32).astype(float),
        middles * 1e30,
    ]
    grid = np.random.default_rng(1).choice(np.concatenate(near), (400, 4))
    for method in (method for method in METHODS if fast.runtime_of(method) == "fast"):
        found = compare(exact, fast, method, [frames.Matrix(grid)])
        assert (found.labels, found.worst) == (0, pytest.approx(0, abs=1e-12)), method


def test_what_the_form_lacks_the_estimator_answers() -> None:
    """The answer's runtime says so, method by method."""
    exact, signature, made = _compiled(make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y), X)
    assert made.report["exact_methods"] == ["predict_log_proba", "decision_function"]
    fast = open_compiled(exact, signature)
    assert [fast.runtime_of(method) for method in ("predict", "decision_function", "transform")] == ["fast", "exact", "exact"]
    rows = frames.Matrix(X[:3])
    answer, own = (one.call("decision_function", rows, {}).parts[0] for one in (fast, exact))
    assert np.array_equal(np.asarray(answer), np.asarray(own))


def test_a_value_that_scikit_learn_refuses_is_refused_by_the_fast_one_too() -> None:
    """What is too large for a single is no number to a forest."""
    exact = LoadedEstimator(RandomForestClassifier(2).fit(X, Y))
    fast = compile_loaded(exact, has_texts=False)
    for one in (exact, fast):
        with pytest.raises(ModelyardError):
            one.call("predict", frames.Matrix(np.full((1, 4), 1e300)), {})


def test_columns_of_several_types_are_read_as_one_table_of_numbers() -> None:
    """As scikit-learn makes one array of them."""
    exact = LoadedEstimator(RandomForestClassifier(4, random_state=0).fit(X, Y))
    table = frames.Table(("a", "b", "c", "d"), (np.arange(3), np.array([True, False, True]), np.ones(3), np.zeros(3)))
    fast = compile_loaded(exact, has_texts=False)
    assert compare(exact, fast, "predict_proba", [table]).worst == 0


@pytest.mark.parametrize(
    ("estimator", "why"),
    [
        (make_pipeline(SimpleImputer(), LogisticRegression()), "skl2onnx and onnxruntime have none of Pipeline as it was fitted"),
        (SVC(), "skl2onnx and onnxruntime have none of SVC as it was fitted"),
        (GradientBoostingClassifier(n_estimators=2, init=GaussianNB()), "it starts from an estimator of its own (GaussianNB)"),
        (HistGradientBoostingClassifier(max_iter=2, categorical_features=[0]), "its trees ask about categories"),
    ],
)
def test_what_has_no_compiled_form_says_why(estimator: Any, why: str) -> None:
    """In words that hold no library's own message."""
    made = _compiled(estimator.fit(np.floor(X), Y), np.floor(X))[2]
    assert made.golden is None
    assert why in made.report["reason"]


def test_a_conversion_that_changes_a_label_is_refused_with_the_figure() -> None:
    """It knows the threshold 1.1 as a single alone."""
    estimator = make_pipeline(Binarizer(threshold=1.1), LogisticRegression()).fit(X, Y)
    rows = np.vstack([[[5.0, 3.0, 4.0, 1.1]], X])
    made = _compiled(estimator, rows)[2]
    assert (made.golden, made.report["labels_differing"] > 0) == (None, True)
    assert "predict gave another label on " in made.report["reason"]
    assert made.report["worst"] > TOLERANCE


def test_numbers_that_differ_too_much_are_refused_with_the_figure() -> None:
    """A form of the estimator whose own coefficients moved by a millionth of their size."""
    exact, moved = Ridge().fit(X, NUMBERS), Ridge().fit(X, NUMBERS)
    moved.coef_ = moved.coef_ * (1 + 1e-5)
    fast = compile_loaded(LoadedEstimator(moved), has_texts=False)
    found = compare(LoadedEstimator(exact), fast, "predict", [frames.Matrix(X)])
    assert not found.passed
    assert 1e-6 < found.worst < 1e-4


def test_a_form_that_is_much_slower_than_the_estimator_is_refused() -> None:
    """The conversion of neighbours computes every distance."""
    random = np.random.default_rng(0)
    rows = random.random((20_000, 8))
    estimator = KNeighborsClassifier(algorithm="kd_tree").fit(rows, random.integers(0, 2, 20_000))
    made = _compiled(estimator, rows[:50])[2]
    assert "it would be slower than the estimator" in made.report["reason"]
    assert set(made.report["microseconds"]) == {"exact", "fast"}


def test_a_version_without_golden_predictions_is_refused() -> None:
    """Nothing could be verified."""
    exact = LoadedEstimator(RandomForestClassifier(2).fit(X, Y))
    made = compile_version(exact, None, draft_of(exact.estimator, {}).signature.as_dict())
    assert "no golden predictions" in made.report["reason"]


def test_texts_are_refused() -> None:
    """There is no straightforward conversion of them."""
    estimator = make_pipeline(CountVectorizer(), MultinomialNB()).fit(["good", "bad"], [1, 0])
    exact = LoadedEstimator(estimator)
    draft = draft_of(estimator, {})
    assert draft.rows is not None
    golden = encode_golden(draft.rows, {"predict": exact.call("predict", draft.rows, {})})
    assert "columns of text" in compile_version(exact, golden, draft.signature.as_dict()).report["reason"]


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the form is to be made, and when it is to be loaded on a host that lacks it."""
    estimator = RandomForestClassifier(2).fit(X, Y)
    monkeypatch.setattr(form, "INSTALLED", frozenset({"onnxruntime"}))
    exact, signature, made = _compiled(estimator, X)
    assert "the extra `fast`" in made.report["reason"]
    with pytest.raises(ModelUnloadable, match="the extra `fast`"):
        open_compiled(exact, signature)


def test_a_forest_with_too_many_nodes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its file would take more memory than the forest."""
    monkeypatch.setattr("registry.flavors.compiled.ensembles.MOST_NODES", 10)
    made = _compiled(RandomForestClassifier(4).fit(X, Y), X)[2]
    assert "at most 10 are compiled" in made.report["reason"]
