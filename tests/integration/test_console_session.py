"""Who gets into the console, for how long, and from which page: a key in, a cookie out, and a token with every change."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from werkzeug.routing import Rule

from registry import catalog, keys
from registry.api.auth import ANYONE, BY_CONFIGURATION, BY_SESSION, required_scope
from registry.catalog import sessions
from registry.console import assets, sign_in
from registry.console.page import POLICY
from registry.console.session import SIGNED_OUT, safe_target
from registry.wiring import services
from tests.console_browsing import COOKIE, LocalBrowser, LocalConsole

SCOPES = {"any-key", "read", "predict", "publish", "admin"}
#: What stands in a path where a route has a variable.
VALUES = {"name": "iris", "selector": "1", "alias": "production", "key_id": "x", "action": "change", "file": "console.css", "rest": "x"}


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path) -> LocalConsole:
    """One application, on which failing to sign in often is allowed."""
    return LocalConsole(tmp_path_factory.mktemp("console") / "i", migrated_sqlite, failed_auth_limit="1000000/minute")


@pytest.fixture(scope="module")
def admin(console: LocalConsole) -> LocalBrowser:
    """Give a browser that is signed in with a key that may do everything."""
    return console.sign_in(console.make_key("admin"))


def _rules(console: LocalConsole, *, of_console: bool) -> Iterator[Rule]:
    for rule in console.app.url_map.iter_rules():
        if rule.endpoint.startswith("console.") == of_console:
            yield rule


def _path(rule: Rule) -> str:
    built = rule.build({name: VALUES.get(name, "x") for name in rule.arguments}, append_unknown=False)
    assert built is not None
    return built[1]


def _change(console: LocalConsole, key: str, **changes: Any) -> None:
    parsed = keys.parse_key(key)
    assert parsed is not None
    with console.app.app_context(), services().change("operator"):
        catalog.change_key(parsed.id, **changes)


def _is_signed_out(browser: LocalBrowser) -> bool:
    answer = browser.get("/console/traffic")
    return answer.status_code == 303 and answer.location.startswith("/console/sign-in")


# --- signing in -------------------------------------------------------------------------------------------------------


def test_every_key_that_isnt_good_is_refused_in_the_same_words(console: LocalConsole, admin: LocalBrowser) -> None:
    """Unknown, mistyped, revoked, expired, empty or far too long: 401, and no cookie."""
    revoked, expired = console.make_key("read"), console.make_key("read", expires_at=datetime.now(UTC) - timedelta(seconds=1))
    assert admin.post(f"/console/keys/{revoked.split('_')[1]}/revoke").status_code == 200
    unknown = keys.make_key()[0]
    texts = set()
    for key in (unknown, unknown[:-1] + "!", revoked, expired, "", "Bearer", "x" * 10_000, "ключ"):
        answer = console.app.test_client().post("/console/sign-in", data={"key": key})
        assert (answer.status_code, "Set-Cookie" in answer.headers) == (401, False)
        assert key == "" or len(key) < 10 or key not in answer.text
        texts.add(answer.text)
    assert len(texts) == 1


def test_an_address_that_keeps_failing_is_made_to_wait_and_a_good_key_isnt(tmp_path: Path, migrated_sqlite: Path) -> None:
    """As everywhere: 429 with Retry-After once the limit is reached."""
    console = LocalConsole(tmp_path / "i", migrated_sqlite, failed_auth_limit="2/minute")
    client = console.app.test_client()
    answers = [client.post("/console/sign-in", data={"key": "my_wrong"}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [401, 401, 429]
    assert int(answers[-1].headers["Retry-After"]) > 0
    assert "Too many failed authentications" in answers[-1].text
    console.sign_in(console.make_key("read"))


class _Stalled(io.RawIOBase):
    """The body of somebody who sends nothing until `go`, and says in `has_begun` that it is waited for."""

    def __init__(self, go: threading.Event, has_begun: threading.Event) -> None:
        self._go, self._has_begun = go, has_begun

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, _buffer: Any) -> int:
        """Wait, then end."""
        self._has_begun.set()
        self._go.wait(60)
        return 0


def test_strangers_who_send_nothing_hold_no_thread_that_keys_need(tmp_path: Path, migrated_sqlite: Path) -> None:
    """However many stall at the sign-in page, from however many addresses, bodies of holders of keys are read."""
    console = LocalConsole(tmp_path / "i", migrated_sqlite, web_threads=16)
    key, go, answers, settled = console.make_key("admin"), threading.Event(), [], []

    def stall(number: int, has_settled: threading.Event) -> None:
        environ = {"REMOTE_ADDR": f"192.0.2.{number}", "wsgi.input": _Stalled(go, has_settled), "CONTENT_LENGTH": "100"}
        kind = "application/x-www-form-urlencoded"
        answer = console.app.test_client().post("/console/sign-in", environ_overrides=environ, content_type=kind)
        answers.append(answer.status_code)
        has_settled.set()

    threads = []
    for number in range(12):
        settled.append(threading.Event())
        threads.append(threading.Thread(target=stall, args=(number, settled[-1])))
        threads[-1].start()
        assert settled[-1].wait(60)
    client = console.app.test_client()
    made = client.post("/keys", json={"name": "a", "scopes": ["read"]}, headers={"Authorization": f"Bearer {key}"})
    refused = client.post("/console/sign-in", data={"key": key})
    go.set()
    for thread in threads:
        thread.join()
    assert made.status_code == 201
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert sorted(answers) == [400] * 2 + [503] * 10
    console.sign_in(key)


def test_strangers_get_no_slot_for_large_bodies(console: LocalConsole) -> None:
    """What isn't as small as a sign-in, or doesn't say its size, is refused unread."""
    client, kind = console.app.test_client(), "application/x-www-form-urlencoded"
    assert client.post("/console/sign-in", data={"key": "x" * 20_000}).status_code == 413
    answer = client.post("/console/sign-in", input_stream=io.BytesIO(b"key=x"), headers={"Transfer-Encoding": "chunked"}, content_type=kind)
    assert answer.status_code == 413


def test_a_key_that_signs_in_all_the_time_is_made_to_wait(console: LocalConsole, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each sign-in writes to the audit trail, which a key that may only read can't fill; other keys aren't held up."""
    monkeypatch.setattr(sign_in, "SIGN_INS", "2/minute")
    key, other = console.make_key("read"), console.make_key("read")
    answers = [console.app.test_client().post("/console/sign-in", data={"key": key}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [303, 303, 429]
    assert "Set-Cookie" not in answers[-1].headers
    console.sign_in(other)


def test_a_key_that_may_not_read_isnt_signed_in(console: LocalConsole) -> None:
    """And is told what it lacks."""
    answer = console.app.test_client().post("/console/sign-in", data={"key": console.make_key("predict", "publish")})
    assert (answer.status_code, "Set-Cookie" in answer.headers) == (403, False)
    assert "may not read" in answer.text


def test_the_cookie_is_kept_from_scripts_other_sites_and_plain_http(tmp_path: Path, migrated_sqlite: Path, console: LocalConsole) -> None:
    """HttpOnly, SameSite, Path; Secure where a trusted proxy says https, and nobody else is believed."""
    behind = LocalConsole(tmp_path / "i", migrated_sqlite, trusted_proxies=1)
    for chosen, is_secure in ((console, False), (behind, True)):
        key = chosen.make_key("read")
        answer = chosen.app.test_client().post("/console/sign-in", data={"key": key}, headers={"X-Forwarded-Proto": "https"})
        value, *attributes = answer.headers["Set-Cookie"].split("; ")
        assert value.startswith(f"{COOKIE}=")
        assert len(value.partition("=")[2]) >= 43
        assert {"HttpOnly", "SameSite=Lax", "Path=/console", "Max-Age=43200"} <= set(attributes)
        assert ("Secure" in attributes) is is_secure
        assert key.split("_")[2] not in answer.headers["Set-Cookie"] + answer.text


def test_the_database_keeps_no_token(console: LocalConsole) -> None:
    """Only its hash, so that a copy of the database signs nobody in."""
    browser = console.sign_in(console.make_key("read"))
    database = _services_of(console).instance.folder
    kept = b"".join(path.read_bytes() for path in database.glob("modelyard.db*"))
    assert browser.token
    assert browser.token.encode() not in kept


def _services_of(console: LocalConsole) -> Any:
    """Return the services of an application."""
    with console.app.app_context():
        return services()


@pytest.mark.parametrize(
    ("target", "where"),
    [
        ("/console/models/iris?sort=name", "/console/models/iris?sort=name"), ("/console", "/console"), ("", "/console"),
        ("//evil.example/console", "/console"), ("https://evil.example/console", "/console"), ("/console//evil.example", "/console"), ("/docs", "/console"),
        ("/console/../docs", "/console"), ("/consoles", "/console"), ("/console\\evil", "/console"), ("/console/\r\nSet-Cookie: a=b", "/console"),
        ("javascript:alert(1)", "/console"), ("/console@evil.example", "/console"), ("/console/\tx", "/console"), ("/console/é", "/console"),
    ],
)  # fmt: skip
def test_signing_in_leads_to_a_page_of_the_console_and_nowhere_else(console: LocalConsole, target: str, where: str) -> None:
    """What `next` says is believed only where it is such a page."""
    assert safe_target(target) == where
    answer = console.app.test_client().post("/console/sign-in", data={"key": console.make_key("read"), "next": target})
    assert (answer.status_code, answer.location) == (303, where)


# --- how a session ends -----------------------------------------------------------------------------------------------


def test_after_signing_out_the_cookie_is_worth_nothing(console: LocalConsole) -> None:
    """Also where somebody kept a copy of it."""
    browser = console.sign_in(console.make_key("read"))
    token = browser.token
    answer = browser.post("/console/sign-out")
    assert answer.status_code == 303
    assert "Max-Age=0" in answer.headers["Set-Cookie"]
    browser.http.set_cookie(COOKIE, token, path="/console")
    assert _is_signed_out(browser)


def test_signing_in_anew_ends_what_the_browser_was_signed_in_with(console: LocalConsole) -> None:
    """And gives another token, never one that the browser brought."""
    browser = console.sign_in(console.make_key("read"))
    old = browser.token
    assert browser.http.post("/console/sign-in", data={"key": console.make_key("read")}).status_code == 303
    assert browser.token not in {old, ""}
    browser.http.set_cookie(COOKIE, old, path="/console")
    assert _is_signed_out(browser)


def test_one_browser_too_many_of_a_key_signs_out_the_one_that_came_first(console: LocalConsole, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that whoever holds a good key can't fill the table; other keys' browsers aren't touched."""
    monkeypatch.setattr(sessions, "MOST_SESSIONS_OF_A_KEY", 2)
    other, key = console.sign_in(console.make_key("read")), console.make_key("read")
    browsers = [console.sign_in(key) for _ in range(3)]
    assert [_is_signed_out(browser) for browser in [*browsers, other]] == [True, False, False, False]


def test_a_session_ends_with_its_key_at_once(console: LocalConsole, admin: LocalBrowser) -> None:
    """Revoked or expired: the next request is sent to the sign-in page."""
    revoked, expired = console.make_key("read"), console.make_key("read")
    first, second = console.sign_in(revoked), console.sign_in(expired)
    assert not _is_signed_out(first)
    assert admin.post(f"/console/keys/{revoked.split('_')[1]}/revoke").status_code == 200
    _change(console, expired, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    assert _is_signed_out(first)
    assert _is_signed_out(second)


def test_a_session_may_do_what_its_key_may_do_now(console: LocalConsole) -> None:
    """Scopes that were taken away are gone at once; who may not even read can still sign out."""
    key = console.make_key("admin")
    browser = console.sign_in(key)
    assert browser.get("/console/keys").status_code == 200
    _change(console, key, scopes=("read",))
    assert browser.get("/console/keys").status_code == 403
    _change(console, key, scopes=("predict",))
    assert browser.get("/console/traffic").status_code == 403
    assert browser.post("/console/sign-out").status_code == 303
    assert _is_signed_out(browser)


def test_a_session_ends_by_itself(tmp_path: Path, migrated_sqlite: Path) -> None:
    """After `console_session_seconds`, whatever the browser does with its cookie."""
    console = LocalConsole(tmp_path / "i", migrated_sqlite, console_session_seconds=0)
    answer = console.app.test_client().post("/console/sign-in", data={"key": console.make_key("read")})
    browser = LocalBrowser(console.app.test_client())
    browser.http.set_cookie(COOKIE, answer.headers["Set-Cookie"].partition(";")[0].partition("=")[2], path="/console")
    assert _is_signed_out(browser)


def test_a_script_hears_of_an_ended_session_and_comes_back_to_its_page(console: LocalConsole) -> None:
    """401 and where to go, never a sign-in page in the place of a part; only pages of the console are come back to."""
    browser = LocalBrowser(console.app.test_client())
    answer = browser.get("/console/traffic", part=True, headers={"HX-Current-URL": "http://localhost/console/models/iris?a=b"})
    assert (answer.status_code, answer.text) == (401, "")
    assert answer.headers["HX-Redirect"] == "/console/sign-in?next=%2Fconsole%2Fmodels%2Firis%3Fa%3Db"
    answer = browser.post("/console/keys", headers={"HX-Current-URL": "https://evil.example//evil.example"})
    assert (answer.status_code, answer.headers["HX-Redirect"]) == (401, "/console/sign-in")
    answer = browser.http.post("/console/models/iris/versions", data=b"x", headers={"X-Modelyard-Part": "true"})
    assert (answer.status_code, answer.headers["HX-Redirect"]) == (401, "/console/sign-in")
    answer = browser.http.post("/console/keys", data=b"x")
    assert (answer.location, answer.headers["Connection"]) == ("/console/sign-in", "close")  # its body isn't read
    assert browser.get("/console/models/iris?a=b").location == "/console/sign-in?next=%2Fconsole%2Fmodels%2Firis%3Fa%3Db"


# --- cookies are for the console, keys for the API --------------------------------------------------------------------


def test_no_route_of_the_api_takes_the_cookie(console: LocalConsole, admin: LocalBrowser) -> None:
    """Each that needs a key answers 401."""
    cookie = {"Cookie": f"{COOKIE}={admin.token}"}
    tried = 0
    for rule in _rules(console, of_console=False):
        with console.app.app_context():
            scope = required_scope(rule.endpoint)
        if scope in {ANYONE, BY_CONFIGURATION}:
            continue
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            answer = console.app.test_client().open(_path(rule), method=method, headers=cookie)
            assert answer.status_code == 401, (method, rule)
            tried += 1
    assert tried > 30


def test_no_page_takes_a_key_in_a_header(console: LocalConsole) -> None:
    """It is as if none had come."""
    headers = {"Authorization": f"Bearer {console.make_key('admin')}"}
    for rule in _rules(console, of_console=True):
        if console.app.view_functions[rule.endpoint].session_scope == SIGNED_OUT:  # type: ignore[attr-defined]
            continue
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            answer = console.app.test_client().open(_path(rule), method=method, headers=headers)
            assert (answer.status_code, answer.location.partition("?")[0]) == (303, "/console/sign-in"), (method, rule)


def test_cookies_that_mean_nothing_are_like_none(console: LocalConsole) -> None:
    """However they are made."""
    for token in ("", "x", "a" * 5000, "../../etc", "é", "%00"):
        answer = console.app.test_client().get("/console/traffic", headers={"Cookie": f"{COOKIE}={token}"})
        assert answer.status_code == 303


# --- what comes from another page -------------------------------------------------------------------------------------


def _posts(console: LocalConsole) -> list[Rule]:
    return [
        rule
        for rule in _rules(console, of_console=True)
        if "POST" in (rule.methods or set()) and console.app.view_functions[rule.endpoint].session_scope != SIGNED_OUT  # type: ignore[attr-defined]
    ]


def test_nothing_is_changed_without_the_token_of_its_page(console: LocalConsole, admin: LocalBrowser) -> None:
    """Missing, wrong, of another session, in the query, or in a body that isn't a form: 403 from every route."""
    other = console.sign_in(console.make_key("admin"))
    assert other.csrf != admin.csrf
    for rule in _posts(console):
        path = _path(rule)
        for headers in ({}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": "x"}, {"X-CSRF-Token": other.csrf}, {"X-CSRF-Token": "é"}):
            answer = admin.http.post(path, headers=headers)
            assert answer.status_code == 403, (rule, headers)
            assert "token of its page" in answer.text
        for options in (
            {"data": {"csrf": other.csrf}}, {"json": {"csrf": admin.csrf}}, {"query_string": {"csrf": admin.csrf}},
            {"data": {"csrf": admin.csrf}, "content_type": "multipart/form-data"},
        ):  # fmt: skip
            assert admin.http.post(path, **options).status_code == 403, (rule, options)
    assert not _is_signed_out(admin)


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost"},
        {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "http://localhost.evil.example"}, {"Origin": "http://localhost:8001"},
    ],
)  # fmt: skip
def test_what_another_site_has_a_browser_send_is_refused(console: LocalConsole, admin: LocalBrowser, headers: dict[str, str]) -> None:
    """Even with the right token, and signing in as well: else a visitor could be signed in as somebody else."""
    for rule in _posts(console):
        assert admin.post(_path(rule), headers=headers).status_code == 403, rule
    client = console.app.test_client()
    answer = client.post("/console/sign-in", data={"key": console.make_key("read")}, headers=headers)
    assert (answer.status_code, "Set-Cookie" in answer.headers) == (403, False)
    assert not _is_signed_out(admin)


def test_our_own_pages_are_no_other_site(console: LocalConsole) -> None:
    """By Sec-Fetch-Site where a browser says so, else by Origin."""
    browser = console.sign_in(console.make_key("read"))
    good: list[dict[str, str]] = [{"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {"Origin": "http://localhost"}, {}]
    for headers in good:
        answer = browser.http.post("/console/sign-in", data={"key": console.make_key("read")}, headers=headers)
        assert answer.status_code == 303


def test_a_form_means_one_thing(console: LocalConsole, admin: LocalBrowser) -> None:
    """No field twice, no NUL, no broken encoding, no other type, no endless body; and no key where it would be kept."""
    own = {"X-CSRF-Token": admin.csrf}

    def sent(body: bytes, kind: str = "application/x-www-form-urlencoded") -> int:
        return admin.http.post("/console/keys", data=body, content_type=kind, headers=own).status_code

    assert sent(b"name=a&name=b") == 422
    assert sent(b"name=%00") == 422
    assert sent(b"name=%ff") == 400
    assert sent(b"name=\xff") == 400
    assert sent(b"name") == 400
    assert sent(b"&".join(b"f%d=" % number for number in range(3000))) == 400
    assert sent(b"name=a", "text/plain") == 415
    assert sent(b"name=" + b"a" * (1 << 20)) == 413
    assert sent(b"scope-read=on&name=" + console.make_key("read").encode()) == 422


# --- what a key may not do --------------------------------------------------------------------------------------------


def test_every_page_says_what_it_needs_and_a_key_without_that_gets_403(console: LocalConsole) -> None:
    """Forged requests with the right token too; in HTML, and nothing is told of whether the thing is there."""
    browser = console.sign_in(console.make_key("read"))
    tried = 0
    for rule in _rules(console, of_console=True):
        with console.app.app_context():
            assert required_scope(rule.endpoint) == BY_SESSION
        scope = console.app.view_functions[rule.endpoint].session_scope  # type: ignore[attr-defined]
        assert scope in SCOPES | {SIGNED_OUT}, rule
        if scope in {"predict", "publish", "admin"}:
            path = _path(rule)
            answer = browser.post(path) if "POST" in (rule.methods or set()) else browser.get(path)
            assert (answer.status_code, answer.mimetype) == (403, "text/html"), rule
            assert f"the scope &#39;{scope}&#39;" in answer.text
            tried += 1
    assert tried > 5


def test_a_key_bound_to_models_finds_no_other(console: LocalConsole) -> None:
    """On every page about one: 404, as if it weren't there."""
    browser = console.sign_in(console.make_key("admin", models=("mine-*",)))
    for rule in _rules(console, of_console=True):
        if "name" in rule.arguments:
            path = _path(rule)
            answer = browser.post(path) if "POST" in (rule.methods or set()) else browser.get(path)
            assert answer.status_code == 404, rule
            assert "There is no model" in answer.text


# --- pages and files --------------------------------------------------------------------------------------------------


def test_every_answer_has_the_policy_and_isnt_kept(console: LocalConsole, admin: LocalBrowser) -> None:
    """Pages, parts, problems and those of signed-out browsers; nothing sniffs, frames or keeps them."""
    stranger = LocalBrowser(console.app.test_client())
    paths = [_path(rule) for rule in _rules(console, of_console=True) if "GET" in (rule.methods or set()) and "file" not in rule.arguments]
    for path in (*paths, "/console/keys?limit=0", "/console/events?kind=\0", "/console/assets/nothing.css"):
        for browser in (admin, stranger):
            for part in (False, True):
                answer = browser.get(path, part=part)
                assert answer.status_code < 500, path
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert answer.headers["Cache-Control"] == "no-store", path
                assert answer.headers["Referrer-Policy"] == "same-origin", path
                if answer.mimetype == "text/html" and answer.status_code != 303 and answer.text:
                    assert answer.headers["Content-Security-Policy"] == POLICY, path
                assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'"), path


def test_own_files_are_kept_for_good_under_their_digest_and_no_name_leads_out(console: LocalConsole) -> None:
    """The right digest is immutable, another isn't; what isn't in the table isn't there."""
    client = console.app.test_client()
    for name, asset in assets.assets().items():
        answer = client.get(f"/console/assets/{name}?v={asset.digest}")
        assert (answer.status_code, answer.mimetype, answer.data) == (200, asset.kind, asset.data)
        assert {"immutable", "public", "max-age=31536000"} <= set(answer.headers["Cache-Control"].split(", "))
    answer = client.get("/console/assets/console.css?v=0")
    assert "immutable" not in answer.headers["Cache-Control"]
    etag = answer.headers["ETag"]
    assert client.get("/console/assets/console.css", headers={"If-None-Match": etag}).status_code == 304
    for name in (
        "nothing.css",
        "../session.py",
        "..%2fsession.py",
        "%2e%2e/session.py",
        "vendor",
        "vendor/README.md",
        "/etc/passwd",
        "vendor/../../page.py",
        "",
    ):
        answer = client.get(f"/console/assets/{name}")
        assert answer.status_code == 404, name


def test_where_the_console_is_off_nothing_of_it_is_served(tmp_path: Path, migrated_sqlite: Path) -> None:
    """As a path that was never there."""
    console = LocalConsole(tmp_path / "i", migrated_sqlite, console=False)
    assert list(_rules(console, of_console=True)) == []
    for path in ("/console", "/console/sign-in", "/console/assets/console.css"):
        answer = console.app.test_client().get(path)
        assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")
