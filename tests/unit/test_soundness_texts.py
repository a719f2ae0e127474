"""Vectorizers and functions: what would open files, run a function, search for ever or leave its columns is refused."""

from __future__ import annotations

import contextlib
import functools
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.cluster import FeatureAgglomeration
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import StackingClassifier
from sklearn.feature_extraction import DictVectorizer, FeatureHasher
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.feature_selection import SelectFromModel, SelectKBest, f_classif
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, PairwiseKernel
from sklearn.impute import KNNImputer
from sklearn.kernel_approximation import Nystroem
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import Bunch, check_array

from registry.flavors import soundness
from registry.flavors.refusals import Refused
from registry.flavors.soundness import require_sound
from registry.flavors.soundness.table import CHECKS
from registry.flavors.soundness.token_patterns import why_slow
from tests.walking import named, objects_of

pytestmark = pytest.mark.unit
READ = sorted(
    {
        word
        for module in Path(soundness.__file__).parent.glob("*.py")
        for word in re.findall(r'"([a-z_][A-Za-z_]*)"', module.read_text("utf-8"))
    }
)
TEXTS = ["a fine day", "a dull day", "fine and dull"]


def refused(model: Any) -> Refused:
    """Return why a model is refused."""
    with pytest.raises(Refused) as caught:
        require_sound(objects_of(model))
    return caught.value


@pytest.mark.parametrize("cls", [CountVectorizer, TfidfVectorizer, HashingVectorizer])
@pytest.mark.parametrize("source", ["filename", "file", None, 7])
def test_a_vectorizer_that_opens_files_is_refused(cls: Any, source: Any) -> None:
    """A request would choose which."""
    refusal = refused(cls(input=source))
    assert refusal.as_found() == {"rule": "reads-files", "estimator": f"sklearn.feature_extraction.text.{cls.__name__}"}


@pytest.mark.parametrize("name", ["analyzer", "tokenizer", "preprocessor", "strip_accents"])
@pytest.mark.parametrize("value", [len, str, functools.partial(len), ["unhashable"]], ids=named)
def test_a_vectorizer_with_a_function_is_refused_with_advice(name: str, value: Any) -> None:
    """Whatever it is, it isn't one of scikit-learn's names."""
    refusal = refused(CountVectorizer(**{name: value}))
    assert refusal.rule == "callable-not-allowed"
    assert f"`{name}`" in refusal.text
    assert "before you call the service" in refusal.text


@pytest.mark.parametrize(
    "pattern",
    [
        r"(?u)\b\w\w+\b",
        r"\b\w+\b",
        r"(?u)\b[a-zA-Z]{2,}\b",
        r"[a-zA-Z]{2,}",
        r"[^\s]+",
        r"\S+",
        r"[^,]+",
        r"\w{1,}",
        r"(\w+)",
        r"\b[a-zA-Z][a-zA-Z]+\b",
        r"(?u)\b\w+(?:['-]\w+)*\b",
        r"[A-Za-z]+(?=\s+)",
        r"\w+|[^\w\s]+",
        r"(?i)\b[a-z]+(?:'[a-z]+)?\b",
        r"\d+(?:\.\d+)?",
        r"(?:ab|cd)+",
        r"(?<!\w)#\w+",
        r"[\w-]+",
        r".",
        r"[一-龥]",
    ],
)
def test_usual_patterns_for_tokens_pass(pattern: str) -> None:
    """The default, those of the documentation and those that people write."""
    assert why_slow(pattern) is None
    require_sound(objects_of(CountVectorizer(token_pattern=pattern)))


