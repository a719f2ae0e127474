"""The pages Keys, Events and Upload: the rules of the REST API, its words where they belong, and its trail as it is written."""

from __future__ import annotations

import csv
import html
import io
import json
import os
import pickle
import re
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sklearn.linear_model import LinearRegression

from registry import catalog, keys
from registry.catalog import EVENT_KINDS, Event
from registry.console.events_page import cell
from registry.console.keys_page import state
from registry.console.told_events import MAX_PARTS, MAX_TEXT, Part, parts, sentence
from registry.wiring import services
from tests.catalog_data import new_version
from tests.console_browsing import COOKIE, ConsoleClient, LocalBrowser, LocalConsole, signed_in_client
from tests.running import RunningService, dumped

ROOT = Path(__file__).resolve().parents[2]
NAME = "<b onmouseover=alert(1)>\"'{{ 7 * 7 }}"
ESCAPED = "&lt;b onmouseover=alert(1)&gt;&#34;&#39;{{ 7 * 7 }}"


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path) -> LocalConsole:
    """One application for the tests of this module."""
    return LocalConsole(tmp_path_factory.mktemp("pages") / "i", migrated_sqlite)


@pytest.fixture(scope="module")
def admin(console: LocalConsole) -> LocalBrowser:
    """Give a browser that is signed in with a key that may do everything."""
    return console.sign_in(console.make_key("admin", name="root"))


@pytest.fixture
def bound(console: LocalConsole) -> LocalBrowser:
    """Give a browser of an admin who is bound to models and to a limit."""
    return console.sign_in(console.make_key("admin", name="bound", models=("mine-*", "shop"), limits=("60/minute",)))


def _made(answer: Any) -> str:
    """Return the key that an answer shows."""
    assert answer.status_code == 201, answer.text
    found = re.search(r'<code id="new-key" class="whole">(my_\w+)</code>', answer.text)
    assert found
    return found[1]


def _key(console: LocalConsole, text: str) -> catalog.ApiKey:
    with console.app.app_context():
        return catalog.get_key(text.split("_")[1])


def _change_fields(browser: LocalBrowser, key: str) -> dict[str, str]:
    """Return what the dialog that changes a key would send as it is."""
    page = browser.get(f"/console/keys/{key.split('_')[1]}/change", part=True).text
    fields = {name: html.unescape(value) for name, value in re.findall(r'<input[^>]* name="([\w-]+)" value="([^"]*)"', page)}
    fields |= {name: html.unescape(value) for name, value in re.findall(r'<textarea[^>]* name="(\w+)"[^>]*>([^<]*)</textarea>', page)}
    return fields | dict.fromkeys(re.findall(r'name="(scope-\w+)" checked', page), "on") | {"expires": "keep"}


# --- keys -------------------------------------------------------------------------------------------------------------


def test_a_key_is_shown_once_and_can_do_what_was_chosen(console: LocalConsole, admin: LocalBrowser) -> None:
    """In the answer that makes it, which nothing keeps, and on no page after that."""
    answer = admin.post(
        "/console/keys", name=f" {NAME} ", **{"scope-read": "on", "scope-predict": "on"}, models="churn-*\r\n\r\n iris \r\n", limits="600/minute\n5/second", expires="30",
    )  # fmt: skip
    text = _made(answer)
    assert answer.headers["Cache-Control"] == "no-store"
    assert "it will not be shown again" in answer.text
    key = _key(console, text)
    assert (key.name, key.scopes, key.models, key.limits) == (NAME, ("read", "predict"), ("churn-*", "iris"), ("600/minute", "5/second"))
    assert key.expires_at is not None
    assert timedelta(days=29, hours=23) < key.expires_at - datetime.now(UTC) < timedelta(days=31)
    page = admin.get("/console/keys").text
    assert key.id in page
    assert text.split("_")[2] not in page
    assert NAME not in page
    assert ESCAPED in page
    console.sign_in(text)


