"""The page Traffic follows what happens, without being loaded anew."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.e2e import story_models as made
from tests.e2e.browsing import Console
from tests.e2e.story import Story

NAME = "metronome"
#: The page asks every few seconds, and figures are written every few seconds.
LONG = 40_000


def test_figures_and_memory_follow_what_is_asked_and_loaded(console: Console, story: Story) -> None:
    """Requests are counted, a version that is loaded comes into the picture of the memory, and leaves it when it is unloaded."""
    fitted = made.scores(4, 41)
    story.publish("ada (data science)", NAME, fitted)
    page = console.open("/console/traffic")
    console.mark_window()
    memory = page.locator("#memory")
    expect(memory).not_to_contain_text(NAME)
    expect(page.get_by_role("link", name=NAME, exact=True)).to_have_count(0)
    for _ in range(12):
        story.ask("ada (data science)", "POST", f"/models/{NAME}/1", {"data": fitted.example})
    expect(memory).to_contain_text(NAME, timeout=LONG)
    row = page.get_by_role("region", name="Most asked").get_by_role("row").filter(has=page.get_by_role("link", name=NAME, exact=True))
    expect(row.get_by_role("cell").first).to_have_text("12", timeout=LONG)
    story.ask("ada (data science)", "POST", f"/models/{NAME}/1/unload")
    expect(memory).not_to_contain_text(NAME, timeout=LONG)
    console.require_not_reloaded()
    console.require_accessible()
