"""The pages of a version and of two versions side by side, on a real service: what they show, and what can be done from them."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline

from tests.console_browsing import ConsoleClient, signed_in_client
from tests.fixture_models import case_of, dump
from tests.other_formats import onnx_of, skops_of
from tests.running import ROOT, RunningService

NASTY = ['it\'s "quoted" $HOME `id`', "<script>alert(1)</script>", "__proto__", "a\\b\nnew é 💐"]
MARKUP = '<img src=x onerror="alert(1)">'
SOURCE = {"commit": "9f3a" + "0" * 36, "run": "https://ci.example.org/7?a=1&b=2", "note": "javascript:alert(1)"}


@pytest.fixture(scope="module")
def service(shared_service: RunningService) -> RunningService:
    """Return a service that other modules use as well."""
    return shared_service


@pytest.fixture(scope="module")
def browser(service: RunningService) -> Iterator[ConsoleClient]:
    """Give a browser in which the admin is signed in."""
    with signed_in_client(service) as client:
        yield client


@pytest.fixture(scope="module")
def people(service: RunningService) -> str:
    """Publish two versions of a model on a mixed frame, of which the second is steeper."""
    case = case_of("mixed_frame")
    example = json.loads(case.held_out.head(4).to_json(orient="records"))
    told: dict[str, Any] = {"input_example": example, "description": MARKUP, "tags": {MARKUP: MARKUP}, "source": SOURCE}
    service.publish("people", case.estimator, {**told, "metrics": {"auc": 0.5, "f1": 0.5}, "parameters": {MARKUP: MARKUP}})
    steeper = make_pipeline(case.estimator.steps[0][1], LogisticRegression(C=50, max_iter=500).fit(*_through(case)))
    service.publish("people", steeper, {**told, "metrics": {"auc": 0.75}})
    return "people"


def _through(case: Any) -> tuple[Any, Any]:
    return case.estimator[:-1].transform(case.held_out), case.estimator.predict(case.held_out)


@pytest.fixture(scope="module")
def nasty(service: RunningService) -> str:
    """Publish a model whose columns and classes try to get out of wherever they stand."""
    x = pd.DataFrame(np.random.default_rng(0).normal(size=(30, 4)), columns=NASTY)
    model = LogisticRegression().fit(x, [MARKUP if value > 0 else "no'$(x)" for value in x.iloc[:, 0]])
    service.publish("nasty", model, {"input_example": json.loads(x.head(2).to_json(orient="records"))})
    return "nasty"


def _text(page: str) -> str:
    """Return what stands on a page between the tags, on one line."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())


def _snippet(page: str, language: str) -> str:
    found = re.search(rf'aria-label="The call in {language}">(.*?)</pre>', page, re.DOTALL)
    assert found, page
    return html.unescape(found[1])


def test_the_page_of_a_version_shows_everything_that_is_known_of_it(browser: ConsoleClient, people: str) -> None:
    """Signature, diagram, golden predictions, digest, origin; what publishers wrote stands there as text."""
    page = browser.get(f"/console/models/{people}/1").text
    assert MARKUP not in page
    assert page.count("&lt;img src=x onerror=&#34;alert(1)&#34;&gt;") >= 4
    text = _text(page)
    for told in (
        "Fitted on", "chef , nurse , pilot", "one value for each of no , yes", "onehotencoder OneHotEncoder", "Columns: job",
        "Pipeline( steps=[ ( 'columntransformer',", "max_iter (not the default) 500", "the publisher's example", "by admin", "commit 9f3a",
        "SHA-256", "auc 0.5", "not loaded",
    ):  # fmt: skip
        assert told in text, told
    assert 'value="nurse"' in page
    assert browser.get(f"/console/models/{people}/1/artifact").headers["Content-Disposition"].startswith("attachment")


def test_an_alias_leads_to_its_version_and_what_is_not_there_is_a_page_that_says_so(browser: ConsoleClient, people: str) -> None:
    """By name, by `latest`, by a number that nobody gave."""
    assert browser.get(f"/console/models/{people}/@latest").headers["Location"] == f"/console/models/{people}/2"
    for path in (f"/console/models/{people}/99", f"/console/models/{people}/@nobody", "/console/models/nothing/1"):
        answer = browser.get(path)
        assert (answer.status_code, answer.headers["Content-Type"]) == (404, "text/html; charset=utf-8")


