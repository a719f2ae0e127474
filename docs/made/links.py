"""Files of the repository that are pages of the site, and links to them from wherever they stand.

A link is written so that it works in the repository; here it is turned to the page. Never invents a page: what is no page and lies
outside of `docs/` stays a link to the file, which Sphinx then offers as a download.
"""

from __future__ import annotations

import os.path
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: Files outside of `docs/` and the pages that show them.
PAGES = {
    "CHANGELOG.md": "changelog",
    "CONTRIBUTING.md": "contributing",
    "README.md": "index",
    "SECURITY.md": "security",
    "benchmarks/GROWTH.md": "benchmarks/growth",
    "benchmarks/RESULTS.md": "benchmarks/results",
}
_LINK = re.compile(r"(\]\()([^)\s#:]+)(#[^)\s]*)?(?=\))")


def file(path: str, docname: str) -> str:
    """Return the text of a file of the repository as it stands on the page `docname`: with one title, since each would be a page in the navigation."""
    text = (ROOT / path).read_text(encoding="utf-8")
    before, title, after = text.partition("\n# ") if not text.startswith("# ") else ("", "# ", text[2:])
    return follow(before + title + after.replace("\n# ", "\n## "), path, docname)


def follow(text: str, path: str, docname: str) -> str:
    """Return `text`, which was written at `path`, with its links as they must be on the page `docname`. Links to nothing stay, and are found by Sphinx."""
    here = os.path.dirname(f"docs/{docname}")  # noqa: PTH120 - a path inside the repository, not one of this machine

    def turned(link: re.Match[str]) -> str:
        target = os.path.normpath(os.path.join(os.path.dirname(path), link[2]))  # noqa: PTH118, PTH120 - as above
        if not (ROOT / target).is_file():
            return link[0]
        page = f"docs/{PAGES[target]}.md" if target in PAGES else target
        return f"{link[1]}{os.path.relpath(page, here)}{link[3] or ''}"

    return _LINK.sub(turned, text)
