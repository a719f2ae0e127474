"""Every page, light and dark, wide and on a phone: nothing in anybody's way, and nothing on the browser's console."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.e2e.browsing import HEIGHT, NARROW, Browse, Theme
from tests.e2e.shown_pages import PAGES, PROBLEM, Shown
from tests.running import RunningService


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("shown", [*PAGES, PROBLEM], ids=lambda shown: shown.name)
def test_every_page_can_be_used_by_everybody(browse: Browse, service: RunningService, shown: Shown, theme: Theme) -> None:
    """No rule of WCAG AA that axe-core knows is broken, on a desk or on a phone, where nothing must be scrolled sideways."""
    console = browse(service.admin_key if shown.signed_in else None, theme=theme)
    console.expect(rf"^404: GET {PROBLEM.path}$")
    page = console.open(shown.path)
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    expect(page.get_by_role("heading", level=1)).to_contain_text(shown.heading)
    assert page.title().endswith("Modelyard")
    console.require_accessible()
    console.require_fits()
    page.set_viewport_size({"width": NARROW, "height": HEIGHT})
    console.require_fits()
    console.require_accessible()


def test_the_theme_can_be_changed_and_stays(browse: Browse, service: RunningService) -> None:
    """From what the system likes to the other, on this page and the next."""
    console = browse(service.admin_key, theme="dark")
    page = console.open("/console/models")
    ground = "() => getComputedStyle(document.documentElement).backgroundColor"
    dark = page.evaluate(ground)
    page.get_by_role("button", name="Change between light and dark").click()
    light = page.evaluate(ground)
    assert light != dark
    console.open("/console/traffic")
    assert page.evaluate(ground) == light
    page.get_by_role("button", name="Change between light and dark").click()
    assert page.evaluate(ground) == dark


def test_the_keyboard_can_skip_to_the_content(browse: Browse, service: RunningService) -> None:
    """The first stop of every page leads past the navigation."""
    page = browse(service.admin_key).open("/console/models")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.getElementById('main').contains(document.activeElement)")