def test_a_key_without_limits_gets_the_default_and_one_without_an_end_has_none(console: LocalConsole, admin: LocalBrowser) -> None:
    """As over the REST API; the dialog says which."""
    assert "None means 6000/minute." in admin.get("/console/keys/new", part=True).text
    key = _key(console, _made(admin.post("/console/keys", name="plain", **{"scope-read": "on"}, expires="never")))
    assert (key.limits, key.models, key.expires_at) == (("6000/minute",), (), None)


def test_what_is_wrong_stands_beside_its_field_and_nothing_is_lost(console: LocalConsole, admin: LocalBrowser) -> None:
    """422, the dialog again with what was filled in, and no key."""
    with console.app.app_context():
        before = catalog.count_keys()
    answer = admin.post("/console/keys", name="", models=f"CHURN\n{NAME}", limits="many", expires="at", expires_at="tomorrow")
    assert (answer.status_code, answer.headers["HX-Retarget"]) == (422, "#dialog-body")
    for field in ("name", "scopes", "models", "limits", "expires_at"):
        assert f'id="wrong-{field}"' in answer.text
    assert answer.text.count('aria-invalid="true"') == 5
    assert ">CHURN\n&lt;b onmouseover" in answer.text
    answer = admin.post("/console/keys", name="a", **{"scope-read": "on"}, expires="at", expires_at="2020-01-01T00:00")
    assert "must lie in the future" in answer.text
    answer = admin.post("/console/keys", name=keys.make_key()[0], **{"scope-read": "on"})
    assert (answer.status_code, "An API key stands where others would read it" in answer.text) == (422, True)
    with console.app.app_context():
        assert catalog.count_keys() == before


def test_only_what_the_dialog_changed_is_changed(console: LocalConsole, admin: LocalBrowser) -> None:
    """What somebody else changed since it was opened stays as they made it."""
    text = console.make_key("read", "predict", name=NAME, models=("iris",), limits=("600/minute",))
    fields = _change_fields(admin, text)
    assert fields["name"] == NAME
    with console.app.app_context(), services().change("operator"):
        catalog.change_key(_key(console, text).id, models=("iris", "churn"))
    answer = admin.post(f"/console/keys/{text.split('_')[1]}/change", **{**fields, "name": "new", "limits": ""})
    assert answer.status_code == 200
    assert json.loads(answer.headers["HX-Trigger"]) == {"done": {"text": "Changed the key new."}}
    key = _key(console, text)
    assert (key.name, key.scopes, key.models, key.limits, key.expires_at) == (
        "new",
        ("read", "predict"),
        ("iris", "churn"),
        ("6000/minute",),
        None,
    )
    fields = _change_fields(admin, text)
    answer = admin.post(f"/console/keys/{key.id}/change", **fields)
    assert (answer.status_code, "Nothing is different" in answer.text) == (422, True)
    admin.post(f"/console/keys/{key.id}/change", **{**fields, "expires": "at", "expires_at": "2099-01-01T09:30"})
    assert _key(console, text).expires_at == datetime(2099, 1, 1, 9, 30, tzinfo=UTC)
    del fields["scope-predict"]
    admin.post(f"/console/keys/{key.id}/change", **{**fields, "expires": "never"})
    key = _key(console, text)
    assert (key.scopes, key.expires_at) == (("read",), None)


