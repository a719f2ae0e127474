"""The fork server's warm-up: everything imported and each family of model run once, before any worker is forked.

A locked worker can open no file, so whatever is loaded lazily on a first call must have been loaded here. Runs in one
thread: a child forked after its parent used a pool of OpenMP threads would wait for them for ever.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import importlib
import io
import lzma
import unicodedata
import warnings
import zlib
from collections.abc import Sequence
from typing import Any

import joblib
import numpy as np
import pandas as pd
import scipy.linalg
import scipy.optimize
import scipy.sparse
import scipy.spatial
import scipy.special
import scipy.stats
import threadpoolctl  # type: ignore[import-untyped]
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.compose import make_column_transformer
from sklearn.covariance import EllipticEnvelope
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import BayesianRidge, LogisticRegression, Ridge, SGDClassifier
from sklearn.mixture import GaussianMixture
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor, LocalOutlierFactor
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, PolynomialFeatures, QuantileTransformer, StandardScaler
from sklearn.svm import SVC, LinearSVC, OneClassSVM
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import _pprint, all_estimators

from registry.flavors import compiled, onnx_models, skops_files
from registry.flavors.admission import admit
from registry.flavors.golden import replay
from registry.flavors.sklearn import load
from registry.flavors.unpickling import names

#: Not used here by name: importing them is the point.
PRELOADED = (
    bz2,
    gzip,
    lzma,
    zlib,
    unicodedata,
    _pprint,
    scipy.linalg,
    scipy.optimize,
    scipy.sparse,
    scipy.spatial,
    scipy.special,
    scipy.stats,
)

#: What each small model may unpack to.
BUDGET_BYTES = 16 << 20
#: Of what an operator's module said when it couldn't be imported.
MOST_CHARACTERS = 200

_CODECS = ("ascii", "latin-1", "utf-8", "utf-8-sig", "utf-16", "utf-32", "cp437", "cp1252", "unicode_escape", "raw_unicode_escape", "idna")
_COMPRESSIONS = (0, "zlib", "gzip", "bz2", "xz", "lzma")


def warm_up(extra_names: Sequence[str] = ()) -> list[str]:
    """Import everything, allow the operator's extra names, then fit, dump, admit, load and replay one small model of each family.

    Returns a sentence for each extra name that can't be used; all others are allowed from now on.
    """
    warnings.simplefilter("ignore")
    threadpoolctl.threadpool_limits(limits=1)
    problems = allow_extra_names(extra_names)
    for name in _CODECS:
        codecs.lookup(name)
    all_estimators()
    for index, model in enumerate(_families()):
        stream = io.BytesIO()
        joblib.dump(model, stream, compress=_COMPRESSIONS[index % len(_COMPRESSIONS)])
        stream.seek(0)
        admission = admit(stream, {}, BUDGET_BYTES)
        stream.seek(0)
        if admission.golden is not None:
            replay(load(stream, BUDGET_BYTES), admission.golden)
    onnx_models.warm_up()
    skops_files.warm_up()
    compiled.warm_up()
    return problems


def allow_extra_names(extra_names: Sequence[str]) -> list[str]:
    """Import each `package.module:Class` and let artifacts name it; return a sentence, which starts with the name, for each that can't be."""
    problems = []
    for name in extra_names:
        try:
            found = _class_of(name)
        except Exception as error:  # noqa: BLE001 - an operator's module may raise anything while it is imported
            problems.append(f"{name}: {_one_line(error)}")
            continue
        names.allow_extra(found.__module__, found.__qualname__, found)
    return problems


def _class_of(name: str) -> type:
    """Return the class that `package.module:Class` names. Raises ValueError or TypeError with a sentence."""
    path, _, qualname = name.partition(":")
    try:
        module = importlib.import_module(path)
    except (Exception, SystemExit) as error:
        raise ValueError(f"the module {path} can't be imported here ({type(error).__name__}: {_one_line(error)})") from error
    found = getattr(module, qualname, None)
    if found is None:
        raise ValueError(f"the module {path} has no {qualname}")
    if not isinstance(found, type):
        raise TypeError(f"{qualname} in {path} isn't a class")
    if (found.__module__, found.__qualname__) != (path, qualname):
        raise ValueError(f"artifacts name this class as {found.__module__}:{found.__qualname__}; write it like that")
    return found


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:MOST_CHARACTERS]


def _families() -> list[Any]:
    """Return one fitted model of each family; some tens of rows each."""
    random = np.random.default_rng(0)
    x = random.standard_normal((40, 4))
    y = (x[:, 0] > 0).astype(int)
    frame = pd.DataFrame({"number": x[:, 0], "letter": np.where(y, "a", "b"), "flag": x[:, 1] > 0})
    texts = [f"word{i % 7} other{i % 3}" for i in range(40)]
    models = [model.fit(x, y) for model in (*_classifiers(), *_regressors())]
    models += [model.fit(x) for model in _unsupervised()]
    models.append(MultiOutputClassifier(LogisticRegression()).fit(x, np.column_stack([y, 1 - y])))
    models.append(make_pipeline(TfidfVectorizer(strip_accents="unicode"), MultinomialNB()).fit(texts, y))
    encoders = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), ["number"]), (OneHotEncoder(), ["letter"]), (OrdinalEncoder(), ["flag"])
    )
    models.append(make_pipeline(encoders, LogisticRegression()).fit(frame, np.where(y, "yes", "no")))
    return models


def _classifiers() -> list[Any]:
    return [
        LogisticRegression(),
        SGDClassifier(),
        DecisionTreeClassifier(),
        RandomForestClassifier(4, n_jobs=-1),
        GradientBoostingClassifier(n_estimators=4),
        HistGradientBoostingClassifier(max_iter=4),
        KNeighborsClassifier(n_jobs=-1),
        KNeighborsClassifier(algorithm="brute", metric="cosine"),
        SVC(),
        LinearSVC(),
        GaussianNB(),
        MLPClassifier((4,), max_iter=4),
        GaussianProcessClassifier(),
        CalibratedClassifierCV(DecisionTreeClassifier(), cv=2),
        StackingClassifier([("tree", DecisionTreeClassifier())], cv=2),
        make_pipeline(KNNImputer(), PolynomialFeatures(), QuantileTransformer(n_quantiles=4), LogisticRegression()),
    ]


def _regressors() -> list[Any]:
    return [
        Ridge(),
        BayesianRidge(),
        RandomForestRegressor(4, n_jobs=-1),
        HistGradientBoostingRegressor(max_iter=4),
        KNeighborsRegressor(algorithm="ball_tree"),
        GaussianProcessRegressor(),
    ]


def _unsupervised() -> list[Any]:
    return [
        KMeans(2, n_init=1),
        MiniBatchKMeans(2, n_init=1),
        GaussianMixture(2),
        IsolationForest(n_estimators=4, n_jobs=-1),
        OneClassSVM(),
        LocalOutlierFactor(novelty=True),
        EllipticEnvelope(),
    ]
