"""What differs between two versions, as plain values: what Compare lists, and what a dialog shows before an alias moves.

Pure: looks at two records of the catalog and at nothing else. Must never say that two things are the same because their texts are cut
alike, and never grow with a model's width: of columns only the differing ones are told, up to a bound.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from registry import catalog
from registry.console.shown import number

SAME, CHANGED, ADDED, REMOVED = "same", "changed", "added", "removed"
#: So many differing columns are told one by one.
MAX_COLUMNS = 200

_MAX_TEXT = 300
_MAX_CLASSES_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Difference:
    """One named thing in both versions; `kind` is `same`, `changed`, `added` (only the second has it) or `removed`.

    `before` and `after` are texts, None where it isn't there; `delta` is what a number gained. `breaks` says what a caller would notice.
    """

    name: str
    kind: str
    before: str | None
    after: str | None
    delta: float | None = None
    breaks: str = ""

    @property
    def differs(self) -> bool:
        """Tell whether it isn't the same in both."""
        return self.kind != SAME


@dataclass(frozen=True, slots=True)
class Differences:
    """All that differs from one version to another. Each group has what is the same too, but for `columns`.

    Of those `columns_same` counts the rest, and `columns_left_out` what differs beyond the bound; `order` says that they stand otherwise.
    """

    estimator: Difference
    metrics: tuple[Difference, ...] = ()
    parameters: tuple[Difference, ...] = ()
    columns: tuple[Difference, ...] = ()
    columns_same: int = 0
    columns_left_out: int = 0
    methods: tuple[Difference, ...] = ()
    environment: tuple[Difference, ...] = ()
    serving: tuple[Difference, ...] = ()
    order: str = ""

    @property
    def breaks(self) -> tuple[str, ...]:
        """Return, a sentence each on the second version ("It …"), what callers of the first would notice if it answered them."""
        told = [one.breaks for one in (*self.columns, *self.methods) if one.breaks]
        return (*([self.order] if self.order else []), *told)

    @property
    def count(self) -> int:
        """Return how many things differ."""
        groups = (self.metrics, self.parameters, self.columns, self.methods, self.environment, self.serving, (self.estimator,))
        return sum(one.differs for group in groups for one in group) + self.columns_left_out + bool(self.order)


def differences(a: catalog.Version, b: catalog.Version) -> Differences:
    """Return what is different in `b`, seen from `a`."""
    columns = list(_columns(a.signature, b.signature))
    return Differences(
        estimator=_difference("estimator", a.estimator, b.estimator, _text),
        metrics=tuple(_metric(name, a.metrics.get(name), b.metrics.get(name)) for name in _names(a.metrics, b.metrics)),
        parameters=tuple(_compare(a.parameters, b.parameters, _text)),
        columns=tuple(columns[:MAX_COLUMNS]),
        columns_same=len(a.signature["inputs"]) - sum(one.kind != ADDED for one in columns),
        columns_left_out=max(0, len(columns) - MAX_COLUMNS),
        methods=tuple(_methods(a.signature, b.signature)),
        environment=tuple(_compare(_packages(a.environment), _packages(b.environment), _text)),
        serving=tuple(_compare(_serving(a), _serving(b), _text)),
        order=_order(a.signature, b.signature),
    )


def _names(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys([*a, *b]))


def _compare(a: Mapping[str, Any], b: Mapping[str, Any], shown: Callable[[Any], str]) -> Iterator[Difference]:
    for name in _names(a, b):
        yield _difference(name, a.get(name, _ABSENT), b.get(name, _ABSENT), shown)


#: Stands for a name that one of the two doesn't have; None is a value.
_ABSENT: Any = object()


def _difference(name: str, before: Any, after: Any, shown: Callable[[Any], str]) -> Difference:
    if before is _ABSENT:
        return Difference(name, ADDED, None, shown(after))
    if after is _ABSENT:
        return Difference(name, REMOVED, shown(before), None)
    kind = SAME if _json(before) == _json(after) else CHANGED
    texts = shown(before), shown(after)
    if kind == CHANGED and texts[0] == texts[1]:  # "1" and 1
        texts = _text(_json(before)), _text(_json(after))
    return Difference(name, kind, *texts)


