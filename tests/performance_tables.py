"""The tables of ratios in docs/explanation/performance.md, made from benchmarks/RESULTS.md.

`python -m tests.performance_tables` writes them; a test compares them, so that the page never shows a figure that no run gave.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "explanation" / "performance.md"
RESULTS = ROOT / "benchmarks" / "RESULTS.md"
TABLE = re.compile(r"(<!-- ratios (single|bulk):[^\n]*-->\n)(.*?)(?=\n\n|\Z)", re.DOTALL)
#: Which of the results' tables each is made of, and of which models.
SOURCES = {
    "single": ("1 row, 8 connections", ("iris", "forest", "boosting")),
    "bulk": ("1,000 rows, 1 connection", ("linear", "forest", "boosting")),
}


def with_tables(text: str) -> str:
    """Return the page with its tables made anew."""
    return TABLE.sub(lambda match: match[1] + ratios(*SOURCES[match[2]]), text)


def ratios(table: str, models: tuple[str, ...]) -> str:
    """Return a row for each server that stands in `table` of every model."""
    found = [ratios_of(model, table) for model in models]
    rows = [f"| requests/s to Modelyard's | {' | '.join(models)} |", "|---|" + "--:|" * len(models)]
    rows += [f"| {name} | {' | '.join(one[name] for one in found)} |" for name in found[0] if all(name in one for one in found)]
    return "\n".join(rows)


def ratios_of(model: str, table: str) -> dict[str, str]:
    """Return what each server's rate was to that of Modelyard with the cache bypassed, or `failed`."""
    section = RESULTS.read_text(encoding="utf-8").split(f"![{model}]", 1)[1].split("\n## ", 1)[0]
    lines = section.split(f"### {table}\n", 1)[1].split("\n### ", 1)[0].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")][2:]
    return {name.replace("**", ""): rate if rate == "failed" else ratio for name, rate, _, ratio, *_ in cells}


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
