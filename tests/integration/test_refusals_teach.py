"""What a data scientist may well upload, and is refused, over REST: the answer names what was found and says what to do instead."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import joblib
import numpy as np
import pytest
from scipy import stats
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RandomizedSearchCV
from sklearn.naive_bayes import MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from tests.fixture_models import case_of
from tests.opcodes import name, program
from tests.running import RunningService, dumped

ROWS, CLASSES = np.random.default_rng(0).random((40, 3)), [0, 1] * 20
TEXTS = ["a good film", "a bad film", "good, so good", "bad, so bad"]
PAGE = Path(__file__).resolve().parents[2] / "docs" / "publishing.md"


class Winsorizer(TransformerMixin, BaseEstimator):
    """As written in a notebook."""

    def fit(self, x: Any, y: Any = None) -> Winsorizer:
        """Learn nothing."""
        return self

    def transform(self, x: Any) -> Any:
        """Change nothing."""
        return x


def shout(text: Any) -> Any:
    """Do something of one's own."""
    return text


def split(text: str) -> list[str]:
    """Cut a text into words."""
    return text.split()


@pytest.fixture(autouse=True)
def _in_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the classes and functions above belong to `__main__`, as they do in a notebook."""
    for thing in (Winsorizer, shout, split):
        monkeypatch.setattr(thing, "__module__", "__main__")
        monkeypatch.setattr(sys.modules["__main__"], thing.__name__, thing, raising=False)


@pytest.fixture(scope="module")
def service(shared_service: RunningService) -> RunningService:
    """Return a service that other modules use as well."""
    return shared_service


def text_model(vectorizer: Any) -> Any:
    """Fit a text pipeline."""
    return make_pipeline(vectorizer, MultinomialNB()).fit(TEXTS, [1, 0, 1, 0])


def numeric_model(*steps: Any) -> Any:
    """Fit a pipeline on numbers."""
    return make_pipeline(*steps, LogisticRegression()).fit(ROWS, CLASSES)


def randomized_search() -> Any:
    """Fit a search that draws from SciPy."""
    return RandomizedSearchCV(LogisticRegression(), {"C": stats.uniform(0.1, 1)}, n_iter=2, cv=2, random_state=0).fit(ROWS, CLASSES)


def with_memory() -> Any:
    """Fit a pipeline that has a cache on disk."""
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(ROWS, CLASSES)
    return pipeline.set_params(memory=joblib.Memory("/tmp/cache", verbose=0))


def altered(model: Any, **attributes: Any) -> Any:
    """Return a vectorizer's pipeline with other attributes than it was fitted with."""
    vars(model[0]).update(attributes)
    return model


CASES: dict[str, tuple[Callable[[], Any], str, str | None, str]] = {
    "a transformer of one's own": (lambda: numeric_model(Winsorizer()), "name-not-allowed", "__main__.Winsorizer", "notebook"),
    "a function of one's own": (lambda: numeric_model(FunctionTransformer(shout)), "name-not-allowed", "__main__.shout", "numpy.log1p"),
    "a lambda": (
        lambda: cloudpickle.dumps(numeric_model(FunctionTransformer(lambda x: x)), protocol=4),
        "name-not-allowed", "cloudpickle.cloudpickle._make_function", "lambda",
    ),
    "a search over distributions": (randomized_search, "name-not-allowed", None, "search.best_estimator_"),
    "a tokenizer": (lambda: text_model(CountVectorizer(tokenizer=split, token_pattern=None)), "name-not-allowed", "__main__.split", "notebook"),
    "a method as tokenizer": (lambda: text_model(CountVectorizer(tokenizer=str.split, token_pattern=None)), "name-not-allowed", "builtins.getattr", "token_pattern"),
    "a vectorizer that opens files": (lambda: altered(text_model(TfidfVectorizer()), input="filename"), "reads-files", None, "content"),
    "a pattern without end": (lambda: altered(text_model(TfidfVectorizer()), token_pattern=r"(\w+)+$"), "slow-pattern", None, "token_pattern"),
    "a cache on disk": (with_memory, "name-not-allowed", None, "set_params(memory=None)"),
    "a metric of one's own": (
        lambda: KNeighborsClassifier(metric=shout), "name-not-allowed", "__main__.shout", "notebook",
    ),
    "LightGBM": (lambda: program(name("lightgbm.sklearn", "LGBMClassifier")), "name-not-allowed", "lightgbm.sklearn.LGBMClassifier", "aren't accepted for now"),
    "XGBoost": (lambda: program(name("xgboost.sklearn", "XGBClassifier")), "name-not-allowed", "xgboost.sklearn.XGBClassifier", "HistGradientBoosting"),
    "another package": (lambda: program(name("mypackage.transform", "Clipper")), "name-not-allowed", "mypackage.transform.Clipper", "MODELYARD_EXTRA_NAMES=mypackage.transform:Clipper"),
    "another scikit-learn": (lambda: program(name("sklearn.ensemble._gb_losses", "BinomialDeviance")), "name-not-allowed", "sklearn.ensemble._gb_losses.BinomialDeviance", "another scikit-learn"),
    "a program": (lambda: program(name("os", "system")), "name-not-allowed", "os.system", "which a fitted model never needs"),
    "something appended": (lambda: dumped(case_of("iris").estimator) + b"x", "trailing-bytes", None, "nothing appended"),
}  # fmt: skip


@pytest.mark.parametrize(("build", "rule", "found", "words"), CASES.values(), ids=CASES)
def test_a_refusal_says_what_was_found_and_what_to_do(
    service: RunningService, build: Callable[[], Any], rule: str, found: str | None, words: str
) -> None:
    """422 with the rule, the name, and advice; and it leaves no version, but one event that says the same."""
    made = build()
    artifact = made if isinstance(made, bytes) else dumped(made)
    with service.client() as client:
        response = client.post("/models/refused/versions", files={"artifact": ("model.joblib", artifact)})
        problem = response.json()
        assert (response.status_code, problem["type"].rpartition("/")[2]) == (422, "unsafe-artifact"), response.text
        assert problem["found"][0]["rule"] == rule
        if found is not None:
            assert problem["found"][0]["name"] == found
        assert words in problem["detail"]
        assert client.get("/models/refused").status_code == 404
        event = client.get("/events", params={"model": "refused", "limit": 1}).json()["items"][0]
        assert (event["kind"], event["reason"], event["detail"]["found"]) == ("upload.refused", problem["detail"], problem["found"])


def test_every_rule_on_the_page_about_publishing_is_one_that_refuses() -> None:
    """The page names no rule that the code doesn't have."""
    code = "\n".join(path.read_text(encoding="utf-8") for path in Path("registry").rglob("*.py"))
    table = PAGE.read_text(encoding="utf-8").split("| you have |")[1].split("\n\n")[0]
    rules = set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`", table))
    assert rules >= {rule for _, rule, _, _ in CASES.values()}
    assert [rule for rule in sorted(rules) if f'"{rule}"' not in code] == []
