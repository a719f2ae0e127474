"""Why an artifact is refused: a rule's name, what was found, and what its publisher can do about it.

Raised by everything that judges an artifact behind the lock; `failures.py` turns it into the problem that travels out.
Must never carry text that isn't ours, but for names that are plain Python identifiers.
"""

from __future__ import annotations

import re
from typing import Any

_PLAIN = re.compile(r"[A-Za-z_][\w.]{0,199}", re.ASCII)


class Refused(Exception):
    """An artifact breaks a rule.

    `rule` is the stable, hyphenated name that clients may match on; `text` is a sentence or two for a data scientist:
    what was found, then what to do instead. `found` are further plain values, such as `name`, kept beside the rule.
    """

    def __init__(self, rule: str, text: str, **found: Any) -> None:
        """Keep the rule, the sentence and what was found."""
        super().__init__(text)
        self.rule = rule
        self.text = text
        self.found = found

    def as_found(self) -> dict[str, Any]:
        """Return the entry of a problem's `found` list."""
        return {"rule": self.rule, **self.found}


def shown_name(name: str) -> str:
    """Return a dotted name that came from an artifact as it may be shown: itself where it is plain, else a stand-in."""
    return name if _PLAIN.fullmatch(name) else "(a name that isn't plain)"
