"""Estimators by the input that they take: frames of mixed columns, texts, dicts, categories, missing values.

Part of `every_estimator`. Never fits when it is imported.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn import (
    compose,
    decomposition,
    ensemble,
    feature_extraction,
    feature_selection,
    impute,
    linear_model,
    naive_bayes,
    pipeline,
    preprocessing,
    svm,
    tree,
)

from tests import estimator_data as d
from tests.estimator_data import Builder, on, on_numbers

_logistic = linear_model.LogisticRegression
_ridge = linear_model.Ridge


def _mixed_columns(**frames: Any) -> compose.ColumnTransformer:
    numbers = pipeline.make_pipeline(impute.SimpleImputer(strategy="median"), preprocessing.StandardScaler())
    kinds = preprocessing.OneHotEncoder(handle_unknown="ignore")
    return compose.ColumnTransformer([("numbers", numbers, ["age", "pay"]), ("kinds", kinds, ["city", "job"])], **frames)


_frames: dict[str, Builder] = {
    "ColumnTransformer": on(_mixed_columns(), d.people, d.people_rows),
    "ColumnTransformer-selector": on(
        compose.make_column_transformer(
            (preprocessing.OrdinalEncoder(), compose.make_column_selector(dtype_exclude="number")),
            ("drop", slice(0, 1)),
            remainder="passthrough",
        ),
        d.people,
        d.people_rows,
    ),
    "ColumnTransformer-by-position": on_numbers(
        compose.ColumnTransformer([("a", preprocessing.MinMaxScaler(), slice(0, 2)), ("b", "passthrough", [3])], sparse_threshold=0)
    ),
    "Pipeline": on_numbers(pipeline.make_pipeline(preprocessing.StandardScaler(), _logistic()), d.words),
    "Pipeline-mixed-columns": on(pipeline.make_pipeline(_mixed_columns(), _logistic()), d.people, d.people_rows, d.words),
    "Pipeline-mixed-columns-forest": on(
        pipeline.make_pipeline(_mixed_columns(), ensemble.RandomForestRegressor(3, random_state=0)), d.people, d.people_rows, d.real
    ),
    "Pipeline-texts": on(pipeline.make_pipeline(feature_extraction.text.TfidfVectorizer(), _logistic()), d.texts, d.texts_rows, d.words),
    "Pipeline-texts-chosen": on(
        pipeline.make_pipeline(
            feature_extraction.text.CountVectorizer(ngram_range=(1, 2)),
            feature_extraction.text.TfidfTransformer(),
            feature_selection.SelectKBest(feature_selection.chi2, k=4),
            naive_bayes.MultinomialNB(),
        ),
        d.texts,
        d.texts_rows,
        d.two,
    ),
    "Pipeline-hashed-texts": on(
        pipeline.make_pipeline(feature_extraction.text.HashingVectorizer(n_features=32), linear_model.SGDClassifier(random_state=0)),
        d.texts,
        d.texts_rows,
        d.two,
    ),
    "Pipeline-latent-texts": on(
        pipeline.make_pipeline(feature_extraction.text.TfidfVectorizer(), decomposition.TruncatedSVD(2, random_state=0)),
        d.texts,
        d.texts_rows,
    ),
    "Pipeline-dicts": on(pipeline.make_pipeline(feature_extraction.DictVectorizer(), _ridge()), d.dicts, d.dicts_rows, d.real),
    "Pipeline-reduced": on_numbers(
        pipeline.make_pipeline(
            feature_selection.SelectKBest(feature_selection.f_regression, k=3), decomposition.PCA(2, random_state=0), svm.SVR()
        ),
        d.real,
    ),
    "Pipeline-passthrough": on_numbers(pipeline.Pipeline([("nothing", "passthrough"), ("last", linear_model.Lasso(0.01))]), d.real),
    "Pipeline-pandas-output": on(
        pipeline.make_pipeline(impute.SimpleImputer(), preprocessing.StandardScaler()).set_output(transform="pandas"),
        d.people[["age", "pay"]],
        d.people_rows[["age", "pay"]],
    ),
    "FeatureUnion": on_numbers(pipeline.FeatureUnion([("pca", decomposition.PCA(2)), ("scaled", preprocessing.StandardScaler())])),
}

_texts: dict[str, Builder] = {
    "TfidfVectorizer-options": on(
        feature_extraction.text.TfidfVectorizer(
            sublinear_tf=True, min_df=2, ngram_range=(1, 2), strip_accents="unicode", stop_words="english", dtype=np.float32
        ),
        d.texts,
        d.texts_rows,
    ),
    "TfidfVectorizer-characters": on(
        feature_extraction.text.TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 3), max_features=40), d.texts, d.texts_rows
    ),
    "CountVectorizer-stop-words": on(
        feature_extraction.text.CountVectorizer(stop_words=["cat", "dog"], binary=True, vocabulary=["cat", "mat", "stocks"]),
        d.texts,
        d.texts_rows,
    ),
    "DictVectorizer-dense": on(feature_extraction.DictVectorizer(sparse=False), d.dicts, d.dicts_rows),
}

_encoders: dict[str, Builder] = {
    "LabelBinarizer": on(preprocessing.LabelBinarizer(), d.words, d.words[:9]),
    "LabelEncoder": on(preprocessing.LabelEncoder(), d.words, d.words[:9]),
    "LabelEncoder-objects": on(preprocessing.LabelEncoder(), d.words.astype(object), d.words[:9].astype(object)),
    "MultiLabelBinarizer": on(preprocessing.MultiLabelBinarizer(), d.label_sets, d.label_sets[:3]),
    "OneHotEncoder-objects": on(preprocessing.OneHotEncoder(drop="first"), d.text_objects, d.text_objects_rows),
    "OneHotEncoder-rare": on(
        preprocessing.OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=14, sparse_output=False),
        d.text_objects,
        d.text_objects_rows,
    ),
    "OneHotEncoder": on(preprocessing.OneHotEncoder(handle_unknown="ignore"), d.small_integers, d.small_integers_rows),
    "OrdinalEncoder": on(
        preprocessing.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), d.small_integers, d.small_integers_rows
    ),
    "OrdinalEncoder-objects": on(
        preprocessing.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan, dtype=np.float32),
        d.text_objects,
        d.text_objects_rows,
    ),
    "TargetEncoder": on(preprocessing.TargetEncoder(random_state=0), d.text_objects, d.text_objects_rows, d.real),
    "TargetEncoder-classes": on(
        preprocessing.TargetEncoder(random_state=0), d.people[["city", "job"]], d.people_rows[["city", "job"]], d.words
    ),
    "KBinsDiscretizer-ordinal": on_numbers(preprocessing.KBinsDiscretizer(3, encode="ordinal", strategy="kmeans", random_state=0)),
    "FunctionTransformer-log1p": on(
        preprocessing.FunctionTransformer(np.log1p, inverse_func=np.expm1, validate=True), d.positive, d.positive_rows
    ),
    "SplineTransformer-periodic": on_numbers(preprocessing.SplineTransformer(4, extrapolation="periodic")),
    "SplineTransformer-sparse": on_numbers(preprocessing.SplineTransformer(4, sparse_output=True)),
    "PolynomialFeatures-interactions": on_numbers(preprocessing.PolynomialFeatures(3, interaction_only=True)),
    "PowerTransformer-boxcox": on(preprocessing.PowerTransformer("box-cox"), d.positive, d.positive_rows),
    "QuantileTransformer-normal": on_numbers(
        preprocessing.QuantileTransformer(n_quantiles=9, output_distribution="normal", random_state=0)
    ),
    "StandardScaler-pandas": on(
        preprocessing.StandardScaler().set_output(transform="pandas"), d.people[["age", "pay"]], d.people_rows[["age", "pay"]]
    ),
    "KernelCenterer": on(preprocessing.KernelCenterer(), d.x @ d.x.T, d.x_rows @ d.x.T),
    "SparseCoder": on_numbers(decomposition.SparseCoder(np.eye(4)[:3])),
    "SimpleImputer-words": on(
        impute.SimpleImputer(strategy="most_frequent", add_indicator=True),
        d.people[["city"]].to_numpy(object),
        d.people_rows[["city"]].to_numpy(object),
    ),
}

_holes: dict[str, Builder] = {
    name: on(estimator, d.holes, d.holes_rows)
    for name, estimator in {
        "SimpleImputer": impute.SimpleImputer(add_indicator=True),
        "SimpleImputer-constant": impute.SimpleImputer(strategy="constant", fill_value=7.0),
        "KNNImputer": impute.KNNImputer(n_neighbors=2, add_indicator=True),
        "MissingIndicator": impute.MissingIndicator(features="all"),
        "IterativeImputer": impute.IterativeImputer(max_iter=2, random_state=0),
        "IterativeImputer-trees": impute.IterativeImputer(
            tree.DecisionTreeRegressor(max_depth=2, random_state=0), max_iter=2, random_state=0
        ),
    }.items()
}

INPUTS: dict[str, Builder] = {**_frames, **_texts, **_encoders, **_holes}
