"""The journey through the console, publish, try, point, compare, roll back: by mouse, and once more by the keyboard alone."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import FilePayload, Locator, Page, expect

from tests.e2e import story_models as made
from tests.e2e.browsing import Browse, Console, is_focused, require_visible_focus, tab_to
from tests.e2e.story import Story
from tests.running import dumped

WHY_POINT = "Holds up on the held-out rows."
WHY_BACK = "The florist found a rose called a lily."
_DROP = """
([name, data]) => {
  const bytes = Uint8Array.from(atob(data), (one) => one.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name));
  return transfer;
}
"""


@pytest.fixture(scope="module")
def files() -> list[FilePayload]:
    """Return two artifacts, as a file chooser gives them."""
    return [
        {"name": f"iris-{step}.joblib", "mimeType": "application/octet-stream", "buffer": dumped(made.iris(step).estimator)}
        for step in (1, 2)
    ]


@pytest.fixture
def console(browse: Browse, story: Story) -> Console:
    """Return a page of somebody who publishes."""
    return browse(story.keys["ada (data science)"])


def button(page: Page | Locator, *words: str) -> Locator:
    """Return the button whose name has all these words."""
    return page.get_by_role("button", name=re.compile("".join(f"(?=.*{re.escape(word)})" for word in words), re.IGNORECASE | re.DOTALL))


def opened(page: Page) -> Locator:
    """Return the dialog, open and filled."""
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading").first).to_be_visible()
    return dialog


def require_moved(page: Page, story: Story, name: str, version: int, reason: str) -> None:
    """Raise AssertionError where the page, without a reload, doesn't tell of a move that the service made."""
    expect(page.get_by_role("dialog")).to_be_hidden()
    newest = page.get_by_role("table", name=re.compile("^Moves")).get_by_role("row").nth(1)
    expect(newest).to_contain_text(reason)
    expect(newest).to_contain_text("ada (data science)")
    expect(page.get_by_role("status").filter(has_text=f"version {version}").first).to_be_visible()
    now = story.ask("ada (data science)", "GET", f"/models/{name}/aliases/production")
    assert now["version"] == version


def upload(page: Page, name: str, act: Callable[[], Any]) -> None:
    """Upload what is chosen as a model's next version, and wait until it is published."""
    page.get_by_label("Model", exact=True).fill(name)
    act()
    expect(page.get_by_text("Published", exact=True)).to_be_visible(timeout=30_000)


def test_the_journey_by_mouse(console: Console, story: Story, files: list[FilePayload]) -> None:
    """From two files to an alias that went forth and back, and nothing was loaded anew on the way of a move."""
    name = "lilies"
    publish_by_mouse(console, name, files)
    console.page.get_by_role("link", name=re.compile("try it")).click()
    try_it(console)
    go_to_model(console, name)
    point_by_mouse(console, story, name)
    button(console.page, "Compare A with B").click()
    compare(console)
    go_to_model(console, name)
    roll_back_by_mouse(console, story, name)


def publish_by_mouse(console: Console, name: str, files: list[FilePayload]) -> None:
    """Upload one file by the file chooser, and the other by dropping it."""
    page = console.open("/console/upload")
    with page.expect_file_chooser() as chooser:
        page.locator("input[type=file]").click()
    chooser.value.set_files(files[0])
    page.get_by_label("Alias to point at it").fill("production")
    upload(page, name, button(page, "Upload").click)
    console.require_accessible()
    page.get_by_role("link", name="Upload another").click()
    expect(page.get_by_label("Model", exact=True)).to_have_value(name)
    dropped = page.evaluate_handle(_DROP, [files[1]["name"], base64.b64encode(files[1]["buffer"]).decode()])
    page.dispatch_event("#drop", "dragover", {"dataTransfer": dropped})
    page.dispatch_event("#drop", "drop", {"dataTransfer": dropped})
    expect(page.get_by_text("iris-2.joblib")).to_be_visible()
    upload(page, name, button(page, "Upload").click)


