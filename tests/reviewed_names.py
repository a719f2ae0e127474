"""The names that artifacts may use, as somebody judged them: `python -m tests.reviewed_names` prints those of the installed libraries.

The list is `tests/conformance/reviewed_names.txt`. Before a line is added there, ask of a class: which of its methods run while it is
loaded, and can an attribute of any type and shape make its compiled code read or write where it must not? Then `soundness` needs a check.
"""

from __future__ import annotations

from pathlib import Path

from registry.flavors.unpickling import names

LIST = Path(__file__).resolve().parent / "conformance" / "reviewed_names.txt"


def reviewed() -> set[str]:
    """Return the lines of the reviewed list."""
    return {line for line in LIST.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")}


def installed() -> set[str]:
    """Return the same lines for the table that the installed libraries give."""
    return {f"{names.kind_of(found)} {module} {qualname}" for (module, qualname), found in names.TABLE.items()}


if __name__ == "__main__":
    print("\n".join(sorted(installed())))
