"""Signing in and out in a browser."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.e2e.browsing import Browse
from tests.running import RunningService


def test_a_key_signs_in_and_the_browser_goes_on_to_where_it_was_sent(browse: Browse, service: RunningService) -> None:
    """And signing out ends it; the key stands neither in the address nor in a cookie that a script could read."""
    console = browse(None)
    page = console.open("/console/keys")
    expect(page).to_have_url(re.compile(r"/console/sign-in\?next="))
    expect(page.get_by_label("API key")).to_be_focused()
    page.keyboard.type(service.admin_key)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1, name="Keys")).to_be_visible()
    assert page.url == service.url + "/console/keys"
    assert "modelyard_session" not in page.evaluate("() => document.cookie")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", level=1, name="Sign in")).to_be_visible()
    console.open("/console/keys")
    expect(page.get_by_role("heading", level=1, name="Sign in")).to_be_visible()


def test_a_wrong_key_is_refused_in_words(browse: Browse) -> None:
    """The field says what is wrong with it, and keeps nothing."""
    console = browse(None)
    console.expect("^401: POST /console/sign-in$")
    page = console.open("/console/sign-in")
    page.get_by_label("API key").fill("my_wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("isn't valid")
    expect(page.get_by_label("API key")).to_have_value("")
    console.require_accessible()
