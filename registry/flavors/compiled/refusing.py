"""Why an estimator has no compiled form: a clause that goes on from "There is no compiled form:".

Its text is shown to the publisher, so it never holds a library's own message.
"""

from __future__ import annotations


class CantCompile(Exception):
    """The estimator can't be compiled, or not so that it would be the same. `detail` is for the log alone."""

    def __init__(self, text: str, *, detail: str | None = None) -> None:
        """Keep the clause and what only the log may hold."""
        super().__init__(text)
        self.text = text
        self.detail = detail
