"""Point an alias and roll it back: warm the target, move the alias, announce.

The target is loaded and its golden predictions replayed before anything moves, so that no caller ever waits for it or
meets a version that can't serve. No database transaction is open meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from registry import catalog
from registry.catalog import Alias, Move
from registry.errors import (
    ModelUnloadable,
    ModelyardError,
    PredictionFailed,
    TargetNotServable,
    TooLargeForBudget,
    VersionDeleted,
    VersionResting,
)
from registry.extensions import reading
from registry.flows.change import Change
from registry.flows.once import Once
from registry.serving.workers import Workers


@dataclass(frozen=True, slots=True)
class Expected:
    """What the caller believes: `If-Match` (an etag or `*`), or `If-None-Match: *`."""

    etag: str | None = None
    absent: bool = False


def point(
    name: str, alias: str, number: int, *, reason: str, expected: Expected, workers: Workers, change: Change, once: Once
) -> dict[str, Any]:
    """Point `alias` at version `number` and return where it points; pointing where it points already changes nothing.

    Raises ModelNotFound, VersionNotFound, VersionDeleted, AliasMoved, TargetNotServable.
    """
    fingerprint = f"point {name} {alias} {number}"
    with reading():
        repeated = once.find(fingerprint)
    if repeated is not None:
        return repeated
    _warm(name, number, workers)
    with change:
        repeated = once.find(fingerprint)
        if repeated is not None:
            return repeated
        pointed, _ = catalog.point_alias(name, alias, number, reason=reason, if_match=expected.etag, if_none_match=expected.absent)
        answer = alias_answer(pointed)
        once.keep(fingerprint, answer)
    return answer


def roll_back(
    name: str, alias: str, to: int | None, *, reason: str, expected: Expected, workers: Workers, change: Change, once: Once
) -> dict[str, Any]:
    """Move `alias` back to where it pointed before, or down to `to`; doing it again goes one further back.

    Raises AliasNotFound, NothingToRollBackTo, RollbackTargetDeleted, AliasMoved, TargetNotServable.
    """
    fingerprint = f"rollback {name} {alias} {to}"
    target = _plan(name, alias, to, fingerprint, once)
    if isinstance(target, dict):
        return target
    _warm(name, target, workers)
    with change:
        repeated = once.find(fingerprint)
        if repeated is not None:
            return repeated
        answer = move_answer(catalog.roll_back(name, alias, to, reason=reason, if_match=expected.etag, expected_target=target))
        once.keep(fingerprint, answer)
    return answer


def _plan(name: str, alias: str, to: int | None, fingerprint: str, once: Once) -> int | dict[str, Any]:
    """Return the version to go back to, or the answer where the same request was carried out before."""
    with reading():
        try:
            target = catalog.plan_rollback(name, alias, to)
        except ModelyardError:
            repeated = once.find(fingerprint)  # it may have taken what there was to go back to
            if repeated is None:
                raise
            return repeated
        repeated = once.find(fingerprint)
    return target if repeated is None else repeated


def _warm(name: str, number: int, workers: Workers) -> None:
    with reading():
        version = catalog.get_version(name, number)
    if version.deleted_at is not None:
        raise VersionDeleted(f"Version {number} of {name} was deleted; restore it first.")
    try:
        workers.warm_again(version.id)
    except (ModelUnloadable, TooLargeForBudget, VersionResting, PredictionFailed) as error:
        raise TargetNotServable(
            f"Version {number} can't serve, so the alias did not move: {error.detail}",
            members={"reason": error.slug},
            log_detail=error.log_detail,
        ) from error


def alias_answer(alias: Alias) -> dict[str, Any]:
    """Return where an alias points as JSON values; kept under an Idempotency-Key, so shaped here."""
    return {
        "model": alias.model,
        "alias": alias.alias,
        "version": alias.version,
        "etag": alias.etag,
        "moved_at": moment(alias.moved_at),
        "moved_by": alias.moved_by,
    }


def move_answer(move: Move) -> dict[str, Any]:
    """Return a rollback as JSON values."""
    return {
        "model": move.model,
        "alias": move.alias,
        "from": move.from_version,
        "to": move.to_version,
        "at": moment(move.at),
        "by": move.by,
        "reason": move.reason,
    }


def moment(at: datetime) -> str:
    """Return a time as RFC 3339 in UTC, in microseconds."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
