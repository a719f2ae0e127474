"""Neighbours, support vectors, sparse matrices, encoders, splines and random numbers: sizes and indices that don't fit are refused."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from sklearn.cluster import Birch
from sklearn.covariance import EllipticEnvelope, EmpiricalCovariance
from sklearn.impute import KNNImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import DistanceMetric
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import (
    BallTree,
    KDTree,
    KernelDensity,
    KNeighborsClassifier,
    KNeighborsRegressor,
    LocalOutlierFactor,
    NearestNeighbors,
    RadiusNeighborsClassifier,
)
from sklearn.preprocessing import MultiLabelBinarizer, OneHotEncoder, SplineTransformer
from sklearn.svm import SVC, SVR, NuSVC, OneClassSVM

from registry.flavors.refusals import Refused
from registry.flavors.soundness import require_sound
from registry.flavors.soundness.neighbours import rebuilt_metric_state, rebuilt_tree
from tests.bitwise import same
from tests.walking import named, objects_of

pytestmark = pytest.mark.unit
RANDOM = np.random.default_rng(3)
X = RANDOM.normal(size=(90, 4))
Y = RANDOM.integers(0, 3, 90)
METRICS = [
    ("euclidean", {}),
    ("manhattan", {}),
    ("chebyshev", {}),
    ("minkowski", {"p": 3}),
    ("minkowski", {"p": 3, "w": np.arange(1.0, 5.0)}),
]
BALL_METRICS = [*METRICS, ("seuclidean", {"V": np.arange(1.0, 5.0)}), ("mahalanobis", {"VI": np.eye(4) + 1}), ("canberra", {})]
NUMBER_OF_STATE = {"points": 0, "leaf_size": 4, "metric": 11, "weights": 12}


def rule_of(model: Any) -> str:
    """Return the rule by which a model is refused."""
    with pytest.raises(Refused) as caught:
        require_sound(objects_of(model))
    assert "sklearn" in caught.value.found["estimator"] or "scipy" in caught.value.found["estimator"] or "numpy" in str(caught.value.found)
    return caught.value.rule


@pytest.mark.parametrize(
    ("cls", "metric", "settings"), [*((KDTree, *metric) for metric in METRICS), *((BallTree, *metric) for metric in BALL_METRICS)]
)
@pytest.mark.parametrize("weights", [None, np.arange(1.0, 91.0)], ids=["plain", "weighted"])
def test_a_rebuilt_search_tree_is_the_same_to_the_last_bit(cls: Any, metric: str, settings: dict[str, Any], weights: Any) -> None:
    """Its order, nodes and bounds follow from its points alone."""
    tree = cls(X, leaf_size=7, metric=metric, sample_weight=weights, **settings)
    state = tree.__getstate__()
    rebuilt = rebuilt_tree(cls, state)
    assert [type(part) for part in rebuilt] == [type(part) for part in state]
    assert all(same(np.asarray(old), np.asarray(new)) for old, new in zip(state[:4], rebuilt[:4], strict=True))
    assert same(state[11].__getstate__(), rebuilt[11].__getstate__())
    assert same(state[12], rebuilt[12])
    assert rebuilt[11] is not state[11]


@pytest.mark.parametrize("cls", [KDTree, BallTree])
def test_a_search_tree_that_was_never_given_points_is_refused(cls: Any) -> None:
    """It has room for one number, and native code would look for more."""
    assert rule_of(cls.__new__(cls)) == "broken-neighbours"


def test_crafted_indices_of_a_search_tree_are_thrown_away() -> None:
    """They would be read far outside the points."""
    state = list(KDTree(X).__getstate__())
    good, state[1] = state[1], np.full(90, 10**9)
    assert same(rebuilt_tree(KDTree, tuple(state))[1], good)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("points", np.full((3, 4), np.nan)),
        ("points", np.zeros((0, 4))),
        ("points", np.zeros(4)),
        ("points", [[1.0]]),
        ("leaf_size", 0),
        ("leaf_size", 2.5),
        ("metric", "euclidean"),
        ("metric", DistanceMetric.get_metric("seuclidean", V=np.ones(3))),
        ("metric", DistanceMetric.get_metric("haversine")),
        ("metric", DistanceMetric.get_metric("pyfunc", func=max)),
        ("weights", np.ones(3)),
        ("weights", "heavy"),
    ],
    ids=named,
)
def test_a_search_tree_with_odd_parts_is_refused(part: str, value: Any) -> None:
    """Points that aren't finite numbers, and a metric or weights that don't fit them."""
    state = list(BallTree(X).__getstate__())
    state[NUMBER_OF_STATE[part]] = value
    with pytest.raises(Refused) as caught:
        rebuilt_tree(BallTree, tuple(state))
    assert caught.value.rule in {"broken-neighbours", "callable-not-allowed"}


@pytest.mark.parametrize(
    "state",
    [None, (), (2.0, np.ones(2)), (-1.0, np.ones(2), np.eye(2)), (2.0, np.array([np.inf]), np.eye(1)), (2.0, [1.0], np.eye(1))],
    ids=named,
)
def test_a_metric_with_odd_parts_is_refused(state: Any) -> None:
    """Its sizes are taken on trust by native code."""
    with pytest.raises(Refused, match="metrics"):
        rebuilt_metric_state(type(DistanceMetric.get_metric("seuclidean", V=np.ones(2))), state)


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("n_samples_fit_", 10**6, "broken-neighbours"),
        ("_fit_X", np.zeros((90, 2)), "broken-neighbours"),
        ("_fit_X", None, "broken-neighbours"),
        ("_y", np.full(90, 3), "broken-neighbours"),
        ("_y", np.zeros(3, int), "broken-neighbours"),
        ("_y", np.zeros(90), "broken-neighbours"),
        ("_tree", KDTree(X[:9]), "broken-neighbours"),
        ("_tree", "oak", "broken-neighbours"),
        ("metric", max, "callable-not-allowed"),
        ("effective_metric_", DistanceMetric.get_metric("euclidean"), "callable-not-allowed"),
        ("weights", max, "callable-not-allowed"),
        ("metric_params", {"func": max}, "callable-not-allowed"),
    ],
    ids=named,
)
@pytest.mark.parametrize("cls", [KNeighborsClassifier, RadiusNeighborsClassifier])
def test_neighbours_with_odd_attributes_are_refused(cls: Any, name: str, value: Any, rule: str) -> None:
    """Labels, counts and points that don't belong together, and functions."""
    model = cls(algorithm="brute").fit(X, Y)
    setattr(model, name, value)
    assert rule_of(model) == rule


