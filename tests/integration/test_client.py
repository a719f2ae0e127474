"""The Python client against a real service: a model's whole journey, every kind of input, and what goes wrong on the way."""

from __future__ import annotations

import functools
import hashlib
import http.server
import multiprocessing
import os
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from modelyard import Client, errors
from modelyard import client as client_module
from modelyard import inputs as inputs_module
from tests.cutting_proxy import CuttingProxy, cutting_proxy
from tests.running import RunningService, dumped

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def yard(shared_service: RunningService) -> Iterator[Client]:
    """Return a client with the admin's key."""
    with Client(shared_service.url, shared_service.admin_key) as client:
        yield client


@pytest.fixture
def proxy(shared_service: RunningService) -> Iterator[CuttingProxy]:
    """Return a way to the service that can be cut."""
    with cutting_proxy(shared_service.port) as cut:
        yield cut


@pytest.fixture
def cut_yard(proxy: CuttingProxy, shared_service: RunningService) -> Iterator[Client]:
    """Return a client that goes through the proxy."""
    with Client(proxy.url, shared_service.admin_key) as client:
        yield client


@pytest.fixture(scope="module")
def iris() -> tuple[pd.DataFrame, LogisticRegression]:
    """Return the flowers as a frame, and a model fitted on it."""
    rows, labels = load_iris(return_X_y=True, as_frame=True)
    return rows, LogisticRegression(max_iter=1000).fit(rows, labels)


@pytest.fixture(scope="module")
def flowers(yard: Client, iris: tuple[pd.DataFrame, LogisticRegression]) -> str:
    """Publish the model twice under a name, production pointing at the first, and return the name."""
    rows, model = iris
    yard.publish(model, "client-iris", example=rows[:5], alias="production")
    yard.publish(model, "client-iris", example=rows[:5])
    return "client-iris"


def line(slope: float = 2.0) -> LinearRegression:
    """Return the least of all models."""
    return LinearRegression().fit([[0.0], [1.0], [2.0]], [1.0, 1.0 + slope, 1.0 + 2 * slope])


def test_a_model_goes_from_an_estimator_to_a_url_and_back(
    yard: Client, iris: tuple[pd.DataFrame, LogisticRegression], tmp_path: Path
) -> None:
    """Publish, predict, point, roll back, read the history, download: each call of the first page of the documents."""
    rows, model = iris
    first = yard.publish(model, "client-journey", example=rows[:5], metrics={"auc": np.float64(0.91)}, alias="production")
    assert (first.version, first.status, first.metrics, first.aliases) == (1, "ready", {"auc": 0.91}, ("production",))
    assert first.parameters["max_iter"] == 1000
    assert yard.predict("client-journey@production", rows).tobytes() == model.predict(rows).tobytes()
    assert yard.predict_proba("client-journey/1", rows).tobytes() == model.predict_proba(rows).tobytes()
    assert yard.predict("client-journey", rows, "decision_function").tobytes() == model.decision_function(rows).tobytes()
    path = tmp_path / "again.joblib"
    path.write_bytes(dumped(model))
    second = yard.publish(path, "client-journey", example=rows[:5].to_dict("list"), description="the same", tags={"team": "a"})
    assert second.selector == "client-journey/2"
    pointed = yard.point("client-journey", "production", 2, reason="newer", expected=1)
    assert (pointed.version, yard.alias("client-journey").version) == (2, 2)
    back = yard.rollback("client-journey", reason="older was better")
    assert (back.from_version, back.to_version) == (2, 1)
    assert [(move.kind, move.to_version, move.reason) for move in yard.history("client-journey")] == [
        ("rollback", 1, "older was better"),
        ("point", 2, "newer"),
        ("point", 1, "published"),
    ]
    downloaded = yard.download("client-journey/2", tmp_path)
    assert (downloaded.name, downloaded.read_bytes()) == ("client-journey-2.joblib", path.read_bytes())
    assert [found.version for found in yard.versions("client-journey")] == [2, 1]
    assert [found.name for found in yard.models(search="client-journ")] == ["client-journey"]


