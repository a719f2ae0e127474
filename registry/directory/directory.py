"""The directory itself: look-ups from memory, and how it learns of changes.

Changes of this host are seen through the shared word, checked on every request; those of other hosts when the watcher
polls. An alias move of another host is held until its target is loaded here. With the database away, what is known goes on.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import TypeVar

from registry import catalog, observability
from registry.catalog import ApiKey, Change
from registry.directory.memory import Memory
from registry.directory.resolved import Resolved, get_number, get_resolved
from registry.directory.word import SharedWord
from registry.errors import RegistryUnavailable
from registry.extensions import reading
from registry.naming import LATEST

MOVES = frozenset({"alias.pointed", "alias.rolled-back"})
SERVING_CHANGES = frozenset({"version.changed", "version.compiled", "version.deleted", "version.pinned", "version.unpinned"})
CHANNEL = "modelyard:changes"
#: After the database failed, a request that finds the word raised doesn't ask again for so long; the watcher does.
RETRY_SECONDS = 5.0
#: Requests that miss the same selector ask once, the others wait for it.
MISSES_AT_ONCE = 32

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class HeldMove:
    """An alias move of another host whose target isn't loaded here yet: `served` goes on until it is, or time is up."""

    model: str
    alias: str
    served: int
    target: int
    generation: int
    since: float


