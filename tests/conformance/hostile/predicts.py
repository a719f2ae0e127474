"""Well-typed, fitted models of scikit-learn that load without a word and crash, hang or run code when they predict."""

# ruff: noqa: ARG005 - each maker is handed its canary, also where it leaves no trace
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy.sparse
from sklearn.cluster import Birch, KMeans
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.covariance import EllipticEnvelope
from sklearn.decomposition import NMF, KernelPCA, LatentDirichletAllocation
from sklearn.ensemble import (
    AdaBoostClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.feature_selection import SelectFromModel
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import PairwiseKernel
from sklearn.impute import KNNImputer
from sklearn.isotonic import IsotonicRegression
from sklearn.kernel_approximation import Nystroem
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LinearRegression, LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import ClassifierChain
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    SplineTransformer,
)
from sklearn.svm import OneClassSVM

from tests.conformance.hostile.assembler import Built, Expression, New, planted_joblib
from tests.conformance.hostile.case import Canary, Hostile, Trap
from tests.conformance.hostile.fitted import (
    CLASSES,
    ROWS,
    TEXTS,
    attributes,
    before_a_classifier,
    categorical_boosting,
    gradient_boosting,
    histogram_boosting,
    in_members,
    neighbours,
    support_vectors,
    text_pipeline,
    tree,
    tree_state,
)
from tests.conformance.hostile.payloads import call, name

Maker = Callable[[Canary], Any]
FAR = 100_000_000


def leaving_a_trace(canary: Canary) -> Expression:
    """Return a callable that leaves a trace whatever it is called with."""
    return call("builtins:eval", f"lambda *a, **k: {canary.source}")


def _sparse(**parts: Any) -> Any:
    """Return a row of sparse coefficients with some of its arrays replaced."""
    matrix = scipy.sparse.csr_matrix(np.array([[1.0, 2.0, 3.0]]))
    for part, values in parts.items():
        matrix.__dict__[part] = values
    return matrix


TREES: dict[str, Maker] = {
    "tree-child-out-of-range": lambda c: tree(tree_state(left_child=FAR, right_child=FAR)),
    "tree-child-is-itself": lambda c: tree(tree_state(left_child=0, right_child=0)),
    "tree-child-is-negative": lambda c: tree(tree_state(left_child=-FAR, right_child=-FAR)),
    "tree-with-one-child": lambda c: tree(tree_state(right_child=-1)),
    "tree-feature-out-of-range": lambda c: tree(tree_state(feature=FAR)),
    "tree-feature-is-negative": lambda c: tree(tree_state(feature=-FAR)),
    "tree-of-more-nodes-than-there-are": lambda c: tree(node_count=FAR),
    "tree-of-fewer-nodes": lambda c: tree(node_count=1),
    "tree-without-nodes": lambda c: tree(
        lambda state: {**state, "node_count": 0, "nodes": state["nodes"][:0], "values": state["values"][:0]}
    ),
    "tree-of-fewer-values": lambda c: tree(lambda state: {**state, "values": state["values"][:1]}),
    "tree-of-values-of-another-type": lambda c: tree(lambda state: {**state, "values": state["values"].astype(object)}),
    "forest-tree-child-out-of-range": lambda c: in_members(
        RandomForestClassifier(2, random_state=0), tree_state(left_child=FAR, right_child=FAR)
    ),
    "extra-trees-child-is-itself": lambda c: in_members(ExtraTreesClassifier(2, random_state=0), tree_state(left_child=0, right_child=0)),
    "boosting-tree-child-is-itself": lambda c: in_members(
        GradientBoostingClassifier(n_estimators=2), tree_state(left_child=0, right_child=0)
    ),
    "boosting-tree-feature-out-of-range": lambda c: in_members(GradientBoostingClassifier(n_estimators=2), tree_state(feature=FAR)),
    "ada-boost-tree-child-is-itself": lambda c: in_members(AdaBoostClassifier(n_estimators=2), tree_state(left_child=0, right_child=0)),
    "isolation-forest-child-out-of-range": lambda c: in_members(
        IsolationForest(n_estimators=2), tree_state(left_child=FAR, right_child=FAR)
    ),
    "boosting-of-more-trees-a-step": lambda c: gradient_boosting(50),
    "forest-of-strangers": lambda c: attributes(RandomForestClassifier(2), estimators_=[LinearRegression().fit(ROWS, CLASSES), "tree"]),
    "histogram-child-is-itself": lambda c: histogram_boosting(left=0, right=0),
    "histogram-child-out-of-range": lambda c: histogram_boosting(left=FAR, right=FAR),
    "histogram-feature-out-of-range": lambda c: histogram_boosting(feature_idx=FAR),
    "histogram-feature-is-negative": lambda c: histogram_boosting(feature_idx=-FAR),
    "histogram-categories-out-of-range": lambda c: histogram_boosting(is_categorical=1, bitset_idx=FAR),
    "histogram-without-category-tables": lambda c: _without_tables(),
}

