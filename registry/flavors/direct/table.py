"""Which class has which direct form; the one place that says so.

A class that isn't here is computed by its own methods. Must never list one whose prediction draws random numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import (
    ARDRegression,
    BayesianRidge,
    ElasticNet,
    ElasticNetCV,
    HuberRegressor,
    Lars,
    LarsCV,
    Lasso,
    LassoCV,
    LassoLars,
    LassoLarsCV,
    LassoLarsIC,
    LinearRegression,
    LogisticRegression,
    LogisticRegressionCV,
    MultiTaskElasticNet,
    MultiTaskElasticNetCV,
    MultiTaskLasso,
    MultiTaskLassoCV,
    OrthogonalMatchingPursuit,
    OrthogonalMatchingPursuitCV,
    Perceptron,
    QuantileRegressor,
    Ridge,
    RidgeClassifier,
    RidgeClassifierCV,
    RidgeCV,
    SGDClassifier,
    SGDRegressor,
    TheilSenRegressor,
)
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import Pipeline
from sklearn.svm import LinearSVC, LinearSVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor

from registry.flavors.direct import boosting, forests, linear, steps
from registry.flavors.direct.form import Form

_FAMILIES: tuple[tuple[Callable[[Any], Form | None], tuple[type, ...]], ...] = (
    (linear.logistic, (LogisticRegression, LogisticRegressionCV)),
    (linear.stochastic, (SGDClassifier,)),
    (linear.discriminant, (LinearDiscriminantAnalysis,)),
    (linear.classifier, (LinearSVC, Perceptron, RidgeClassifier, RidgeClassifierCV)),
    (linear.flat_regressor, (SGDRegressor,)),
    (
        linear.regressor,
        (
            ARDRegression,
            BayesianRidge,
            ElasticNet,
            ElasticNetCV,
            HuberRegressor,
            Lars,
            LarsCV,
            Lasso,
            LassoCV,
            LassoLars,
            LassoLarsCV,
            LassoLarsIC,
            LinearRegression,
            LinearSVR,
            MultiTaskElasticNet,
            MultiTaskElasticNetCV,
            MultiTaskLasso,
            MultiTaskLassoCV,
            OrthogonalMatchingPursuit,
            OrthogonalMatchingPursuitCV,
            QuantileRegressor,
            Ridge,
            RidgeCV,
            TheilSenRegressor,
        ),
    ),
    (forests.tree_classifier, (DecisionTreeClassifier, ExtraTreeClassifier)),
    (forests.tree_regressor, (DecisionTreeRegressor, ExtraTreeRegressor)),
    (forests.forest_classifier, (RandomForestClassifier, ExtraTreesClassifier)),
    (forests.forest_regressor, (RandomForestRegressor, ExtraTreesRegressor)),
    (forests.isolation_forest, (IsolationForest,)),
    (boosting.boosting_classifier, (GradientBoostingClassifier,)),
    (boosting.boosting_regressor, (GradientBoostingRegressor,)),
    (boosting.histogram_classifier, (HistGradientBoostingClassifier,)),
    (boosting.histogram_regressor, (HistGradientBoostingRegressor,)),
    (lambda estimator: steps.pipeline(estimator, form_of), (Pipeline,)),
    (lambda estimator: steps.searched(estimator, form_of), (GridSearchCV, RandomizedSearchCV)),
)

BUILDERS: dict[type, Callable[[Any], Form | None]] = {kind: builder for builder, kinds in _FAMILIES for kind in kinds}


def form_of(estimator: Any) -> Form | None:
    """Return the direct form of an estimator of exactly one of the listed classes, or None where it has none."""
    builder = BUILDERS.get(type(estimator))
    try:
        return None if builder is None else builder(estimator)
    except Exception:  # noqa: BLE001 - attributes that no fitting makes; the estimator itself says what is wrong with them
        return None
