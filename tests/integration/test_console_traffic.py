"""The page Traffic of a real service: what was asked shows in it, and shows only to keys that may see it."""

from __future__ import annotations

import html
import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
from flask import Flask, Response, g
from sklearn.linear_model import LinearRegression

from registry import watcher
from registry.wiring import services
from tests.console_browsing import ConsoleClient, LocalConsole, signed_in_client
from tests.processes import eventually
from tests.running import RunningService, running

ESTIMATOR = LinearRegression().fit(np.eye(4), np.arange(4.0))
ROW = {"data": [[1.0, 2.0, 3.0, 4.0]]}


def drawn(page: httpx.Response) -> dict[str, list[Any]]:
    """Return what the charts of a page draw."""
    assert page.status_code == 200, page.text
    found = re.search(r'data-columns="([^"]*)"', page.text)
    assert found
    columns: dict[str, list[Any]] = json.loads(html.unescape(found[1]))
    return columns


def sums(page: httpx.Response) -> dict[str, int]:
    """Return the sums of what the charts of a page count."""
    return {name: sum(values) for name, values in drawn(page).items() if name not in {"at", "p50", "p99"}}


def ask(service: RunningService, key: str, name: str, *, good: int = 0, bad: int = 0) -> list[int]:
    """Ask a model, with the same row each time, then with rows that it refuses; return the statuses."""
    with service.client(key) as client:
        answers = [client.post(f"/models/{name}/1", json=ROW) for _ in range(good)]
        answers += [client.post(f"/models/{name}/1", json={"data": "none"}) for _ in range(bad)]
    return [answer.status_code for answer in answers]


def test_what_was_asked_shows_and_is_written_to_the_last_when_the_service_ends(tmp_path: Path) -> None:
    """Good answers, errors, cache hits and refusals, by model, version and key; nothing is lost at an orderly end."""
    with running(tmp_path / "instance", web_processes="1", measured=False) as service:
        service.publish("iris", ESTIMATOR)
        key = service.make_key("predict", name="<b>app</b>", limits=["8/day"])
        key_id = key.split("_")[1]
        assert ask(service, key, "iris", good=5, bad=2) == [200] * 5 + [422] * 2
        with service.client() as client:
            assert client.put("/models/iris/aliases/production", json={"version": 1}).status_code == 200
        with service.client(key) as client:
            assert sorted(client.post("/models/iris", json=ROW).status_code for _ in range(3)) == [200, 429, 429]
        assert ask(service, key, "iris", good=1) == [429]
        with service.client(key) as refused_before:  # an alias and a version that nobody may have are counted under neither
            assert [refused_before.post(f"/models/invented{end}", json=ROW).status_code for end in ("", "/7", "/@none")] == [429] * 3
        with signed_in_client(service) as console:
            expected = {"requests": 8, "errors": 2, "failures": 0, "hits": 5, "refusals": 3}

            def shows(query: str, sought: dict[str, int]) -> bool:
                return sums(console.get(f"/console/traffic?{query}")) == sought

            eventually(lambda: shows("kind=model&subject=iris", expected), what="the figures")
            for window in ("hour", "day", "week"):
                assert shows(f"window={window}&kind=version&subject=iris/1", expected)
                assert shows(f"window={window}&kind=key&subject={key_id}", {**expected, "refusals": 6})
                assert shows(f"window={window}", {**expected, "refusals": 6})
            columns = drawn(console.get("/console/traffic"))
            assert {name: len(values) for name, values in columns.items()} == dict.fromkeys(columns, 60)
            assert [value for value in columns["p50"] if value is not None]
            page = console.get("/console/traffic?kind=key").text
            assert f"&lt;b&gt;app&lt;/b&gt; ({key_id})" in page
            assert "<b>app" not in page
            assert "invented" not in console.get("/console/traffic").text
        with service.client() as client:
            assert client.post("/models/iris/1", json=ROW).status_code == 200
        service.stop()
        with closing(sqlite3.connect(service.instance / "modelyard.db")) as database:
            # In a minute that was rolled up or in rows that weren't yet.
            written = "SELECT sum(requests) FROM traffic WHERE kind = 'model' AND subject = 'iris' AND span_seconds IN (0, 60)"
            assert database.execute(written).fetchone() == (9,)


def test_nothing_asked_yet_says_what_will_appear(shared_service: RunningService) -> None:
    """And leads to where one can begin."""
    shared_service.publish("traffic-quiet", ESTIMATOR)
    key = shared_service.make_key("read", models=["traffic-quiet"])
    with signed_in_client(shared_service, key) as console:
        page = console.get("/console/traffic").text
    assert "Nothing was asked in the last hour." in page
    assert "Open a model and try it" in page
    assert re.search(r'id="charts"[^>]* hidden', page)