NEIGHBOURS: dict[str, tuple[str, Maker]] = {
    f"{algorithm.replace('_', '-')}-{title}": ("tamed", lambda c, algorithm=algorithm, change=change: neighbours(algorithm, change))
    for algorithm in ("kd_tree", "ball_tree")
    for title, change in {
        "index-out-of-range": lambda parts: parts[1].__setitem__(slice(None), FAR),
        "index-is-negative": lambda parts: parts[1].__setitem__(slice(None), -FAR),
        "node-out-of-range": lambda parts: _set_nodes(parts[2], FAR),
        "of-more-levels": lambda parts: parts.__setitem__(5, 60),
        "of-more-nodes": lambda parts: parts.__setitem__(6, FAR),
        "of-fewer-bounds": lambda parts: parts.__setitem__(3, parts[3][:, :1]),
        "of-leaf-size-zero": lambda parts: parts.__setitem__(4, 0),
    }.items()
}

NUMBERS: dict[str, Maker] = {
    "neighbour-classes-out-of-range": lambda c: attributes(KNeighborsClassifier(algorithm="brute"), _y=np.full(60, FAR)),
    "neighbour-classes-are-negative": lambda c: attributes(KNeighborsClassifier(), _y=np.full(60, -FAR)),
    "neighbour-rows-and-classes-differ": lambda c: attributes(KNeighborsClassifier(algorithm="brute"), _y=np.zeros(2, int)),
    "neighbour-classes-out-of-range-in-a-list": lambda c: attributes(
        KNeighborsClassifier(algorithm="brute", metric="manhattan"), _y=np.full(60, FAR), classes_=[0, 1]
    ),
    "neighbour-norms-cut": lambda c: attributes(
        KNeighborsClassifier(algorithm="brute"), effective_metric_params_={"Y_norm_squared": np.zeros(1)}
    ),
    "neighbour-metric-of-a-small-matrix": lambda c: attributes(
        KNeighborsClassifier(algorithm="brute"), effective_metric_="mahalanobis", effective_metric_params_={"VI": np.ones((1, 1))}
    ),
    "cluster-norms-cut": lambda c: attributes(Birch(n_clusters=None), _subcluster_norms=np.zeros(1)),
    "covariance-of-one-column": lambda c: attributes(EllipticEnvelope(), precision_=np.ones((1, 1))),
    "kernel-that-writes-to-indices": lambda c: attributes(
        KernelRidge(), kernel=np.add, kernel_params={"out": np.zeros(3, np.int32), "casting": "unsafe"}
    ),
    "support-counts-too-large": lambda c: support_vectors(_n_support=np.array([FAR, FAR], np.int32)),
    "support-counts-negative": lambda c: support_vectors(_n_support=np.array([-FAR, FAR], np.int32)),
    "support-counts-of-more-classes": lambda c: support_vectors(_n_support=np.ones(50, np.int32)),
    "support-vectors-cut": lambda c: support_vectors(support_vectors_=np.zeros((1, 3))),
    "support-indices-cut": lambda c: support_vectors(support_=np.zeros(1, np.int32)),
    "support-coefficients-cut": lambda c: support_vectors(_dual_coef_=np.zeros((1, 1))),
    "support-intercepts-cut": lambda c: support_vectors(_intercept_=np.zeros(0)),
    "support-said-to-be-sparse": lambda c: support_vectors(_sparse=True),
    "support-of-a-foreign-implementation": lambda c: attributes(OneClassSVM(), _impl="c_svc"),
    "support-sparse-coefficients-out-of-range": lambda c: support_vectors(
        _sparse=True, support_vectors_=_sparse(indices=np.full(3, FAR, np.int32)), dual_coef_=_sparse(indices=np.full(3, FAR, np.int32))
    ),
    "coefficients-sparse-indices-out-of-range": lambda c: attributes(SGDClassifier(), coef_=_sparse(indices=np.full(3, FAR, np.int32))),
    "coefficients-sparse-indices-negative": lambda c: attributes(SGDClassifier(), coef_=_sparse(indices=np.full(3, -FAR, np.int32))),
    "coefficients-sparse-pointers-out-of-range": lambda c: attributes(
        LogisticRegression(), coef_=_sparse(indptr=np.array([0, FAR], np.int32))
    ),
    "coefficients-sparse-pointers-decrease": lambda c: attributes(LogisticRegression(), coef_=_sparse(indptr=np.array([FAR, 0], np.int32))),
    "coefficients-sparse-data-cut": lambda c: attributes(LogisticRegression(), coef_=_sparse(data=np.zeros(1))),
    "coefficients-sparse-of-another-shape": lambda c: attributes(LogisticRegression(), coef_=_sparse(_shape=(FAR, 3))),
    "spline-of-a-negative-degree": lambda c: _spline(k=-7),
    "spline-of-a-huge-degree": lambda c: _spline(k=FAR),
    "spline-without-knots": lambda c: _spline(_t=np.zeros(0), t=np.zeros(0)),
    "spline-of-few-coefficients": lambda c: _spline(_c=np.zeros((0, 1)), c=np.zeros((0, 1))),
    "clusters-in-a-million-threads": lambda c: attributes(KMeans(2, n_init=1), _n_threads=1_000_000),
    "stacking-calls-a-dunder-method": lambda c: attributes(_stacking(), stack_method_=["__reduce_ex__"]),
    "stacking-calls-fit": lambda c: attributes(_stacking(), stack_method_=["set_params"]),
}

