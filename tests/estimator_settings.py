"""Parameters that the general rule of `every_estimator` gives to a class, so that a fit takes milliseconds.

A class that needs data of its own is a variant instead, in the modules beside this one.
"""

from __future__ import annotations

from typing import Any

from sklearn import linear_model

_logistic = linear_model.LogisticRegression
_ridge = linear_model.Ridge

_OF_FEW_TREES = (
    *("AdaBoostClassifier", "AdaBoostRegressor", "BaggingClassifier", "BaggingRegressor", "ExtraTreesClassifier"),
    *("ExtraTreesRegressor", "GradientBoostingClassifier", "GradientBoostingRegressor", "IsolationForest"),
    *("RandomForestClassifier", "RandomForestRegressor", "RandomTreesEmbedding"),
)
_AROUND_LOGISTIC = (
    *("CalibratedClassifierCV", "ClassifierChain", "FixedThresholdClassifier", "MultiOutputClassifier", "OneVsOneClassifier"),
    *("OneVsRestClassifier", "OutputCodeClassifier", "RFE", "RFECV"),
)
_two_rounds = {"max_iter": 2, "min_samples_leaf": 4}

# Parameters, by class, of those that the general rule fits.
SETTINGS: dict[str, dict[str, Any]] = {
    **{name: {"n_estimators": 3} for name in _OF_FEW_TREES},
    **{name: {"estimator": _logistic()} for name in _AROUND_LOGISTIC},
    "ClassicalMDS": {"n_components": 2},
    "FeatureHasher": {"n_features": 16},
    "HashingVectorizer": {"n_features": 16},
    "HistGradientBoostingClassifier": _two_rounds,
    "HistGradientBoostingRegressor": _two_rounds,
    "KernelPCA": {"n_components": 2},
    "MDS": {"n_init": 1, "init": "random"},
    "MLPClassifier": {"hidden_layer_sizes": (5,), "max_iter": 10},
    "MLPRegressor": {"hidden_layer_sizes": (5,), "max_iter": 10},
    "MiniBatchDictionaryLearning": {"n_components": 3, "max_iter": 5},
    "DictionaryLearning": {"n_components": 3, "max_iter": 5},
    "PatchExtractor": {"patch_size": (2, 2), "max_patches": 3},
    "QuantileTransformer": {"n_quantiles": 10},
    "RadiusNeighborsClassifier": {"radius": 10.0},
    "RadiusNeighborsRegressor": {"radius": 10.0},
    "RandomizedSearchCV": {"estimator": _ridge(), "param_distributions": {"alpha": [0.1, 1.0]}, "n_iter": 2},
    "GridSearchCV": {"estimator": _ridge(), "param_grid": {"alpha": [0.1, 1.0]}},
    "HalvingGridSearchCV": {"estimator": _ridge(), "param_grid": {"alpha": [0.1, 1.0]}},
    "HalvingRandomSearchCV": {"estimator": _ridge(), "param_distributions": {"alpha": [0.1, 1.0]}},
    "SpectralBiclustering": {"n_clusters": 2},
    "SpectralClustering": {"n_clusters": 2},
    "SpectralCoclustering": {"n_clusters": 2},
    "SparsePCA": {"n_components": 2, "max_iter": 5},
    "MiniBatchSparsePCA": {"n_components": 2, "max_iter": 5},
    "SparseRandomProjection": {"n_components": 2},
    "GaussianRandomProjection": {"n_components": 2},
    "TSNE": {"max_iter": 250, "perplexity": 5.0, "method": "exact"},
    "TheilSenRegressor": {"max_subpopulation": 100},
    "SelectKBest": {"k": 2},
    "LatentDirichletAllocation": {"n_components": 2, "max_iter": 2},
    "NMF": {"n_components": 2},
    "MiniBatchNMF": {"n_components": 2, "max_iter": 3},
    "BernoulliRBM": {"n_components": 2, "n_iter": 2},
    "IterativeImputer": {"max_iter": 2},
}
