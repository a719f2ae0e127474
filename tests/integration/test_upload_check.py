"""The check of an upload before it is sent: what it refuses is what the upload is refused for, in the same words, and nothing is left behind."""

from __future__ import annotations

import json
import pickle
import pickletools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from scipy import stats
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from tests.fixture_models import case_of
from tests.opcodes import name, new, program
from tests.raw_http import exchange, request_bytes, slug_of
from tests.running import RunningService

ROWS, CLASSES = np.random.default_rng(0).random((40, 3)), [0, 1] * 20
ACCEPTED = ("iris", "mixed_frame", "text", "grid_search", "hist_gradient_boosting")
#: What makes two problems the same.
SAME = ("type", "title", "status", "detail", "found", "errors", "max_bytes")
#: What no other module calls its models, since the service is shared.
MODEL = "checked"


class Clipper(TransformerMixin, BaseEstimator):
    """As written in a notebook."""

    def fit(self, x: Any, y: Any = None) -> Clipper:
        """Learn nothing."""
        return self

    def transform(self, x: Any) -> Any:
        """Change nothing."""
        return x


@pytest.fixture(autouse=True)
def _in_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the class above belong to `__main__`."""
    monkeypatch.setattr(Clipper, "__module__", "__main__")
    monkeypatch.setattr(sys.modules["__main__"], "Clipper", Clipper, raising=False)


@pytest.fixture(scope="module")
def service(shared_service: RunningService) -> RunningService:
    """Return a service that other modules use as well."""
    return shared_service


@pytest.fixture(scope="module")
def client(service: RunningService) -> Iterator[httpx.Client]:
    """Give the admin's client."""
    with service.client() as made:
        yield made


def names_in(artifact: bytes) -> list[str]:
    """Return what a plain pickle names, in its order."""
    found, memo = [], []
    texts: list[Any] = []
    for code, argument, _ in pickletools.genops(artifact):
        if code.name == "STACK_GLOBAL":
            found.append(f"{texts[-2]}:{texts[-1]}")
            texts.append(None)
        elif code.name == "MEMOIZE":
            memo.append(texts[-1])
        elif code.name in {"BINGET", "LONG_BINGET"}:
            texts.append(memo[argument])
        elif code.name in {"PROTO", "FRAME"}:
            pass
        else:
            texts.append(argument if isinstance(argument, str) else None)
    return found


def traits_of(value: Any) -> dict[str, Any]:
    """Return what a client tells of a value, unless it knows better."""
    kind = "class" if isinstance(value, type) else "container" if isinstance(value, dict | list | tuple) else "object"
    has = {f"has_{method}": callable(getattr(value, method, None)) for method in ("fit", "predict")}
    return {"type": type(value).__name__, "kind": kind, **has}


def check(client: httpx.Client, model: str = MODEL, **told: Any) -> httpx.Response:
    """Ask whether an upload would be refused."""
    return client.post(f"/models/{model}/versions/check", json=told)


def upload(client: httpx.Client, artifact: bytes, manifest: Any = None, model: str = MODEL) -> httpx.Response:
    """Upload it."""
    files: dict[str, Any] = {"artifact": ("model.pkl", artifact)}
    if manifest is not None:
        files["manifest"] = (None, manifest if isinstance(manifest, bytes) else json.dumps(manifest), "application/json")
    return client.post(f"/models/{model}/versions", files=files)


def problem(answer: httpx.Response) -> dict[str, Any]:
    """Return what makes a problem the same as another."""
    slug_of(answer.status_code, answer.headers, answer.content)
    return {member: answer.json()[member] for member in SAME if member in answer.json()}


# -- what is in the artifact ------------------------------------------------------------------------------------------


def fitted(*steps: Any) -> Any:
    """Fit a pipeline on numbers."""
    return make_pipeline(*steps, LogisticRegression()).fit(ROWS, CLASSES)


def randomized_search() -> Any:
    """Fit a search that draws from SciPy."""
    return RandomizedSearchCV(LogisticRegression(), {"C": stats.uniform(0.1, 1)}, n_iter=2, cv=2, random_state=0).fit(ROWS, CLASSES)


NAMED: dict[str, Callable[[], Any]] = {
    "a step of one's own": lambda: fitted(Clipper()),
    "a class of one's own": lambda: Clipper,
    "a lambda": lambda: program(name("__main__", "<lambda>")),
    "a local class": lambda: program(new("notebook", "make.<locals>.Step")),
    "a method": lambda: fitted(FunctionTransformer(np.array(1.0).clip)),
    "a search over distributions": randomized_search,
    "another package": lambda: program(name("mypackage.transform", "Clipper")),
    "LightGBM": lambda: program(name("lightgbm.sklearn", "LGBMClassifier")),
    "cloudpickle": lambda: program(name("cloudpickle.cloudpickle", "_make_function")),
    "another scikit-learn": lambda: program(name("sklearn.ensemble._gb_losses", "BinomialDeviance")),
    "a program": lambda: program(name("os", "system")),
    "no name": lambda: program(name("os\n; rm", "système <script>")),
}


