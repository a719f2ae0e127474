"""A headless Chromium that looks at a running console, and everything that it complains about meanwhile.

The browser is the system's own and nothing is downloaded. What a page logs, blocks or fails to load is never passed over: a test
that expects a refusal says so by `expect`.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from importlib.resources import files
from typing import Any, Literal

import httpx
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Dialog, Error, Locator, Page, Request, Response, sync_playwright

from tests.running import NO_CERTIFICATES

Theme = Literal["light", "dark"]

#: How the browser is called where it is installed; `MODELYARD_TEST_CHROMIUM` names another.
NAMES = ("chromium", "chromium-browser", "google-chrome")
#: WCAG 2.0 to 2.2, levels A and AA, as axe-core names them.
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
WIDE, NARROW = 1280, 360
HEIGHT = 800
#: How long a test waits for what it expects to see.
WAIT_MILLISECONDS = 15_000

#: Said on the browser's console, so that it outlives the page that it happened on.
_TELL_VIOLATIONS = """
document.addEventListener('securitypolicyviolation', (event) =>
  console.error(`policy violation: ${event.effectiveDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
"""
_RUN_AXE = """
async (rules) => (await axe.run(document, { runOnly: rules, resultTypes: ['violations'] })).violations.map((found) =>
  `${found.id} (${found.impact}): ${found.help}` + found.nodes.slice(0, 5).map((node) =>
    `\\n    ${node.target.join(' ')}\\n      ${node.html.slice(0, 200)}\\n      ${node.failureSummary.replaceAll('\\n', ' ')}`).join(''))
"""
_SIDEWAYS = """
() => {
  const wide = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= wide && document.body.scrollWidth <= wide) return [];
  const inScroller = (element) => {
    if (getComputedStyle(element).position === 'absolute') return false; // a scroller that isn't positioned doesn't hold it
    for (let around = element.parentElement; around && around !== document.body; around = around.parentElement)
      if (getComputedStyle(around).overflowX !== 'visible') return true;
    return false;
  };
  const over = [...document.querySelectorAll('body *')].filter((one) => one.getBoundingClientRect().right > wide + 1 && !inScroller(one));
  return [`the page is ${document.documentElement.scrollWidth} wide`, ...over.slice(0, 5).map((one) => one.outerHTML.slice(0, 160))];
}
"""


def find_chromium() -> str:
    """Return the path of the system's Chromium. Raises RuntimeError that says what to install."""
    for name in (os.environ.get("MODELYARD_TEST_CHROMIUM"), *NAMES):
        found = shutil.which(name) if name else None
        if found is not None:
            return found
    raise RuntimeError("These tests need Chromium: apt-get install chromium, or name one by MODELYARD_TEST_CHROMIUM.")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run the browser for the length of a block."""
    path = find_chromium()
    arguments = [
        "--lang=en-GB",
        "--force-color-profile=srgb",
        "--font-render-hinting=none",
        *(["--no-sandbox"] if os.geteuid() == 0 else []),
    ]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


def axe_source() -> str:
    """Return axe-core's script."""
    return (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")


def sign_in(url: str, key: str) -> dict[str, str]:
    """Exchange a key for the cookies of a session, as the form does."""
    answer = httpx.post(f"{url}/console/sign-in", data={"key": key, "next": "/console"}, verify=NO_CERTIFICATES, timeout=30)
    assert answer.status_code == 303, answer.text
    cookies = SimpleCookie(answer.headers["Set-Cookie"])
    return {name: morsel.value for name, morsel in cookies.items()}


@dataclass
class Watch:
    """What went wrong in a browser that nobody expected."""

    url: str
    problems: list[str] = field(default_factory=list)
    expected: list[re.Pattern[str]] = field(default_factory=list)

    def follow(self, context: BrowserContext) -> None:
        """Note what every page of `context` complains about from now on."""
        context.add_init_script(_TELL_VIOLATIONS)
        context.on("console", self._console)
        context.on("weberror", lambda error: self._note(f"uncaught: {error.error}"))
        context.on("dialog", self._dialog)
        context.on("requestfailed", self._failed)
        context.on("response", self._response)

    def expect(self, pattern: str) -> None:
        """Let problems pass that look like this, before and after."""
        self.expected.append(re.compile(pattern))

    def left(self) -> list[str]:
        """Return the problems that nobody expected."""
        return [problem for problem in self.problems if not any(pattern.search(problem) for pattern in self.expected)]

    def _note(self, problem: str) -> None:
        self.problems.append(problem)

    def _console(self, message: ConsoleMessage) -> None:
        # What failed to load is noted with its status by `_response`.
        if message.type in {"error", "warning"} and not message.text.startswith("Failed to load resource"):
            self._note(f"console {message.type}: {message.text} ({message.location.get('url', '')})")

    def _dialog(self, dialog: Dialog) -> None:
        self._note(f"a dialog of the browser: {dialog.type} {dialog.message}")
        if dialog.type == "beforeunload":
            dialog.accept()
        else:
            dialog.dismiss()

    def _failed(self, request: Request) -> None:
        # A page that is left ends what it was asking.
        if request.failure not in {"net::ERR_ABORTED", None}:
            self._note(f"failed: {request.method} {request.url} {request.failure}")

    def _response(self, response: Response) -> None:
        if not response.url.startswith(self.url):
            self._note(f"asked elsewhere: {response.url}")
        elif response.status >= 400:
            self._note(f"{response.status}: {response.request.method} {response.url.removeprefix(self.url)}")


@dataclass
class Console:
    """One page of a browser at the console, and what is asked of it again and again."""

    page: Page
    watch: Watch
    url: str

    def open(self, path: str = "/console") -> Page:
        """Go to a page of the console and return it, loaded and quiet."""
        self.page.goto(self.url + path)
        self.page.wait_for_load_state("load")
        return self.page

    def expect(self, pattern: str) -> None:
        """Let problems pass that look like this."""
        self.watch.expect(pattern)

    def require_accessible(self) -> None:
        """Raise AssertionError with what axe-core finds wrong with the page as it is now."""
        self._settle()
        self.page.evaluate(_with_axe())
        found = self.page.evaluate(_RUN_AXE, list(RULES))
        assert found == [], f"{self.page.url}\n  " + "\n  ".join(found)

    def require_fits(self) -> None:
        """Raise AssertionError where the page itself must be scrolled sideways, with what sticks out."""
        found = self.page.evaluate(_SIDEWAYS)
        assert found == [], f"{self.page.url}\n  " + "\n  ".join(found)

    def mark_window(self) -> None:
        """Leave a mark that a reload would wipe away."""
        self.page.evaluate("() => { window.stillHere = true; }")

    def require_not_reloaded(self) -> None:
        """Raise AssertionError where the page was loaded anew since `mark_window`."""
        assert self.page.evaluate("() => window.stillHere === true"), f"{self.page.url} was loaded anew"

    def csrf(self) -> str:
        """Return the token of the page that is open."""
        return str(self.page.locator('meta[name="csrf"]').get_attribute("content"))

    def forge(self, method: str, path: str, fields: dict[str, str] | None = None) -> int:
        """Send a request from this page, with its own cookie and token, and return the status of the answer."""
        script = """
        async ([method, path, fields, token]) => (await fetch(path, { method, redirect: 'manual',
          headers: { 'X-CSRF-Token': token, 'X-Modelyard-Part': 'true' },
          body: method === 'GET' ? undefined : new URLSearchParams(fields) })).status
        """
        return int(self.page.evaluate(script, [method, path, fields or {}, self.csrf()]))

    def _settle(self) -> None:
        """Wait until nothing moves any more: a colour that fades has no contrast of its own."""
        self.page.evaluate("() => Promise.allSettled(document.getAnimations().map((one) => one.finished))")


#: From a key, or None for nobody, to a page that it signed in; also `theme` and `width`.
Browse = Callable[..., Console]

_AXE: list[str] = []


def _with_axe() -> str:
    if not _AXE:
        _AXE.append(axe_source() + ";0")
    return _AXE[0]


@contextmanager
def looking(browser: Browser, url: str, cookies: dict[str, str], *, theme: Theme = "light", width: int = WIDE) -> Iterator[Console]:
    """Open a page with these cookies for the length of a block; what it complained about is left in its `watch`."""
    context = browser.new_context(
        color_scheme=theme, viewport={"width": width, "height": HEIGHT}, locale="en-GB", timezone_id="UTC", reduced_motion="reduce"
    )
    context.set_default_timeout(WAIT_MILLISECONDS)
    context.add_cookies([{"name": name, "value": value, "url": f"{url}/console/"} for name, value in cookies.items()])
    watch = Watch(url)
    watch.follow(context)
    try:
        yield Console(context.new_page(), watch, url)
    finally:
        context.close()


def is_focused(locator: Locator) -> bool:
    """Tell whether one element, which may not be there, has the keyboard."""
    try:
        return bool(locator.count() == 1 and locator.evaluate("(element) => element === document.activeElement"))
    except Error:
        return False


def require_visible_focus(page: Page) -> None:
    """Raise AssertionError where no element has the keyboard, or where one has it and nobody could see it."""
    found: dict[str, Any] = page.evaluate("""
    () => {
      const one = document.activeElement;
      const place = one.getBoundingClientRect();
      const style = getComputedStyle(one);
      const ring = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0;
      return { what: one.outerHTML.slice(0, 160), lost: one === document.body, shown: one.matches(':focus-visible') && one.tabIndex >= 0,
        ring: ring || style.boxShadow !== 'none',
        seen: place.width > 0 && place.height > 0 && place.bottom > 0 && place.top < innerHeight && place.right > 0 && place.left < innerWidth };
    }
    """)
    assert not found["lost"], "the keyboard's focus was lost"
    assert found["seen"], f"has the focus, out of sight: {found['what']}"
    assert found["ring"] or not found["shown"], f"has the focus, and nothing shows it: {found['what']}"


def tab_to(page: Page, target: Locator, *, most: int = 120) -> None:
    """Press Tab until `target` has the keyboard, looking at each stop on the way. Raises AssertionError where it never does."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate("() => document.activeElement === document.body"):
            continue  # past the last stop the keyboard goes to the browser's own, and then on from the top
        require_visible_focus(page)
        if is_focused(target):
            return
    raise AssertionError(f"{most} times Tab did not lead to {target}")
