"""Trees and what is made of them: node tables that would crash or never end are refused, all fitted ones pass."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.cluster import BisectingKMeans, KMeans
from sklearn.datasets import make_classification
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from registry.flavors.refusals import Refused
from registry.flavors.soundness import require_sound
from tests.bitwise import same
from tests.walking import named, objects_of

pytestmark = pytest.mark.unit
X, Y = make_classification(200, 6, n_informative=4, n_classes=3, random_state=0)
Change = Callable[[Any], None]


def refused(model: Any) -> Refused:
    """Return why a model is refused."""
    with pytest.raises(Refused) as caught:
        require_sound(objects_of(model))
    return caught.value


def changed_nodes(estimator: Any, field: str, value: int) -> None:
    """Set a field of the root of an estimator's tree, as a crafted file would."""
    state = estimator.tree_.__getstate__()
    nodes = state["nodes"].copy()
    nodes[field][0] = value
    estimator.tree_.__setstate__({**state, "nodes": nodes, "values": state["values"].copy()})


def numpy_tree() -> DecisionTreeClassifier:
    """Return a fitted tree."""
    return DecisionTreeClassifier(random_state=0).fit(X, Y)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("left_child", 0),
        ("right_child", 0),
        ("left_child", 10**6),
        ("right_child", -7),
        ("left_child", -(2**63)),
        ("right_child", 2**63 - 1),
        ("feature", 6),
        ("feature", -2),
    ],
)
def test_a_tree_whose_node_leads_out_of_it_or_back_is_refused(field: str, value: int) -> None:
    """The root's child is itself, far outside or negative, or its feature doesn't exist."""
    model = numpy_tree()
    changed_nodes(model, field, value)
    refusal = refused(model)
    assert refusal.rule == "broken-tree"
    assert refusal.found["estimator"] == "sklearn.tree.Tree"


def test_a_tree_without_nodes_is_refused() -> None:
    """A tree that was never given its state has no root to start from."""
    model = numpy_tree()
    callable_tree, arguments, _ = model.tree_.__reduce__()
    model.tree_ = callable_tree(*arguments)
    assert refused(model).rule == "broken-tree"


def narrow(model: Any) -> None:
    """Let an estimator say that it takes fewer columns than its trees do."""
    model.n_features_in_ = 2


def without_width(model: Any) -> None:
    """Let an estimator not say how many columns it takes, so that it wouldn't look."""
    del model.n_features_in_


def with_foreign_tree(model: Any) -> None:
    """Replace one tree of an ensemble by one that was fitted on more columns."""
    wide = DecisionTreeRegressor(max_depth=2).fit(np.hstack([X, X]), Y)
    model.estimators_.flat[0] = wide if isinstance(model.estimators_, np.ndarray) else None


def with_foreign_member(model: Any) -> None:
    """Replace one tree of an ensemble by something else that predicts."""
    model.estimators_[0] = DummyRegressor().fit(X, Y)


@pytest.mark.parametrize("change", [narrow, without_width])
@pytest.mark.parametrize(
    "model",
    [
        DecisionTreeClassifier(),
        RandomForestClassifier(3),
        IsolationForest(n_estimators=3),
        IsolationForest(n_estimators=3, max_features=0.5),
        GradientBoostingClassifier(n_estimators=2),
        HistGradientBoostingClassifier(max_iter=2),
        KMeans(3, n_init=1),
        BisectingKMeans(3),
    ],
    ids=named,
)
def test_an_estimator_that_takes_other_columns_than_its_parts_is_refused(model: Any, change: Change) -> None:
    """Its input would be measured by a number that the native code never sees."""
    fitted = pickle.loads(pickle.dumps(model)).fit(X, Y)
    change(fitted)
    assert refused(fitted).rule in {"broken-tree", "broken-clusters"}


@pytest.mark.parametrize("model", [RandomForestRegressor(2), IsolationForest(n_estimators=2)], ids=named)
def test_a_forest_with_a_member_that_is_no_tree_is_refused(model: Any) -> None:
    """A forest hands its rows to its members unseen."""
    fitted = pickle.loads(pickle.dumps(model)).fit(X, Y)
    with_foreign_member(fitted)
    assert refused(fitted).rule == "broken-tree"


def test_gradient_boosting_with_a_wider_tree_is_refused() -> None:
    """All its trees read the same rows."""
    model = GradientBoostingClassifier(n_estimators=2).fit(X, Y)
    with_foreign_tree(model)
    assert refused(model).rule == "broken-tree"


def test_gradient_boosting_with_more_trees_in_a_round_than_outputs_is_refused() -> None:
    """The native code adds up each tree's answers in a column of its own."""
    model = GradientBoostingClassifier(n_estimators=2).fit(X, Y)
    model.estimators_ = np.hstack([model.estimators_, model.estimators_])
    assert refused(model).rule == "broken-tree"


def test_gradient_boosting_whose_first_guess_has_too_few_columns_raises_when_it_predicts() -> None:
    """What `init` answers shows only then, so the call itself is compared."""
    model = GradientBoostingRegressor(n_estimators=2).fit(X, Y)
    model.estimators_ = np.hstack([model.estimators_, model.estimators_])
    model.n_trees_per_iteration_ = 2
    require_sound(objects_of(model))
    with pytest.raises(ValueError, match="parts don't fit together"):
        model.predict(X)


def test_an_isolation_forest_with_other_column_choices_is_refused() -> None:
    """Each tree reads as many columns as were chosen for it."""
    model = IsolationForest(n_estimators=3, max_features=0.5).fit(X)
    model.estimators_features_[1] = np.array([0])
    assert refused(model).rule == "broken-tree"