LONG: dict[str, Maker] = {
    "polynomials-of-a-huge-degree": lambda c: before_a_classifier(
        PolynomialFeatures(), _max_degree=3000, degree=3000, n_output_features_=FAR * 1000
    ),
    "topics-without-end": lambda c: before_a_classifier(
        LatentDirichletAllocation(2, max_iter=1), max_doc_update_iter=1 << 60, mean_change_tol=-1.0
    ),
    "factors-without-end": lambda c: before_a_classifier(NMF(2, max_iter=300), max_iter=1 << 60, tol=-1.0),
}

TEXT: dict[str, tuple[Any, Maker]] = {
    "text-opens-files": (["/etc/hostname"], lambda c: text_pipeline(input="filename")),
    "text-reads-files": (["x"], lambda c: text_pipeline(input="file")),
    "hashing-text-opens-files": (["/etc/hostname"], lambda c: _hashing(input="filename")),
    "text-pattern-backtracks": (["a" * 60 + "!"], lambda c: text_pipeline(token_pattern=r"(a+)+$")),
    "text-pattern-backtracks-by-alternatives": (["a" * 60 + "!"], lambda c: text_pipeline(token_pattern=r"(?:a|a)*$")),
    "text-pattern-backtracks-by-nesting": (["a" * 60 + "!"], lambda c: text_pipeline(token_pattern=r"(?:(?:a*)*)*b")),
    "text-pattern-is-huge": (["a"], lambda c: text_pipeline(token_pattern="(" * 5000 + "a" + ")" * 5000)),
    "text-pattern-repeats": (["a"], lambda c: text_pipeline(token_pattern="(?:(?:(?:a{0,9999}){0,9999}){0,9999})!")),
    "text-vocabulary-out-of-range": (TEXTS, lambda c: text_pipeline(vocabulary_={"word1": FAR, "word2": 0})),
    "text-vocabulary-negative": (TEXTS, lambda c: text_pipeline(vocabulary_={"word1": -FAR, "word2": 0})),
    "text-vocabulary-of-texts": (TEXTS, lambda c: text_pipeline(vocabulary_={"word1": "os.system", "word2": []})),
    "text-of-huge-ngrams": (["a b c d " * 2000], lambda c: text_pipeline(ngram_range=(1, FAR), analyzer="char")),
}