@pytest.mark.parametrize(
    "pattern",
    [
        r"(a+)+$",
        r"(a*)*$",
        r"(\w+\s?)*$",
        r"(a|a)+$",
        r"(a|ab)*$",
        r"(?:aa|aa)+$",
        r"(.*)*x",
        r"(?:a?){40}a{40}",
        r"(?:\w+\w+)+$",
        r"(?:-?\w+)+$",
        r"(?i)(?:K\u212a+)+$",
        r"(?i)(?:a[A-Z]+)+$",
        r"(?:a[^b]+)+$",
        r"(a)\1+",
        r"(?P<x>a)(?P=x)",
        r"(?:)*a",
        r"\w*\w*\w*\w*\w*x",
        "a?" * 30 + "a" * 30,
        "(" * 30 + "a" + ")" * 30,
        "a" * 301,
        "(",
        "[",
    ],
)
def test_patterns_that_could_search_for_ever_are_refused(pattern: str) -> None:
    """The classical ones, nested or repeated too often; also what is no pattern."""
    assert why_slow(pattern) is not None
    assert refused(TfidfVectorizer(token_pattern=pattern)).rule == "slow-pattern"


def test_a_pattern_that_is_not_looked_at_by_characters_is_not_judged() -> None:
    """With analyzer='char' the token pattern isn't used."""
    require_sound(objects_of(CountVectorizer(analyzer="char", token_pattern=r"(a+)+$")))


@pytest.mark.parametrize(
    "vocabulary",
    [
        {"fine": 10**6},
        {"fine": -1},
        {"fine": 0, "day": 0},
        {"fine": 0, "day": 2},
        {"fine": 0.0},
        {"fine": "0"},
        {"fine": [0]},
        {"fine": True},
        ["fine"],
        defaultdict(int, {"fine": 0}),
        7,
    ],
    ids=named,
)
@pytest.mark.parametrize("cls", [CountVectorizer, TfidfVectorizer, DictVectorizer])
def test_a_vocabulary_with_a_gap_is_refused(cls: Any, vocabulary: Any) -> None:
    """Its numbers become the indices of a sparse matrix."""
    model = cls()
    model.vocabulary_ = vocabulary
    assert refused(model).rule == "broken-vocabulary"


@pytest.mark.parametrize(
    "settings",
    [{"stop_words": 7}, {"stop_words": "german"}, {"ngram_range": (1, 10**6)}, {"ngram_range": 3}, {"ngram_range": (0, 1)}],
    ids=named,
)
def test_a_vectorizer_with_odd_settings_is_refused(settings: dict[str, Any]) -> None:
    """They would raise, or take for ever, for each text."""
    assert refused(CountVectorizer(**settings)).rule == "broken-vectorizer"


def test_a_vectorizer_with_a_pattern_for_white_space_is_refused() -> None:
    """It belongs to the class."""
    model = CountVectorizer()
    model._white_spaces = 7
    assert refused(model).rule == "broken-vectorizer"


@pytest.mark.parametrize("cls", [HashingVectorizer, FeatureHasher])
@pytest.mark.parametrize("columns", [0, -1, 2**31, 2.5, None])
def test_a_hasher_with_an_impossible_number_of_columns_is_refused(cls: Any, columns: Any) -> None:
    """Native code divides by it and counts with it."""
    assert refused(cls(n_features=columns)).rule == "broken-vectorizer"


@pytest.mark.parametrize(
    "model",
    [
        CountVectorizer().fit(TEXTS),
        CountVectorizer(vocabulary=["fine", "day"]).fit(TEXTS),
        CountVectorizer(vocabulary={"fine": 1, "day": 0}).fit(TEXTS),
        TfidfVectorizer(stop_words=["a"], ngram_range=(1, 3), strip_accents="unicode").fit(TEXTS),
        TfidfVectorizer(stop_words="english", analyzer="word", dtype=np.float32).fit(TEXTS),
        CountVectorizer(analyzer="char_wb", ngram_range=(2, 4)).fit(TEXTS),
        HashingVectorizer(n_features=16),
        DictVectorizer().fit([{"a": 1, "b": "x"}]),
        FeatureHasher(n_features=8),
    ],
    ids=named,
)
def test_usual_vectorizers_pass(model: Any) -> None:
    """With their words, stop words and n-grams."""
    require_sound(objects_of(model))


