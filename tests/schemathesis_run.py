"""Runs Schemathesis against a running service: all phases, every check, on the document that the service gives.

What a schema can't say is configured here, each with its reason, and in `schemathesis_hooks.py`. RUN_EXAMPLES and RUN_SEED make
a run longer, or another one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import joblib
import pandas as pd
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from registry.api.openapi.examples import COLUMNS
from tests import fixture_models
from tests.running import ROOT, RunningService

ALL_PHASES = "examples,coverage,fuzzing,stateful"
MODELS = ("iris", "text", "mixed")
#: Valid requests that meet what is there: a deleted version, an alias that moved, a range past the end.
ACCEPTED = ["2xx", "3xx", "401", "403", "404", "409", "410", "412", "416", "429"]
#: What else a valid request may come to, where no schema can know the model or the file.
ACCEPTED_BY_OPERATION = {
    "predictVersion": ["400", "422"],  # bytes that are no npy, values that don't fit the signature
    "predictProduction": ["400", "422"],
    "publishVersion": [
        "414",
        "415",
        "422",
    ],  # words too long for an address, a file that is no model, an input example that doesn't fit, a query beside a form
    "checkVersion": ["413", "415", "422"],
    "changeKey": ["422"],  # a key that was revoked
    "rotateKey": ["422"],  # a key that was rotated before
}
REFUSED = ["400", "401", "403", "404", "405", "406", "409", "410", "412", "413", "414", "415", "422", "431"]


@dataclass(frozen=True)
class Run:
    """What came of a run: how it ended, what it printed, and how much it tried."""

    status: int
    output: str
    selected: int
    tested: int
    cases: int


def example_model() -> LogisticRegression:
    """Return the model that the document's examples are about: irises, with a name for each column and numbers for the species."""
    data = load_iris()
    return LogisticRegression(max_iter=500).fit(pd.DataFrame(data.data, columns=COLUMNS), data.target)


def prepare(service: RunningService) -> None:
    """Publish the models, the one of the document's examples among them, and point aliases at them."""
    estimators = (example_model(), fixture_models.text().estimator, fixture_models.mixed_frame().estimator)
    for name, estimator in zip(MODELS, estimators, strict=True):
        for alias in ("production", "production", "staging"):
            service.publish(name, estimator, {"alias": alias})


def run(service: RunningService, folder: Path, key: str | None, *, examples: int, phases: str = ALL_PHASES) -> Run:
    """Run phases with every check as the holder of `key`, or as nobody."""
    with service.client() as client:
        document = client.get("/openapi.json").content
        spare = [client.post("/keys", json={"name": "spare", "scopes": ["read"]}).json()["id"] for _ in range(3)]
    (folder / "openapi.json").write_bytes(document)
    (folder / "schemathesis.toml").write_text(configuration(spare))
    joblib.dump(fixture_models.iris().estimator, folder / "model.joblib")
    seed = os.environ.get("RUN_SEED")
    chance = ["--generation-deterministic"] if seed is None else ["--seed", seed]
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(folder / "schemathesis.toml"), "run", str(folder / "openapi.json"),
        "--url", service.url, "--checks", "all", "--phases", phases, "--max-examples", str(examples), *chance,
        "--no-color", "--report", "json", "--report-json-path", str(folder / "report.json"),
    ]  # fmt: skip
    if key is not None:
        command += ["--header", f"Authorization: Bearer {key}"]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    kept = ",".join(text.split("_")[1] for text in (service.admin_key, key) if text is not None)
    own = {"RUN_KEPT_KEY_IDS": kept, "RUN_SPARE_KEY_ID": spare[0], "RUN_ARTIFACT": str(folder / "model.joblib")}
    done = subprocess.run(
        command, cwd=folder, env={**environ, **own, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=3600, check=False
    )
    output = done.stdout + done.stderr
    assert (folder / "report.json").exists(), output
    report = json.loads((folder / "report.json").read_text())
    return Run(done.returncode, output, report["operations"]["selected"], report["operations"]["tested"], report["test_cases"]["generated"])


def configuration(key_ids: list[str]) -> str:
    """Return the configuration: names that are there, most of the time, and the statuses that a schema can't tell apart."""
    known = {
        "path.name": list(MODELS), "path.selector": ["1", "2", "@production", "@staging", "@latest"], "path.alias": ["production", "staging"],
        "path.key_id": key_ids, "path.file": ["page.js", "page.css", "swagger-ui.css"],
    }  # fmt: skip
    lines = ['hooks = "tests.schemathesis_hooks"', "continue-on-failure = true", "request-timeout = 60"]
    lines += ["[generation]", "allow-x00 = false"]  # no text may hold NUL, which is said once for all of them
    for number, values in enumerate(known.values()):
        lines += [f"[dictionaries.known{number}]", f"values = {json.dumps(values)}"]
    lines.append("[parameters]")
    lines += [f'"{name}" = {{ dictionary = "known{number}", probability = 0.8 }}' for number, name in enumerate(known)]
    lines += ["[checks]", f"positive_data_acceptance.expected-statuses = {json.dumps(ACCEPTED)}"]
    lines.append(f"negative_data_rejection.expected-statuses = {json.dumps(REFUSED)}")
    for operation, statuses in ACCEPTED_BY_OPERATION.items():
        lines += ["[[operations]]", f'include-operation-id = "{operation}"']
        lines.append(f"checks.positive_data_acceptance.expected-statuses = {json.dumps([*ACCEPTED, *statuses])}")
    return "\n".join(lines) + "\n"