CALLABLES: dict[str, tuple[Any, Callable[[Expression], Any]]] = {
    "text-analyzer": (TEXTS, lambda f: text_pipeline(analyzer=f)),
    "text-tokenizer": (TEXTS, lambda f: text_pipeline(tokenizer=f)),
    "text-preprocessor": (TEXTS, lambda f: text_pipeline(preprocessor=f)),
    "text-strip-accents": (TEXTS, lambda f: text_pipeline(strip_accents=f)),
    "text-shadowed-build-analyzer": (TEXTS, lambda f: text_pipeline(build_analyzer=f)),
    "function-transformer": (None, lambda f: before_a_classifier(FunctionTransformer(), func=f)),
    "transformed-target": (None, lambda f: attributes(TransformedTargetRegressor(LinearRegression()), transformer_=_inverse(f))),
    "neighbour-metric": (None, lambda f: attributes(KNeighborsClassifier(algorithm="brute"), effective_metric_=f, metric=f)),
    "neighbour-weights": (None, lambda f: attributes(KNeighborsRegressor(), weights=f)),
    "imputer-metric": (ROWS * np.nan, lambda f: before_a_classifier(KNNImputer(), metric=f)),
    "support-kernel": (None, lambda f: support_vectors(kernel=f, _BaseLibSVM__Xfit=ROWS)),
    "ridge-kernel": (None, lambda f: attributes(KernelRidge(), kernel=f)),
    "components-kernel": (None, lambda f: before_a_classifier(KernelPCA(2), kernel=f)),
    "approximated-kernel": (None, lambda f: before_a_classifier(Nystroem(n_components=5), kernel=f)),
    "process-kernel-metric": (None, lambda f: attributes(_process(), kernel_=_pairwise(f))),
    "importance-getter": (None, lambda f: before_a_classifier(SelectFromModel(LogisticRegression()), importance_getter=f)),
    "isotonic-function": ([0.1, 0.2], lambda f: _isotonic(f)),  # noqa: PLW0108 - it is defined below
    "voting-shadowed-predict": (
        None,
        lambda f: attributes(VotingClassifier([("a", LogisticRegression())]), _collect_probas=f, voting="soft", predict=f),
    ),
    "search-refit": (
        None,
        lambda f: attributes(
            GridSearchCV(LogisticRegression(), {"C": [1.0]}, cv=2), best_estimator_=attributes(LogisticRegression(), predict=f)
        ),
    ),
    "chain-method": (
        None,
        lambda f: attributes(ClassifierChain(LogisticRegression()).fit(ROWS, np.column_stack([CLASSES, 1 - CLASSES])), predict=f),
    ),
    "column-function": (None, lambda f: _columns(f)),  # noqa: PLW0108 - it is defined below
    "loss-link": (None, lambda f: _linked(f)),  # noqa: PLW0108 - it is defined below
    "pipeline-step-shadowed-transform": (
        None,
        lambda f: before_a_classifier(KBinsDiscretizer(2, quantile_method="averaged_inverted_cdf"), transform=f),
    ),
    "one-hot-shadowed-transform": (None, lambda f: before_a_classifier(OneHotEncoder(handle_unknown="ignore"), transform=f)),
}

#: May be taken once what would hurt was dropped.
TAMED: dict[str, Maker] = {
    "forest-in-a-million-jobs": lambda c: attributes(RandomForestClassifier(2), n_jobs=1_000_000, verbose=1_000_000),
    "neighbours-in-jobs-of-minus-a-million": lambda c: attributes(KNeighborsClassifier(), n_jobs=-1_000_000),
    "pipeline-with-a-cache-folder": lambda c: attributes(make_pipeline(LogisticRegression()).fit(ROWS, CLASSES), memory=c.marker),
    "neighbours-without-end": lambda c: attributes(KNeighborsClassifier(), n_neighbors=1 << 60),
}

STEPS: dict[str, Any] = {
    "text": "os.system",
    "ufunc": np.exp,
    "class": LogisticRegression,
    "number": 7,
    "dict": {"transform": 1},
    "unfitted": OrdinalEncoder(),
    "metric-function": name("sklearn.metrics.pairwise:euclidean_distances"),
    "memory": call("joblib:Memory", None),
    "module": name("sklearn:base"),
}