def test_models_of_every_format_have_a_page(service: RunningService, browser: ConsoleClient) -> None:
    """With a diagram that their admission drew behind the lock; a wide one is asked by rows."""
    case = case_of("iris")
    service.publish("page-skops", skops_of(case.estimator))
    service.publish("page-onnx", onnx_of("iris"))
    service.publish("page-texts", dump(case_of("text").estimator))
    wide = np.random.default_rng(0).normal(size=(50, 400))
    service.publish("page-wide", Ridge().fit(wide, wide[:, 0]))
    service.publish("page-multi", case_of("multi_classifier").estimator)
    shown = {name: browser.get(f"/console/models/page-{name}/1").text for name in ("skops", "onnx", "texts", "wide", "multi")}
    assert "LogisticRegression(max_iter=500)" in _text(shown["skops"])
    assert "LinearClassifier" in _text(shown["onnx"])
    assert "input X tensor(float) any by 4" in _text(shown["onnx"])
    assert '<textarea id="x0"' in shown["texts"]
    assert "With 400 columns, rows are written as JSON or CSV." in _text(shown["wide"])
    assert "and 200 more columns" in _text(shown["wide"])
    for name, page in shown.items():
        fields: dict[str, Any] = dict(re.findall(r'name="(x\d+)"[^>]*value="([^"]*)"', page))
        texts: dict[str, Any] = dict(re.findall(r'<textarea id="(x\d+|rows)"[^>]*>\n(.*?)</textarea>', page, re.DOTALL))
        answer = browser.post(f"/console/models/page-{name}/1/try", **fields, **{key: html.unescape(one) for key, one in texts.items()})
        assert answer.status_code == 200, answer.text
        assert "Computed by version 1, runtime exact" in _text(answer.text)


def test_a_form_is_answered_as_the_api_answers(service: RunningService, browser: ConsoleClient, people: str) -> None:
    """The same numbers, counted against the same limits; again it comes from the cache, unless it shall not."""
    fields: dict[str, Any] = {"x0": "41.5", "x1": "chef", "x2": "Oslo", "x3": "true", "method": "predict_proba"}
    answer = browser.post(f"/console/models/{people}/1/try", **fields)
    assert (answer.status_code, "X-RateLimit-Limit" in answer.headers) == (200, True), answer.text
    with service.client() as client:
        row = {"age": 41.5, "job": "chef", "city": "Oslo", "member": True}
        same = client.post(f"/models/{people}/1", json={"instances": [row], "method": "predict_proba"}).json()
    shares = [float(one) for one in re.findall(r'<meter min="0" max="1" value="([^"]+)"', answer.text)]
    assert [shares] == same["prediction"]
    assert json.loads(html.unescape(re.findall(r'id="answer-json">(.*?)</pre>', answer.text)[0])) == same["prediction"]
    assert json.loads(answer.headers["HX-Trigger"])["done"]["text"].startswith("Answered in ")
    assert "Cache hit from" in _text(browser.post(f"/console/models/{people}/1/try", **fields).text)
    assert "Cache bypass" in _text(browser.post(f"/console/models/{people}/1/try", **fields, fresh="1").text)
    rows = "member,age,city,job\ntrue,41.5,Oslo,chef\nfalse,,Oslo,\n"
    pasted = browser.post(f"/console/models/{people}/1/try", **{**fields, "as_": "rows", "rows": rows})
    assert f"1 {shares[0]:.6g} {shares[1]:.6g} 2 " in _text(pasted.text)


def test_what_does_not_fit_is_said_beside_its_field(browser: ConsoleClient, people: str) -> None:
    """With what to write instead; the form keeps what stood in it, and the part is put where it belongs."""
    answer = browser.post(f"/console/models/{people}/1/try", x0="1,5", x1="<b>", x2="", x3="")
    assert (answer.status_code, answer.headers["HX-Retarget"]) == (422, "#try")
    text = _text(answer.text)
    assert 'Expected a number, got "1,5". Write it with a point and without separators: 1.5.' in text
    assert "Expected true or false, got null. Fill it in: this column can't be left empty." in text
    assert answer.text.count('aria-invalid="true"') == 2
    assert 'value="1,5"' in answer.text
    assert '<option value="&lt;b&gt;" selected>' in answer.text
    for rows, told in (
        ("[[1,", "ends too early"),
        ("", "Write the rows first"),
        ('[{"agee": 1}]', 'did you mean "age"?'),
        ("a\n1", "unknown column"),
    ):
        refused = browser.post(f"/console/models/{people}/1/try", as_="rows", rows=rows)
        assert refused.status_code in (400, 422)
        assert told in _text(refused.text), refused.text
    whole = browser.post(f"/console/models/{people}/1/try", x0="1,5", headers={"HX-Request": "false"})
    assert (whole.status_code, "<h1>people / 1</h1>" in whole.text, "without separators: 1.5" in _text(whole.text)) == (422, True, True)