def test_a_density_over_other_points_is_refused() -> None:
    """Its tree reads rows as wide as its own points."""
    model = KernelDensity().fit(X)
    model.tree_ = KDTree(X[:, :2])
    assert rule_of(model) == "broken-neighbours"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("_n_support", np.array([1, 1, 1], np.int32)),
        ("_n_support", np.array([-50, 100, 40], np.int32)),
        ("_n_support", np.array([[1]], np.int32)),
        ("support_", np.arange(3, dtype=np.int32)),
        ("support_vectors_", np.zeros((2, 4))),
        ("support_vectors_", scipy.sparse.csr_matrix(np.zeros((2, 4)))),
        ("_dual_coef_", np.zeros((1, 90))),
        ("_intercept_", np.zeros(1)),
        ("_probA", np.zeros(1)),
        ("n_features_in_", 9),
        ("shape_fit_", None),
        ("_sparse", True),
        ("_impl", "epsilon_svr"),
    ],
    ids=named,
)
@pytest.mark.parametrize("cls", [SVC, NuSVC])
def test_a_support_vector_machine_with_sizes_that_do_not_fit_is_refused(cls: Any, name: str, value: Any) -> None:
    """Each size is taken on trust by libsvm."""
    model = cls(nu=0.2).fit(X, Y) if cls is NuSVC else cls().fit(X, Y)
    setattr(model, name, value)
    assert rule_of(model) == "broken-support-vectors"