def try_it(console: Console) -> None:
    """Ask the second version for what stands in its form, twice, and see what it answered without a reload."""
    page = console.page
    expect(page.get_by_role("heading", level=1)).to_contain_text("2")
    console.mark_window()
    form = page.locator("#try")
    form.get_by_label("Method").select_option("predict_proba")
    for _ in range(2):
        button(form, "Predict").click()
        answer = page.locator("#answer")
        expect(answer).to_contain_text("setosa")
        expect(answer).to_contain_text("version 2")
        expect(answer).to_contain_text(re.compile("hit|miss|bypass"))
        expect(answer).to_contain_text(re.compile(r"\d (µs|ms|s)"))
    console.require_accessible()
    console.require_not_reloaded()


def go_to_model(console: Console, name: str) -> None:
    """Go from a page below a model's to that, and mark its window."""
    console.page.get_by_role("navigation").get_by_role("link", name=name).click()
    expect(console.page.get_by_role("heading", level=1, name=name, exact=True)).to_be_visible()
    console.mark_window()


def point_by_mouse(console: Console, story: Story, name: str) -> None:
    """Point the alias at the second version."""
    page = console.page
    button(page.get_by_role("main"), "@production", "point").click()
    dialog = opened(page)
    dialog.get_by_label("Version").select_option("2")
    expect(dialog.get_by_role("heading", name="From version 1 to version 2")).to_be_visible()
    console.require_accessible()
    dialog.get_by_label("Why").fill(WHY_POINT)
    button(dialog, "Point").click()
    require_moved(page, story, name, 2, WHY_POINT)
    console.require_not_reloaded()
    console.require_accessible()


def compare(console: Console) -> None:
    """See both versions side by side, with what both answer."""
    page = console.page
    expect(page.get_by_role("heading", level=1)).to_contain_text("1 and 2")
    button(page, "Predict with both").click()
    expect(page.get_by_role("cell", name=re.compile("setosa|versicolor|virginica")).first).to_be_visible()
    console.require_accessible()


def roll_back_by_mouse(console: Console, story: Story, name: str) -> None:
    """Roll the alias back to the first version."""
    page = console.page
    button(page, "@production", "roll", "back").click()
    dialog = opened(page)
    expect(dialog.get_by_role("heading", name="Roll @production back to version 1")).to_be_visible()
    console.require_accessible()
    dialog.get_by_label("Why").fill(WHY_BACK)
    button(dialog, "Roll back").click()
    require_moved(page, story, name, 1, WHY_BACK)
    console.require_not_reloaded()


def test_the_journey_by_keyboard_alone(console: Console, story: Story, files: list[FilePayload]) -> None:
    """With Tab, Enter, Space and typing: what has the focus can always be seen, and it is never lost."""
    name = "orchids"
    page = console.open("/console/models")
    for number, file in enumerate(files):
        publish_by_keyboard(page, name, file, "production" if number == 0 else "")
    press_on(page, page.get_by_role("link", name=re.compile("try it")))
    expect(page.get_by_role("heading", level=1)).to_contain_text("2")
    press_on(page, button(page.locator("#try"), "Predict"))
    expect(page.locator("#answer")).to_be_visible()
    require_visible_focus(page)
    for_model(console, name)
    point_by_keyboard(page, story, name)
    console.require_not_reloaded()
    press_on(page, button(page, "Compare A with B"))
    expect(page.get_by_role("heading", level=1)).to_contain_text("1 and 2")
    for_model(console, name)
    roll_back_by_keyboard(page, story, name)
    console.require_not_reloaded()


def publish_by_keyboard(page: Page, name: str, file: FilePayload, alias: str) -> None:
    """Go to the page Upload, and upload a file."""
    press_on(page, page.get_by_role("navigation", name="Console").get_by_role("link", name="Upload"))
    expect(page.get_by_role("heading", level=1, name=re.compile("Upload"))).to_be_visible()
    with page.expect_file_chooser() as chooser:
        press_on(page, page.locator("input[type=file]"), "Space")
    chooser.value.set_files(file)
    type_into(page, page.get_by_label("Model", exact=True), name)
    if alias:
        type_into(page, page.get_by_label("Alias to point at it"), alias)
    page.keyboard.press("Enter")
    expect(page.get_by_text("Published", exact=True)).to_be_visible(timeout=30_000)
    require_visible_focus(page)