def test_the_same_call_runs_from_a_shell_and_from_python(service: RunningService, browser: ConsoleClient, nasty: str) -> None:
    """As it stands on the page, whatever columns are called; it answers what the page says."""
    answer = browser.post(f"/console/models/{nasty}/1/try", x0="1.5", x1="-2", x2="3e-1", x3="0")
    said = re.findall(r'id="answer-json">(.*?)</pre>', answer.text)[0]
    expected = json.loads(html.unescape(said))
    environment = {"PATH": os.environ["PATH"], "MODELYARD_KEY": service.admin_key, "PYTHONPATH": str(ROOT)}
    for language, command in (("curl", ["bash", "-s"]), ("Python", [sys.executable, "-"])):
        text = _snippet(answer.text, language)
        assert service.admin_key not in text
        assert service.url in text
        done = subprocess.run(command, input=text, env=environment, capture_output=True, text=True, check=True, timeout=60)
        came = json.loads(done.stdout)["prediction"] if language == "curl" else [done.stdout.strip()[2:-2]]
        assert came == expected or came[0].replace("\\'", "'") == expected[0]


def test_two_versions_side_by_side(browser: ConsoleClient, people: str) -> None:
    """Metrics with what they gained, what only one has, both answers row by row; by default the newest and the one before."""
    page = _text(browser.get(f"/console/models/{people}/compare").text)
    assert "people: 1 and 2" in page
    assert "auc 0.5 0.75 +0.25" in page
    assert "only in 1" in page
    assert "All 4 columns are the same." in page
    assert _text(browser.get(f"/console/models/{people}/compare?a=2&b=1").text).count("auc 0.75 0.5 \N{MINUS SIGN}0.25") == 1
    rows = json.dumps(
        [{"age": 20, "job": "chef", "city": "Oslo", "member": True}, {"age": 80, "job": "nurse", "city": "Bonn", "member": False}]
    )
    answer = browser.post(f"/console/models/{people}/compare", a="1", b="2", method="predict_proba", rows=rows)
    assert answer.status_code == 200, answer.text
    text = _text(answer.text)
    assert "2 of 2 rows differ. The largest difference is " in text
    assert answer.text.count('class="changed"') == 4
    same = browser.post(f"/console/models/{people}/compare", a="1", b="1", method="predict", rows=rows)
    assert "All 2 rows are answered alike." in _text(same.text)
    refused = _text(browser.post(f"/console/models/{people}/compare", a="1", b="2", method="predict", rows='[{"age": "x"}]').text)
    assert "Version 1: " in refused
    assert "Version 2: " in refused
    assert browser.get(f"/console/models/{people}/compare?a=7&b=2").status_code == 404


def test_versions_of_other_columns_are_compared_on_the_same_rows(service: RunningService, browser: ConsoleClient) -> None:
    """Each is sent the columns that it takes, and the page says so; what neither takes, and what one lacks, is refused as ever."""
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(30, 3)), columns=["a", "b", "c"])
    for names in (["a", "b"], ["a", "b", "c"]):
        rows = json.loads(frame[names].head(2).to_json(orient="records"))
        service.publish("grown", Ridge().fit(frame[names], frame["a"]), {"input_example": rows})
    path = "/console/models/grown/compare"
    for a, b in (("1", "2"), ("2", "1")):
        assert "&#34;c&#34;: " in browser.get(f"{path}?a={a}&b={b}").text
        text = _text(browser.post(path, a=a, b=b, rows='[{"a": 1, "b": 2, "c": 3}]').text)
        assert "Version 1 doesn't take c , and was asked without." in text
        assert "The largest difference is " in text
    assert 'unknown column "d"' in _text(browser.post(path, a="1", b="2", rows='[{"a": 1, "b": 2, "c": 3, "d": 4}]').text)
    lacking = _text(browser.post(path, a="1", b="2", rows='[{"a": 1, "b": 2}]').text)
    assert ("Version 2: The input doesn't fit" in lacking, "Version 1: " in lacking) == (True, False)


def test_a_page_leads_to_where_its_version_came_from(browser: ConsoleClient, people: str) -> None:
    """Addresses of the web are links, and nothing else is; the head tells the commit in short."""
    page = browser.get(f"/console/models/{people}/1").text
    assert '<a href="https://ci.example.org/7?a=1&amp;b=2" rel="noopener noreferrer nofollow">' in page
    assert ("javascript:alert(1)" in page, 'href="javascript' in page) == (True, False)
    assert "by admin from commit 9f3a00000000" in _text(page)