@pytest.mark.parametrize("kind", NAMED)
def test_a_name_that_is_not_accepted_is_refused_as_the_upload_is(client: httpx.Client, kind: str) -> None:
    """The first one in the pickle, with its advice; an artifact's other names don't matter."""
    made = NAMED[kind]()
    artifact = made if isinstance(made, bytes) else pickle.dumps(made, protocol=4)
    told: dict[str, Any] = {"names": names_in(artifact)}
    if not isinstance(made, bytes):
        told["estimator"] = {**traits_of(made), "fitted": False}
    refused = check(client, **told)
    assert slug_of(422, refused.headers, refused.content) == "unsafe-artifact"
    assert refused.json()["found"][0]["rule"] == "name-not-allowed"
    assert problem(refused) == problem(upload(client, artifact))


NO_MODELS: dict[str, tuple[Callable[[], Any], bool | None]] = {
    "a class": (lambda: LinearRegression, None),
    "a type": (lambda: float, None),
    "a dict": (lambda: {"model": LinearRegression()}, None),
    "a list": (lambda: [LinearRegression()], None),
    "an array": (lambda: np.zeros(3), None),
    "a text": (lambda: "model", None),
    "not fitted": (LinearRegression, False),
    "a pipeline that isn't fitted": (lambda: make_pipeline(StandardScaler(), LinearRegression()), False),
    "without predict": (lambda: StandardScaler().fit(np.eye(3)), True),
    "without predict and not fitted": (StandardScaler, False),
}


@pytest.mark.parametrize("kind", NO_MODELS)
def test_what_is_no_model_is_refused_as_the_upload_is(client: httpx.Client, kind: str) -> None:
    """Class, container, no estimator, not fitted, no predict."""
    make, is_fitted = NO_MODELS[kind]
    artifact = pickle.dumps(make(), protocol=4)
    refused = check(client, names=names_in(artifact), estimator={**traits_of(make()), "fitted": is_fitted})
    assert slug_of(422, refused.headers, refused.content) == "not-a-model"
    assert problem(refused) == problem(upload(client, artifact))


def test_what_is_not_known_of_an_estimator_is_not_held_against_it(client: httpx.Client) -> None:
    """Nothing but a name, or nothing at all."""
    assert check(client, estimator={"type": "Pipeline"}).status_code == 200
    assert check(client, estimator={"type": "Pipeline", "has_fit": True}, size_bytes=5, sha256="0" * 64).status_code == 200
    assert check(client).status_code == 200
    assert client.post(f"/models/{MODEL}/versions/check").status_code == 200


def test_other_flavors_hold_no_names(client: httpx.Client) -> None:
    """And ONNX no estimator; what is said of one counts for skops."""
    odd = {"names": ["__main__:Clipper"], "estimator": {"type": "Ridge", "fitted": False}}
    assert check(client, manifest={"flavor": "onnx"}, **odd).status_code == 200
    refused = check(client, manifest={"flavor": "skops"}, **odd)
    assert slug_of(422, refused.headers, refused.content) == "not-a-model"


# -- what is in the manifest ------------------------------------------------------------------------------------------

MANIFESTS: dict[str, tuple[Any, str]] = {
    "unknown fields": ({"colour": 1, "url": "x", "tags": {"a/b~c": 1}}, "invalid-request"),
    "the alias": ({"alias": "latest"}, "invalid-request"),
    "metrics": ({"metrics": {"auc": "high"}, "runtime": "quick", "sha256": "zz"}, "invalid-request"),
    "no object": ([1], "invalid-request"),
    "nothing": (None, "invalid-request"),
    "a flavor": ({"flavor": "torch"}, "unknown-format"),
    "an example without rows": ({"input_example": []}, "signature-mismatch"),
    "an example of uneven rows": ({"input_example": [[1, 2], [1]]}, "signature-mismatch"),
    "an example of a mixed column": ({"input_example": [{"a": 1}, {"a": "x"}]}, "signature-mismatch"),
    "a signature without inputs": ({"signature": {}}, "signature-mismatch"),
    "a signature of unknown types": ({"signature": {"inputs": [{"name": "a", "type": "date"}], "x": 1}}, "signature-mismatch"),
}


