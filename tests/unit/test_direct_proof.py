"""Which direct forms are used: those that were proven on trial rows, and none whose parts don't fit together."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from registry import flavors, frames
from registry.errors import PredictionFailed
from registry.flavors import quiet, sklearn
from registry.flavors.direct import joined, proving
from registry.flavors.direct.form import Array, Form
from registry.flavors.direct.joined import sum_in_order
from registry.flavors.direct.table import BUILDERS, form_of
from registry.flavors.sklearn import LoadedEstimator
from registry.flavors.trial_rows import trial_rows
from tests.fixture_models import dump

pytestmark = pytest.mark.unit
X, Y = make_classification(120, 5, n_informative=4, n_redundant=0, n_classes=3, random_state=0)
ROWS = frames.Matrix(X[:5].copy())
BUDGET_BYTES = 64 << 20


def forest() -> RandomForestClassifier:
    """Return a small forest."""
    return RandomForestClassifier(5, random_state=0).fit(X, Y)


def found_form(estimator: Any) -> str:
    """Return by what an estimator is computed once its form was looked for."""
    loaded = LoadedEstimator(estimator)
    loaded.find_form(ROWS)
    return loaded.form


def broken(change: Callable[[Array], Array], methods: tuple[str, ...]) -> Callable[[Any], Form | None]:
    """Return a builder of forms whose answers are changed in these methods."""

    def build(estimator: Any) -> Form | None:
        form = form_of(estimator)
        assert form is not None
        wrong = {name: lambda rows, work=form.methods[name]: change(work(rows)) for name in methods}  # type: ignore[misc]
        return replace(form, methods={**form.methods, **wrong})

    return build


CHANGES: dict[str, Callable[[Array], Array]] = {
    "one unit in the last place": lambda answer: np.nextafter(answer, 2),
    "another type": lambda answer: answer.astype(np.float32),
    "another shape": lambda answer: answer.reshape(-1),
    "a row less": lambda answer: answer[1:],
    "only in the last row": lambda answer: np.where(np.arange(len(answer))[:, None] == 60, answer + 1e-16, answer),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_form_that_differs_in_one_method_isnt_used(monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    """However little: then the estimator computes all methods."""
    monkeypatch.setattr(proving, "form_of", broken(CHANGES[change], ("predict_proba",)))
    assert found_form(forest()) == "estimator"


def test_a_form_that_differs_for_many_rows_only_isnt_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each way between which a form chooses by the number of rows is tried by itself."""

    def build(estimator: Any) -> Form | None:
        form = form_of(estimator)
        assert form is not None
        return replace(form, ways=(*form.ways[:-1], ("predict_proba", lambda rows: np.zeros((len(rows), 3)))))

    assert found_form(forest()) == "direct"
    monkeypatch.setattr(proving, "form_of", build)
    assert found_form(forest()) == "estimator"


def test_a_form_that_isnt_sure_of_the_trial_rows_or_raises_isnt_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """What can't be compared isn't proven."""
    form = form_of(forest())
    assert form is not None
    for work in (lambda _: None, lambda rows: rows[1_000]):
        monkeypatch.setattr(proving, "form_of", lambda _, work=work: replace(form, methods={"predict": work}))
        assert found_form(forest()) == "estimator"


def test_a_load_finds_the_form_from_the_golden_rows_and_without_them_none() -> None:
    """As a worker does it; admission tries it, too, and records the same answers."""
    blob = dump(forest())
    golden = flavors.admit(io.BytesIO(blob), {}).golden
    assert golden is not None
    loaded = sklearn.load(io.BytesIO(blob), BUDGET_BYTES)
    assert loaded.form == "estimator"
    flavors.find_form(loaded, None)
    assert loaded.form == "estimator"
    flavors.find_form(loaded, golden)
    assert loaded.form == "direct"
    flavors.replay(loaded, golden)


def test_trial_rows_are_always_the_same_and_lie_on_thresholds() -> None:
    """Of the same kind and type as the golden rows, which come first."""
    one, other = trial_rows(forest(), ROWS, 20), trial_rows(forest(), ROWS, 20)
    assert [rows.rows for rows in one] == [5, 20, 20]
    assert all(np.array_equal(a.array, b.array) for a, b in zip(one, other, strict=True))  # type: ignore[union-attr]
    thresholds = np.concatenate([tree.tree_.threshold for tree in forest().estimators_])
    assert np.isin(one[2].array, thresholds).sum() > 15  # type: ignore[union-attr]
    assert not np.isin(one[1].array, thresholds).any()  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["int64", "bool", "float64"])
def test_trial_rows_have_the_types_of_the_golden_rows(kind: str) -> None:
    """Missing values only where they are allowed, and only where a type has them."""
    rows = trial_rows(Ridge().fit(X, Y), frames.Matrix(X.astype(kind)), 30, missing=[1])
    assert all(isinstance(one, frames.Matrix) and one.array.dtype == kind for one in rows)
    drawn = rows[1].array.astype(float)  # type: ignore[union-attr]
    assert np.isnan(drawn).any(axis=0).tolist() == [False, kind == "float64", False, False, False]


def test_trial_rows_of_a_table_are_made_of_what_it_shows() -> None:
    """Texts are drawn from those that were shown, and a text model has its golden rows alone."""
    table = frames.Table(("n", "t"), (np.array([1.0, 2.0]), ["a", "b"]))
    golden, drawn = trial_rows(Ridge().fit(X, Y), table, 40, missing=[1])
    assert golden is table
    assert isinstance(drawn, frames.Table)
    assert set(drawn.columns[1]) == {"a", "b", None}
    assert trial_rows(None, frames.Texts(["a"])) == [frames.Texts(["a"])]


