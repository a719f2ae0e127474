"""Aliases: what pointing, rolling back and their history answer.

The problems are those that `flows/switch.py` raises.
"""

from __future__ import annotations

from registry import errors
from registry.api import answers
from registry.api.openapi import examples
from registry.api.openapi.description import NOTHING, Operation, answer
from registry.api.openapi.examples import page

MOVE = (
    errors.AliasMoved, errors.TargetNotServable, errors.IdempotencyKeyReused, errors.VersionNotFound, errors.VersionDeleted,
    errors.VersionStarting, errors.SandboxUnavailable,
)  # fmt: skip
ROLL_BACK = (*MOVE, errors.AliasNotFound, errors.NothingToRollBackTo, errors.RollbackTargetDeleted)

_ALIAS = answer(answers.Alias, examples.ALIAS, headers=("ETag",))
_ROLLED_BACK = answer(answers.RolledBack, examples.ROLLED_BACK)
_STEPS = {"one": {"reason": "answers drift"}, "down-to": {"to": 1, "reason": "version 2 is as bad"}}
_GUARDS = ("If-Match", "Idempotency-Key")
_LOADED_FIRST = "The target is loaded and its golden predictions are replayed before the alias moves: if that fails, nothing moves."

OPERATIONS: dict[str, Operation] = {
    "aliases.list_aliases": Operation("aliases", (answer(answers.AliasList, page(examples.ALIAS)),)),
    "aliases.get_alias": Operation("aliases", (_ALIAS,), (errors.AliasNotFound,)),
    "aliases.point_alias": Operation(
        "aliases",
        (_ALIAS,),
        MOVE,
        parameters=("If-Match", "If-None-Match", "Idempotency-Key"),
        examples={"point": {"version": 3, "reason": "better on the hold-out"}},
        note=_LOADED_FIRST,
    ),
    "aliases.delete_alias": Operation("aliases", (NOTHING,), (errors.AliasNotFound, errors.AliasMoved), parameters=("If-Match",)),
    "aliases.roll_back_alias": Operation("aliases", (_ROLLED_BACK,), ROLL_BACK, parameters=_GUARDS, examples=_STEPS, note=_LOADED_FIRST),
    "aliases.roll_back_production": Operation(
        "aliases", (_ROLLED_BACK,), ROLL_BACK, parameters=_GUARDS, examples=_STEPS, note=_LOADED_FIRST
    ),
    "aliases.list_moves": Operation("aliases", (answer(answers.MovePage, page(examples.MOVE)),), (errors.AliasNotFound,)),
}