def categorical_boosting() -> HistGradientBoostingRegressor:
    """Return histogram gradient boosting with a column of categories."""
    rows = np.column_stack([np.zeros(len(Y)), Y + 10.0])
    return HistGradientBoostingRegressor(max_iter=3, categorical_features=[1], min_samples_leaf=2).fit(rows, Y * 1.0)


def change_root(model: Any, field: str, value: float) -> None:
    """Set a field of the root of the first tree, which compares categories, as all roots of this model do."""
    model._predictors[0][0].nodes[field][0] = value


@pytest.mark.parametrize(
    ("field", "value"), [("left", 0), ("right", 10**6), ("feature_idx", 2), ("feature_idx", -1), ("feature_idx", 1), ("bitset_idx", 99)]
)
def test_histogram_boosting_whose_node_leads_out_of_it_or_back_is_refused(field: str, value: int) -> None:
    """A child, a column or a set of categories that doesn't exist, or categories of a column of numbers."""
    model = categorical_boosting()
    assert model._predictors[0][0].nodes["is_categorical"][0]
    change_root(model, field, value)
    assert refused(model).rule == "broken-tree"


@pytest.mark.parametrize(
    ("name", "value"),
    [("_in_fit", True), ("_bin_mapper", None), ("_predictors", [[None]]), ("_predictors", 7), ("n_features_in_", None)],
)
def test_histogram_boosting_with_odd_attributes_is_refused(name: str, value: Any) -> None:
    """Each would lead around the checks of its input."""
    model = categorical_boosting()
    setattr(model, name, value)
    assert refused(model).rule == "broken-tree"


def test_histogram_boosting_with_narrow_sets_of_categories_is_refused() -> None:
    """The native code takes each set to have eight words."""
    model = categorical_boosting()
    tree = model._predictors[0][0]
    tree.raw_left_cat_bitsets = np.ascontiguousarray(tree.raw_left_cat_bitsets[:, :1])
    assert refused(model).rule == "broken-tree"


def test_histogram_boosting_whose_preprocessor_drops_columns_raises_when_it_predicts() -> None:
    """What a preprocessor leaves shows only then, so the call itself is compared."""
    model = categorical_boosting()
    model._preprocessor.transformers_[1] = ("numerical", "drop", model._preprocessor.transformers_[1][2])
    require_sound(objects_of(model))
    with pytest.raises(ValueError, match="parts don't fit together"):
        model.predict(np.column_stack([X[:, 0], Y + 10.0]))


def test_bisecting_clusters_whose_tree_leads_back_is_refused() -> None:
    """Prediction would go round in it until the stack overflows."""
    model = BisectingKMeans(4, random_state=0).fit(X)
    root = model._bisecting_tree
    root.left.left = root.left.right = root
    assert refused(model).rule == "broken-clusters"


def test_bisecting_clusters_with_a_narrow_centre_is_refused() -> None:
    """The native code reads each centre as wide as the input."""
    model = BisectingKMeans(4, random_state=0).fit(X)
    model._bisecting_tree.left.center = np.zeros(1)
    assert refused(model).rule == "broken-clusters"


GAPS = np.where(np.random.default_rng(0).random(X.shape) < 0.1, np.nan, X)


CASES = [
    (DecisionTreeClassifier(max_leaf_nodes=9), X, Y),
    (DecisionTreeClassifier(ccp_alpha=0.01), X, Y),
    (DecisionTreeRegressor(max_leaf_nodes=9, ccp_alpha=0.01), GAPS, Y),
    (DecisionTreeRegressor(), X.astype(np.float32), np.column_stack([Y, X[:, 0]])),
    (DecisionTreeRegressor(), np.zeros((5, 2)), np.zeros(5)),
    (RandomForestClassifier(40, oob_score=True, n_jobs=2), GAPS, Y),
    (RandomForestClassifier(5, max_leaf_nodes=7, monotonic_cst=[1, 0, 0, 0, 0, 0]), X, Y > 0),
    (RandomForestRegressor(5, warm_start=True, ccp_alpha=0.01), X, np.column_stack([Y, Y])),
    (GradientBoostingClassifier(n_estimators=5, subsample=0.5, random_state=np.random.RandomState(1)), X, Y),
    (GradientBoostingClassifier(n_estimators=5, init="zero", max_leaf_nodes=4), X, Y),
    (GradientBoostingRegressor(n_estimators=5, init=RandomForestRegressor(2), loss="huber"), X, X[:, 0]),
    (HistGradientBoostingClassifier(max_iter=4), GAPS, Y),
    (HistGradientBoostingRegressor(max_iter=4, monotonic_cst=[1, 0, 0, 0, 0, 0], loss="quantile", quantile=0.5), X, X[:, 0]),
    (HistGradientBoostingClassifier(max_iter=4, categorical_features=[0]), np.round(np.abs(GAPS)), Y),
    (IsolationForest(n_estimators=5, max_features=3, max_samples=20), X, Y),
]


@pytest.mark.parametrize(
    ("model", "rows", "targets"), CASES, ids=[f"{number}-{type(case[0]).__name__}" for number, case in enumerate(CASES)]
)
def test_what_fitting_builds_passes_and_answers_as_before(model: Any, rows: Any, targets: Any) -> None:
    """Best-first, pruned, constrained, with gaps, several outputs, and with random state that prediction doesn't need."""
    fitted = pickle.dumps(pickle.loads(pickle.dumps(model)).fit(rows, targets))
    checked, untouched = pickle.loads(fitted), pickle.loads(fitted)
    require_sound(objects_of(checked))
    assert same(checked.predict(rows), untouched.predict(rows))
    assert getattr(checked, "n_jobs", None) is None