def test_what_an_operator_does_can_be_done(yard: Client, flowers: str) -> None:
    """Load, pin, unload, look; change words; delete and restore; keys and events."""
    yard.load(f"{flowers}/2")
    yard.pin(f"{flowers}/2")
    assert yard.version(f"{flowers}/2").pinned
    with pytest.raises(errors.VersionInUse):
        yard.unload(f"{flowers}/2")
    yard.unpin(f"{flowers}/2")
    assert yard.unload(f"{flowers}/2")
    assert not yard.unload(f"{flowers}/2")
    assert {row["model"] for row in yard.serving()["loaded"]} >= {flowers}
    assert yard.ready()["status"] in {"up", "degraded"}
    changed = yard.change_version(f"{flowers}/2", tags={"kind": "spare"}, metrics={"auc": 0.5}, cache=False)
    assert (changed.tags, changed.metrics, changed.raw["cache"]) == ({"kind": "spare"}, {"auc": 0.5}, False)
    assert [found.version for found in yard.versions(flowers, tag="kind:spare")] == [2]
    assert yard.change_model(flowers, description="flowers").description == "flowers"
    assert yard.delete_version(f"{flowers}/2").deleted_at is not None
    assert yard.restore_version(flowers, 2).status == "ready"
    yard.point(flowers, "canary", 2)
    assert {alias.alias: alias.version for alias in yard.aliases(flowers)} == {"canary": 2, "production": 1}
    yard.delete_alias(flowers, "canary")
    made = yard.create_key("shop", ["predict"], models=[f"{flowers}*"], limits=["600/minute"])
    assert made.key is not None
    assert made.key not in repr(made)
    with Client(yard.url, made.key) as shop:
        assert (shop.me().name, shop.me().limits_left[0]["remaining"]) == ("shop", 600)
        with pytest.raises(errors.Forbidden, match="needs a key with the scope 'publish'"):
            shop.rollback(flowers)
        rotated = yard.rotate_key(made.id)
        with pytest.raises(errors.Unauthenticated):
            shop.me()
    assert yard.change_key(rotated.id, name="store").name == "store"
    assert yard.revoke_key(rotated.id).revoked_at is not None
    assert rotated.id in [key.id for key in list(yard.keys())]
    assert {event.kind for event in yard.events(model=flowers)} >= {"alias.deleted", "model.changed", "version.published"}


def test_rows_of_every_kind_get_the_estimators_own_answers(
    yard: Client, flowers: str, iris: tuple[pd.DataFrame, LogisticRegression]
) -> None:
    """Arrays, lists, records, columns, one row, pandas and polars frames with their columns in another order."""
    rows, model = iris
    some = rows[::10]
    expected = model.predict(some).tolist()
    kinds: dict[str, Any] = {
        "array": some.to_numpy(),
        "float32 array": some.to_numpy().astype("float32"),
        "lists": some.to_numpy().tolist(),
        "records": some.to_dict("records"),
        "columns": {name: column.tolist() for name, column in some.items()},
        "pandas": some[some.columns[::-1]],
        "polars": pl.DataFrame(some.to_dict("list")).select(list(some.columns[::-1])),
    }
    assert {kind: yard.predict(flowers, given).tolist() for kind, given in kinds.items()} == dict.fromkeys(kinds, expected)
    for one in (some.iloc[0], some.to_numpy()[0], some.iloc[0].to_dict(), some.to_numpy()[0].tolist()):
        assert yard.predict(flowers, one).tolist() == expected[:1]


def test_missing_values_categories_and_texts_are_sent_as_they_are_meant(yard: Client) -> None:
    """NaN, None and NA are null; a category is its text; a column of texts is a list of them; several targets give several arrays."""
    frame = pd.DataFrame({"age": [33.0, 41.0, None, 20.0] * 5, "job": pd.Categorical(["chef", "nurse", "chef", "cook"] * 5)})
    labels = ["yes", "no", "yes", "no"] * 5
    model = make_pipeline(
        make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["job"]), remainder="passthrough"),
        HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=1),
    ).fit(frame.astype({"job": object}), labels)
    yard.publish(model, "client-missing", example=frame)
    expected = model.predict(frame.astype({"job": object})).tolist()
    assert yard.predict("client-missing/1", frame).tolist() == expected
    assert yard.predict("client-missing/1", pl.DataFrame(frame.astype({"job": object}).to_dict("list"))).tolist() == expected
    assert yard.ask("client-missing/1", frame, "predict_proba").classes == ["no", "yes"]
    texts = ["good film", "bad film", "good play", "bad play"]
    words = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, ["+", "-", "+", "-"])
    yard.publish(words, "client-texts", example=texts)
    for given in (texts, tuple(texts), np.array(texts), pd.Series(texts), pl.Series(texts)):
        assert yard.predict("client-texts/1", given).tolist() == ["+", "-", "+", "-"]
    several = MultiOutputClassifier(RandomForestClassifier(3, random_state=0)).fit([[0.0], [1.0], [2.0]], [[0, "a"], [1, "b"], [2, "a"]])
    yard.publish(several, "client-several", example=[[0.0]])
    answered, own = yard.predict_proba("client-several/1", [[0.0], [2.0]]), several.predict_proba([[0.0], [2.0]])
    assert [part.tolist() for part in answered] == [part.tolist() for part in own]