def test_a_key_is_rotated_with_an_overlap_and_revoked_for_good(console: LocalConsole, admin: LocalBrowser) -> None:
    """The table says what each is worth, and offers no more than that."""
    text = console.make_key("read", name="rotated")
    old_id = text.split("_")[1]
    for overlap, seconds in (("other", "2592001"), ("other", "-1"), ("other", "1e3"), ("other", ""), ("x", ""), ("", "60")):
        answer = admin.post(f"/console/keys/{old_id}/rotate", overlap=overlap, seconds=seconds)
        assert (answer.status_code, 'id="wrong-overlap_seconds"' in answer.text) == (422, True)
    new = _key(console, _made(admin.post(f"/console/keys/{old_id}/rotate", overlap="other", seconds="90")))
    old = _key(console, text)
    assert (old.replaced_by, new.scopes, new.name) == (new.id, old.scopes, "rotated")
    assert old.expires_at is not None
    assert old.expires_at - datetime.now(UTC) <= timedelta(seconds=90)
    page = admin.get("/console/keys").text
    assert f'id="rotate-{old_id}"' not in page
    assert f'id="rotate-{new.id}"' in page
    answer = admin.post(f"/console/keys/{old_id}/rotate", overlap="0", seconds="")
    assert (answer.status_code, "rotated before" in answer.text) == (422, True)
    assert "no prediction was asked with it" in admin.get(f"/console/keys/{old_id}/revoke", part=True).text
    answer = admin.post(f"/console/keys/{old_id}/revoke")
    assert (answer.status_code, "Revoked the key rotated." in answer.headers["HX-Trigger"]) == (200, True)
    assert _key(console, text).revoked_at is not None
    assert f'id="change-{old_id}"' not in answer.text


def test_states_of_a_key(console: LocalConsole) -> None:
    """Revoked is more than expired, and that more than replaced."""
    now = datetime.now(UTC)
    past, soon = now - timedelta(1), now + timedelta(1)
    made = _key(console, console.make_key("read"))

    def of(**changes: Any) -> str:
        fields = {name: getattr(made, name) for name in type(made).__slots__}
        return state(type(made)(**{**fields, **changes}), now)

    assert of() == "good"
    assert of(expires_at=soon, replaced_by="x") == "replaced"
    assert of(expires_at=past, replaced_by="x") == "expired"
    assert of(expires_at=past, revoked_at=past) == "revoked"


def test_whoever_ends_their_own_key_is_told_so_and_sent_to_sign_in(console: LocalConsole) -> None:
    """Revoked or rotated at once: nothing is fetched that would take the new key off the screen."""
    browser = console.sign_in(text := console.make_key("admin"))
    own = f"/console/keys/{text.split('_')[1]}"
    for action in ("change", "rotate", "revoke"):
        assert "signed in with" in browser.get(f"{own}/{action}", part=True).text
    answer = browser.post(f"{own}/rotate", overlap="0", seconds="")
    assert 'hx-trigger="load"' not in answer.text
    assert 'href="/console/sign-in"' in answer.text
    assert browser.get("/console/keys").status_code == 303
    browser = console.sign_in(text := _made(answer))
    answer = browser.post(f"/console/keys/{text.split('_')[1]}/revoke")
    assert (answer.status_code, answer.headers["HX-Redirect"]) == (204, "/console/sign-in")
    assert browser.get("/console/keys").status_code == 303


def test_an_admin_bound_to_models_sees_and_makes_keys_within_those(console: LocalConsole, bound: LocalBrowser) -> None:
    """Every rule of the REST API, since it is the same function."""
    other = console.make_key("read", name="of-everything")
    within = console.make_key("read", name="of-mine", models=("mine-*",), limits=("60/minute",))
    page = bound.get("/console/keys").text
    assert ("of-everything" in page, other.split("_")[1] in page, "of-mine" in page) == (False, False, True)
    assert "by operator" in page
    for action in ("change", "rotate", "revoke"):
        for answer in (
            bound.get(f"/console/keys/{other.split('_')[1]}/{action}", part=True),
            bound.post(f"/console/keys/{other.split('_')[1]}/{action}", overlap="0"),
        ):
            assert (answer.status_code, "There is no key" in answer.text) == (404, True)
    for fields in ({"models": ""}, {"models": "other"}, {"models": "mine-*", "limits": "1000/minute"}):
        answer = bound.post("/console/keys", name="more", **{"scope-read": "on"}, **fields)
        assert (answer.status_code, "Your key is bound to models" in answer.text) == (403, True)
    assert _key(console, _made(bound.post("/console/keys", name="ok", **{"scope-read": "on"}, models="shop"))).limits == ("60/minute",)
    fields = _change_fields(bound, within)
    assert bound.post(f"/console/keys/{within.split('_')[1]}/change", **{**fields, "models": "*"}).status_code == 403


