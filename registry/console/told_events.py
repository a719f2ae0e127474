"""The audit trail in words: what an event did, and each thing that it changed from what to what.

Pure: looks at one record and at nothing else. Returns plain texts, which the templates escape, cut to what a table can show.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from registry.catalog import Event

#: What is shown of one value; the CSV file has the whole of it.
MAX_TEXT = 300
MAX_PARTS = 12

#: What the lack of a value means.
_ABSENT = {"models": "all", "expires_at": "never"}
_MOMENT = re.compile(r"\A(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?\+00:00\Z", re.ASCII)

_SENTENCES = {
    "alias.deleted": "took away @{alias}, which pointed at {from_}",
    "alias.pointed": "pointed @{alias} at {to}",
    "alias.rolled-back": "rolled @{alias} back to {to}",
    "console.signed-in": "signed in to the console",
    "console.signed-out": "signed out of the console",
    "key.changed": "changed a key",
    "key.created": "made a key",
    "key.revoked": "revoked a key",
    "key.rotated": "rotated a key",
    "model.changed": "changed the model",
    "model.created": "made the model",
    "model.deleted": "deleted the model",
    "sweep.removed": "swept version {version} away for good",
    "upload.refused": "had an upload refused",
    "version.changed": "changed version {version}",
    "version.compile-refused": "version {version} has no fast form",
    "version.compiled": "compiled version {version}",
    "version.deleted": "deleted version {version}",
    "version.load-failed": "version {version} did not load",
    "version.pinned": "pinned version {version}",
    "version.published": "published version {version}",
    "version.restored": "restored version {version}",
    "version.unpinned": "unpinned version {version}",
}


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that an event tells besides: a value, or what it was before and after."""

    name: str
    after: str
    before: str | None = None


def sentence(event: Event) -> str:
    """Return what was done, such as `pointed @production at 3`."""
    return _SENTENCES.get(event.kind, "did something new to this version of the console").format(
        alias=event.alias, from_=event.from_, to=event.to, version=event.version
    )


def parts(event: Event) -> list[Part]:
    """Return what changed from what to what, and what else is known of it; of many things the first."""
    found = list(_parts(event))
    return [*found[:MAX_PARTS], *([Part("and more", f"{len(found) - MAX_PARTS} in the CSV file")] if len(found) > MAX_PARTS else [])]


def _parts(event: Event) -> Iterator[Part]:
    if event.kind in {"alias.pointed", "alias.rolled-back"} and event.from_ is not None:
        yield Part("version", str(event.to), str(event.from_))
    for name, value in event.detail.items():
        if isinstance(value, dict) and value.keys() == {"from", "to"}:
            yield from _changed(name, value["from"], value["to"])
        elif value is not None or name in _ABSENT:
            yield Part(name.replace("_", " "), _text(value, name))


def _changed(name: str, before: Any, after: Any) -> Iterator[Part]:
    """Yield one change; of a mapping, such as tags, only those of its names that differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        for inner in dict.fromkeys([*before, *after]):
            if before.get(inner) != after.get(inner):
                yield Part(f"{name} {inner}", _text(after.get(inner)), _text(before.get(inner)))
    else:
        yield Part(name.replace("_", " "), _text(after, name), _text(before, name))


def _text(value: Any, name: str = "") -> str:
    if value is None:
        text = _ABSENT.get(name, "nothing")
    elif isinstance(value, str):
        text = _MOMENT.sub(r"\1 \2 UTC", value) or "nothing"
    elif isinstance(value, list) and all(isinstance(one, str) for one in value):
        text = ", ".join(value) or _ABSENT.get(name, "none")
    elif isinstance(value, list) and all(isinstance(one, dict) for one in value):
        text = "; ".join(", ".join(f"{key} {_text(inner)}" for key, inner in one.items()) for one in value)
    else:
        text = msgspec.json.encode(value).decode()
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"
