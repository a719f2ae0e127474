"""Which check holds for which class; the one place that says so.

A class that isn't here hands nothing of its state to native code that wouldn't look at it, or isn't let in by the
unpickler. A new version of scikit-learn may change that: whoever lets a new class in decides here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse as scipy_sparse
from scipy.interpolate import BSpline
from sklearn.cluster import Birch, BisectingKMeans, FeatureAgglomeration, KMeans, MiniBatchKMeans
from sklearn.compose import TransformedTargetRegressor
from sklearn.covariance import EllipticEnvelope, EmpiricalCovariance
from sklearn.decomposition import (
    NMF,
    DictionaryLearning,
    LatentDirichletAllocation,
    MiniBatchDictionaryLearning,
    MiniBatchNMF,
    SparseCoder,
)
from sklearn.ensemble import (
    AdaBoostClassifier,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    RandomTreesEmbedding,
)
from sklearn.feature_extraction import DictVectorizer, FeatureHasher
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.feature_selection import RFE, RFECV, SelectFromModel
from sklearn.metrics import _dist_metrics
from sklearn.neighbors import (
    BallTree,
    KDTree,
    KernelDensity,
    KNeighborsClassifier,
    KNeighborsRegressor,
    KNeighborsTransformer,
    LocalOutlierFactor,
    NearestNeighbors,
    RadiusNeighborsClassifier,
    RadiusNeighborsRegressor,
    RadiusNeighborsTransformer,
)
from sklearn.preprocessing import FunctionTransformer, MultiLabelBinarizer, OneHotEncoder
from sklearn.svm import SVC, SVR, NuSVC, NuSVR, OneClassSVM
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor
from sklearn.tree._tree import Tree

from registry.flavors.soundness import (
    bygone,
    callables,
    clusters,
    covariances,
    encoders,
    histogram_boosting,
    iterations,
    neighbours,
    random_numbers,
    sparse,
    splines,
    support_vectors,
    trees,
    vectorizers,
)

Check = Callable[[Any], None]


def _check_classifying_tree(estimator: Any) -> None:
    trees.check_estimator(estimator)
    bygone.check_classifying_tree(estimator)


_FAMILIES: tuple[tuple[Check, tuple[type, ...]], ...] = (
    (trees.check_tree, (Tree,)),
    (_check_classifying_tree, (DecisionTreeClassifier, ExtraTreeClassifier)),
    (trees.check_estimator, (DecisionTreeRegressor, ExtraTreeRegressor)),
    (bygone.check_boosted_classes, (AdaBoostClassifier,)),
    (
        iterations.check_iterations,
        (DictionaryLearning, LatentDirichletAllocation, MiniBatchDictionaryLearning, MiniBatchNMF, NMF, SparseCoder),
    ),
    (
        trees.check_forest,
        (RandomForestClassifier, RandomForestRegressor, ExtraTreesClassifier, ExtraTreesRegressor, RandomTreesEmbedding),
    ),
    (trees.check_isolation_forest, (IsolationForest,)),
    (trees.check_boosting, (GradientBoostingClassifier, GradientBoostingRegressor)),
    (histogram_boosting.check_boosting, (HistGradientBoostingClassifier, HistGradientBoostingRegressor)),
    (neighbours.check_tree, (KDTree, BallTree)),
    (
        neighbours.check_estimator,
        (
            KNeighborsClassifier,
            KNeighborsRegressor,
            KNeighborsTransformer,
            LocalOutlierFactor,
            NearestNeighbors,
            RadiusNeighborsClassifier,
            RadiusNeighborsRegressor,
            RadiusNeighborsTransformer,
        ),
    ),
    (neighbours.check_density, (KernelDensity,)),
    (
        neighbours.check_metric,
        tuple(kind for kind in vars(_dist_metrics).values() if isinstance(kind, type) and issubclass(kind, neighbours.METRICS)),
    ),
    (support_vectors.check_classifier, (SVC, NuSVC)),
    (support_vectors.check_regressor, (SVR, NuSVR, OneClassSVM)),
    (clusters.check_centres, (KMeans, MiniBatchKMeans)),
    (clusters.check_bisecting, (BisectingKMeans,)),
    (clusters.check_birch, (Birch,)),
    (covariances.check_covariance, (EllipticEnvelope, EmpiricalCovariance)),
    (sparse.check_rows, (scipy_sparse.csr_matrix, scipy_sparse.csr_array)),
    (sparse.check_columns, (scipy_sparse.csc_matrix, scipy_sparse.csc_array)),
    (sparse.check_blocks, (scipy_sparse.bsr_matrix, scipy_sparse.bsr_array)),
    (sparse.check_coordinates, (scipy_sparse.coo_matrix, scipy_sparse.coo_array)),
    (sparse.check_diagonals, (scipy_sparse.dia_matrix, scipy_sparse.dia_array)),
    (
        sparse.refuse_slow_form,
        (scipy_sparse.lil_matrix, scipy_sparse.lil_array, scipy_sparse.dok_matrix, scipy_sparse.dok_array),
    ),
    (vectorizers.check_counts, (CountVectorizer, TfidfVectorizer)),
    (vectorizers.check_hashing_text, (HashingVectorizer,)),
    (vectorizers.check_names, (DictVectorizer,)),
    (vectorizers.check_hasher, (FeatureHasher,)),
    (encoders.check_one_hot, (OneHotEncoder,)),
    (encoders.check_label_binarizer, (MultiLabelBinarizer,)),
    (splines.check_spline, (BSpline,)),
    (callables.check_function_transformer, (FunctionTransformer,)),
    (callables.check_target_transformer, (TransformedTargetRegressor,)),
    (callables.check_pooling, (FeatureAgglomeration,)),
    (callables.check_selection, (SelectFromModel, RFE, RFECV)),
    (random_numbers.check_state, (np.random.RandomState, np.random.Generator)),
    (
        random_numbers.check_source,
        (np.random.MT19937, np.random.Philox, np.random.PCG64, np.random.PCG64DXSM, np.random.SFC64),
    ),
)

#: The check of each class.
CHECKS: dict[type, Check] = {kind: check for check, kinds in _FAMILIES for kind in kinds}
#: Classes whose own check judges the functions that they hold.
OWN_FUNCTIONS = frozenset({FunctionTransformer, TransformedTargetRegressor, FeatureAgglomeration, SelectFromModel, RFE, RFECV, BSpline})