def make(trap: Trap) -> Iterator[Hostile]:
    """Make every file of this kind."""
    for title, build in {**TREES, **NUMBERS, **LONG}.items():
        yield _file(trap, title, build)
    for title, (_, build) in NEIGHBOURS.items():
        yield _file(trap, title, build, outcome="tamed")
    for title, build in TAMED.items():
        yield _file(trap, title, build, outcome="tamed")
    for title, (rows, build) in TEXT.items():
        yield _file(trap, title, build, rows=rows)
    for title, (rows, build_with) in CALLABLES.items():
        yield _file(trap, f"callable-{title}", lambda c, build=build_with: build(leaving_a_trace(c)), rows=rows, fires=True)
    for title, step in STEPS.items():
        yield _file(trap, f"pipeline-step-is-a-{title}", lambda c, step=step: _with_step(step))
    for title, build in FUNCTIONS.items():
        yield _file(
            trap,
            f"function-{title}",
            lambda c, build=build: before_a_classifier(FunctionTransformer(), func=build(c)),
            rows=ROWS,
            fires=title in FIRING,
        )


#: Functions by names that might be taken for harmless.
FUNCTIONS: dict[str, Maker] = {
    "numpy-save-by-partial": lambda c: call("functools:partial", name("numpy:save"), c.marker),
    "numpy-fromfile": lambda c: name("numpy:fromfile"),
    "numpy-load": lambda c: name("numpy:load"),
    "numpy-vectorize": lambda c: call("numpy:vectorize", name("os:system")),
    "numpy-frompyfunc": lambda c: call("numpy:frompyfunc", name("os:system"), 1, 1),
    "numpy-ufunc-method": lambda c: name("numpy:add.outer"),
    "numpy-memmap": lambda c: name("numpy:memmap"),
    "joblib-load": lambda c: name("joblib:load"),
    "builtin-eval": lambda c: name("builtins:eval"),
    "operator-methodcaller": lambda c: call("operator:methodcaller", "tofile", c.marker),
    "estimator-class": lambda c: name("sklearn.linear_model._base:LinearRegression"),
    "scorer": lambda c: name("sklearn.metrics:get_scorer"),
    "scikit-learn-function": lambda c: name("sklearn.datasets:load_files"),
}


FIRING = {"numpy-save-by-partial", "operator-methodcaller"}


def _file(trap: Trap, title: str, build: Maker, **options: Any) -> Hostile:
    canary = trap.canary(f"predict-{title}")
    return Hostile(canary.folder.name, "predict", planted_joblib(build(canary)), canary, **options)


def _without_tables() -> Any:
    model = categorical_boosting()
    for predictors in model._predictors:
        for predictor in predictors:
            predictor.raw_left_cat_bitsets = predictor.raw_left_cat_bitsets[:0]
    return model


def _set_nodes(nodes: Any, end: int) -> None:
    nodes["idx_start"], nodes["idx_end"] = 0, end


def _spline(**state: Any) -> Any:
    model = before_a_classifier(SplineTransformer(3))
    for spline in model[0].bsplines_:
        spline.__dict__.update(state)
    return model


def _stacking() -> Any:
    return StackingClassifier([("first", LogisticRegression())], cv=2)


def _process() -> Any:
    return GaussianProcessRegressor(PairwiseKernel(metric="rbf"), optimizer=None)


def _pairwise(function: Any) -> Any:
    kernel = PairwiseKernel(metric="rbf")
    kernel.metric = function
    return kernel


def _isotonic(function: Any) -> Any:
    model = IsotonicRegression().fit([0.0, 1.0], [0.0, 1.0])
    state = {key: value for key, value in model.__dict__.items() if key != "X_thresholds_"}
    return Built(New(name("sklearn.isotonic:IsotonicRegression")), {**state, "f_": function})


def _inverse(function: Any) -> Any:
    return attributes(FunctionTransformer(), inverse_func=function, validate=False)


def _hashing(**state: Any) -> Any:
    model = make_pipeline(HashingVectorizer(n_features=16), LogisticRegression()).fit(TEXTS, [0, 1] * 20)
    model[0].__dict__.update(state)
    return model


def _columns(function: Any) -> Any:
    model = make_pipeline(make_column_transformer((FunctionTransformer(), [0, 1])), LogisticRegression()).fit(ROWS, CLASSES)
    model[0].transformers_[0][1].func = function
    return model


def _linked(function: Any) -> Any:
    model = attributes(GradientBoostingClassifier(n_estimators=2))
    model._loss.link.inverse = function
    model._loss.predict_proba = function
    return model


def _with_step(step: Any) -> Any:
    model = make_pipeline(KBinsDiscretizer(2, quantile_method="averaged_inverted_cdf"), LogisticRegression()).fit(ROWS, CLASSES)
    model.steps[0] = ("step", step)
    return model
