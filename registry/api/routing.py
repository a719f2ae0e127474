"""Which paths mean what, where the patterns of two routes overlap.

A word that stands for something else in a selector's place is no selector, so that a method which isn't there is 405 and
never another route's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from werkzeug.routing import BaseConverter, Rule

#: What stands after a model's name in routes of its own.
WORDS = ("aliases", "rollback", "versions")


class SelectorConverter(BaseConverter):
    """Takes everything but the words, also what can't be a selector: that it isn't one is said by who reads it."""

    regex = rf"(?!(?:{'|'.join(WORDS)})\Z)[^/]+"
    part_isolating = True  # one part of a path, as the default converter


class ModelyardRule(Rule):
    """A rule in which `<selector>` is never one of the words, wherever it is written."""

    def get_converter(self, variable_name: str, converter_name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> BaseConverter:
        """Return the converter of a variable, by its name."""
        if variable_name == "selector":
            return SelectorConverter(self.map)
        return super().get_converter(variable_name, converter_name, args, kwargs)
