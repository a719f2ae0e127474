"""Direct forms answer what their estimators answer, bit for bit, and leave to them whatever these might refuse."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import clone, discriminant_analysis, ensemble, linear_model, svm, tree
from sklearn.datasets import make_classification
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

from registry import frames
from registry.errors import PredictionFailed
from registry.flavors.direct.proving import same_bits
from registry.flavors.sklearn import METHODS, LoadedEstimator
from registry.flavors.trial_rows import trial_rows

pytestmark = pytest.mark.unit
X, Y = make_classification(160, 6, n_informative=4, n_classes=3, random_state=0)
TWO, WORDS = (Y > 0).astype(int), np.array(["ant", "bee", "cat"])[Y]
NUMBERS, PAIRS = X @ np.arange(6.0) + Y, np.column_stack([X[:, 0] * 2, X[:, 1] - Y])
GAPS = np.where(np.random.default_rng(0).random(X.shape) < 1 / 8, np.nan, X)
SHORT = {"n_estimators": 9, "random_state": 0}

MODELS: dict[str, Callable[[], Any]] = {
    "logistic": lambda: linear_model.LogisticRegression(max_iter=400).fit(X, Y),
    "logistic of two": lambda: linear_model.LogisticRegression().fit(X, TWO),
    "logistic of words": lambda: linear_model.LogisticRegression(max_iter=400).fit(X, WORDS),
    "logistic of objects": lambda: linear_model.LogisticRegression(max_iter=400).fit(X, WORDS.astype(object)),
    "logistic without intercept": lambda: linear_model.LogisticRegression(fit_intercept=False).fit(X, TWO),
    "logistic of single precision": lambda: linear_model.LogisticRegression().fit(X.astype(np.float32), TWO),
    "linear": lambda: linear_model.LinearRegression().fit(X, NUMBERS),
    "linear of two targets": lambda: linear_model.LinearRegression().fit(X, PAIRS),
    "ridge": lambda: linear_model.Ridge(fit_intercept=False).fit(X, NUMBERS),
    "lasso": lambda: linear_model.Lasso().fit(X, NUMBERS),
    "elastic net": lambda: linear_model.ElasticNetCV(cv=2).fit(X, NUMBERS),
    "bayesian ridge": lambda: linear_model.BayesianRidge().fit(X, NUMBERS),
    "huber": lambda: linear_model.HuberRegressor().fit(X, NUMBERS),
    "several tasks": lambda: linear_model.MultiTaskLasso().fit(X, PAIRS),
    "stochastic": lambda: linear_model.SGDClassifier(loss="log_loss", random_state=0).fit(X, Y),
    "stochastic without probabilities": lambda: linear_model.SGDClassifier(random_state=0).fit(X, TWO),
    "stochastic regressor": lambda: linear_model.SGDRegressor(random_state=0).fit(X, NUMBERS),
    "perceptron": lambda: linear_model.Perceptron(random_state=0).fit(X, Y),
    "ridge classifier": lambda: linear_model.RidgeClassifier().fit(X, Y),
    "support vectors": lambda: svm.LinearSVC(random_state=0).fit(X, Y),
    "support vector regressor": lambda: svm.LinearSVR(random_state=0).fit(X, NUMBERS),
    "discriminant": lambda: discriminant_analysis.LinearDiscriminantAnalysis().fit(X, Y),
    "discriminant of two": lambda: discriminant_analysis.LinearDiscriminantAnalysis().fit(X, TWO),
    "tree": lambda: tree.DecisionTreeClassifier(random_state=0).fit(X, WORDS),
    "tree with gaps": lambda: tree.DecisionTreeClassifier(random_state=0).fit(GAPS, Y),
    "tree regressor": lambda: tree.DecisionTreeRegressor(random_state=0).fit(X, NUMBERS),
    "extra tree": lambda: tree.ExtraTreeClassifier(random_state=0).fit(X, Y),
    "forest": lambda: ensemble.RandomForestClassifier(**SHORT, n_jobs=-1).fit(X, Y),
    "forest of one tree": lambda: ensemble.RandomForestClassifier(1, random_state=0).fit(X, WORDS),
    "forest with gaps": lambda: ensemble.RandomForestClassifier(**SHORT).fit(GAPS, Y),
    "forest regressor": lambda: ensemble.RandomForestRegressor(**SHORT).fit(X, NUMBERS),
    "forest regressor of two targets": lambda: ensemble.RandomForestRegressor(**SHORT).fit(X, PAIRS),
    "extra trees": lambda: ensemble.ExtraTreesClassifier(**SHORT).fit(X, TWO),
    "isolation forest": lambda: ensemble.IsolationForest(**SHORT).fit(X),
    "boosting": lambda: ensemble.GradientBoostingClassifier(**SHORT).fit(X, Y),
    "boosting of two": lambda: ensemble.GradientBoostingClassifier(**SHORT, loss="exponential").fit(X, TWO),
    "boosting from zero": lambda: ensemble.GradientBoostingClassifier(**SHORT, init="zero").fit(X, TWO),
    "boosting regressor": lambda: ensemble.GradientBoostingRegressor(**SHORT).fit(X, NUMBERS),
    "histogram boosting": lambda: ensemble.HistGradientBoostingClassifier(max_iter=7).fit(GAPS, WORDS),
    "histogram boosting of two": lambda: ensemble.HistGradientBoostingClassifier(max_iter=7).fit(X, TWO),
    "histogram boosting regressor": lambda: ensemble.HistGradientBoostingRegressor(max_iter=7, loss="poisson").fit(X, np.abs(NUMBERS)),
    "scaled": lambda: make_pipeline(StandardScaler(), linear_model.LogisticRegression()).fit(X, Y),
    "scaled by ranges": lambda: make_pipeline(MinMaxScaler(), "passthrough", linear_model.Ridge()).fit(X, NUMBERS),
    "scaled robustly": lambda: make_pipeline(RobustScaler(), MaxAbsScaler(), svm.LinearSVC(random_state=0)).fit(X, Y),
    "imputed": lambda: make_pipeline(SimpleImputer(), StandardScaler(), linear_model.LogisticRegression()).fit(GAPS, Y),
    "imputed forest": lambda: make_pipeline(SimpleImputer(strategy="median"), ensemble.RandomForestClassifier(**SHORT)).fit(GAPS, Y),
    "searched": lambda: GridSearchCV(linear_model.Ridge(), {"alpha": [1.0]}, cv=2).fit(X, NUMBERS),
}
#: One of each kind of form.
KINDS = (
    "logistic",
    "linear of two targets",
    "tree",
    "forest",
    "forest with gaps",
    "forest regressor",
    "isolation forest",
    "boosting",
    "histogram boosting",
    "histogram boosting regressor",
    "scaled by ranges",
    "imputed",
)
#: Some of those, fitted on a data frame.
FRAMED = ("logistic", "linear of two targets", "forest", "histogram boosting", "imputed")


@cache
def fitted(name: str) -> Any:
    """Return a fitted model; the same one in each test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return MODELS[name]()