@pytest.mark.parametrize("kind", MANIFESTS)
def test_a_manifest_is_refused_as_that_of_the_upload_is(client: httpx.Client, kind: str) -> None:
    """With the same pointers, which begin at the manifest."""
    manifest, slug = MANIFESTS[kind]
    refused = check(client, manifest=manifest)
    assert slug_of(refused.status_code, refused.headers, refused.content) == slug
    sent = b"null" if manifest is None else manifest
    assert problem(refused) == problem(upload(client, pickle.dumps(case_of("iris").estimator), sent))


def test_a_key_in_a_text_is_refused_as_that_of_the_upload_is(service: RunningService, client: httpx.Client) -> None:
    """And isn't repeated."""
    manifest = {"source": {"notebook": f"key={service.make_key('read')}"}}
    refused = check(client, manifest=manifest)
    assert problem(refused) == problem(upload(client, b"", manifest))
    assert "rotate" in refused.json()["detail"]
    assert check(client, names=[f"{service.admin_key}:X"]).status_code == 422


def test_what_is_wrong_first_is_told_first(client: httpx.Client) -> None:
    """In the upload's order: size, manifest, names, estimator, example."""
    wrong: dict[str, Any] = {
        "size_bytes": 1 << 50, "names": ["os:system"], "estimator": {"type": "Ridge", "fitted": False},
        "manifest": {"metrics": 1, "input_example": []},
    }  # fmt: skip
    slugs = []
    for mended in ({"size_bytes": 1}, {"manifest": {"input_example": []}}, {"names": []}, {"estimator": None}):
        answer = check(client, **wrong)
        slugs.append(slug_of(answer.status_code, answer.headers, answer.content))
        wrong |= mended
    assert slugs == ["artifact-too-large", "invalid-request", "unsafe-artifact", "not-a-model"]
    last = check(client, **wrong)
    assert slug_of(422, last.headers, last.content) == "signature-mismatch"


# -- size, names, keys ------------------------------------------------------------------------------------------------


def test_an_artifact_that_is_too_large_is_refused_as_the_upload_is(service: RunningService, client: httpx.Client) -> None:
    """Up to the limit, which an accepted check tells, nothing is said of it."""
    limit = check(client).json()["limits"]["max_artifact_bytes"]
    head = {"Content-Type": "application/octet-stream", "Content-Length": str(limit + 1)}
    came = exchange(service, request_bytes("POST", f"/models/{MODEL}/versions", service.admin_key, head))
    refused = problem(check(client, size_bytes=limit + 1))
    assert refused == {member: value for member, value in json.loads(came.body).items() if member in SAME}
    assert refused["type"].endswith("/artifact-too-large")


def test_a_models_name_is_refused_as_that_of_the_upload_is(client: httpx.Client) -> None:
    """Before the body is looked at."""
    for odd in ("Iris", "a..b", "a" * 65):
        assert problem(check(client, model=odd, colour=1)) == problem(upload(client, b"", model=odd))


def test_a_key_finds_no_model_outside_of_its_patterns_and_needs_the_scope(service: RunningService) -> None:
    """As for the upload: 404 with the same words, 403, 401."""
    with service.client(service.make_key("publish", models=["mine*"])) as bound:
        assert problem(check(bound, model="others")) == problem(upload(bound, b"", model="others"))
        assert check(bound, model="mine-checked").status_code == 200
    with service.client(service.make_key("read", "predict")) as reader:
        assert check(reader).status_code == 403
    assert httpx.post(f"{service.url}/models/{MODEL}/versions/check", json={}).status_code == 401


# -- what is accepted, and what is left behind ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ACCEPTED)
def test_what_is_accepted_is_accepted_as_an_upload(client: httpx.Client, kind: str) -> None:
    """With all its names, and under the number that was foretold."""
    estimator = case_of(kind).estimator
    artifact = pickle.dumps(estimator, protocol=4)
    told = {"names": names_in(artifact), "estimator": {**traits_of(estimator), "fitted": True}, "size_bytes": len(artifact)}
    answer = check(client, model=f"{MODEL}-{kind}".replace("_", "-"), **told)
    assert (answer.status_code, answer.json()["accepted"]) == (200, True), answer.text
    assert len(told["names"]) > 2
    published = upload(client, artifact, model=answer.json()["model"])
    assert (published.status_code, published.json()["version"]) == (201, answer.json()["next_version"]) == (201, 1), published.text


