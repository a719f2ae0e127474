"""One service with a story, one browser, and pages of it that are signed in, for every test of the console.

A page fails its test at the end for anything that its browser complained about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.browsing import WAIT_MILLISECONDS, WIDE, Browse, Console, Theme, chromium, looking, sign_in
from tests.e2e.story import Story, told
from tests.running import RunningService


@pytest.fixture(scope="session")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Return a service that models were published to, moved and asked, over the last weeks as far as anybody can see."""
    with told(tmp_path_factory.mktemp("e2e") / "instance") as story:
        yield story


@pytest.fixture(scope="session")
def service(story: Story) -> RunningService:
    """Return the service of the story."""
    return story.service


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Return the browser that all tests share; each has a context of its own."""
    expect.set_options(timeout=WAIT_MILLISECONDS)
    with chromium() as running:
        yield running


@pytest.fixture(scope="session")
def cookies(service: RunningService) -> Callable[[str | None], dict[str, str]]:
    """Return a function from a key to the cookies of a session that it signed in; None is nobody."""
    known: dict[str, dict[str, str]] = {}

    def find(key: str | None) -> dict[str, str]:
        if key is None:
            return {}
        if key not in known:
            known[key] = sign_in(service.url, key)
        return known[key]

    return find


@pytest.fixture
def browse(browser: Browser, service: RunningService, cookies: Callable[[str | None], dict[str, str]]) -> Iterator[Browse]:
    """Return a function that opens a page, signed in by a key or by nobody; none of them may complain."""
    with ExitStack() as stack:
        opened: list[Console] = []

        def look(key: str | None, *, theme: Theme = "light", width: int = WIDE) -> Console:
            console = stack.enter_context(looking(browser, service.url, cookies(key), theme=theme, width=width))
            opened.append(console)
            return console

        yield look
    assert [problem for console in opened for problem in console.watch.left()] == []


@pytest.fixture
def console(browse: Browse, service: RunningService) -> Console:
    """Return a page that the admin signed in."""
    return browse(service.admin_key)
