"""The counting of requests against limits: leased from Redis, or in this process's memory while Redis is away.

Knows no Flask, so that it can be called, and measured, from anywhere. No lock is held while Redis is asked, except the
one of the key that the answer is for: other keys never wait for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from time import monotonic
from typing import Protocol

from limits import RateLimitItem
from limits.storage import MemoryStorage

from registry import observability
from registry.api.leases import LEASE_SECONDS, Account, Grant, Lease, Share, Standing, Wish
from registry.api.limit_texts import parse_limits
from registry.errors import RateLimited

RETRY_SECONDS = 1.0
#: So many keys are remembered; one that is forgotten asks again, and what it had leased still goes back.
MOST_ACCOUNTS = 10_000
_MORE_THAN_ANY = 1 << 62


class Shared(Protocol):
    """What all processes count in together."""

    def take(self, needed: int, wishes: Sequence[Wish]) -> list[Grant]:
        """Take unused tokens back and grant others, limit by limit, until one has none; raise anything while away."""


class Counters:
    """The counts behind the limits. Safe to use from many threads."""

    def __init__(self, shared: Shared) -> None:
        """`shared` is asked for tokens; nothing is asked here."""
        self._shared = shared
        self._own = MemoryStorage()
        self._accounts: dict[str, Account] = {}
        self._lent: set[Account] = set()
        self._sweeper: threading.Timer | None = None
        self._retry_at = 0.0
        self._lock = threading.Lock()

    def count(self, key_id: str, texts: tuple[str, ...]) -> Standing | None:
        """Count one request against each limit of a key, and return how it stands with the tightest; None without limits.

        Raises RateLimited, with the seconds until the window ends; what was refused by a short window isn't counted in longer ones.
        """
        account = self._accounts.get(key_id)
        if account is None or account.texts != texts:
            account = self._open(key_id, texts)
        now = monotonic()
        least, tightest = _MORE_THAN_ANY, None
        for share in account.shares:
            lease = share.lease
            remaining = next(lease.tokens, -1) if now < lease.usable_until else -1
            if remaining < 0:
                remaining, lease = self._take(account, share)
            if remaining < least:
                least, tightest = remaining, lease
        return None if tightest is None else tightest.standing(least, now)

    def standings(self, key_id: str, texts: tuple[str, ...]) -> list[tuple[RateLimitItem, Standing]]:
        """Return how a key stands with each of its limits, without counting; what this process leased and didn't use is left."""
        account = self._accounts.get(key_id)
        if account is None or account.texts != texts:
            account = self._open(key_id, texts)
        now = monotonic()
        grants = self._ask_unless_away(0, [Wish(share.key, share.limit, share.seconds, 0, 0, 0) for share in account.shares])
        if grants is None:
            grants = [self._look_alone(share) for share in account.shares]
        return [(share.item, _stands(share, grant, now)) for share, grant in zip(account.shares, grants, strict=True)]

    def add(self, item: RateLimitItem, *subject: str) -> Standing:
        """Count one request by itself, never by a lease, and return how its subject stands; `remaining` is negative over the limit."""
        share = Share(item, item.key_for(*subject))
        asked_at = monotonic()
        grants = self._ask_unless_away(1, [share.wish(asked_at)])
        if grants is None:
            remaining, lease = self._count_alone(share)
        else:
            remaining, lease = share.receive(grants[0], asked_at)
        return lease.standing(remaining, asked_at)

    def _open(self, key_id: str, texts: tuple[str, ...]) -> Account:
        account = Account(texts, tuple(Share(item, item.key_for(key_id)) for item in parse_limits(texts)))
        with self._lock:
            known = self._accounts.get(key_id)
            if known is not None and known.texts == texts:
                return known
            if len(self._accounts) >= MOST_ACCOUNTS:
                self._accounts.clear()
            self._accounts[key_id] = account
        return account

    def _take(self, account: Account, share: Share) -> tuple[int, Lease]:
        """Take a token of an empty share and return what is left after it. Raises RateLimited where nothing is left."""
        remaining, lease = self._take_shared(account, share) or self._count_alone(share)
        if remaining < 0:
            raise _refusal(share, lease)
        return remaining, lease

    def _take_shared(self, account: Account, share: Share) -> tuple[int, Lease] | None:
        """Take a token of the shared count, by waiting for a block or asking for one; None while it is away."""
        if share.lease.is_used_up(monotonic()):
            return -1, share.lease
        was_away = self._retry_at != 0.0
        if was_away and not self._may_try():
            return None
        with account.in_turn():
            now = monotonic()
            lease = share.lease
            remaining = next(lease.tokens, -1) if now < lease.usable_until else -1
            if remaining >= 0 or lease.is_used_up(now):
                return remaining, lease
            if self._retry_at and not was_away:
                return None  # whoever was before has waited in vain
            return self._refill(account, share, now)

    def _refill(self, account: Account, share: Share, now: float) -> tuple[int, Lease] | None:
        """Ask for this share and for those after it that are empty as well, in one round trip."""
        later = account.shares[account.shares.index(share) + 1 :]
        empty = [share, *(other for other in later if other.is_empty(now) and not other.lease.is_used_up(now))]
        needed = account.needed()
        grants = self._ask(needed, [one.wish(now) for one in empty])
        if grants is None:
            return None
        for other, grant in zip(empty[1:], grants[1:], strict=True):
            other.lease = Lease(other.limit, grant, now)
        if any(grant.granted > 1 for grant in grants):
            self._expect_back(account)
        return share.receive(grants[0], now)

    def _expect_back(self, account: Account) -> None:
        """See to it that what isn't used goes back, also when no request comes any more."""
        if account in self._lent:
            return
        with self._lock:
            self._lent.add(account)
            if self._sweeper is None:
                self._start_sweeper()

    def _start_sweeper(self) -> None:
        self._sweeper = threading.Timer(LEASE_SECONDS, self._sweep)
        self._sweeper.daemon = True
        self._sweeper.name = "limit-leases"
        self._sweeper.start()

    def _sweep(self) -> None:
        for account in list(self._lent):
            with account.lock:
                self._give_back(account)
                if not any(share.holds_any(monotonic()) for share in account.shares):
                    self._lent.discard(account)
        with self._lock:
            self._sweeper = None
            if self._lent:
                self._start_sweeper()

    def _give_back(self, account: Account) -> None:
        now = monotonic()
        stale = [share for share in account.shares if share.has_stale(now)]
        if stale and not self._retry_at:
            self._ask(0, [share.give_back() for share in stale])  # not known to have come back, they are lost until the window ends

    def _count_alone(self, share: Share) -> tuple[int, Lease]:
        count = self._own.incr(share.key, share.seconds)
        return share.limit - count, self._own_lease(share, count)

    def _look_alone(self, share: Share) -> Grant:
        count = self._own.get(share.key)
        return Grant(0, count, 0, self._own.get_expiry(share.key) - time.time() if count else share.seconds)

    def _own_lease(self, share: Share, count: int) -> Lease:
        return Lease(share.limit, Grant(0, count, 0, self._own.get_expiry(share.key) - time.time()), monotonic())

    def _ask_unless_away(self, needed: int, wishes: list[Wish]) -> list[Grant] | None:
        return None if self._retry_at and not self._may_try() else self._ask(needed, wishes)

    def _ask(self, needed: int, wishes: list[Wish]) -> list[Grant] | None:
        """Return what is granted, or None while the shared count is away. The caller may have won `_may_try`."""
        try:
            grants = self._shared.take(needed, wishes) if wishes else []
        except Exception as error:  # noqa: BLE001 - whichever client the storage uses, its failures mean the same here
            self._note_failure(error)
            return None
        if self._retry_at:
            self._note_return()
        return grants

    def _may_try(self) -> bool:
        """Let one request each RETRY_SECONDS find out whether the storage is back, while the others go on."""
        with self._lock:
            now = monotonic()
            if now < self._retry_at:
                return False
            self._retry_at = now + RETRY_SECONDS
            return True

    def _note_failure(self, error: Exception) -> None:
        observability.REDIS_FAILURES.labels("limits").inc()
        with self._lock:
            first = self._retry_at == 0.0
            self._retry_at = monotonic() + RETRY_SECONDS
        if first:
            observability.log.warning("shared limit counters are away; counting in this process", reason=type(error).__name__)

    def _note_return(self) -> None:
        with self._lock:
            again = self._retry_at != 0.0
            self._retry_at = 0.0
        if again:
            observability.log.info("shared limit counters are back")


def _refusal(share: Share, lease: Lease) -> RateLimited:
    observability.LIMIT_REFUSALS.labels("key").inc()
    seconds = lease.standing(-1, monotonic()).reset_seconds
    return RateLimited(
        f"The key's limit of {share.item} is used up.",
        retry_after_seconds=seconds,
        members={"limit": share.limit, "remaining": 0, "reset_seconds": seconds},
    )


def _stands(share: Share, grant: Grant, now: float) -> Standing:
    lease = share.lease
    mine = lease.unused() if grant.window == lease.window and now < lease.ends else 0
    remaining = min(share.limit, share.limit - grant.taken + mine)
    return Lease(share.limit, grant, now).standing(max(0, remaining), now)
