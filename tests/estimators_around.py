"""Meta-estimators around small estimators: votes, stacks, calibration, thresholds, searches, chains, selection.

Part of `every_estimator`. Never fits when it is imported.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn import (
    calibration,
    compose,
    ensemble,
    feature_selection,
    frozen,
    linear_model,
    manifold,
    metrics,
    model_selection,
    multiclass,
    multioutput,
    naive_bayes,
    pipeline,
    preprocessing,
    semi_supervised,
    svm,
    tree,
)

from tests import estimator_data as d
from tests.estimator_data import Builder, on_numbers

_logistic = linear_model.LogisticRegression
_ridge = linear_model.Ridge
_stump = tree.DecisionTreeClassifier

_pairs = [("a", _logistic()), ("b", _stump(max_depth=2, random_state=0))]
_real_pairs = [("a", _ridge()), ("b", tree.DecisionTreeRegressor(max_depth=2, random_state=0))]


def _calibrated(estimator: Any) -> tuple[Any, Any]:
    return calibration.CalibratedClassifierCV(estimator, method="isotonic").fit(d.x, d.two), d.x_rows


AROUND: dict[str, Builder] = {
    "VotingClassifier": on_numbers(ensemble.VotingClassifier(_pairs), d.words),
    "VotingClassifier-soft": on_numbers(ensemble.VotingClassifier(_pairs, voting="soft", weights=[1, 2]), d.words),
    "VotingRegressor": on_numbers(ensemble.VotingRegressor([*_real_pairs, ("c", "drop")]), d.real),
    "StackingClassifier": on_numbers(ensemble.StackingClassifier(_pairs, cv=2), d.words),
    "StackingClassifier-passthrough": on_numbers(
        ensemble.StackingClassifier(_pairs, final_estimator=_stump(max_depth=2, random_state=0), passthrough=True, cv=2), d.two
    ),
    "StackingRegressor": on_numbers(ensemble.StackingRegressor(_real_pairs, final_estimator=_ridge(), cv=2), d.real),
    **{
        f"CalibratedClassifierCV-{method}": on_numbers(
            calibration.CalibratedClassifierCV(naive_bayes.GaussianNB(), method=method, cv=2), d.two
        )
        for method in ("sigmoid", "isotonic", "temperature")
    },
    "CalibratedClassifierCV-three": on_numbers(
        calibration.CalibratedClassifierCV(svm.LinearSVC(random_state=0), cv=2, ensemble=False), d.words
    ),
    "CalibratedClassifierCV-frozen": lambda: _calibrated(frozen.FrozenEstimator(_logistic().fit(d.x, d.two))),
    "FrozenEstimator": lambda: (frozen.FrozenEstimator(_logistic().fit(d.x, d.words)), d.x_rows),
    "FixedThresholdClassifier": on_numbers(model_selection.FixedThresholdClassifier(_logistic(), threshold=0.3), d.two),
    "TunedThresholdClassifierCV": on_numbers(
        model_selection.TunedThresholdClassifierCV(_logistic(), cv=2, thresholds=5, random_state=0, store_cv_results=True), d.two
    ),
    "TunedThresholdClassifierCV-scorer": on_numbers(
        model_selection.TunedThresholdClassifierCV(_logistic(), scoring=metrics.make_scorer(metrics.f1_score), cv=2, thresholds=5), d.two
    ),
    "GridSearchCV-pipeline": on_numbers(
        model_selection.GridSearchCV(
            pipeline.make_pipeline(preprocessing.StandardScaler(), svm.SVC()),
            {"svc__C": [0.5, 1.0], "svc__kernel": ["rbf", "linear"]},
            cv=2,
        ),
        d.words,
    ),
    "GridSearchCV-scorers": on_numbers(
        model_selection.GridSearchCV(
            _ridge(),
            [{"alpha": np.array([0.1, 1.0])}],
            scoring=["r2", "neg_mean_squared_error"],
            refit="r2",
            cv=model_selection.KFold(2, shuffle=True, random_state=1),
        ),
        d.real,
    ),
    "GridSearchCV-scorer": on_numbers(
        model_selection.GridSearchCV(
            _logistic(), {"C": [0.5, 1.0]}, scoring="roc_auc", cv=model_selection.StratifiedShuffleSplit(2, random_state=1)
        ),
        d.two,
    ),
    "GridSearchCV-estimators": on_numbers(
        model_selection.GridSearchCV(
            pipeline.Pipeline([("scale", preprocessing.StandardScaler()), ("last", _ridge())]),
            {"last": [_ridge(), linear_model.Lasso(0.1)], "scale": ["passthrough", preprocessing.MinMaxScaler()]},
            cv=2,
        ),
        d.real,
    ),
    "RandomizedSearchCV-forest": on_numbers(
        model_selection.RandomizedSearchCV(
            ensemble.RandomForestClassifier(2, random_state=0), {"max_depth": [1, 2, None]}, n_iter=2, cv=2, random_state=0
        ),
        d.words,
    ),
    "HalvingGridSearchCV": on_numbers(
        model_selection.HalvingGridSearchCV(_logistic(), {"C": [0.1, 1.0, 10.0]}, cv=2, min_resources=16, random_state=0), d.two
    ),
    "HalvingRandomSearchCV": on_numbers(
        model_selection.HalvingRandomSearchCV(_ridge(), {"alpha": [0.1, 1.0, 10.0]}, cv=2, min_resources=16, random_state=0), d.real
    ),
    "TransformedTargetRegressor": on_numbers(
        compose.TransformedTargetRegressor(_ridge(), func=np.log1p, inverse_func=np.expm1), d.positive_real
    ),
    "TransformedTargetRegressor-quantiles": on_numbers(
        compose.TransformedTargetRegressor(_ridge(), transformer=preprocessing.QuantileTransformer(n_quantiles=9, random_state=0)), d.real
    ),
    "MultiOutputClassifier": on_numbers(multioutput.MultiOutputClassifier(_logistic()), d.two_labels),
    "MultiOutputRegressor": on_numbers(
        multioutput.MultiOutputRegressor(ensemble.GradientBoostingRegressor(n_estimators=2, random_state=0)), d.two_reals
    ),
    "ClassifierChain": on_numbers(multioutput.ClassifierChain(_logistic(), order="random", random_state=0), d.two_labels),
    "RegressorChain": on_numbers(multioutput.RegressorChain(_ridge(), order=[1, 0]), d.two_reals),
    "OneVsRestClassifier-labels": on_numbers(multiclass.OneVsRestClassifier(_logistic()), d.two_labels),
    "OneVsRestClassifier-words": on_numbers(multiclass.OneVsRestClassifier(svm.LinearSVC(random_state=0)), d.words),
    "SelfTrainingClassifier": on_numbers(semi_supervised.SelfTrainingClassifier(_logistic()), d.partly_labelled),
    "LabelPropagation": on_numbers(semi_supervised.LabelPropagation(), d.partly_labelled),
    "LabelSpreading": on_numbers(semi_supervised.LabelSpreading(kernel="knn", n_neighbors=4), d.partly_labelled),
    "RANSACRegressor-ridge": on_numbers(linear_model.RANSACRegressor(_ridge(), min_samples=6, random_state=0), d.real),
    "SelectFromModel-forest": on_numbers(
        feature_selection.SelectFromModel(ensemble.ExtraTreesClassifier(3, random_state=0), threshold="median"), d.three
    ),
    "SelectFromModel": on_numbers(feature_selection.SelectFromModel(_logistic()), d.three),
    "SequentialFeatureSelector": on_numbers(feature_selection.SequentialFeatureSelector(_logistic(), cv=2), d.three),
    "SelectKBest-mutual": on_numbers(feature_selection.SelectKBest(feature_selection.mutual_info_classif, k=2), d.three),
    "SelectKBest-mutual-real": on_numbers(feature_selection.SelectKBest(feature_selection.mutual_info_regression, k=2), d.real),
    "SelectPercentile-r": on_numbers(feature_selection.SelectPercentile(feature_selection.r_regression, percentile=50), d.real),
    "SequentialFeatureSelector-backward": on_numbers(
        feature_selection.SequentialFeatureSelector(_ridge(), direction="backward", n_features_to_select=2, cv=2), d.real
    ),
    "Pipeline-isomap": on_numbers(pipeline.make_pipeline(manifold.Isomap(n_neighbors=6), _ridge()), d.real),
}
