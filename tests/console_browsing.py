"""A browser of the console without a screen: it signs in, keeps the cookie, and sends each page's token with what it posts.

Against a running service, or against an application alone where no process is needed. For what only scripts do, a real Chromium is
needed; nothing here runs any.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from config import Config
from registry import catalog, keys
from registry.app import create_app
from registry.wiring import services
from tests.running import NO_CERTIFICATES, RunningService

COOKIE = "modelyard_session"
_CSRF = re.compile(r'<meta name="csrf" content="([0-9a-f]*)">')


class ConsoleClient:
    """A signed-in browser: `get` pages, `post` forms. Redirects aren't followed."""

    def __init__(self, http: httpx.Client, csrf: str) -> None:
        """Use `http`, which holds the cookie, and `csrf`, the token of the session."""
        self.http = http
        self.csrf = csrf

    def get(self, path: str, *, part: bool = False, **options: Any) -> httpx.Response:
        """Return a page; `part` asks as htmx does."""
        headers = {**({"HX-Request": "true"} if part else {}), **options.pop("headers", {})}
        return self.http.get(path, headers=headers, **options)

    def post(self, path: str, *, headers: dict[str, str] | None = None, **fields: str) -> httpx.Response:
        """Send a form as htmx does, with the token. `headers` come on top; a trailing underscore of a field's name is cut off."""
        sent = {"HX-Request": "true", "X-CSRF-Token": self.csrf, **(headers or {})}
        return self.http.post(path, data={name.removesuffix("_"): value for name, value in fields.items()}, headers=sent)

    def __enter__(self) -> Self:
        """Use the client for the length of a block."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        """Close its connections."""
        self.http.close()


def signed_in_client(service: RunningService, key: str | None = None) -> ConsoleClient:
    """Sign in to a service's console with `key`, by default the admin's. AssertionError where that is refused."""
    http = httpx.Client(base_url=service.url, timeout=60, verify=NO_CERTIFICATES)
    answer = http.post("/console/sign-in", data={"key": key or service.admin_key})
    assert answer.status_code == 303, answer.text
    return ConsoleClient(http, csrf_of(http.get("/console").text))


def csrf_of(page: str) -> str:
    """Return the token that stands in a page. AssertionError in one without."""
    found = _CSRF.search(page)
    assert found, page[:500]
    return found[1]


class LocalConsole:
    """The application of a web process without the processes around it, on a SQLite file of its own: quick, and enough for most pages."""

    def __init__(self, folder: Path, migrated: Path, **settings: Any) -> None:
        """Copy the migrated database into a new instance folder. `settings` are fields of Config."""
        folder.mkdir(parents=True)
        shutil.copy(migrated, folder / "modelyard.db")
        self.app = create_app(Config(instance_path=folder, **settings))

    def make_key(self, *scopes: str, name: str = "test", limits: tuple[str, ...] = ("600/minute",), **grants: Any) -> str:
        """Make an API key and return its text."""
        text, parsed = keys.make_key()
        with self.app.app_context(), services().change("operator"):
            secret = keys.hash_secret(parsed.secret, services().secrets.key_pepper)
            catalog.add_key(id=parsed.id, name=name, hash=secret, scopes=scopes, limits=limits, **grants)
        return text

    def sign_in(self, key: str) -> LocalBrowser:
        """Return a browser that is signed in. AssertionError where that is refused."""
        browser = LocalBrowser(self.app.test_client())
        answer = browser.http.post("/console/sign-in", data={"key": key})
        assert answer.status_code == 303, answer.text
        browser.csrf = csrf_of(browser.get("/console").text)
        return browser


class LocalBrowser:
    """A browser of a LocalConsole; as ConsoleClient."""

    def __init__(self, http: FlaskClient, csrf: str = "") -> None:
        """Use Flask's client, which keeps the cookies."""
        self.http = http
        self.csrf = csrf

    @property
    def token(self) -> str:
        """Return what its session cookie holds, empty without one."""
        cookie = self.http.get_cookie(COOKIE, path="/console")
        return "" if cookie is None else cookie.value

    def get(self, path: str, *, part: bool = False, headers: dict[str, str] | None = None) -> TestResponse:
        """Return a page; `part` asks as htmx does."""
        return self.http.get(path, headers={**({"HX-Request": "true"} if part else {}), **(headers or {})})

    def post(self, path: str, *, headers: dict[str, str] | None = None, **fields: str) -> TestResponse:
        """Send a form as htmx does, with the token. `headers` come on top; a trailing underscore of a field's name is cut off."""
        sent = {"HX-Request": "true", "X-CSRF-Token": self.csrf, **(headers or {})}
        return self.http.post(path, data={name.removesuffix("_"): value for name, value in fields.items()}, headers=sent)
