"""The tables of docs/publishing.md that are made from the code. `python -m tests.publishing_tables` writes them; a test compares them."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from sklearn.utils import all_estimators

from registry.flavors.unpickling import names

PAGE = Path(__file__).resolve().parent.parent / "docs" / "publishing.md"
TABLE = re.compile(r"(<!-- (families):[^\n]*-->\n)(.*?)(?=\n\n|\Z)", re.DOTALL)


def families_table() -> str:
    """Return a row for each family of estimators: those that predict, and those that may stand before them."""
    models, steps = defaultdict(list), defaultdict(list)
    for name, cls in all_estimators():
        if names.pair_of(cls) in names.TABLE:
            (models if hasattr(cls, "predict") else steps)[cls.__module__.split(".")[1]].append(f"`{name}`")
    rows = ["| family | models | steps before a model |", "|---|---|---|"]
    rows += [f"| `sklearn.{family}` | {', '.join(models[family])} | {', '.join(steps[family])} |" for family in sorted({*models, *steps})]
    return "\n".join(rows)


def with_tables(text: str) -> str:
    """Return the page with its tables made anew."""
    return TABLE.sub(lambda match: match[1] + families_table(), text)


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