def test_a_key_that_expires_makes_none_that_lives_longer(console: LocalConsole) -> None:
    """Nor changes or rotates one."""
    browser = console.sign_in(console.make_key("admin", expires_at=datetime.now(UTC) + timedelta(days=2)))
    assert browser.post("/console/keys", name="a", **{"scope-read": "on"}, expires="7").status_code == 403
    assert browser.post("/console/keys", name="a", **{"scope-read": "on"}, expires="1").status_code == 201
    assert browser.post(f"/console/keys/{console.make_key('read').split('_')[1]}/rotate", overlap="0").status_code == 403


def test_keys_are_paged(console: LocalConsole, admin: LocalBrowser) -> None:
    """Newest first; a page that isn't one is said to be none."""
    made = [console.make_key("read").split("_")[1] for _ in range(3)]
    first = admin.get("/console/keys?limit=2").text
    assert (made[2] in first, made[1] in first, made[0] in first) == (True, True, False)
    older = re.search(r'href="(/console/keys\?cursor=[^"]+)"', first)
    assert older
    second = admin.get(html.unescape(older[1])).text
    assert (made[2] in second, made[0] in second, ">Newest<" in second) == (False, True, True)
    for query in ("cursor=x", "limit=0", "order=name"):
        assert admin.get(f"/console/keys?{query}").status_code == 422


# --- events -----------------------------------------------------------------------------------------------------------


def _kinds(answer: Any) -> list[str]:
    return re.findall(r'<span class="mono small muted">([a-z.-]+)</span></td>', answer.text)


@pytest.fixture(scope="module")
def trail(console: LocalConsole, admin: LocalBrowser) -> str:
    """Write a model's life as the key `root`, and return that key's id."""
    with console.app.app_context():
        actor = catalog.keys_named("root", limit=1)[0].id
        for action in (
            lambda: catalog.add_version(new_version("trail")), lambda: catalog.point_alias("trail", "production", 1, reason=NAME),
            lambda: catalog.change_version("trail", 1, tags={"team": NAME}), lambda: catalog.record_event("upload.refused", model="trail", reason="=HYPERLINK(1)"),
        ):  # fmt: skip
            with services().change(actor):
                action()
    assert admin.get("/console/events").status_code == 200
    return actor


def test_the_trail_is_told_in_words_and_filtered(admin: LocalBrowser, trail: str) -> None:
    """By model, by who (a key's name, a part of it, or its id), by kind and by time."""
    all_of_it = ["upload.refused", "version.changed", "alias.pointed", "version.published", "model.created"]
    answer = admin.get("/console/events?model=trail")
    assert _kinds(answer) == all_of_it
    assert ESCAPED in answer.text
    assert NAME not in answer.text
    assert "pointed @production at 1" in answer.text
    assert f'title="{trail}">root</a>' in answer.text
    for who in ("root", "ROO", trail):
        assert _kinds(admin.get(f"/console/events?model=trail&actor={who}")) == all_of_it
    for who in ("nobody", "%25", "_"):
        assert _kinds(admin.get(f"/console/events?model=trail&actor={who}")) == []
    assert _kinds(admin.get("/console/events?model=trail&kind=alias.pointed&actor=&since=&until=")) == ["alias.pointed"]
    assert _kinds(admin.get("/console/events?model=trail&since=2020-01-01T00:00")) == all_of_it
    assert _kinds(admin.get("/console/events?model=trail&since=2099-01-01T00:00")) == []
    assert _kinds(admin.get("/console/events?model=trail&until=2020-01-01T00:00")) == []
    first = admin.get("/console/events?model=trail&limit=2")
    older = re.search(r'href="(/console/events\?cursor=[^"]+)"', first.text)
    assert older
    assert _kinds(first) + _kinds(admin.get(html.unescape(older[1]))) == all_of_it
    for query in ("since=yesterday", "cursor=x", "_external=1", "kind=a&kind=b"):
        assert admin.get(f"/console/events?{query}").status_code == 422
    assert admin.get("/console/events.csv?cursor=x&since=now").status_code == 422