class Directory:
    """Selectors and keys in memory. Safe to use from many threads."""

    def __init__(
        self,
        word: SharedWord,
        *,
        host: str,
        stale_ok_seconds: float,
        in_context: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        """`host` names this host in the changes that it writes; `in_context` gives the context in which the database is asked."""
        self._word = word
        self._host = host
        self._stale_ok = stale_ok_seconds
        self._in_context = in_context
        self._versions: Memory[tuple[str, int], Resolved] = Memory()
        self._aliases: Memory[tuple[str, str], int] = Memory()
        self._keys: Memory[str, ApiKey] = Memory()
        self._held: dict[tuple[str, str], HeldMove] = {}
        self._lock = threading.Lock()
        self._catching_up = threading.Lock()
        self._missing = [threading.Lock() for _ in range(MISSES_AT_ONCE)]
        self._foreign: deque[Change] = deque(maxlen=1000)
        self._seen_word = -1
        self._cursor = -1
        self._epoch = 0
        self._heard_at = time.monotonic()
        self._retry_at = 0.0

    # -- look-ups: the hot path ----------------------------------------------------------------------------------

    def resolve(self, name: str, selector: int | str) -> Resolved:
        """Return the version that `selector` means now.

        Raises ModelNotFound, VersionNotFound, AliasNotFound, VersionDeleted, RegistryUnavailable.
        """
        if self._word.read() != self._seen_word:
            self._catch_up()
        if isinstance(selector, int):
            return self._version(name, selector)
        held = self._held.get((name, selector)) if self._held else None
        number = held.served if held is not None else self._aliases.find((name, selector), name, (name, selector))
        return self._version(name, self._target(name, selector) if number is None else number)

    def find_key(self, key_id: str) -> ApiKey | None:
        """Return the API key with this public id, or None. Raises RegistryUnavailable."""
        if self._word.read() != self._seen_word:
            self._catch_up()
        known = self._keys.find(key_id, key_id)
        if known is not None:
            self._require_recent()
            return known
        seen = (self._epoch, self._cursor)
        key = self._ask(lambda: catalog.find_key(key_id))
        if key is not None:
            self._remember(self._keys, key_id, key, seen)
        return key

    @property
    def stale_seconds(self) -> float:
        """Return how long ago the database last answered this process."""
        return time.monotonic() - self._heard_at

    # -- changes -------------------------------------------------------------------------------------------------

    def raise_word(self, generation: int) -> None:
        """Make every process of this host see the changes up to `generation` before its next answer."""
        self._word.raise_to(generation)

    def poll(self, announced: int | None = None) -> list[HeldMove]:
        """Take every change there is, or those up to the `announced` one, and return the alias moves that wait for their target.

        Asks nothing where a request of this process took the announced change already. Raises RegistryUnavailable.
        """
        if announced is None or announced > self._cursor:
            word = self._word.read()
            self._take_changes()
            self._seen_word, self._retry_at = word, 0.0
        return list(self._held.values())

    def take_foreign(self) -> list[Change]:
        """Return, once, the changes by other hosts of what this host should have loaded."""
        taken = []
        while self._foreign:
            taken.append(self._foreign.popleft())
        return taken

    def remembers(self, model: str, alias: str) -> bool:
        """Tell whether anyone asked this process for the alias; only then does its target matter here."""
        return self._aliases.find_stale((model, alias)) is not None

    def settle(self, move: HeldMove) -> None:
        """Let a held move take effect here. Where the alias moved again meanwhile, that move goes on being held."""
        with self._lock:
            held = self._held.get((move.model, move.alias))
            if held is None:
                return
            if held.generation == move.generation:
                del self._held[move.model, move.alias]
            else:
                self._held[move.model, move.alias] = replace(held, served=move.target, since=time.monotonic())
            self._move(move.model, move.alias, move.target, move.generation)

    def _catch_up(self) -> None:
        """Apply what changed since the last time. With the database away, go on with what is remembered."""
        with self._catching_up:  # whoever comes meanwhile waits for the one query
            word = self._word.read()
            if word == self._seen_word or time.monotonic() < self._retry_at:
                return
            try:
                self._take_changes()
            except RegistryUnavailable:
                self._retry_at = time.monotonic() + RETRY_SECONDS
                return
            self._seen_word = word

    def _take_changes(self) -> None:
        cursor = self._cursor
        # The number first: whatever it counts is among the changes that are read after it.
        newest, changes = self._ask(lambda: (catalog.generation(), catalog.changes_since(cursor) if cursor >= 0 else []))
        with self._lock:
            if newest < cursor == self._cursor:
                self._start_over()
            for change in changes:
                if change.generation > self._cursor:
                    self._apply(change)
                    if change.host != self._host and change.kind in SERVING_CHANGES:
                        self._foreign.append(change)
            self._cursor = max(self._cursor, newest, *(change.generation for change in changes))
        observability.GENERATION.set(self._cursor)

    def _apply(self, change: Change) -> None:
        model, alias, generation = change.model, change.alias, change.generation
        if change.key_id is not None:
            self._keys.note_change(change.key_id, generation)
        if model is None:
            return
        if alias is None:
            self._versions.note_change(model, generation)
            self._aliases.note_change(model, generation)
            if change.kind == "version.deleted" and change.version is not None:
                self._versions.drop((model, change.version))
                self._release_held(model, change.version)
            if change.kind == "model.deleted":
                self._versions.drop_all(lambda key: key[0] == model)
                self._aliases.drop_all(lambda key: key[0] == model)
            return
        held = self._held.pop((model, alias), None)
        if change.kind not in MOVES or change.version is None:
            self._aliases.note_change((model, alias), generation)
            self._aliases.drop((model, alias))
        elif change.host == self._host or change.from_version is None:
            self._move(model, alias, change.version, generation)
        else:
            served, since = (held.served, held.since) if held is not None else (change.from_version, time.monotonic())
            self._held[model, alias] = HeldMove(model, alias, served, change.version, generation, since)

    def _release_held(self, model: str, number: int) -> None:
        """Let held moves away from a version that was deleted take effect now: a load may be waited for, a 410 is wrong."""
        for move in [held for held in self._held.values() if (held.model, held.served) == (model, number)]:
            del self._held[move.model, move.alias]
            self._move(move.model, move.alias, move.target, move.generation)

    def _move(self, model: str, alias: str, number: int, generation: int) -> None:
        self._aliases.note_change((model, alias), generation)
        if self.remembers(model, alias):
            self._aliases.remember((model, alias), number, generation)

    def _start_over(self) -> None:
        """Forget everything: the database went back in time (restored from a backup)."""
        observability.log.warning("the registry's database went back in time; everything remembered of it is forgotten")
        for memory in (self._versions, self._aliases, self._keys, self._held):
            memory.clear()
        self._cursor = -1
        self._epoch += 1

    # -- misses --------------------------------------------------------------------------------------------------

    def _version(self, name: str, number: int) -> Resolved:
        known = self._versions.find((name, number), name)
        if known is not None:
            self._require_recent()
            return known
        with self._missing[hash((name, number)) % MISSES_AT_ONCE]:
            return self._versions.find((name, number), name) or self._find_version(name, number)

    def _find_version(self, name: str, number: int) -> Resolved:
        seen = (self._epoch, self._cursor)
        try:
            version = self._ask(lambda: get_resolved(name, number))
        except RegistryUnavailable:
            return self._stale(self._versions.find_stale((name, number)))
        self._remember(self._versions, (name, number), version, seen)
        return version

    def _target(self, name: str, alias: str) -> int:
        with self._missing[hash((name, alias)) % MISSES_AT_ONCE]:
            return self._aliases.find((name, alias), name, (name, alias)) or self._find_target(name, alias)

    def _find_target(self, name: str, alias: str) -> int:
        """Return the number that the catalog has for an alias; where another host just moved it, the one from before."""
        seen = (self._epoch, self._cursor)
        try:
            number = self._ask(lambda: get_number(name, alias))
            if alias != LATEST:
                self._take_changes()  # after the query: so a move that it saw is known by now, and held if it must be
        except RegistryUnavailable:
            return self._stale(self._aliases.find_stale((name, alias)))
        self._remember(self._aliases, (name, alias), number, seen)
        held = self._held.get((name, alias))
        return number if held is None else held.served

    def _ask(self, query: Callable[[], Value]) -> Value:
        with self._in_context(), reading():
            answer = query()
        self._heard_at = time.monotonic()
        return answer

    def _remember(self, memory: Memory[Key, Value], key: Key, value: Value, seen: tuple[int, int]) -> None:
        """Keep what a query gave, as of what was `seen` before it; not across a start over."""
        epoch, generation = seen
        with self._lock:
            if epoch == self._epoch:
                memory.remember(key, value, generation)

    def _stale(self, value: Value | None) -> Value:
        """Return what was known before a change that can't be read just now. Raises RegistryUnavailable without it, or when it is too old."""
        self._require_recent()
        if value is None:
            raise RegistryUnavailable(retry_after_seconds=5)
        return value

    def _require_recent(self) -> None:
        if time.monotonic() - self._heard_at > self._stale_ok:
            raise RegistryUnavailable("The registry's database has been away for too long to go on without it.", retry_after_seconds=5)
