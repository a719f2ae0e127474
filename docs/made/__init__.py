"""What the code knows better than a writer, put into the pages while Sphinx reads them.

A line `<!-- made: settings -->` in a page stands for the table of settings, and so on; pages hold no copy that could grow old. Everything is
made in this process from what is imported, in the same order each time: no server, no network, no clock.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from sphinx.application import Sphinx

from docs.made import commands, exceptions, links, metrics, problems, release, routes, settings

#: Each takes the name of the page that it is made for.
MAKERS: dict[str, Callable[[str], str]] = {
    "commands": commands.page,
    "exceptions": exceptions.page,
    "metrics": metrics.page,
    "problem": problems.facts,
    "problem-index": problems.index,
    "routes": routes.page,
    "settings": settings.page,
    "version": release.version,
}
_PLACE = re.compile(r"^<!-- made: (\S+)(?: (\S+))? -->$", re.MULTILINE)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("source-read", _read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def whole(docname: str, text: str) -> str:
    """Return a page with what is made for it in its places. Raises KeyError for a place that nobody makes."""
    linked = links.follow(text, f"docs/{docname}.md", docname)
    return _PLACE.sub(lambda place: _made(docname, place[1], place[2]), linked)


def _made(docname: str, name: str, argument: str | None) -> str:
    if name == "file" and argument is not None:
        return links.file(argument, docname)
    return MAKERS[name](docname)


def _read(_app: Sphinx, docname: str, source: list[str]) -> None:
    source[0] = whole(docname, source[0])
    if docname.startswith(problems.PAGES):
        source[0] = (
            f"---\norphan: true\n---\n\n{source[0]}"  # their table lists them: in the navigation they would bury the rest, and double the time to build it
        )