def test_the_next_number_goes_on_after_what_was_deleted(client: httpx.Client) -> None:
    """A deleted model may be published to again."""
    artifact, model = pickle.dumps(case_of("iris").estimator), f"{MODEL}-again"
    for number in (1, 2):
        assert check(client, model=model).json()["next_version"] == number
        assert upload(client, artifact, model=model).status_code == 201
    for path in (f"/models/{model}/2", f"/models/{model}"):
        assert client.delete(path).is_success
    assert check(client, model=model).json()["next_version"] == 3
    assert upload(client, artifact, model=model).json()["version"] == 3


def test_a_check_leaves_no_version_no_bytes_and_no_event(service: RunningService, client: httpx.Client) -> None:
    """Whether it is refused or not, since nothing was uploaded."""
    model = f"{MODEL}-nothing"
    store = service.instance / "artifacts"

    def kept() -> set[Path]:
        return {path for path in store.rglob("*") if path.is_file()}

    before = kept()
    assert check(client, model=model, size_bytes=100, names=["sklearn.pipeline:Pipeline"]).status_code == 200
    for told in ({"names": ["os:system"]}, {"manifest": {"x": 1}}, {"size_bytes": 1 << 60}, {"estimator": {"type": "A", "fitted": False}}):
        assert check(client, model=model, **told).status_code in {413, 422}
    assert kept() == before
    assert client.get(f"/models/{model}").status_code == 404
    assert client.get("/events", params={"model": model}).json()["items"] == []


# -- bodies that mean harm --------------------------------------------------------------------------------------------

LONG = "x" * 1_000_000
HOSTILE: dict[str, tuple[Any, int, str | None]] = {
    "100,000 names": ({"names": ["sklearn.pipeline:Pipeline"] * 100_000}, 422, "#/names"),
    "a huge name": ({"names": [f"{LONG}:A"]}, 422, "#/names/0"),
    "a name without a module": ({"names": ["sklearn.pipeline:Pipeline", "Pipeline"]}, 422, "#/names/1"),
    "half a name": ({"names": [":", "a:", ":b"]}, 422, "#/names/0"),
    "no names": ({"names": [5]}, 422, "#/names/0"),
    "a mapping of names": ({"names": {"a:b": 1}}, 422, "#/names"),
    "NUL": ({"names": ["a\0b:c"]}, 400, None),
    "NUL in a type": ({"estimator": {"type": "a\0"}}, 400, None),
    "a type that is no text": ({"estimator": {"type": 5}}, 422, "#/estimator/type"),
    "a yes that is a number": ({"estimator": {"type": "A", "fitted": 0}}, 422, "#/estimator/fitted"),
    "a size that is a text": ({"size_bytes": "5"}, 422, "#/size_bytes"),
    "a huge type": ({"estimator": {"type": LONG}}, 422, "#/estimator/type"),
    "a kind": ({"estimator": {"type": "A", "kind": "module"}}, 422, "#/estimator/kind"),
    "an estimator without a type": ({"estimator": {}}, 422, "#/estimator/type"),
    "a size below nothing": ({"size_bytes": -1}, 422, "#/size_bytes"),
    "a digest": ({"sha256": "A" * 64}, 422, "#/sha256"),
    "an unknown field": ({"artifact": "x"}, 422, "#/artifact"),
    "a list": ([], 422, None),
    "too many bytes": ({"manifest": {"parameters": {"a": LONG * 6}}}, 413, None),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_body_that_means_harm_is_refused_and_says_why(client: httpx.Client, kind: str) -> None:
    """Before anybody is asked about it; what it held isn't repeated."""
    body, status, pointer = HOSTILE[kind]
    answer = client.post(f"/models/{MODEL}/versions/check", json=body)
    assert slug_of(status, answer.headers, answer.content) in {"invalid-request", "malformed-body", "body-too-large"}
    assert len(answer.content) < 5000
    if pointer is not None:
        assert pointer in {found["pointer"] for found in answer.json()["errors"]}


def test_a_manifest_as_large_as_an_uploads_has_room(client: httpx.Client) -> None:
    """With a long example, more than other control requests may have."""
    example = [[0.123456789] * 3 for _ in range(60_000)]
    answer = check(client, manifest={"input_example": example}, names=["sklearn.pipeline:Pipeline"] * 2000)
    assert len(answer.request.content) > 2 << 20
    assert answer.status_code == 200, answer.text


def test_a_body_that_is_not_json_is_refused(client: httpx.Client) -> None:
    """By its content type, and where it can't be read."""
    path = f"/models/{MODEL}/versions/check"
    assert client.post(path, content=b"{}", headers={"Content-Type": "text/plain"}).status_code == 415
    for content in (b"{", b'{"size_bytes": NaN}', b'{"names": [], "names": []}'):
        answer = client.post(path, content=content, headers={"Content-Type": "application/json"})
        assert slug_of(400, answer.headers, answer.content) == "malformed-body"