def for_model(console: Console, name: str) -> None:
    """Go from a page below a model's to that by the keyboard, and mark its window."""
    press_on(console.page, console.page.get_by_role("navigation").get_by_role("link", name=name))
    expect(console.page.get_by_role("heading", level=1, name=name, exact=True)).to_be_visible()
    console.mark_window()


def point_by_keyboard(page: Page, story: Story, name: str) -> None:
    """Open the dialog, leave it by Escape, open it again, and point the alias; the focus comes back each time."""
    opener = button(page.get_by_role("main"), "@production", "point")
    dialog = opened_by_keyboard(page, opener)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert is_focused(opener), "the focus didn't come back to what opened the dialog"
    dialog = opened_by_keyboard(page, opener, tabs=False)
    require_trapped(page)
    tab_to(page, dialog.get_by_label("Version"))
    page.keyboard.press("2")
    expect(dialog.get_by_role("heading", name="From version 1 to version 2")).to_be_visible()
    tab_to(page, dialog.get_by_label("Why"))
    page.keyboard.type(WHY_POINT)
    press_on(page, dialog.get_by_role("button", name="Point @production"))
    require_moved(page, story, name, 2, WHY_POINT)
    require_visible_focus(page)
    assert is_focused(opener), "the focus didn't come back to where it was before the move"


def roll_back_by_keyboard(page: Page, story: Story, name: str) -> None:
    """Roll the alias back; there is nothing left to roll back to, and the focus goes to somewhere all the same."""
    dialog = opened_by_keyboard(page, button(page.get_by_role("main"), "@production", "roll", "back"))
    tab_to(page, dialog.get_by_label("Why"))
    page.keyboard.type(WHY_BACK)
    press_on(page, button(dialog, "Roll back"), "Space")
    require_moved(page, story, name, 1, WHY_BACK)
    require_visible_focus(page)


def press_on(page: Page, target: Locator, key: str = "Enter") -> None:
    """Go to something by Tab, and press a key there."""
    tab_to(page, target)
    page.keyboard.press(key)


def type_into(page: Page, field: Locator, text: str) -> None:
    """Go to a field by Tab, and type over what stands in it."""
    tab_to(page, field)
    page.keyboard.press("Control+A")
    page.keyboard.type(text)


def opened_by_keyboard(page: Page, opener: Locator, *, tabs: bool = True) -> Locator:
    """Open a dialog by a button, and return it; the focus is in it."""
    if tabs:
        tab_to(page, opener)
    page.keyboard.press("Enter")
    dialog = opened(page)
    expect(dialog.locator(":focus")).to_have_count(1)
    require_visible_focus(page)
    return dialog


def require_trapped(page: Page) -> None:
    """Raise AssertionError where Tab leads from the open dialog to what lies behind it."""
    for key in ("Tab", "Shift+Tab"):
        for _ in range(25):
            page.keyboard.press(key)
            behind = page.evaluate(
                "() => document.activeElement !== document.body && !document.getElementById('dialog').contains(document.activeElement)"
            )
            assert not behind, f"{key} led out of the dialog"


def test_a_move_is_refused_in_the_dialog_and_what_was_typed_stays(console: Console, story: Story) -> None:
    """Where another move came between, the dialog says so, and offers to look again."""
    name = "fraud-score"
    console.expect(r"^4\d\d: POST /console/models/fraud-score/point$")
    page = console.open(f"/console/models/{name}")
    console.mark_window()
    button(page.get_by_role("main"), "new alias").click()
    dialog = opened(page)
    dialog.get_by_label("Alias", exact=True).fill("canary")
    dialog.get_by_label("Why").fill("   ")
    dialog.locator("button[type=submit]").click()
    expect(dialog.get_by_role("alert")).to_contain_text("Say why")
    expect(dialog.get_by_label("Alias", exact=True)).to_have_value("canary")
    console.require_accessible()
    story.point("ben (data science)", name, "canary", 1, "I was first.")
    dialog.get_by_label("Why").fill("To be tried on one per cent.")
    dialog.locator("button[type=submit]").click()
    expect(dialog.get_by_role("alert").or_(dialog.locator(".problem, .warning")).first).to_be_visible()
    assert story.ask("ada (data science)", "GET", f"/models/{name}/aliases/canary/history")["items"][0]["reason"] == "I was first."
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    console.require_not_reloaded()