def direct(estimator: Any) -> LoadedEstimator:
    """Return an estimator that is computed by its direct form."""
    loaded = LoadedEstimator(estimator)
    loaded.find_form(frames.Matrix(X[:5].copy()))
    assert loaded.form == "direct"
    return loaded


@cache
def direct_one(name: str) -> LoadedEstimator:
    """Return a fitted model that is computed by its direct form; the same one in each test."""
    return direct(fitted(name))


def own_answer(estimator: Any, method: str, rows: Any) -> Any:
    """Return what the estimator itself answers."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return getattr(estimator, method)(rows)


def require_equal(loaded: LoadedEstimator, rows: Any, given: Any) -> None:
    """Compare what each method answers to `rows` with what the estimator answers to `given`, which are the same."""
    methods = [method for method in METHODS if callable(getattr(loaded.estimator, method, None))]
    assert methods
    for method in methods:
        (part,) = loaded.call(method, frames.Matrix(rows), {}).parts
        wanted = own_answer(loaded.estimator, method, given)
        assert part == wanted.tolist() if isinstance(part, list) else same_bits(np.asarray(part), np.ascontiguousarray(wanted)), method


@pytest.mark.parametrize("name", MODELS)
def test_every_method_gives_the_estimators_own_bits(name: str) -> None:
    """For one row, for few, and for as many as are walked tree by tree."""
    for count in (1, 2, 7, 160):
        rows = X[:count].copy()
        require_equal(direct_one(name), rows, rows)


@pytest.mark.parametrize("name", [name for name in MODELS if "forest" in name or "boosting" in name or "tree" in name])
def test_rows_on_and_next_to_thresholds_go_the_same_way(name: str) -> None:
    """Also those where a value as a float32 lies on the other side than as a float64."""
    rows = np.concatenate([one.array for one in trial_rows(fitted(name), frames.Matrix(X), 200)])
    require_equal(direct_one(name), rows, rows)


@pytest.mark.parametrize("name", [name for name in MODELS if "gaps" in name or "imputed" in name or name == "histogram boosting"])
def test_missing_values_go_the_same_way(name: str) -> None:
    """Where the estimator takes them, the direct form does, too."""
    loaded = direct_one(name)
    assert loaded._direct is not None
    assert loaded._direct.answer("predict", GAPS) is not None
    require_equal(loaded, GAPS, GAPS)


@pytest.mark.parametrize("name", FRAMED)
def test_a_model_fitted_on_a_data_frame_needs_none(name: str) -> None:
    """The array has the memory order that a data frame's numbers have."""
    frame = pd.DataFrame({column: X[:, place] for place, column in enumerate("abcdef")})
    named = clone(fitted(name)).fit(frame, PAIRS if "targets" in name else Y)
    loaded = direct(named)
    for count in (1, 3, 160):
        require_equal(loaded, X[:count].copy(), frame[:count].copy())


