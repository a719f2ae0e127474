"""Whatever people write is text: in names, tags, descriptions, reasons, metrics, columns and labels, markup is shown and never made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Page
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from tests.e2e.browsing import NARROW, Browse, Console
from tests.e2e.story import Story
from tests.running import RunningService

IMAGE = "<img src=x onerror=\"window.ran='image'\">"
SCRIPT = "</script><script>window.ran='script'</script>"
QUOTE = "\" onfocus=\"window.ran='quote'\" autofocus x='"
ENTITY = "&lt;b&gt; &amp; {{ 7 * 7 }} {% raw %}"
REVERSED = "safe\u202egnp.exe"
LONG = "w" * 180
TEXTS = (IMAGE, SCRIPT, QUOTE, ENTITY, REVERSED, LONG)
NAME = "markup"

#: What would be there if a text had become elements, or had run.
_MADE = """
() => [
  ...document.querySelectorAll('img[src="x"], [onerror], [onfocus], script:not([src]), main b'), ...[...document.scripts].filter((one) => !one.src.startsWith(location.origin)),
].map((one) => one.outerHTML.slice(0, 200)).concat(window.ran === undefined ? [] : [`ran: ${window.ran}`])
"""


@dataclass
class Written:
    """The model that everything is written on, and the key that did it."""

    service: RunningService
    key: str


@pytest.fixture(scope="module")
def written(story: Story) -> Written:
    """Publish a model with markup wherever a text may stand."""
    service = story.service
    key = service.make_key("read", "predict", "publish", name=IMAGE + SCRIPT)
    random = np.random.default_rng(3)
    frame = pd.DataFrame(random.normal(size=(60, len(TEXTS))), columns=list(TEXTS))
    labels = np.where(frame[IMAGE] > 0, IMAGE, SCRIPT)
    manifest = {
        "description": " ".join(TEXTS),
        "tags": {text[:60]: text for text in TEXTS},
        "metrics": {text[:60]: number / 7 for number, text in enumerate(TEXTS)},
        "parameters": {text[:60]: text for text in TEXTS},
        "source": {text[:60]: text for text in TEXTS},
        "input_example": frame.head(2).to_dict("records"),
    }
    for strength in (1.0, 0.5):
        estimator = Pipeline([("scale", StandardScaler()), (f"{IMAGE}", LogisticRegression(C=strength))])
        service.publish(
            NAME,
            estimator.fit(frame, labels),
            {**manifest, "metrics": {name: value * strength for name, value in manifest["metrics"].items()}},
            key=key,
        )
    with service.client(key) as client:
        assert client.patch(f"/models/{NAME}", json={"description": manifest["description"], "tags": manifest["tags"]}).is_success
        for version, text in ((1, IMAGE + LONG), (2, SCRIPT), (1, QUOTE + REVERSED)):
            assert client.put(f"/models/{NAME}/aliases/production", json={"version": version, "reason": text}).is_success
        assert client.post(f"/models/{NAME}", json={"instances": manifest["input_example"]}).is_success
    return Written(service, key)


def require_text(console: Console, *texts: str) -> None:
    """Raise AssertionError where one of the texts isn't shown as it was written, or anything came of one."""
    page = console.page
    shown = _everything(page)
    assert [text for text in texts if text not in shown] == [], page.url
    assert page.evaluate(_MADE) == [], page.url
    console.require_fits()


def _everything(page: Page) -> str:
    """Return all texts of the page, also those that are folded away or stand in fields."""
    return str(
        page.evaluate(
            "() => document.body.textContent + [...document.querySelectorAll('input, textarea')].map((one) => one.value).join(' ')"
        )
    )


@pytest.mark.parametrize("width", [1280, NARROW])
def test_markup_is_shown_as_it_was_written_on_every_page(browse: Browse, written: Written, width: int) -> None:
    """On none of them does an element or a script come of it, and none grows wider than its window."""
    console = browse(written.service.admin_key, width=width)
    console.open("/console/models?search=markup")
    require_text(console, NAME)
    console.open(f"/console/models/{NAME}")
    require_text(console, IMAGE, SCRIPT, QUOTE + REVERSED, LONG, ENTITY)
    console.open(f"/console/models/{NAME}/2")
    require_text(console, IMAGE, SCRIPT, QUOTE, ENTITY, REVERSED, LONG)
    console.open(f"/console/models/{NAME}/compare?a=1&b=2")
    require_text(console, IMAGE[:60])
    console.open("/console/traffic")
    require_text(console)
    console.open("/console/keys")
    require_text(console, IMAGE + SCRIPT)
    console.open(f"/console/events?model={NAME}")
    require_text(console, IMAGE, SCRIPT, QUOTE + REVERSED)


def test_markup_is_text_in_dialogs_and_in_answers_too(browse: Browse, written: Written) -> None:
    """What htmx puts into a page is made by the same templates."""
    console = browse(written.key)
    page = console.open(f"/console/models/{NAME}")
    page.get_by_role("button", name="Roll back").first.click()
    page.get_by_role("dialog").wait_for()
    require_text(console)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Point").first.click()
    page.get_by_role("dialog").wait_for()
    require_text(console)
    page = console.open(f"/console/models/{NAME}/1")
    page.get_by_role("button", name="Predict").click()
    page.locator("#trial, [data-answer], #answer").first.wait_for()
    require_text(console, IMAGE)


def test_an_upload_that_is_refused_says_what_was_found_as_text(browse: Browse, written: Written) -> None:
    """Names out of a file are foreign texts as well."""
    console = browse(written.key)
    console.expect("^4[12][0-9]: POST /console/models/")
    page = console.open("/console/upload")
    hostile = b"c<img src=x onerror=window.ran=1>\nsystem\n(S'</script><script>window.ran=1</script>'\ntR."
    page.locator("input[type=file]").set_input_files(
        {"name": "<img src=x onerror=window.ran=1>.pkl", "mimeType": "application/octet-stream", "buffer": hostile}
    )
    page.get_by_label("Model", exact=True).fill(NAME)
    page.get_by_role("button", name="Upload").click()
    page.locator("#outcome").get_by_role("alert").wait_for()
    require_text(console)
