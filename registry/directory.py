"""What this process remembers of the catalog: selectors and keys, so that a predict request needs no SQL.

Nothing remembered outlives a change: an entry carries the generation that was read before its query, and counts only
while nothing newer changed its model or key. Changes of this host are seen through a shared 8-byte word on every request;
those of other hosts by announcement or poll, and their alias moves take effect once the new target is loaded here.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from registry import catalog, observability
from registry.catalog import ApiKey, Change, Version
from registry.errors import RegistryUnavailable, VersionDeleted, VersionNotFound
from registry.extensions import reading
from registry.naming import LATEST
from registry.signature import Signature

MOVES = frozenset({"alias.pointed", "alias.rolled-back"})
CHANNEL = "modelyard:changes"
CAPACITY = 20_000
RETRY_SECONDS = 1.0
_WORD = struct.Struct("<Q")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Resolved:
    """A version as the predict path needs it: no ORM, nothing to look up."""

    id: int
    model: str
    number: int
    sha256: str
    runtime: str
    signature: Signature
    cacheable: bool


@dataclass(frozen=True, slots=True)
class _Entry(Generic[T]):
    value: T
    generation: int


class SharedWord:
    """The newest generation that was written on this host, shared by its processes through a small file."""

    def __init__(self, path: Path) -> None:
        """Map the file, making it where no host process did (tests, command line)."""
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if os.fstat(self._file).st_size < _WORD.size:
            os.ftruncate(self._file, _WORD.size)
        self._map = mmap.mmap(self._file, _WORD.size)
        self._lock = threading.Lock()

    def read(self) -> int:
        """Return the word."""
        generation: int = _WORD.unpack_from(self._map)[0]
        return generation

    def raise_to(self, generation: int) -> None:
        """Make the word at least `generation`; it never goes back."""
        with self._lock:
            fcntl.lockf(self._file, fcntl.LOCK_EX)
            try:
                if generation > self.read():
                    _WORD.pack_into(self._map, 0, generation)
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN)


class Directory:
    """Selectors and keys in memory. Safe to use from many threads; queries run in the caller's app context."""

    def __init__(self, word: SharedWord, *, host: str, stale_ok_seconds: float) -> None:
        """`host` names this host in the changes that it writes."""
        self._word = word
        self._host = host
        self._stale_ok = stale_ok_seconds
        self._versions: dict[tuple[str, int | str], _Entry[Resolved]] = {}
        self._keys: dict[str, _Entry[ApiKey | None]] = {}
        self._changed_models: dict[str, int] = {}
        self._changed_keys: dict[str, int] = {}
        self._held: dict[int, Change] = {}
        self._lock = threading.Lock()
        self._seen_word = -1
        self._cursor = -1
        self._heard_at = time.monotonic()
        self._retry_at = 0.0

    # -- look-ups: the hot path ----------------------------------------------------------------------------------

    def resolve(self, name: str, selector: int | str) -> Resolved:
        """Return the version that `selector` means now.

        Raises ModelNotFound, VersionNotFound, AliasNotFound, VersionDeleted, RegistryUnavailable.
        """
        if self._word.read() != self._seen_word:
            self._catch_up()
        entry = self._versions.get((name, selector))
        if entry is not None and entry.generation >= self._changed_models.get(name, 0):
            self._require_recent()
            return entry.value
        generation = self._cursor
        value = _resolved(_find_version(name, selector))
        self._heard()
        _remember(self._versions, (name, selector), _Entry(value, generation))
        return value

    def find_key(self, key_id: str) -> ApiKey | None:
        """Return the API key with this public id, or None. Raises RegistryUnavailable."""
        if self._word.read() != self._seen_word:
            self._catch_up()
        entry = self._keys.get(key_id)
        if entry is not None and entry.generation >= self._changed_keys.get(key_id, 0):
            self._require_recent()
            return entry.value
        generation = self._cursor
        with reading():
            key = catalog.find_key(key_id)
        self._heard()
        if key is not None:
            _remember(self._keys, key_id, _Entry(key, generation))
        return key

    # -- changes -------------------------------------------------------------------------------------------------

    def raise_word(self, generation: int) -> None:
        """Make every process of this host see the changes up to `generation` before its next answer."""
        self._word.raise_to(generation)

    def _catch_up(self) -> None:
        """Apply what changed since the last time. With the database away, go on with what is remembered."""
        with self._lock:
            word = self._word.read()
            if word == self._seen_word or time.monotonic() < self._retry_at:
                return
            try:
                self._take_changes()
            except RegistryUnavailable:
                self._retry_at = time.monotonic() + RETRY_SECONDS
                return
            self._seen_word = word

    def poll(self) -> list[Change]:
        """Take changes of other hosts and return the alias moves that wait for their target. Raises RegistryUnavailable."""
        with reading():
            newest = catalog.generation()
        self._heard()
        with self._lock:
            if newest < self._cursor:
                self._start_over()
            if newest != self._cursor:
                self._take_changes()
            return list(self._held.values())

    def remembers(self, model: str, alias: str) -> bool:
        """Tell whether anyone asked this process for the alias; only then does its target matter here."""
        return (model, alias) in self._versions

    def settle(self, change: Change) -> None:
        """Let a held alias move take effect here."""
        with self._lock:
            if self._held.pop(change.generation, None) is not None:
                self._apply(change)

    def _take_changes(self) -> None:
        with reading():
            if self._cursor < 0:
                self._cursor = catalog.generation()
                return
            changes = catalog.changes_since(self._cursor)
        for change in changes:
            if change.kind in MOVES and change.host != self._host:
                self._held[change.generation] = change
            else:
                self._apply(change)
            self._cursor = max(self._cursor, change.generation)
        observability.GENERATION.set(self._cursor)

    def _apply(self, change: Change) -> None:
        if change.model is not None:
            self._changed_models[change.model] = max(change.generation, self._changed_models.get(change.model, 0))
        if change.key_id is not None:
            self._changed_keys[change.key_id] = max(change.generation, self._changed_keys.get(change.key_id, 0))

    def _start_over(self) -> None:
        """Forget everything: the database went back in time (restored from a backup)."""
        for remembered in (self._versions, self._keys, self._changed_models, self._changed_keys, self._held):
            remembered.clear()
        self._cursor = -1

    def _heard(self) -> None:
        self._heard_at = time.monotonic()

    def _require_recent(self) -> None:
        if time.monotonic() - self._heard_at > self._stale_ok:
            raise RegistryUnavailable("The registry's database has been away for too long to go on without it.", retry_after_seconds=5)

    @property
    def stale_seconds(self) -> float:
        """Return how long ago the database last answered this process."""
        return time.monotonic() - self._heard_at


def _remember(entries: dict[Any, Any], key: Any, entry: Any) -> None:
    if len(entries) >= CAPACITY:
        for old in list(entries)[: CAPACITY // 4]:
            entries.pop(old, None)
    entries[key] = entry


def _find_version(name: str, selector: int | str) -> Version:
    with reading():
        if selector == LATEST:
            catalog.get_model(name)
            latest = catalog.find_latest(name)
            if latest is None:
                raise VersionNotFound(f"Model {name} has no version that is ready.")
            return latest
        number = catalog.get_alias(name, selector).version if isinstance(selector, str) else selector
        version = catalog.get_version(name, number)
    if version.deleted_at is not None:
        raise VersionDeleted(f"Version {number} of {name} was deleted; a publisher may restore it.")
    return version


def _resolved(version: Version) -> Resolved:
    return Resolved(
        version.id,
        version.model,
        version.number,
        version.sha256,
        version.runtime,
        Signature.from_dict(version.signature),
        version.deterministic and version.cache,
    )