def _with(estimator: Any, **state: Any) -> Any:
    estimator.__dict__.update(state)
    return estimator


def _forest_with_a_regressor() -> Any:
    model = forest()
    model.estimators_[2] = RandomForestRegressor(1, random_state=0).fit(X, Y).estimators_[0]
    return model


def _histogram(**state: Any) -> Any:
    return _with(HistGradientBoostingClassifier(max_iter=3).fit(X, Y), **state)


def _uneven_rounds() -> Any:
    model = HistGradientBoostingClassifier(max_iter=3).fit(X, Y)
    model._predictors[1] = model._predictors[1][:1]
    return model


def _logistic(**state: Any) -> Any:
    return _with(LogisticRegression(max_iter=400).fit(X, Y), **state)


INCONSISTENT: dict[str, Callable[[], Any]] = {
    "coefficients of another width": lambda: _logistic(coef_=np.ones((3, 4))),
    "fewer classes than scores": lambda: _logistic(classes_=np.array([0])),
    "classes that are no array": lambda: _logistic(classes_=[0, 1, 2]),
    "an intercept for each column": lambda: _logistic(intercept_=np.ones(5)),
    "another width": lambda: _logistic(n_features_in_=7),
    "a forest with another kind of tree": _forest_with_a_regressor,
    "a forest of more classes": lambda: _with(forest(), n_classes_=4),
    "a forest of another width": lambda: _with(forest(), n_features_in_=4),
    "a forest without trees": lambda: _with(forest(), estimators_=[]),
    "rounds of different lengths": _uneven_rounds,
    "a baseline for other outputs": lambda: _histogram(_baseline_prediction=np.zeros((1, 2))),
    "more trees for each round than there are": lambda: _histogram(n_trees_per_iteration_=4),
    "a loss of one's own": lambda: _histogram(_loss=Ridge()),
    "a start that is drawn": lambda: _with(
        GradientBoostingClassifier(n_estimators=3).fit(X, Y), init_=DummyClassifier(strategy="stratified").fit(X, Y)
    ),
    "a scaler of another width": lambda: _with(
        make_pipeline(StandardScaler(), Ridge()).fit(X, Y), steps=[("a", StandardScaler().fit(X[:, :4])), ("b", Ridge().fit(X, Y))]
    ),
    "path lengths of another tree": lambda: _with(
        IsolationForest(n_estimators=2).fit(X), _decision_path_lengths=[np.zeros(1), np.zeros(1)]
    ),
}


@pytest.mark.parametrize("name", INCONSISTENT)
def test_parts_that_dont_fit_together_have_no_form(name: str) -> None:
    """What a crafted file may hold and the object check lets pass is left to the estimator, and nothing crashes."""
    loaded = LoadedEstimator(INCONSISTENT[name]())
    loaded.find_form(ROWS)
    assert loaded.form == "estimator"
    with suppress(PredictionFailed):
        loaded.call("predict", ROWS, {})
    assert form_of(_with(make_pipeline(Ridge()).fit(X, Y), steps=[Ridge()])) is None


def test_too_large_a_forest_is_walked_tree_by_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table of all trees comes on top of what the model itself takes."""
    monkeypatch.setattr(joined, "MOST_TABLE_BYTES", 1000)
    form = form_of(forest())
    assert form is not None
    assert len(form.ways) == 1
    assert found_form(forest()) == "direct"
    assert found_form(HistGradientBoostingClassifier(max_iter=3).fit(X, Y)) == "estimator"


def test_sums_are_made_in_order_and_never_negative_zero() -> None:
    """Whatever the number of columns, as adding one after the other to zeros does it."""
    random = np.random.default_rng(0)
    for columns in (1, 2, 3, 16):
        parts = random.standard_normal((300, columns)) * 10.0 ** random.integers(-8, 8, (300, columns))
        wanted = np.zeros(columns)
        for part in parts:
            wanted += part
        assert sum_in_order(parts).tobytes() == wanted.tobytes()
        assert not np.signbit(sum_in_order(np.full((3, columns), -0.0))).any()


def test_a_single_pass_through_all_trees_needs_rows_of_their_width() -> None:
    """What is in front of compiled code compares sizes itself."""
    trees = joined.JoinedTrees([tree.tree_ for tree in forest().estimators_], 5)
    with pytest.raises(ValueError, match="another number of columns"):
        trees.values(X[:, :4].astype(np.float32))
    tables = [tree.nodes for trees in HistGradientBoostingClassifier(max_iter=2).fit(X, Y)._predictors for tree in trees]
    with pytest.raises(ValueError, match="room for a value"):
        joined.JoinedPredictors(tables, 5).values(X, np.zeros(7))


def test_every_listed_class_is_exactly_one_of_scikit_learn() -> None:
    """A class is listed by itself; none of an operator's and none of ours."""
    assert all(kind.__module__.startswith("sklearn.") for kind in BUILDERS)


def test_a_process_made_quiet_for_good_stays_so_only_while_its_filter_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where somebody sets another filter, calls are quietened one by one again."""
    monkeypatch.setattr(quiet, "_for_good", [object()])
    (part,) = LoadedEstimator(forest()).call("predict_log_proba", ROWS, {}).parts
    assert np.isneginf(np.asarray(part)).any()