def test_a_bound_key_sees_its_own_models_and_nothing_that_sums_up_others(shared_service: RunningService) -> None:
    """Neither in series, nor in the table, nor in the picture of the memory."""
    for name, first in (("traffic-own", 1.0), ("traffic-other", 2.0)):  # equal ones would share the cache, and one wouldn't be loaded
        shared_service.publish(name, LinearRegression().fit(np.eye(4), first + np.arange(4.0)))
        assert ask(shared_service, shared_service.admin_key, name, good=2) == [200, 200]
    bound = shared_service.make_key("read", models=["traffic-ow*"])
    bound_admin = shared_service.make_key("admin", models=["traffic-ow*"])
    with signed_in_client(shared_service, bound) as console:
        eventually(lambda: sums(console.get("/console/traffic"))["requests"] == 2, what="its figures")
        text = console.get("/console/traffic").text
        assert "Model traffic-own" in text
        for query in ("", "?window=week&kind=version"):
            assert "traffic-other" not in console.get(f"/console/traffic{query}").text
        assert ">Everything<" not in text
        assert "kind=key" not in text
        assert console.get("/console/traffic?kind=key").status_code == 403
        for query in ("kind=model&subject=traffic-other", "kind=version&subject=traffic-other/1", "subject=there-is-none"):
            assert console.get(f"/console/traffic?{query}").status_code == 404
        memory = console.get("/console/traffic/memory", part=True).text
        assert "traffic-own/1" in memory
        assert "traffic-other" not in memory
        assert "others" in memory
    with signed_in_client(shared_service, bound_admin) as console:
        assert console.get("/console/traffic?kind=key").status_code == 403


def test_only_what_is_there_leads_to_its_page(shared_service: RunningService) -> None:
    """What was deleted or never was has figures, perhaps, and no page."""
    shared_service.publish("traffic-there", ESTIMATOR)
    with signed_in_client(shared_service) as console:

        def leads(kind: str, subject: str) -> bool:
            page = console.get("/console/traffic", params={"kind": kind, "subject": subject})
            assert page.status_code == 200
            return f"Open the {kind}" in page.text

        assert leads("model", "traffic-there")
        assert leads("version", "traffic-there/1")
        for kind, subject in (("model", "gone"), ("model", "../.."), ("version", "traffic-there"), ("version", "traffic-there/2")):
            assert not leads(kind, subject)
        assert not leads("version", f"traffic-there/{'9' * 60}")
        assert not leads("key", "gone")


def test_a_prediction_whose_answer_fails_is_an_error(local: Flask) -> None:
    """However it came to that after the model had answered, such as a page that couldn't be made."""
    with local.test_request_context("/models/iris/1", method="POST"):
        g.started, g.request_id, g.standing = 0.0, "id", None
        g.caller = SimpleNamespace(id="key")
        g.prediction = SimpleNamespace(
            version=SimpleNamespace(model="iris", number=1), cache="hit", tier="memory", outputs=SimpleNamespace(rows=1), validate_seconds=0.0, predict_seconds=0.0
        )  # fmt: skip
        traffic = services().traffic
        for status in (200, 503):
            local.process_response(Response(status=status))
        batch = traffic.batch()
    assert batch is not None
    whole = next(one.figures for one in batch.series if one.kind == "model")
    assert (whole.requests, whole.errors, whole.failures, whole.hits, sum(whole.latency.values())) == (2, 1, 1, 1, 1)


@pytest.fixture
def local(tmp_path: Path, migrated_sqlite: Path) -> Flask:
    """Return the application of a web process without the processes around it."""
    return LocalConsole(tmp_path / "instance", migrated_sqlite).app


def test_an_end_waits_only_so_long_for_a_database_that_is_locked(local: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a process that is to end would wait as long as any other writer of SQLite."""
    monkeypatch.setattr(watcher, "LAST_TRAFFIC_SECONDS", 0.05)
    with local.app_context():
        built = services()
        built.traffic.add_answers([(1.8e9, 0.001, "iris", 1, "key", False)])
        last = watcher.Watcher(local, built)
        with closing(sqlite3.connect(built.config.instance_path / "modelyard.db", isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            last._write_last_traffic()
            assert last._writing_traffic.locked()  # it goes on trying, and nobody waits for it
            database.execute("ROLLBACK")
            monkeypatch.setattr(watcher, "LAST_TRAFFIC_SECONDS", 20.0)
            last._write_last_traffic()
        assert not built.traffic.has_any()


def test_an_address_of_nothing_is_refused(shared_service: RunningService) -> None:
    """With what it may ask for."""
    with signed_in_client(shared_service) as console:
        for query in ("window=year", "kind=all", "subject=" + "x" * 81):
            refused(console, query)


def refused(console: ConsoleClient, query: str) -> None:
    """Check that the page isn't shown."""
    answer = console.get(f"/console/traffic?{query}")
    assert answer.status_code in {400, 422}, answer.text
    assert "traffic that isn" in answer.text


def test_a_key_that_may_not_read_sees_no_traffic(shared_service: RunningService) -> None:
    """The page needs `read`, as the models do."""
    with signed_in_client(shared_service, shared_service.make_key("read")) as console:
        assert "In memory" in console.get("/console/traffic").text
        assert "kind=key" not in console.get("/console/traffic").text
        assert console.get("/console/traffic?kind=key").status_code == 403
    http = httpx.Client(base_url=shared_service.url)
    with http:
        http.post("/console/sign-in", data={"key": shared_service.make_key("predict")})
        assert http.get("/console/traffic").status_code in {303, 403}