def _json(value: Any) -> str:
    """Return a text that only equal values share: 1, 1.0, "1" and true are four."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else _json(value)
    return text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 1] + "…"


def _metric(name: str, before: float | None, after: float | None) -> Difference:
    if before is None or after is None:
        return _difference(name, _ABSENT if before is None else before, _ABSENT if after is None else after, number)
    texts = number(before), number(after)
    if before == after:
        return Difference(name, SAME, *texts, after - before)
    if texts[0] == texts[1]:
        texts = _json(before), _json(after)  # what differs never looks alike
    return Difference(name, CHANGED, *texts, after - before)


def _columns(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[Difference]:
    before = {one["name"]: one for one in a["inputs"]}
    after = {one["name"]: one for one in b["inputs"]}
    for name in _names(before, after):
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        kind = ADDED if old is None else REMOVED if new is None else CHANGED
        yield Difference(name, kind, _column(old), _column(new), breaks=_column_breaks(name, old, new))


def _column(column: Mapping[str, Any] | None) -> str | None:
    """Return a column's type and what it may go without, as a text."""
    if column is None:
        return None
    missing, required = column.get("missing", False), column.get("required", True)
    may = "may be left out or null" if missing and not required else "may be null" if missing else "required"
    return f"{column['type']}, {may}"


def _column_breaks(name: str, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> str:
    name = _text(name)
    if old is None and new is not None:
        return "" if new.get("missing") and not new.get("required", True) else f"It needs the column {name}, which the other doesn't have."
    if new is None or old is None:
        return f"It refuses the column {name}."
    if old["type"] != new["type"]:
        return f"It takes the column {name} as {new['type']}, not as {old['type']}."
    if old.get("missing") and not new.get("missing"):
        return f"It takes no null in the column {name}."
    if not old.get("required", True) and new.get("required", True):
        return f"It needs the column {name}, which may be left out of the other."
    return ""


def _order(a: Mapping[str, Any], b: Mapping[str, Any]) -> str:
    """Return what callers notice who send rows without names, where the same columns stand in another order."""
    before, after = [one["name"] for one in a["inputs"]], [one["name"] for one in b["inputs"]]
    if before == after or sorted(before) != sorted(after):
        return ""
    return "Its columns stand in another order: rows without names would be read differently."


def _methods(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[Difference]:
    before, after = a.get("outputs") or {}, b.get("outputs") or {}
    for one in _compare(before, after, _output):
        if one.kind == REMOVED:
            breaks = f"It has no {one.name}."
        elif one.kind == CHANGED:
            breaks = f"Its {one.name} answers in another form."
        else:
            breaks = ""
        yield Difference(one.name, one.kind, one.before, one.after, breaks=breaks)


def _output(output: Mapping[str, Any]) -> str:
    """Return what a method answers, as a text: its type, its classes, its shape."""
    parts = [str(output.get("type", "any"))]
    if output.get("multi"):
        parts.append("several outputs")
    if shape := output.get("shape"):
        parts.append(f"{' by '.join(str(size) for size in shape)} a row")
    if classes := output.get("columns"):
        shown = ", ".join(_text(one) for one in classes[:_MAX_CLASSES_SHOWN])
        parts.append(f"for {shown}" + (f" and {len(classes) - _MAX_CLASSES_SHOWN} more" if len(classes) > _MAX_CLASSES_SHOWN else ""))
    return _text(", ".join(parts))


def _packages(environment: Mapping[str, Any]) -> dict[str, Any]:
    """Return each library with its version; those that the artifact was made with, where they differ, under names that say so."""
    packages = {name: version for name, version in environment.items() if name != "recorded"}
    recorded = environment.get("recorded") or {}
    return {**packages, **{f"{name}, made with": version for name, version in recorded.items()}}


def _serving(version: catalog.Version) -> dict[str, Any]:
    return {
        "flavor": version.flavor,
        "runtime": version.effective_runtime,
        "batching": version.batching,
        "cache": version.cache,
        "deterministic": version.deterministic,
    }