def test_a_sparse_machine_that_promises_probabilities_without_scales_is_refused() -> None:
    """Native code would copy them from nowhere."""
    model = SVC().fit(scipy.sparse.csr_matrix(X), Y)
    require_sound(objects_of(model))
    model._effective_probability = True
    assert rule_of(model) == "broken-support-vectors"


def test_a_kernel_that_is_a_function_is_refused_with_advice() -> None:
    """It would be called for each prediction."""
    with pytest.raises(Refused, match="precomputed") as caught:
        require_sound(objects_of(SVC(kernel=max)))
    assert caught.value.as_found() == {"rule": "callable-not-allowed", "estimator": "sklearn.svm.SVC"}


def test_a_precomputed_kernel_with_a_support_vector_outside_is_refused() -> None:
    """It is the index into the row that a request sends."""
    model = SVC(kernel="precomputed").fit(X @ X.T, Y)
    require_sound(objects_of(model))
    model.support_[0] = 90
    assert rule_of(model) == "broken-support-vectors"


@pytest.mark.parametrize(
    "form", ["csr_matrix", "csr_array", "csc_matrix", "csc_array", "bsr_array", "coo_array", "coo_matrix", "dia_array"]
)
def test_sparse_matrices_of_scipy_pass_unchanged(form: str) -> None:
    """Also an empty one."""
    for dense in (np.eye(4, 6, 1), np.zeros((0, 3)), np.zeros((3, 5))):
        matrix = getattr(scipy.sparse, form)(dense)
        require_sound([matrix])
        assert same(matrix.toarray(), dense)


@pytest.mark.parametrize(
    ("form", "name", "value"),
    [
        ("csr_matrix", "indices", np.array([0, 1, 9], np.int32)),
        ("csr_matrix", "indices", np.array([0, 1, -1], np.int32)),
        ("csr_matrix", "indices", np.array([0.0, 1, 2])),
        ("csr_matrix", "indices", [0, 1, 2]),
        ("csr_matrix", "indptr", np.array([0, 2, 1, 3], np.int32)),
        ("csr_matrix", "indptr", np.array([0, 1, 2, 99], np.int32)),
        ("csr_matrix", "indptr", np.array([0, 3], np.int32)),
        ("csr_matrix", "data", np.array([None] * 3)),
        ("csr_matrix", "_shape", (3,)),
        ("csr_matrix", "_shape", (3, 2)),
        ("csr_matrix", "_shape", None),
        ("csr_array", "_shape", (3, -3)),
        ("csc_array", "_shape", (2, 3)),
        ("csc_matrix", "indices", np.array([0, 1, 2])),
        ("bsr_array", "_shape", (3, 2)),
        ("bsr_array", "data", np.zeros((3, 0, 1))),
        ("coo_array", "coords", (np.array([0, 1, 5], np.int32), np.array([0, 1, 2], np.int32))),
        ("coo_array", "coords", (np.array([0, 1, 2], np.int32),)),
        ("dia_array", "offsets", np.array([2**31 - 1], np.int32)),
        ("dia_array", "offsets", np.array([0, 1], np.int32)),
    ],
    ids=named,
)
def test_a_sparse_matrix_that_points_outside_itself_is_refused(form: str, name: str, value: Any) -> None:
    """Native code would read or write there."""
    matrix = getattr(scipy.sparse, form)(np.eye(3))
    vars(matrix)[name] = value
    assert rule_of(matrix) == "broken-sparse-matrix"


def test_forms_made_for_building_a_matrix_are_refused_with_advice() -> None:
    """They are lists and dicts, slow to judge and never what a fitted model keeps."""
    with pytest.raises(Refused, match="tocsr"):
        require_sound([scipy.sparse.lil_array(np.eye(2))])


