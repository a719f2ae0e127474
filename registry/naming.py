"""The names that may stand in a URL, matched once, whole, ASCII only.

Never decodes or repairs a name: what doesn't match is refused, so that no path, header or key is built from it.
"""

from __future__ import annotations

import re

from registry.errors import InvalidName

LATEST = "latest"
PRODUCTION = "production"
MAX_VERSION = 2**31 - 1

_MODEL = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
_ALIAS = re.compile(r"[a-z][a-z0-9-]{0,63}", re.ASCII)
_VERSION = re.compile(r"[1-9][0-9]{0,9}", re.ASCII)
_PATTERN = re.compile(r"[a-z0-9*][a-z0-9._*-]{0,63}", re.ASCII)


def require_model_name(name: str) -> None:
    """Raise InvalidName unless `name` may be a model's name."""
    if _MODEL.fullmatch(name) is None or ".." in name:
        raise InvalidName("A model name has 1 to 64 of a-z, 0-9, '.', '_' and '-', starts with a letter or digit and has no '..'.")


def require_alias(alias: str) -> None:
    """Raise InvalidName unless `alias` may be set by a caller; `latest` is reserved."""
    if _ALIAS.fullmatch(alias) is None:
        raise InvalidName("An alias has 1 to 64 of a-z, 0-9 and '-', and starts with a letter.")
    if alias == LATEST:
        raise InvalidName("The alias 'latest' is reserved: @latest is always the highest version that is ready.")


def require_model_pattern(pattern: str) -> None:
    """Raise InvalidName unless `pattern` is a model name in which `*` may stand for any run of characters."""
    if _PATTERN.fullmatch(pattern) is None:
        raise InvalidName("A model pattern has 1 to 64 of a-z, 0-9, '.', '_', '-' and '*'.")


def parse_selector(selector: str) -> int | str:
    """Return the version number of `3`, or the alias of `@production` (`@latest` gives `latest`).

    Raises InvalidName for anything else.
    """
    if selector.startswith("@"):
        alias = selector[1:]
        if alias != LATEST:
            require_alias(alias)
        return alias
    if _VERSION.fullmatch(selector) is None or int(selector) > MAX_VERSION:
        raise InvalidName("A selector is a version number such as 3, or an alias such as @production.")
    return int(selector)
