"""Take the pictures of the console that the documentation shows: `make screenshots`.

Each page in both themes, of the service that the browser tests look at. Never edited afterwards.
"""

from __future__ import annotations

import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser

from tests.e2e.browsing import WIDE, Console, Theme, chromium, looking, sign_in
from tests.e2e.shown_pages import PAGES, PARTS
from tests.e2e.small_png import shrunk
from tests.e2e.story import told

FOLDER = Path(__file__).resolve().parents[2] / "docs/images"
THEMES: tuple[Theme, ...] = ("light", "dark")
#: Where everybody's service is; the pictures show addresses.
USUAL_PORT = 8000
#: Taller pages are cut here; a picture of a page need not show its end.
MOST_HIGH = 1100
LARGEST_BYTES = 150_000


def main() -> int:
    """Take them all; return the exit status."""
    FOLDER.mkdir(exist_ok=True)
    status = 0
    with tempfile.TemporaryDirectory() as folder, chromium() as browser, told(Path(folder) / "instance", usual_port()) as story:
        url = story.service.url
        cookies = sign_in(url, story.service.admin_key)
        for theme in THEMES:
            for name, picture, problems in pictures(browser, url, cookies, theme):
                file = FOLDER / f"console-{name}-{theme}.png"
                file.write_bytes(picture)
                wrong = [*problems, *([f"larger than {LARGEST_BYTES} bytes"] if len(picture) > LARGEST_BYTES else [])]
                print(f"{file.relative_to(FOLDER.parents[1])}: {len(picture) // 1000} kB", *wrong, sep="\n  ")
                status = status or int(bool(wrong))
    return status


def usual_port() -> int | None:
    """Return the port that services have, where nobody listens on it."""
    with socket.socket() as probe:
        return None if probe.connect_ex(("127.0.0.1", USUAL_PORT)) == 0 else USUAL_PORT


def pictures(browser: Browser, url: str, cookies: dict[str, str], theme: Theme) -> Iterator[tuple[str, bytes, list[str]]]:
    """Yield each picture's name, its bytes, and what the browser complained about meanwhile."""
    for shown in PAGES:
        with looking(browser, url, cookies if shown.signed_in else {}, theme=theme) as console:
            yield shown.name, whole(console, shown.path), console.watch.left()
    for name, path, selector in PARTS:
        with looking(browser, url, cookies, theme=theme) as console:
            yield name, part(console, path, selector), console.watch.left()
    with looking(browser, url, cookies, theme=theme) as console:
        yield "point", dialog(console, "/console/models/churn", "#point-production"), console.watch.left()


def whole(console: Console, path: str) -> bytes:
    """Return a picture of a page from its top."""
    page = console.open(path)
    page.wait_for_load_state("networkidle")
    high = min(MOST_HIGH, int(page.evaluate("() => document.documentElement.scrollHeight")))
    page.set_viewport_size({"width": WIDE, "height": high})
    return taken(console, {"x": 0, "y": 0, "width": WIDE, "height": high})


def part(console: Console, path: str, selector: str) -> bytes:
    """Return a picture of a part of a page, with a little of what is around it."""
    page = console.open(path)
    page.wait_for_load_state("networkidle")
    page.set_viewport_size({"width": WIDE, "height": int(page.evaluate("() => document.documentElement.scrollHeight"))})
    place = page.locator(selector).bounding_box()
    assert place is not None, selector
    return taken(console, {"x": 0, "y": place["y"] - 16, "width": WIDE, "height": min(MOST_HIGH, place["height"] + 32)})


def dialog(console: Console, path: str, opener: str) -> bytes:
    """Return a picture of a page with a dialog open."""
    page = console.open(path)
    page.set_viewport_size({"width": WIDE, "height": MOST_HIGH})
    page.locator(opener).click()
    page.get_by_role("dialog").get_by_role("heading").first.wait_for()
    page.get_by_role("dialog").get_by_label("Why").fill("Trained on November; the desk agreed this morning.")
    return taken(console, {"x": 0, "y": 0, "width": WIDE, "height": MOST_HIGH})


def taken(console: Console, clip: dict[str, float]) -> bytes:
    """Return what stands in a rectangle of the page, as small as it gets."""
    rectangle = {name: round(value) for name, value in clip.items()}
    picture = console.page.screenshot(animations="disabled", caret="hide", clip=rectangle)  # type: ignore[arg-type]
    return shrunk(console.page.context, picture)


if __name__ == "__main__":
    sys.exit(main())