CITIES = np.array([["Bonn", "a"], ["Oslo", "b"], ["Bonn", "c"], ["Rome", "c"]], dtype=object)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("_n_features_outs", [7, 7]),
        ("_n_features_outs", (2, 2)),
        ("categories_", [np.array(["Bonn"])]),
        ("categories_", [["Bonn"], ["a"]]),
        ("_drop_idx_after_grouping", np.array([7, None], dtype=object)),
        ("_drop_idx_after_grouping", [0, 0]),
        ("_default_to_infrequent_mappings", [np.array([0, 9, 1]), np.array([1, 1, 0])]),
        ("_default_to_infrequent_mappings", [None, None]),
        ("_infrequent_indices", [np.array([99]), np.array([0, 1])]),
        ("_infrequent_enabled", None),
    ],
    ids=named,
)
def test_a_one_hot_encoder_whose_codes_leave_its_columns_is_refused(name: str, value: Any) -> None:
    """Its codes become the indices of a sparse matrix."""
    model = OneHotEncoder(min_frequency=2, drop="first", handle_unknown="ignore").fit(CITIES)
    require_sound(objects_of(model))
    setattr(model, name, value)
    assert rule_of(model) in {"broken-encoder", "broken-object"}


def test_a_one_hot_encoder_of_unsorted_categories_raises_instead_of_leaving_its_columns() -> None:
    """A number is searched as if the categories were sorted; whether the request sends one shows only then."""
    model = OneHotEncoder(categories=[["9", "10"]], sparse_output=False).fit(np.array([["9"], ["10"]], dtype=object))
    require_sound(objects_of(model))
    model.categories_ = [np.array([9.0, 1.0])]
    with pytest.raises(ValueError, match="parts don't fit together"):
        model.transform(np.array([[9.0]]))


def test_the_cache_of_a_label_binarizer_is_thrown_away() -> None:
    """It would send a label to any column."""
    model = MultiLabelBinarizer().fit([["a", "b"]])
    model._cached_dict = {"a": 10**9}
    require_sound(objects_of(model))
    assert model.transform([["a"]]).tolist() == [[1, 0]]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("k", 7),
        ("k", -1),
        ("k", None),
        ("_t", np.zeros(3)),
        ("_t", np.arange(9.0)[::-1]),
        ("_t", "knots"),
        ("_c", np.zeros(2)),
        ("axis", 5),
    ],
    ids=named,
)
def test_a_spline_whose_parts_do_not_fit_is_refused(name: str, value: Any) -> None:
    """Native code finds the coefficients by the number of knots."""
    model = SplineTransformer().fit(X)
    require_sound(objects_of(model))
    setattr(model.bsplines_[0], name, value)
    assert rule_of(model) == "broken-spline"


def test_a_spline_keeps_no_function_of_its_own() -> None:
    """It calls that function on its arrays."""
    model = SplineTransformer().fit(X)
    before = model.transform(X)
    model.bsplines_[0]._asarray = print
    require_sound(objects_of(model))
    assert same(model.transform(X), before)


def test_random_numbers_outside_their_buffer_are_refused() -> None:
    """The next number would be read from there."""
    source = np.random.RandomState(0)
    name, key, _, *rest = source.get_state()
    require_sound([source])
    source.set_state((name, key, 700, *rest))
    assert rule_of(source) == "broken-random-state"


def test_settings_for_a_whole_machine_are_settled_for_one_thread() -> None:
    """Prediction needs no threads, files, chatter or random numbers."""
    model = LogisticRegression(random_state=np.random.RandomState(0)).fit(X, Y)
    model.n_jobs, model.verbose, model.memory, model._n_threads = -1, 9, "/tmp", 8
    require_sound(objects_of(model))
    assert (model.n_jobs, model.memory, model.verbose, model._n_threads, model.random_state) == (None, None, 0, 1, None)