def test_a_version_is_pointed_at_from_its_own_page(console: Console, story: Story) -> None:
    """The button leads to the model, with the dialog open and the version chosen."""
    name = "iris"
    page = console.open(f"/console/models/{name}/2")
    page.get_by_role("link", name="Point @production here").click()
    dialog = opened(page)
    expect(dialog.get_by_role("heading").first).to_contain_text("@production")
    dialog.get_by_label("Why").fill("Seen in the course.")
    dialog.locator("button[type=submit]").click()
    require_moved(page, story, name, 2, "Seen in the course.")
    assert page.url.endswith(f"/console/models/{name}")
    story.ask("ada (data science)", "POST", f"/models/{name}/aliases/production/rollback", {"reason": "As it was."})


def test_a_service_that_cannot_be_reached_is_said_in_the_dialog_and_two_presses_move_once(console: Console, story: Story) -> None:
    """What was typed stays; once the service is back, an impatient double press makes one move."""
    name = "support-tickets"
    console.expect(r"/console/models/support-tickets/point|Failed to fetch")
    page = console.open(f"/console/models/{name}")
    button(page.get_by_role("main"), "new alias").click()
    dialog = opened(page)
    dialog.get_by_label("Alias", exact=True).fill("canary")
    dialog.get_by_label("Why").fill("To be tried by one desk.")
    page.route("**/point", lambda route: route.abort("connectionrefused"))
    dialog.locator("button[type=submit]").click()
    expect(dialog.get_by_role("alert")).to_contain_text("could not be reached")
    expect(dialog.get_by_label("Why")).to_have_value("To be tried by one desk.")
    page.unroute("**/point")
    dialog.locator("button[type=submit]").dblclick()
    expect(dialog).to_be_hidden()
    expect(page.get_by_role("status").filter(has_text="@canary").first).to_be_visible()
    moves = story.ask("ada (data science)", "GET", f"/models/{name}/aliases/canary/history")["items"]
    assert [move["reason"] for move in moves] == ["To be tried by one desk."]
    story.ask("ada (data science)", "DELETE", f"/models/{name}/aliases/canary")


def test_an_upload_that_is_refused_says_why_and_keeps_what_was_filled_in(console: Console) -> None:
    """The refusal is read where the eyes are, and the form can be sent again."""
    console.expect(r"^4\d\d: POST /console/models/refused/versions$")
    page = console.open("/console/upload")
    page.locator("input[type=file]").set_input_files({"name": "notes.joblib", "mimeType": "text/plain", "buffer": b"these are my notes"})
    page.get_by_label("Model", exact=True).fill("refused")
    button(page, "Upload").click()
    expect(page.locator("#outcome").get_by_role("alert")).to_contain_text("Nothing was kept")
    expect(page.get_by_label("Model", exact=True)).to_have_value("refused")
    require_visible_focus(page)
    console.require_accessible()


def test_a_key_is_made_shown_once_changed_rotated_and_revoked(browse: Browse, story: Story) -> None:
    """And what is shown once is gone when the dialog is closed."""
    console = browse(story.service.admin_key)
    page = console.open("/console/keys")
    button(page, "Make a key").click()
    dialog = opened(page)
    console.require_accessible()
    dialog.get_by_label("Name", exact=True).fill("till 7")
    dialog.get_by_label("predict").check()
    dialog.locator("button[type=submit]").click()
    shown = dialog.get_by_text(re.compile(r"^my_\w{20,}"))
    expect(shown.first).to_be_visible()
    key = re.search(r"my_\w+", dialog.inner_text())
    assert key is not None
    console.require_accessible()
    with story.service.client(key[0]) as client:
        assert client.get("/me").json()["name"] == "till 7"
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert key[0] not in page.content()
    button(page, "Revoke", "till 7").click()
    dialog = opened(page)
    console.require_accessible()
    dialog.locator("button[type=submit]").click()
    expect(dialog).to_be_hidden()
    expect(page.get_by_role("row").filter(has_text="till 7").first).to_contain_text("Revoked")
    with story.service.client(key[0]) as client:
        assert client.get("/me").status_code == 401