@pytest.mark.parametrize(
    "model",
    [
        FunctionTransformer(lambda x: x),
        FunctionTransformer(np.log1p, inverse_func=np.sort),
        FunctionTransformer(np.loadtxt),
        FunctionTransformer(functools.partial(np.log1p)),
        FunctionTransformer(functools.partial(check_array, dtype=[np.float64], copy=True)),
        FunctionTransformer(np.log1p, kw_args={"out": np.zeros(3)}),
        FunctionTransformer(np.log1p, feature_names_out=len),
        FunctionTransformer("log"),
        TransformedTargetRegressor(Ridge(), func=np.sort, inverse_func=np.sort),
        TransformedTargetRegressor(Ridge(), func=np.log1p, inverse_func=open),
        FeatureAgglomeration(pooling_func=open),
        FeatureAgglomeration(metric=len),
        SelectFromModel(Ridge(), importance_getter=len),
        Nystroem(kernel=len),
        Nystroem(kernel=np.add, kernel_params={"out": np.zeros(3, np.int32), "casting": "unsafe"}),
        KernelRidge(kernel=np.exp),
        KNNImputer(metric=np.add),
        KNeighborsRegressor(weights=np.add),
        Bunch(transform=len),
        GaussianProcessRegressor(PairwiseKernel(metric=len)),
    ],
    ids=named,
)
def test_a_function_that_prediction_would_call_is_refused(model: Any) -> None:
    """Only numpy's element-wise functions may stay."""
    refusal = refused(model)
    assert refusal.rule == "callable-not-allowed"
    assert refusal.found["estimator"].startswith("sklearn.")


@pytest.mark.parametrize(
    "model",
    [
        FunctionTransformer(),
        FunctionTransformer(np.log1p, inverse_func=np.expm1, kw_args={"casting": "same_kind"}),
        FunctionTransformer(functools.partial(check_array, dtype=[np.float64], ensure_all_finite=False)),
        TransformedTargetRegressor(Ridge(), func=np.log1p, inverse_func=np.expm1),
        FeatureAgglomeration(pooling_func=np.median),
        SelectFromModel(Ridge(), importance_getter="coef_"),
        SelectKBest(f_classif),
        KNeighborsRegressor(weights=np.reciprocal),
        GaussianProcessRegressor(1.0 * RBF() + PairwiseKernel(metric="rbf")),
    ],
    ids=named,
)
def test_functions_that_only_compute_or_are_not_called_pass(model: Any) -> None:
    """Element-wise functions of numpy, scores for fitting, and scikit-learn's own kernels."""
    require_sound(objects_of(model))


@pytest.mark.parametrize("method", ["decision_path", ["fit"], 7, "__reduce__"])
def test_a_stack_that_asks_its_members_for_another_method_is_refused(method: Any) -> None:
    """It looks the method up by the name that the file gives."""
    model = StackingClassifier([("a", LogisticRegression())])
    model.stack_method_ = method
    assert refused(model).rule == "callable-not-allowed"


class Hostile:
    """An attribute that raises whatever is asked of it."""

    def __getattr__(self, name: str) -> Any:
        """Raise."""
        raise KeyError(name)

    def __eq__(self, other: object) -> bool:
        """Raise."""
        raise KeyError(other)

    __hash__ = object.__hash__


ODD = [None, 7, "text", [], {}, (), np.zeros(2), np.array([None]), np.zeros((2, 2, 2)), object(), Hostile()]


@pytest.mark.parametrize("value", ODD, ids=range(len(ODD)))
@pytest.mark.parametrize("kind", [kind for kind in CHECKS if kind.__new__ is object.__new__])
def test_an_attribute_of_any_kind_is_refused_or_let_be_and_never_crashes(kind: type, value: Any) -> None:
    """Whoever wrote the file chose it; every attribute that any check reads is set to it, one after the other."""
    for names in (READ, *([name] for name in READ)):
        model = object.__new__(kind)
        vars(model).update(dict.fromkeys(names, value))
        with contextlib.suppress(Refused):
            require_sound([model])
