"""Tell which data set a sentence speaks of: a text model on the descriptions of the data sets that ship with scikit-learn.

Cells for a notebook or an editor that knows `# %%`; it also runs as a script. Needs scikit-learn and a service that
`modelyard login`, or MODELYARD_URL and MODELYARD_KEY, have named.
"""

# %% Five descriptions of some pages each, cut into sentences
from __future__ import annotations

import re

from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from modelyard import Client

NAME = "which-data"
LEAST_LETTERS = 20
loaders = {
    "cancer": load_breast_cancer,
    "diabetes": load_diabetes,
    "digits": load_digits,
    "iris": load_iris,
    "wine": load_wine,
}
texts: list[str] = []
topics: list[str] = []
for topic, load in loaders.items():
    for sentence in re.split(r"\n\s*\n|\n\s*[-:*|]|(?<=[.:;,])\s", load().DESCR):
        tidy = " ".join(sentence.split())
        if sum(letter.isalpha() for letter in tidy) >= LEAST_LETTERS:
            texts.append(tidy)
            topics.append(topic)
x_train, x_test, y_train, y_test = train_test_split(texts, topics, test_size=0.25, random_state=7, stratify=topics)
print(f"{len(x_train)} sentences to fit on, {len(x_test)} held back, about {len(loaders)} data sets")

# %% Words in the first version, pieces of words in the second
estimators = [
    make_pipeline(TfidfVectorizer(), LogisticRegression(C=10, class_weight="balanced", max_iter=1000)),
    make_pipeline(
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5)), LogisticRegression(C=10, class_weight="balanced", max_iter=1000)
    ),
]
yard = Client()
versions = []
for estimator in estimators:
    estimator.fit(x_train, y_train)
    score = balanced_accuracy_score(y_test, estimator.predict(x_test))
    version = yard.publish(estimator, NAME, example=x_train[:5], metrics={"balanced_accuracy": round(score, 3)})
    versions.append(version)
    print(f"{version.selector}: balanced accuracy {version.metrics['balanced_accuracy']} (guessing: {1 / len(loaders):.3f})")

# %% The better one goes to production, and answers plain texts
best = max(versions, key=lambda version: version.metrics["balanced_accuracy"])
yard.point(NAME, "production", best.version, reason="the higher balanced accuracy")
for question in ("The petals are measured in centimetres.", "Images of handwritten numbers.", "Malignant or benign?"):
    print(f"{question} -> {yard.predict(f'{NAME}@production', [question])[0]}")

# %% What is served is what was fitted, to the last bit
for version, estimator in zip(versions, estimators, strict=True):
    assert yard.predict(version.selector, x_test).tolist() == estimator.predict(x_test).tolist()
    assert yard.predict_proba(version.selector, x_test).tobytes() == estimator.predict_proba(x_test).tobytes()
print("The served predictions equal the estimators' own, bit for bit.")
