"""What the code knows of each problem type: status, title, the client's exception, the exit code of the command line.

What a problem means and what to do about it is written by hand, one page for each slug (`docs/problems/<slug>.md`).
"""

from __future__ import annotations

from http import HTTPStatus

from docs.made.tables import table
from modelyard.cli import exits
from modelyard.errors import every_problem
from registry.api.problems import STATUS, TYPE_PREFIX
from registry.errors import ModelyardError, every_error

#: Where the pages are.
PAGES = "problems/"
#: Headers that the answers of a type have besides those of every answer.
HEADERS = {
    "method-not-allowed": "`Allow`",
    "range-not-satisfiable": "`Content-Range`",
    "unauthenticated": "`WWW-Authenticate`",
    "no-room": "`Retry-After`",
}


def facts(docname: str) -> str:
    """Return the facts of the problem whose page this is."""
    cls = by_slug()[docname.rpartition("/")[2]]
    status = HTTPStatus(STATUS[cls])
    rows = [
        ("Type", f"`{TYPE_PREFIX}{cls.slug}`"),
        ("Status", f"{status.value} {status.phrase}"),
        ("Header", HEADERS.get(cls.slug, "`Retry-After`" if status in {429, 503} else "")),
        ("Python client", f"{{py:exc}}`modelyard.errors.{every_problem()[cls.slug].__name__}`"),
        ("Command line", f"ends with [exit code {int(exits.of_status(status))}](../reference/commands.md#exit-codes)"),
        ("A kind of", ", ".join(_link(base) for base in cls.__bases__ if base is not ModelyardError and issubclass(base, ModelyardError))),
        ("Its kinds", ", ".join(_link(kind) for kind in cls.__subclasses__() if cls is not ModelyardError)),
    ]
    return "\n".join(f"{name}\n: {value}\n" for name, value in rows if value) + "\n[All problem types](index.md)\n"


def index(_docname: str) -> str:
    """Return a table of all problem types, by status."""
    ordered = sorted(every_error(), key=lambda cls: (STATUS[cls], cls.slug))
    rows = [(str(STATUS[cls]), f"[`{cls.slug}`]({cls.slug}.md)", cls.title) for cls in ordered]
    return table(("status", "type", "title"), rows)


def by_slug() -> dict[str, type[ModelyardError]]:
    """Return the class of each problem type."""
    return {cls.slug: cls for cls in every_error()}


def _link(cls: type[ModelyardError]) -> str:
    return f"[{cls.title}]({cls.slug}.md)"