def test_many_rows_go_in_several_requests_to_one_version(
    cut_yard: Client, proxy: CuttingProxy, flowers: str, iris: tuple[pd.DataFrame, LogisticRegression], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first answers by the alias, the others by the number that it resolved to; pointers count all rows."""
    rows, model = iris
    many = pd.concat([rows] * 20)
    monkeypatch.setattr(inputs_module, "MOST_ROWS", 1000)
    answer = cut_yard.ask(flowers, many)
    assert answer.outputs.tolist() == model.predict(many).tolist()
    assert len(answer.request_ids) == 3
    assert proxy.requests == [f"POST /models/{flowers}/@production"] + [f"POST /models/{flowers}/1"] * 2
    wrong = many.astype(object)
    wrong.iloc[2500, 0] = "abc"
    with pytest.raises(errors.SignatureMismatch) as refused:
        cut_yard.predict(flowers, wrong)
    assert refused.value.errors[0].pointer == "#/inputs/sepal%20length%20(cm)/2500"
    assert 'expected a number, got "abc"' in str(refused.value)


def test_a_service_that_takes_fewer_rows_gets_fewer(
    yard: Client, flowers: str, iris: tuple[pd.DataFrame, LogisticRegression], monkeypatch: pytest.MonkeyPatch
) -> None:
    """More rows than the service's limit are halved until it takes them."""
    rows, model = iris
    many = np.concatenate([rows.to_numpy()] * 700)
    monkeypatch.setattr(inputs_module, "MOST_ROWS", 1_000_000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the estimator was fitted with names
        assert yard.predict(flowers, many).tolist() == model.predict(many).tolist()


def test_what_would_be_refused_is_refused_before_the_upload(yard: Client, tmp_path: Path) -> None:
    """In the service's own words, with nothing uploaded: an unfitted model, a class of one's own, a name, a metric, a right that lacks."""
    own = make_pipeline(FunctionTransformer(lambda rows: rows), LinearRegression()).fit([[0.0], [1.0]], [0.0, 1.0])
    refusals: list[tuple[type[errors.Problem], Any, str, dict[str, Any]]] = [
        (errors.NotAModel, LogisticRegression(), "client-early", {}),
        (errors.UnsafeArtifact, own, "client-early", {}),
        (errors.InvalidName, line(), "Client Early", {}),
        (errors.InvalidRequest, line(), "client-early", {"metrics": {"auc": float("nan")}}),
        (errors.InvalidRequest, line(), "client-early", {"alias": "latest"}),
    ]
    for kind, model, name, told in refusals:
        with pytest.raises(kind) as refused:
            yard.publish(model, name, **told)
        assert refused.value.request_id
    with pytest.raises(errors.NotAModel, match="isn't fitted yet"):
        yard.publish(LogisticRegression(), "client-early")
    assert list(yard.events(model="client-early")) == []
    reader = yard.create_key("reader", ["read"])
    with Client(yard.url, reader.key) as reading, pytest.raises(errors.Forbidden):
        reading.publish(line(), "client-early")
    with pytest.raises(errors.ConfigurationError, match=r"nowhere\.joblib can't be read"):
        yard.publish(tmp_path / "nowhere.joblib", "client-early")


def test_a_large_estimator_is_asked_about_again_when_its_size_is_known(
    cut_yard: Client, proxy: CuttingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before it is dumped, after it was dumped, and then it is sent; a small one is asked about once."""
    cut_yard.publish(line(), "client-sized")
    monkeypatch.setattr(client_module, "LARGE_BYTES", 1)
    cut_yard.publish(line(4.0), "client-sized")
    check, upload = "POST /models/client-sized/versions/check", "POST /models/client-sized/versions"
    assert proxy.requests == [check, upload, check, check, upload]


def test_an_upload_whose_answer_is_lost_makes_one_version(cut_yard: Client, proxy: CuttingProxy) -> None:
    """The connection breaks after the service has read everything: the retry with the same key gets the version that was made."""
    proxy.cuts = [("POST /models/client-lost/versions", 0)]
    published = cut_yard.publish(line(3.0), "client-lost")
    assert proxy.requests.count("POST /models/client-lost/versions") == 2
    assert published.version == 1
    assert [version.version for version in cut_yard.versions("client-lost")] == [1]


def test_a_rollback_whose_answer_is_lost_goes_back_once(cut_yard: Client, proxy: CuttingProxy) -> None:
    """Also where the caller said which version it expects, though the alias isn't there any more when the retry comes."""
    for slope in (1.0, 2.0, 3.0):
        cut_yard.publish(line(slope), "client-once", alias="production")
    request = "POST /models/client-once/aliases/production/rollback"
    proxy.cuts = [(request, 0), (request, 0)]
    assert cut_yard.rollback("client-once").to_version == 2
    assert cut_yard.rollback("client-once", expected=2).to_version == 1
    assert proxy.requests.count(request) == 4
    assert [move.to_version for move in cut_yard.history("client-once")] == [1, 2, 3, 2, 1]
    with pytest.raises(errors.AliasMoved, match="points at 1, not at 2"):
        cut_yard.rollback("client-once", expected=2)


def test_what_may_not_be_sent_twice_is_not(cut_yard: Client, proxy: CuttingProxy, shared_service: RunningService) -> None:
    """A key whose making went unanswered is the caller's to look for; where nobody listens, that is said."""
    proxy.cuts = [("POST /keys", 0)]
    with pytest.raises(errors.ConnectionFailed):
        cut_yard.create_key("only-once")
    cut_yard.publish(line(), "client-noted")
    path = "PUT /models/client-noted/aliases/production"
    proxy.cuts = [(path, 0)] * 5
    with pytest.raises(errors.ConnectionFailed) as unanswered:
        cut_yard.point("client-noted", "production", 1, idempotency_key="noted")
    assert "idempotency_key='noted'" in unanswered.value.__notes__[0]
    assert cut_yard.point("client-noted", "production", 1, idempotency_key="noted").version == 1
    assert len(list(cut_yard.history("client-noted"))) == 1
    assert [key.name for key in list(cut_yard.keys())].count("only-once") == 1
    cut_yard.close()
    proxy.close()
    with Client(proxy.url, shared_service.admin_key, retries=1) as fresh, pytest.raises(errors.ConnectionFailed, match="can't be reached"):
        fresh.me()


def test_an_answer_that_does_not_come_in_time_is_told(proxy: CuttingProxy, shared_service: RunningService, flowers: str) -> None:
    """The time is the caller's bound, so nothing is tried again."""
    proxy.silent = True
    with Client(proxy.url, shared_service.admin_key, timeout_seconds=0.3) as hasty, pytest.raises(errors.TimedOut):
        hasty.predict(flowers, [[5.1, 3.5, 1.4, 0.2]])
    assert len(proxy.requests) == 1


def test_retry_after_is_honoured_where_it_is_short_and_told_where_it_is_long(yard: Client, flowers: str) -> None:
    """A limit that frees within the second only slows the client down; one of a day is an error at once."""
    row = [[5.1, 3.5, 1.4, 0.2]]
    brief = yard.create_key("brief", ["predict"], limits=["2/second"])
    with Client(yard.url, brief.key) as slowed:
        assert [slowed.predict(flowers, row).tolist() for _ in range(4)] == [[0]] * 4
    daily = yard.create_key("daily", ["predict"], limits=["1/day"])
    with Client(yard.url, daily.key) as stopped:
        stopped.predict(flowers, row)
        with pytest.raises(errors.RateLimited) as refused:
            stopped.predict(flowers, row)
    assert refused.value.retry_after_seconds is not None
    assert refused.value.retry_after_seconds >= 1


def test_a_broken_download_goes_on_where_it_stopped(cut_yard: Client, proxy: CuttingProxy, tmp_path: Path) -> None:
    """In the same call, and in a later one; the file has its name only when its digest is right."""
    forest = RandomForestClassifier(60, random_state=0).fit(*load_iris(return_X_y=True))
    version = cut_yard.publish(forest, "client-download", example=[[5.1, 3.5, 1.4, 0.2]])
    assert version.size_bytes > 100_000
    target = tmp_path / "forest.joblib"
    request = "GET /models/client-download/1/artifact"
    proxy.cuts = [(request, 60_000), (request, 0)]
    assert cut_yard.download("client-download/1", target) == target
    assert hashlib.sha256(target.read_bytes()).hexdigest() == version.sha256
    assert proxy.requests.count(request) == 3
    part = tmp_path / f".late.joblib.{version.sha256[:16]}.part"
    part.write_bytes(target.read_bytes()[:50_000])
    assert cut_yard.download("client-download/1", tmp_path / "late.joblib").read_bytes() == target.read_bytes()
    assert not part.exists()
    damaged = tmp_path / f".bad.joblib.{version.sha256[:16]}.part"
    damaged.write_bytes(b"x" * 1000)
    with pytest.raises(errors.DownloadDamaged):
        cut_yard.download("client-download/1", tmp_path / "bad.joblib")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["forest.joblib", "late.joblib"]
    with pytest.raises(errors.ConfigurationError, match="can't be written"):
        cut_yard.download("client-download/1", tmp_path / "nowhere" / "file")


def test_downloads_to_one_target_leave_each_other_alone(yard: Client, flowers: str, tmp_path: Path) -> None:
    """Each ends well, links are followed, and what is no file stays what it is."""
    target = tmp_path / "same.joblib"
    failed: list[BaseException] = []

    def fetch() -> None:
        try:
            yard.download(f"{flowers}/1", target)
        except errors.ModelyardError as error:
            failed.append(error)

    threads = [threading.Thread(target=fetch) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert [path.name for path in tmp_path.iterdir()] == ["same.joblib"]
    (tmp_path / "link").symlink_to(target)
    target.write_bytes(b"old")
    yard.download(f"{flowers}/1", tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert hashlib.sha256(target.read_bytes()).hexdigest() == yard.version(f"{flowers}/1").sha256
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(errors.ConfigurationError, match="isn't a file"):
        yard.download(f"{flowers}/1", tmp_path / "pipe")


def test_a_forked_child_reads_its_own_answers(yard: Client, flowers: str, iris: tuple[pd.DataFrame, LogisticRegression]) -> None:
    """It takes connections of its own instead of its parent's."""
    rows, model = iris
    yard.predict(flowers, rows[:1])
    told, expected = multiprocessing.get_context("fork").SimpleQueue(), model.predict(rows).tolist()

    def ask(start: int) -> None:
        told.put((start, [yard.predict(flowers, rows[at : at + 1]).tolist() for at in range(start, 150, 30)]))

    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # a process with threads forks
        children = [multiprocessing.get_context("fork").Process(target=ask, args=(start,)) for start in range(0, 150, 50)]
        for child in children:
            child.start()
    answers = dict(told.get() for _ in children)
    for child in children:
        child.join()
    assert answers == {start: [expected[at : at + 1] for at in range(start, 150, 30)] for start in range(0, 150, 50)}


def test_what_else_answers_at_an_address_is_told(tmp_path: Path) -> None:
    """A web server of another kind is no service of ours, whatever it says."""
    (tmp_path / "me").write_text("<html>hello</html>")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        with Client(f"http://127.0.0.1:{other.server_port}", "my_k") as client:
            with pytest.raises(errors.ConnectionFailed, match="isn't Modelyard"):
                client.me()
            with pytest.raises(errors.Problem, match="501"):
                client.predict("churn", [[1.0]])
        other.shutdown()


def test_one_client_works_from_many_threads(yard: Client, flowers: str, iris: tuple[pd.DataFrame, LogisticRegression]) -> None:
    """Each thread gets the answers to its own rows."""
    rows, model = iris
    expected = model.predict(rows).tolist()
    wrong: list[Any] = []

    def ask(thread: int) -> None:
        for index in range(thread, len(rows), 16):
            answered = yard.predict(flowers, rows[index : index + 1]).tolist()
            if answered != expected[index : index + 1]:
                wrong.append((index, answered))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_everything_about_a_version_goes_in_one_argument(yard: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Metrics, tags and the commit of the working folder; what is given by itself comes first."""
    version = yard.publish(
        line(),
        "client-about",
        about={"metrics": {"r2": 1.0}, "tags": {"team": "a"}, "git": True, "source": {"run": "17"}},
        tags={"team": "b"},
    )
    assert (version.metrics, version.tags, version.source["run"]) == ({"r2": 1.0}, {"team": "b"}, "17")
    assert len(version.source["commit"]) == 40
    assert version.source["dirty"] in {"true", "false"}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(errors.ConfigurationError, match="no git repository"):
        yard.publish(line(), "client-about", source="git")


def test_a_body_is_sent_as_it_stands(yard: Client, flowers: str) -> None:
    """CSV and JSON as an application would send them, with the answer as it comes."""
    header = ",".join(f"{part} {kind} (cm)" for part in ("sepal", "petal") for kind in ("length", "width"))
    answered = yard.send(flowers, f"{header}\n5.1,3.5,1.4,0.2\n".encode(), "text/csv", "predict_proba")
    assert answered.content_type == "application/json"
    assert (answered.version, b'"classes":[0,1,2]' in answered.content) == (1, True)
    again = yard.send(flowers, b'{"data": [[5.1, 3.5, 1.4, 0.2]]}', "application/json", fresh=True, accept="application/x-npy")
    assert inputs_module.read_npy(again.content).tolist() == [0]
    assert client_module.FEW_ROWS < inputs_module.MOST_ROWS