@pytest.mark.parametrize(
    "model",
    [
        KNeighborsClassifier(),
        KNeighborsClassifier(algorithm="kd_tree", weights="distance"),
        KNeighborsClassifier(algorithm="ball_tree", metric="mahalanobis", metric_params={"VI": np.eye(4)}),
        KNeighborsClassifier(algorithm="brute", metric="cosine"),
        KNeighborsRegressor(algorithm="brute", metric="seuclidean", metric_params={"V": np.ones(4)}),
        RadiusNeighborsClassifier(radius=9, outlier_label="most_frequent"),
        NearestNeighbors(),
        LocalOutlierFactor(novelty=True),
        KernelDensity(kernel="tophat"),
        KNNImputer(),
        SVC(),
        SVC(kernel="poly", degree=2, decision_function_shape="ovo"),
        NuSVC(nu=0.2),
        SVR(kernel="linear"),
        OneClassSVM(kernel="sigmoid"),
        SplineTransformer(sparse_output=True, extrapolation="periodic"),
    ],
    ids=named,
)
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_what_fitting_builds_passes_and_answers_as_before(model: Any, sparse: bool) -> None:
    """From dense and, where it takes them, sparse rows."""
    if sparse and type(model) not in {SVC, SVR, NuSVC, OneClassSVM, NearestNeighbors}:
        model = KNeighborsClassifier()
    rows = scipy.sparse.csr_matrix(X) if sparse else X
    fitted = pickle.dumps(pickle.loads(pickle.dumps(model)).fit(rows, Y))
    checked, untouched = pickle.loads(fitted), pickle.loads(fitted)
    require_sound(objects_of(checked))
    for method in ("predict", "predict_proba", "decision_function", "kneighbors", "score_samples", "transform"):
        if hasattr(checked, method):
            assert same(getattr(checked, method)(rows), getattr(untouched, method)(rows))


@pytest.mark.parametrize(
    ("name", "value"),
    [("_subcluster_norms", np.zeros(1)), ("_subcluster_norms", None), ("subcluster_centers_", np.zeros((9, 9))), ("n_features_in_", 9)],
    ids=named,
)
def test_birch_with_another_number_of_norms_than_of_centres_is_refused(name: str, value: Any) -> None:
    """Native code reads a norm for each centre."""
    model = Birch(n_clusters=None).fit(X)
    require_sound(objects_of(model))
    setattr(model, name, value)
    assert rule_of(model) == "broken-clusters"


@pytest.mark.parametrize("name", ["covariance_", "precision_"])
@pytest.mark.parametrize("cls", [EllipticEnvelope, EmpiricalCovariance])
def test_a_covariance_of_another_width_than_the_input_is_refused(cls: Any, name: str) -> None:
    """SciPy reads as many rows and columns of it as a row of input has."""
    model = cls().fit(X)
    require_sound(objects_of(model))
    setattr(model, name, np.ones((1, 1)))
    assert rule_of(model) == "broken-covariance"


@pytest.mark.parametrize("attribute", ["metric_params", "effective_metric_params_"])
@pytest.mark.parametrize(
    "value",
    [
        {"Y_norm_squared": np.zeros(90)},
        {"VI": np.ones((1, 1))},
        {"VI": np.eye(4)[0]},
        {"V": np.ones(3)},
        {"w": [1.0]},
        {"p": np.ones(4)},
        {"out": np.zeros(4)},
        {"w": "heavy"},
        {"unknown": None},
        [],
    ],
    ids=named,
)
def test_parameters_of_a_metric_that_do_not_fit_the_input_are_refused(attribute: str, value: Any) -> None:
    """Native code takes their sizes on trust."""
    model = KNeighborsRegressor(algorithm="brute").fit(X, Y)
    setattr(model, attribute, value)
    assert rule_of(model) == "broken-neighbours"


@pytest.mark.parametrize(("metric", "params"), [(metric, params) for metric, params in BALL_METRICS if params], ids=named)
def test_parameters_of_a_metric_that_fit_pass_as_a_dict_of_their_own(metric: str, params: dict[str, Any]) -> None:
    """Prediction writes the power into that dict, which another part of the model might hold as well."""
    params = {name: value for name, value in params.items() if name != "p"}
    model = KNeighborsClassifier(algorithm="brute", metric=metric, metric_params=params).fit(X, Y)
    before = model.predict_proba(X)
    require_sound(objects_of(model))
    assert model.metric_params is not params
    assert same(model.predict_proba(X), before)