def test_an_admin_bound_to_models_names_one(console: LocalConsole, admin: LocalBrowser, bound: LocalBrowser) -> None:
    """And reads no name of a key that it may not see."""
    assert admin.get("/console/events").status_code == 200
    with console.app.app_context():
        root = catalog.keys_named("root", limit=1)[0]
        with services().change(root.id):
            catalog.record_event("upload.refused", model="shop", reason="x")
    assert "name one of them to see its events" in bound.get("/console/events").text
    answer = bound.get("/console/events?model=shop")
    assert _kinds(answer) == ["upload.refused"]
    assert (root.id in answer.text, ">root<" in answer.text) == (True, False)
    assert _kinds(bound.get("/console/events?model=shop&actor=root")) == []
    for path in ("/console/events", "/console/events.csv"):
        assert bound.get(f"{path}?model=trail").status_code == 404
    assert bound.get("/console/events.csv").status_code == 403


def test_the_file_has_all_that_the_filters_let_through_and_no_formula(
    console: LocalConsole, admin: LocalBrowser, trail: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read page by page, as RFC 4180 has it, as an attachment with the date in its name."""
    monkeypatch.setattr("registry.console.events_page.CSV_PAGE", 2)
    answer = admin.get("/console/events.csv?model=trail&kind=")
    assert (answer.mimetype, answer.headers["Cache-Control"]) == ("text/csv", "no-store")
    assert re.fullmatch(r'attachment; filename="modelyard-events-\d{4}-\d\d-\d\d\.csv"', answer.headers["Content-Disposition"])
    assert answer.text.count("\r\n") == answer.text.count("\n") == 6
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert [row["kind"] for row in rows] == ["upload.refused", "version.changed", "alias.pointed", "version.published", "model.created"]
    assert (rows[0]["reason"], rows[2]["reason"], rows[2]["to"], rows[2]["from"], rows[2]["actor_name"]) == (
        "'=HYPERLINK(1)",
        NAME,
        "1",
        "",
        "root",
    )
    assert json.loads(rows[1]["detail"]) == {"tags": {"from": {}, "to": {"team": NAME}}}
    with console.app.app_context():
        assert {row["actor"] for row in rows} == {trail}


def test_files_that_are_taken_in_slowly_hold_few_threads(tmp_path: Path, migrated_sqlite: Path) -> None:
    """Of one key so many at once, for others some are left; each that ends makes room."""
    console = LocalConsole(tmp_path / "i", migrated_sqlite, web_threads=16)
    browser, other = (console.sign_in(console.make_key("admin")) for _ in range(2))
    files = [browser.http.get("/console/events.csv") for _ in range(3)]
    assert [file.status_code for file in files] == [200, 200, 429]
    assert files[-1].headers["Retry-After"] == "1"
    assert "wait for one of them" in files[-1].text
    files += [other.http.get("/console/events.csv") for _ in range(2)]
    assert console.sign_in(console.make_key("admin")).http.get("/console/events.csv").status_code == 503
    files[0].close()
    files.append(browser.http.get("/console/events.csv"))
    assert [file.status_code for file in files[3:]] == [200, 200, 200]
    for file in files[1:]:
        file.close()


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@a", "\ta", "\ra", "\na"])
def test_no_cell_begins_as_a_formula(text: str) -> None:
    """A quote before it makes it a text; any other stays what it is."""
    assert cell(text) == f"'{text}"
    assert cell(f" {text}") == f" {text}"


def test_every_kind_that_is_recorded_can_be_chosen_and_has_its_words() -> None:
    """What the source records is what the page knows."""
    sources = [
        path.read_text(encoding="utf-8") for path in (ROOT / "registry").rglob("*.py") if path.name not in {"events.py", "told_events.py"}
    ]
    recorded = {
        kind
        for text in sources
        for kind in re.findall(r'"((?:alias|key|model|sweep|upload|version)\.[a-z-]+|console\.signed-[a-z]+)"', text)
    }
    assert recorded == set(EVENT_KINDS)
    for kind in EVENT_KINDS:
        told = sentence(_event(kind, alias="production", from_=1, to=2, version=3))
        assert "None" not in told
        assert "{" not in told
        assert "new to this version" not in told


def _event(kind: str, **fields: Any) -> Event:
    usual: dict[str, Any] = dict.fromkeys(("model", "version", "alias", "key_id", "from_", "to"))
    return Event(
        **{
            "id": 1,
            "at": datetime.now(UTC),
            "actor": "k",
            "host": "h",
            "kind": kind,
            "reason": "",
            "detail": {},
            "generation": 1,
            **usual,
            **fields,
        }
    )


def test_what_changed_is_told_from_what_to_what() -> None:
    """A mapping by those of its names that differ, a moment as people read it, and never more than a table can show."""
    assert parts(_event("alias.pointed", from_=1, to=2)) == [Part("version", "2", "1")]
    detail = {
        "tags": {"from": {"a": "1", "b": "2"}, "to": {"b": "2", "c": ""}},
        "expires_at": {"from": None, "to": "2026-11-26T04:15:30.815619+00:00"},
        "models": [],
    }
    assert parts(_event("key.changed", detail=detail)) == [
        Part("tags a", "nothing", "1"), Part("tags c", "nothing", "nothing"), Part("expires at", "2026-11-26 04:15:30 UTC", "never"), Part("models", "all"),
    ]  # fmt: skip
    (long,) = parts(_event("x", detail={"a": "b" * 10_000}))
    assert len(long.after) == MAX_TEXT
    many = parts(_event("x", detail={f"n{number}": [1, {"a": None}] for number in range(100)}))
    assert (len(many), many[0].after, many[-1].after) == (MAX_PARTS + 1, '[1,{"a":null}]', "88 in the CSV file")


# --- upload -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser(shared_service: RunningService) -> Iterator[ConsoleClient]:
    """Give a browser of a real service."""
    with signed_in_client(shared_service) as client:
        yield client


class _Evil:
    def __reduce__(self) -> Any:
        return os.system, ("true",)


def _upload(browser: ConsoleClient, name: str, artifact: bytes, manifest: dict[str, Any] | None = None, **headers: str) -> Any:
    files = {
        "manifest": ("blob", json.dumps(manifest or {}), "application/json"),
        "artifact": ("artifact", artifact, "application/octet-stream"),
    }
    sent = {"X-CSRF-Token": browser.csrf, "X-Modelyard-Part": "true", **headers}
    return browser.http.post(f"/console/models/{name}/versions", files=files, headers=sent)


def test_an_upload_is_published_or_refused_in_words_meant_to_be_read(browser: ConsoleClient, shared_service: RunningService) -> None:
    """The manifest ahead of the file, as the page sends it; the version with its next steps, or what to do instead."""
    good = dumped(LinearRegression().fit([[0.0, 1.0], [1.0, 3.0]], [0.0, 1.0]))
    answer = _upload(
        browser, "dropped", good, {"alias": "production", "metrics": {"r2": 0.5}, "source": {"commit": NAME}, "description": NAME}
    )
    assert (answer.status_code, answer.headers["Cache-Control"]) == (201, "no-store")
    assert 'href="/console/models/dropped/1"' in answer.text
    assert "@production" in answer.text
    assert "<html" not in answer.text
    with shared_service.client() as client:
        version = client.get("/models/dropped/@production").json()
        assert (version["metrics"], version["source"], version["description"]) == ({"r2": 0.5}, {"commit": NAME}, NAME)
        assert client.get("/events", params={"model": "dropped"}).json()["items"][-1]["actor"] == client.get("/me").json()["id"]
        answer = _upload(browser, "dropped", pickle.dumps(_Evil()))
        assert (answer.status_code, answer.headers["Content-Type"]) == (422, "text/html; charset=utf-8")
        assert "isn&#39;t safe to load" in answer.text
        assert "<code>name-not-allowed</code>" in answer.text
        assert "Publish only the fitted estimator" in answer.text
        assert 'href="https://modelyard.dev/problems/unsafe-artifact"' in answer.text
        assert "#/metrics" in _upload(browser, "dropped", good, {"metrics": {"a": "b"}}).text
        assert _upload(browser, "Not-A-Name", good).status_code == 400
        assert len(client.get("/models/dropped/versions").json()["items"]) == 1


def test_a_file_that_was_sent_holds_no_thread_any_more(browser: ConsoleClient, shared_service: RunningService) -> None:
    """However it ended: whole, a part, without its bytes, or known already."""
    shared_service.publish("sent", LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0]))
    path = "/console/models/sent/1/artifact"
    etag = browser.get(path).headers["ETag"]
    for headers, status in (({}, 200), ({"Range": "bytes=0-9"}, 206), ({"If-None-Match": etag}, 304)):
        assert {browser.get(path, headers=headers).status_code for _ in range(21)} == {status}
    assert {browser.http.head(path).status_code for _ in range(21)} == {200}
    assert {browser.get("/console/events.csv?model=sent").status_code for _ in range(21)} == {200}


def test_an_upload_without_its_token_is_refused_before_its_bytes_come_and_one_that_ends_early_leaves_nothing(
    browser: ConsoleClient, shared_service: RunningService
) -> None:
    """403 at once, though the announced body never comes; an aborted one is an event and no version."""
    cookie = browser.http.cookies[COOKIE]
    head = (
        "POST /console/models/aborted/versions HTTP/1.1\r\nHost: {host}\r\nCookie: {name}={cookie}\r\nContent-Length: 1000000\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\nX-Modelyard-Part: true\r\n{token}\r\n"
    )
    body = b'--b\r\nContent-Disposition: form-data; name="artifact"\r\n\r\n' + b"x" * 1000
    for token, ending in (("", b"HTTP/1.1 403"), (f"X-CSRF-Token: {browser.csrf}\r\n", b"")):
        text = head.format(host=f"127.0.0.1:{shared_service.port}", name=COOKIE, cookie=cookie, token=token)
        with socket.create_connection(("127.0.0.1", shared_service.port), timeout=20) as connection:
            connection.sendall(text.encode() + body)
            if ending:
                assert connection.recv(100).startswith(ending)
            else:
                connection.shutdown(socket.SHUT_WR)
                connection.recv(100)
    with shared_service.client() as client:
        assert client.get("/models/aborted").status_code == 404
        events = client.get("/events", params={"model": "aborted"}).json()["items"]
    assert [event["kind"] for event in events] == ["upload.refused"]
    assert list((shared_service.instance / "artifacts" / ".quarantine").iterdir()) == []


def test_the_form_knows_the_limits_and_the_model_it_was_opened_for(browser: ConsoleClient) -> None:
    """So that a file that is too large is refused before it is sent; what stands in the address is text."""
    page = browser.get("/console/upload", params={"model": NAME}).text
    assert 'data-max-artifact="2147483648"' in page
    assert f'name="model" value="{ESCAPED}"' in page
