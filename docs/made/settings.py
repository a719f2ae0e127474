"""The settings of the server, from `config.py`: what each is called, means, takes and is by default."""

from __future__ import annotations

import typing
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

from config import Bytes, Config, variable_name
from docs.made.tables import table

#: Where each group of the fields begins, and what it is called.
GROUPS = {
    "host": "Addresses, folders, services",
    "key_pepper": "Secrets",
    "web_processes": "Web processes and uploads",
    "max_artifact_bytes": "Sizes",
    "default_limits": "Limits",
    "cache": "Prediction cache",
    "extra_names": "Models and their processes",
    "stale_ok_seconds": "Changes, other hosts, clearing up",
}
_KINDS = {str: "text", bool: "`true` or `false`", int: "whole number", float: "number", Bytes: "size", Path: "path", tuple: "list"}


def page(_docname: str) -> str:
    """Return a table for each group."""
    types = typing.get_type_hints(Config)
    grouped: dict[str, list[Field[Any]]] = {}
    title = ""
    for item in fields(Config):
        title = GROUPS.get(item.name, title)
        grouped.setdefault(title, []).append(item)
    head = ("variable", "takes", "default", "means")
    return "\n\n".join(
        f"## {title}\n\n" + table(head, [_row(item, types[item.name]) for item in items]) for title, items in grouped.items()
    )


def _row(item: Field[Any], kind: Any) -> tuple[str, str, str, str]:
    name = variable_name(item.name)
    file = f"<br>or a file: `{name}_FILE`" if item.metadata["secret"] else ""
    return f"[`{name}`]{{#{name.lower()}}}{file}", _takes(item, kind), _default(item.default), item.metadata["meaning"]


def _takes(item: Field[Any], kind: Any) -> str:
    if choices := item.metadata["choices"]:
        return " or ".join(f"`{choice}`" for choice in choices)
    plain = Path if kind == Path | None else typing.get_origin(kind) or kind
    least = item.metadata["minimum"]
    return _KINDS[plain] + (f", at least {shown(least)}" if least else "")


def _default(value: Any) -> str:
    text = shown(value)
    return f"`{text}`" if text else ""


def shown(value: Any) -> str:
    """Return a value as it would be written into the environment."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, Bytes):
        return f"{value >> 20}MiB" if value and value % 2**20 == 0 else str(int(value))
    return f"{value:.10g}" if isinstance(value, float) else str(value)