@pytest.mark.parametrize("kind", ["int64", "bool", "float32"])
@pytest.mark.parametrize("name", ["logistic", "ridge", "forest", "histogram boosting of two", "boosting", "scaled"])
def test_rows_of_another_type_are_converted_as_the_estimator_does(name: str, kind: str) -> None:
    """Whether by the direct form or by the estimator itself."""
    rows = (X * 10).astype(kind)
    loaded = LoadedEstimator(fitted(name))
    loaded.find_form(frames.Matrix(rows[:5]))
    require_equal(loaded, rows, rows)


BAD_ROWS = {
    "too few columns": X[:3, :5],
    "too many columns": np.column_stack([X, X])[:3],
    "no rows": X[:0],
    "missing": np.full((2, 6), np.nan),
    "infinite": np.where(np.eye(6, dtype=bool), np.inf, X[:6]),
    "infinite in both directions": np.where(np.eye(6, dtype=bool), [np.inf, -np.inf] * 3, X[:6]),
    "too large for single precision": X[:3] * 1e300,
    "nearly too large": X[:3] * 1e160,
}


@pytest.mark.parametrize("name", KINDS)
def test_what_the_estimator_refuses_is_refused_with_its_own_error(name: str) -> None:
    """And what it takes is answered as it does."""
    loaded = direct_one(name)
    for bad in BAD_ROWS.values():
        rows = np.ascontiguousarray(bad)
        wanted = refusal(lambda rows=rows: own_answer(loaded.estimator, "predict", rows))
        found = refusal(lambda rows=rows: loaded.call("predict", frames.Matrix(rows), {}))
        if wanted is None:
            require_equal(loaded, rows, rows)
        else:
            assert isinstance(found, PredictionFailed)
            assert repr(found.__cause__) == repr(wanted)


def refusal(work: Callable[[], Any]) -> Exception | None:
    """Return what a call raises, or None."""
    try:
        work()
    except (ValueError, PredictionFailed) as error:
        return error
    return None


def test_rows_that_came_in_a_frame_are_read_where_they_are() -> None:
    """Read-only and at an odd address, as a message leaves them."""
    travelled = frames.decode_inputs(frames.encode_inputs(frames.Matrix(X[:3].copy())))
    assert isinstance(travelled, frames.Matrix)
    shifted = np.frombuffer(b"x" + X[:3].tobytes(), np.float64, offset=1).reshape(3, 6)
    for name in ("logistic", "forest", "histogram boosting", "scaled"):
        loaded = direct_one(name)
        assert loaded._direct is not None
        for rows in (travelled.array, shifted):
            answer = loaded._direct.answer("predict", rows)
            assert same_bits(answer, loaded.estimator.predict(X[:3]))


def test_warnings_of_a_direct_form_reach_nobody() -> None:
    """The logarithm of a probability of 0 is the estimator's own answer, and no warning where warnings are errors."""
    (part,) = direct(fitted("tree")).call("predict_log_proba", frames.Matrix(X[:5].copy()), {}).parts
    assert isinstance(part, np.ndarray)
    assert np.isneginf(part).any()


def test_other_estimators_and_other_inputs_stay_as_they_are() -> None:
    """A class that isn't in the table, one derived from one that is, categories, and texts."""

    class Derived(linear_model.Ridge):
        """A class that may do anything."""

    frame = pd.DataFrame({"a": X[:, 0], "b": pd.Categorical(WORDS)})
    for estimator in (
        svm.SVC().fit(X, Y),
        Derived().fit(X, NUMBERS),
        make_pipeline(MinMaxScaler(clip=True), linear_model.Ridge()).fit(X, NUMBERS),
        make_pipeline(StandardScaler().set_output(transform="pandas"), linear_model.Ridge()).fit(X, NUMBERS),
        ensemble.HistGradientBoostingClassifier(max_iter=3, categorical_features=[0]).fit(np.abs(np.trunc(X)), Y),
        ensemble.RandomForestClassifier(3).fit(X, np.column_stack([Y, Y])),
        ensemble.GradientBoostingRegressor(n_estimators=3, init=linear_model.Ridge()).fit(X, NUMBERS),
    ):
        loaded = LoadedEstimator(estimator)
        loaded.find_form(frames.Matrix(X[:5].copy()))
        assert loaded.form == "estimator"
    mixed = LoadedEstimator(ensemble.HistGradientBoostingClassifier(max_iter=3, categorical_features="from_dtype").fit(frame, Y))
    mixed.find_form(frames.Table(("a", "b"), (X[:5, 0].copy(), WORDS[:5].tolist())))
    assert mixed.form == "estimator"
