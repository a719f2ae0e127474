"""The documentation site: built strictly, and looked at as a browser would, without a network.

What other hosts have can't be looked at from here: an address of theirs is only checked for its form.
"""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest

from docs import made
from modelyard import records
from modelyard.client import Client

ROOT = Path(__file__).resolve().parents[2]
SITE = "https://modelyard.dev/"
#: Every warning is an error; nothing is taken over from an earlier build.
SPHINX = "sphinx -b dirhtml -W --keep-going -q -E"
#: Elements whose address a browser loads by itself.
LOADING = {"audio", "embed", "iframe", "img", "input", "object", "script", "source", "track", "video"}
#: Kinds of `link` that only say something.
SAYING = {"canonical", "next", "prev", "index", "search", "author"}
STYLE_ADDRESS = re.compile(r"""url\(\s*['"]?([^'")]+)|@import\s+['"]([^'"]+)""")


@dataclass
class Page:
    """What one page of the site names: its ids, where its links lead, and what a browser loads with it."""

    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)


class Reader(HTMLParser):
    """Fills a Page."""

    def __init__(self) -> None:
        """Begin with an empty page."""
        super().__init__()
        self.page = Page()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what an element names."""
        named = {name: value for name, value in attrs if value is not None}
        self.page.ids.update(named[name] for name in ("id", "name") if name in named)
        self.page.loaded += [found[1] or found[2] for found in STYLE_ADDRESS.finditer(named.get("style", ""))]
        if tag == "a" and "href" in named:
            self.page.links.append(named["href"])
        elif tag == "link" and "href" in named and not set(named.get("rel", "").split()) <= SAYING:
            self.page.loaded.append(named["href"])
        elif tag in LOADING:
            self.page.loaded += [named[name] for name in ("src", "data") if name in named]
            self.page.loaded += [one.split()[0] for one in named.get("srcset", "").split(",") if one.strip()]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site as `make docs` does, and return its folder."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", *SPHINX.split(), "-d", folder / "trees", "docs", folder / "html"]
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("MODELYARD_", "COVERAGE_"))}
    built = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=100, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder / "html"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, Page]:
    """Return what each page names, under its path below the site."""
    found = {}
    for file in sorted(site.rglob("*.html")):
        reader = Reader()
        reader.feed(file.read_text(encoding="utf-8"))
        found[file.relative_to(site).as_posix().removesuffix("index.html")] = reader.page
    return found


def test_make_docs_builds_as_strictly_as_this_test() -> None:
    """With the same options."""
    planned = subprocess.run(["make", "--dry-run", "docs"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert f"-m {SPHINX} " in planned.stdout, planned.stderr


def test_every_link_within_the_site_leads_somewhere(site: Path, pages: dict[str, Page]) -> None:
    """To a page or a file that is there, and to an id that stands on that page."""
    dead = []
    for name, page in pages.items():
        for link in [*page.links, *page.loaded]:
            address = urlsplit(urljoin(SITE + name, link))
            if not address.geturl().startswith(SITE) or link.startswith("data:"):
                continue
            path, fragment = unquote(address.path.lstrip("/")), unquote(address.fragment)
            known = pages.get(path)
            if (known is None and not (path and (site / path).is_file())) or (known is not None and fragment and fragment not in known.ids):
                dead.append(f"{name}: {link}")
    assert dead == []


def test_every_link_to_elsewhere_is_well_formed(pages: dict[str, Page]) -> None:
    """An address with a scheme that may be linked to, and a host that isn't this machine; no path of the repository is left over."""
    odd = []
    for name, page in pages.items():
        for link in page.links:
            address = urlsplit(urljoin(SITE + name, link))
            local = address.hostname is None or address.hostname.startswith("127.") or "." not in address.hostname
            if address.scheme not in {"http", "https"} or local or re.search(r"\s", link) or address.path.endswith(".md"):
                odd.append(f"{name}: {link}")
    assert odd == []


def test_nothing_is_loaded_from_another_host(site: Path, pages: dict[str, Page]) -> None:
    """No font, script, style or picture: the site works without a network, and tells nobody who reads it."""
    loaded = [(name, address) for name, page in pages.items() for address in page.loaded]
    for sheet in site.rglob("*.css"):
        loaded += [(sheet.name, found[1] or found[2]) for found in STYLE_ADDRESS.finditer(sheet.read_text(encoding="utf-8"))]
    assert len(loaded) > 100
    assert [(name, address) for name, address in loaded if urlsplit(address).netloc or urlsplit(address).scheme not in {"", "data"}] == []


def test_the_addresses_that_the_packages_name_are_pages(pages: dict[str, Page]) -> None:
    """What a package index shows leads to the site as it is."""
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    named = [url.removeprefix(SITE.rstrip("/")).removeprefix("/") for url in urls.values() if url.startswith(SITE.rstrip("/"))]
    assert named
    assert [path for path in named if path not in pages] == []


def test_the_page_of_the_client_has_every_call(pages: dict[str, Page]) -> None:
    """Each public method and property, and each record."""
    calls = [
        name for name, value in inspect.getmembers(Client) if not name.startswith("_") and (callable(value) or isinstance(value, property))
    ]
    kept = [name for name, value in vars(records).items() if inspect.isclass(value) and value.__module__ == records.__name__]
    assert len(calls) > 30
    wanted = {f"modelyard.client.Client.{name}" for name in calls} | {f"modelyard.records.{name}" for name in kept}
    assert wanted - pages["reference/client/"].ids == set()


def test_the_pages_are_made_alike_each_time() -> None:
    """What is made from the code depends on the code alone."""
    for file in sorted((ROOT / "docs").rglob("*.md")):
        docname = file.relative_to(ROOT / "docs").with_suffix("").as_posix()
        text = file.read_text(encoding="utf-8")
        assert made.whole(docname, text) == made.whole(docname, text), docname
