"""Tell benign from malignant tissue by a data frame with named columns: two versions, an alias, and the way back.

Cells for a notebook or an editor that knows `# %%`; it also runs as a script. Needs scikit-learn, pandas and a service that
`modelyard login`, or MODELYARD_URL and MODELYARD_KEY, have named.
"""

# %% A data frame with 30 named columns, a quarter of its rows held back
from __future__ import annotations

import pandas as pd
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelyard import Client

NAME = "tissue"
data = load_breast_cancer(as_frame=True)
X = pd.DataFrame(dict(data.data.items()))  # column by column in memory, as from a file: the order of a sum shows in its last bit
X_train, X_test, y_train, y_test = train_test_split(X, data.target, test_size=0.25, random_state=7, stratify=data.target)
print(f"{len(X_train)} samples to fit on, {len(X_test)} held back, {X_train.shape[1]} columns")

# %% Two estimators, each published with what was measured on the rows that it has not seen
yard = Client()
estimators = [
    make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
    RandomForestClassifier(n_estimators=100, random_state=7),
]
versions = []
for estimator in estimators:
    estimator.fit(X_train, y_train)
    auc = roc_auc_score(y_test, estimator.predict_proba(X_test)[:, 1])
    version = yard.publish(estimator, NAME, example=X_train[:5], metrics={"auc": round(auc, 4)}, source={"data": "load_breast_cancer"})
    versions.append(version)
    print(f"{version.selector}: {version.estimator.rpartition('.')[2]}, auc {version.metrics['auc']}")

# %% The signature knows the columns by name, so their order doesn't matter
older, newer = versions
print("the first columns:", [column["name"] for column in newer.signature["inputs"][:3]])
shuffled = X_test[sorted(X_test.columns)]
in_any_order = yard.predict(newer.selector, shuffled)

# %% Point `production` at one and then the other, and go back
yard.point(NAME, "production", older.version, reason="first")
yard.point(NAME, "production", newer.version, reason="trees")
move = yard.rollback(NAME, reason="the forest can wait")
answer = yard.ask(f"{NAME}@production", X_test[:3], "predict_proba")
print(f"rolled back from version {move.from_version} to {move.to_version}; version {answer.version} answers:")
for chances in answer.outputs:
    print("  ", dict(zip(answer.classes or (), chances.round(3).tolist(), strict=True)))

# %% What is served is what was fitted, to the last bit
for version, estimator in zip(versions, estimators, strict=True):
    assert yard.predict(version.selector, X_test).tobytes() == estimator.predict(X_test).tobytes()
    assert yard.predict_proba(version.selector, X_test).tobytes() == estimator.predict_proba(X_test).tobytes()
assert in_any_order.tobytes() == estimators[1].predict(X_test).tobytes()
assert answer.version == older.version
print("The served predictions equal the estimators' own, bit for bit.")