def test_what_can_be_done_about_a_version_is_done_as_over_the_api(service: RunningService, browser: ConsoleClient) -> None:
    """Load, pin, unload, describe, delete, restore; each answers with the page as it is now."""
    service.publish("handled", case_of("iris").estimator, {"alias": "production"})
    path = "/console/models/handled/1"
    assert "ready, " in _text(browser.post(f"{path}/load").text)
    assert "Unpin" in browser.post(f"{path}/pin").text
    assert browser.post(f"{path}/unload").status_code == 409
    assert "Unpin" not in browser.post(f"{path}/unpin").text
    assert "On this host not loaded" in _text(browser.post(f"{path}/unload").text)
    described = browser.post(
        f"{path}/describe", description=MARKUP, **{"tag-0": "team=x", "value-0": "a=b\nc", "tag-1": "bare", "tag-2": "", "value-2": ""}
    )
    assert json.loads(described.headers["HX-Trigger"]) == {"done": {"text": "Saved."}}
    with service.client() as client:
        assert client.get("/models/handled/1").json()["tags"] == {"team=x": "a=b\nc", "bare": ""}
    for tags in ({"tag-0": "a", "tag-1": "a"}, {"value-0": "of nothing"}):
        assert browser.post(f"{path}/describe", **tags).status_code == 422
    assert browser.post(f"{path}/describe", description=service.admin_key).status_code == 422
    assert browser.post(f"{path}/delete").status_code == 409
    with service.client() as client:
        assert client.delete("/models/handled/aliases/production").status_code == 204
        deleted = browser.post(f"{path}/delete").text
        assert "A deleted version can't be asked. Restore it first." in _text(deleted)
        assert browser.post(f"{path}/try", x0="1").status_code == 410
        assert "Delete this version" in browser.post(f"{path}/restore").text
        assert client.get("/models/handled/1").json()["tags"] == {"team=x": "a=b\nc", "bare": ""}


def test_a_key_sees_and_does_no_more_than_over_the_api(service: RunningService, people: str) -> None:
    """A reader is offered nothing else, and its forged requests are refused; another model isn't there."""
    with signed_in_client(service, service.make_key("read", models=["people"])) as reader:
        page = reader.get(f"/console/models/{people}/1").text
        assert ("Try it" in page, "try-send" in page, "Pin" in page, "Description and tags" in page) == (True, False, False, False)
        assert "Predictions of both" not in reader.get(f"/console/models/{people}/compare").text
        for action in ("try", "load", "unload", "pin", "unpin", "describe", "delete", "restore"):
            assert reader.post(f"/console/models/{people}/1/{action}").status_code == 403, action
        assert reader.post(f"/console/models/{people}/compare", a="1", b="2").status_code == 403
        assert reader.get("/console/models/nasty/1").status_code == 404
        assert reader.get("/console/models/nasty/compare").status_code == 404
    with signed_in_client(service, service.make_key("read", "predict", limits=["3/hour"])) as asker:
        fields: dict[str, Any] = {"x0": "1", "x1": "chef", "x2": "Oslo", "x3": "true"}
        assert asker.post(f"/console/models/{people}/1/try", **fields).status_code == 200
        rows = '[{"age": 1, "job": "chef", "city": "Oslo", "member": true}]'
        assert "alike" in asker.post(f"/console/models/{people}/compare", a="1", b="1", rows=rows).text
        assert asker.post(f"/console/models/{people}/1/try", **fields).status_code == 429
        assert asker.http.post(f"/console/models/{people}/1/try", data=fields).status_code == 403


def test_predictions_of_the_console_are_counted_and_logged(service: RunningService, browser: ConsoleClient, people: str) -> None:
    """As those over REST: the log's line names model and version."""
    browser.post(f"/console/models/{people}/1/try", x0="7", x1="chef", x2="Oslo", x3="true")
    browser.post(f"/console/models/{people}/1/try", x0="?")
    lines = [line for line in service.log_lines() if line.get("path") == f"/console/models/{people}/1/try"]
    assert (lines[-2]["model"], lines[-2]["version"], lines[-2]["rows"]) == (people, 1, 1)
    assert (lines[-1]["status"], lines[-1]["problem"], lines[-1]["model"]) == (422, "signature-mismatch", people)
    with service.client() as client:
        metrics = client.get("/metrics").text
    assert re.search(rf'modelyard_predictions_total{{model="{people}",outcome="signature-mismatch",version="1"}} [1-9]', metrics)
