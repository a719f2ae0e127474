"""The check of an estimator's diagram as a worker told it, before it is kept and shown to people.

A worker that an artifact took over can say anything: only bounded texts in the agreed shape pass. Never a reason to refuse an upload.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from registry import observability

MAX_BYTES, MAX_DEPTH, MAX_NODES = 64 << 10, 12, 300

_Text = Annotated[str, msgspec.Meta(max_length=200)]
_Texts = Annotated[list[_Text], msgspec.Meta(max_length=200)]
_Scalar = _Text | bool | int | float
_Categories = Annotated[list[_Scalar], msgspec.Meta(max_length=100)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=10**9)]


class _Node(msgspec.Struct, forbid_unknown_fields=True):
    class_: _Text = msgspec.field(name="class")
    name: _Text | None
    kind: Literal["single", "serial", "parallel"]
    parameters: Annotated[dict[_Text, _Text], msgspec.Meta(max_length=200)]
    changed: _Texts
    columns: _Texts | None
    columns_more: _Count
    children: list[_Node]
    more: _Count


class _Root(_Node, forbid_unknown_fields=True):
    text: Annotated[str, msgspec.Meta(max_length=4000)]
    categories: dict[str, _Categories]


def read_diagram(told: Any) -> dict[str, Any] | None:
    """Return a diagram that fits, as plain values; None where none was told or where it doesn't fit, which is logged."""
    if told is None:
        return None
    try:
        encoded = msgspec.json.encode(told)
        if len(encoded) > MAX_BYTES:
            raise ValueError("it is too large")
        root = msgspec.json.decode(encoded, type=_Root)
        _require_small(root)
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
        observability.log.warning("a worker told an estimator's diagram that doesn't fit", reason=str(error)[:200])
        return None
    plain: dict[str, Any] = msgspec.to_builtins(root)
    return plain


def _require_small(root: _Node) -> None:
    level, count = [root], 0
    for _ in range(MAX_DEPTH):
        count += len(level)
        level = [child for node in level for child in node.children]
    if level or count > MAX_NODES:
        raise ValueError("it has too many parts")