@pytest.mark.parametrize("cls", [KNeighborsClassifier, RadiusNeighborsClassifier])
def test_a_class_out_of_range_is_refused_also_where_the_classes_are_a_list(cls: Any) -> None:
    """Native code counts each neighbour in the column of its class."""
    model = cls(algorithm="brute", metric="manhattan").fit(X, Y)
    model.classes_, model._y = [0, 1, 2], np.full(90, 10**9)
    assert rule_of(model) == "broken-neighbours"


@pytest.mark.parametrize("cls", [KNeighborsClassifier, RadiusNeighborsClassifier])
def test_neighbours_without_a_point_are_refused(cls: Any) -> None:
    """Native code divides by how many there are."""
    model = cls(algorithm="brute", metric="manhattan").fit(X, Y)
    model._fit_X, model._y, model.n_samples_fit_ = X[:0], np.zeros(0, int), 0
    assert rule_of(model) == "broken-neighbours"


@pytest.mark.parametrize("form", ["csr", "csc", "bsr"])
def test_a_sparse_matrix_gets_indices_of_its_own(form: str) -> None:
    """SciPy sorts and shortens them in place, and another matrix of the file might be checked by the same array."""
    matrix = scipy.sparse.csr_matrix(X).asformat(form)
    indices, starts = matrix.indices, matrix.indptr
    require_sound([matrix])
    assert not np.shares_memory(matrix.indices, indices)
    assert not np.shares_memory(matrix.indptr, starts)


def test_neighbours_in_a_radius_raise_for_rows_of_another_width_than_their_points() -> None:
    """A step before them may hand on any number of columns, and these neighbours alone don't look."""
    model = RadiusNeighborsClassifier(algorithm="brute", metric="manhattan", radius=9.0).fit(X, Y)
    assert model.predict_proba(X).shape == (90, 3)
    with pytest.raises(ValueError, match="parts don't fit together"):
        model.predict_proba(np.ones((2, 50)))


def test_votes_for_more_rows_than_there_are_raise_instead_of_being_written_behind_the_matrix() -> None:
    """A member for one label may answer with many values for each row."""
    model = OneVsRestClassifier(LogisticRegression()).fit(X, np.column_stack([Y == 1, Y == 2]))
    require_sound(objects_of(model))
    assert model.predict(X).shape == (90, 2)
    model.estimators_[0] = LogisticRegression().fit(X, Y)
    model.estimators_[0].intercept_[:] = 99.0
    with pytest.raises(ValueError, match="parts don't fit together"):
        model.predict(X)


def test_a_label_binarizer_with_a_class_twice_raises_instead_of_leaving_its_columns() -> None:
    """Its columns are counted once for each class, and numbered once for each place."""
    model = MultiLabelBinarizer().fit([["a", "b"]])
    model.classes_ = np.array(["a", "b", "b", "b"])
    require_sound(objects_of(model))
    with pytest.raises(ValueError, match="parts don't fit together"):
        model.transform([["b"]])


@pytest.mark.parametrize(
    ("indices", "starts"),
    [([0, 9], [0, 1, 2]), ([0, -1], [0, 1, 2]), ([0, 1, 2], [0, 3, 2]), ([], [0, 9, 0])],
    ids=["beyond", "negative", "falling", "falling to nothing"],
)
@pytest.mark.parametrize("cls", [scipy.sparse.csr_matrix, scipy.sparse.csc_array])
def test_a_sparse_matrix_is_never_made_of_places_outside_itself(cls: Any, indices: list[int], starts: list[int]) -> None:
    """SciPy looks at their number alone."""
    assert cls((np.ones(2), [0, 2], [0, 1, 2]), shape=(2, 3) if cls is scipy.sparse.csr_matrix else (3, 2)).sum() == 2
    with pytest.raises(ValueError, match="parts don't fit together"):
        cls((np.ones(len(indices)), indices, starts), shape=(2, 3) if cls is scipy.sparse.csr_matrix else (3, 2))
