"""The counts that all processes share: those of the `limits` library in Redis, taken from in blocks by one script.

A count and its key are what `limits` itself writes for a fixed window, which begins with its first request and ends when the key
expires. Never more than the limit is granted in one window. Needs Redis 7.0 or any Valkey, for PEXPIRETIME.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from limits.storage import RedisStorage

from registry.api.leases import PARTS_OF_THE_REST, Grant, Wish

# A window's name is the moment it ends: tokens that come back late find another name there, and are dropped. After
# the first limit that has nothing left none is granted: what a short window refuses isn't counted in longer ones.
_TAKE = """
local needed, parts = tonumber(ARGV[1]), tonumber(ARGV[2])
local answer, refused = {}, false
for i, key in ipairs(KEYS) do
  local at = 5 * (i - 1) + 2
  local limit, seconds, wanted = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  local unused, window = tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5])
  local before = tonumber(redis.call('GET', key) or 0)
  local ends = redis.call('PEXPIRETIME', key)
  local taken = before
  if unused > 0 and ends == window then taken = math.max(0, taken - unused) end
  local left = math.max(0, limit - taken)
  local granted = refused and 0 or math.min(left, math.max(needed, math.min(wanted, math.floor(left / parts))))
  taken = taken + granted
  if taken ~= before then redis.call('INCRBY', key, taken - before) end
  if ends < 0 and taken > 0 then
    redis.call('EXPIRE', key, seconds)
    ends = redis.call('PEXPIRETIME', key)
  end
  local milliseconds = ends < 0 and seconds * 1000 or math.max(0, redis.call('PTTL', key))
  answer[i] = {granted, taken, ends, milliseconds}
  if needed > 0 then
    refused = granted == 0
    needed = math.min(needed, granted)
  end
end
return answer
"""


class SharedCounts:
    """The counts in Redis. Safe to use from many threads; a server that doesn't answer raises whatever its client does."""

    def __init__(self, storage: RedisStorage) -> None:
        """`storage` gives the connection and the prefix of the keys."""
        self._key = storage.prefixed_key
        self._take = storage.get_connection().register_script(_TAKE.encode())

    def take(self, needed: int, wishes: Sequence[Wish]) -> list[Grant]:
        """Give back and take, limit by limit, in one step and one round trip; after one that grants nothing, none does.

        At least `needed` are granted where there are as many; 0 only looks, and gives back.
        """
        numbers: list[int] = [needed, PARTS_OF_THE_REST]
        for wish in wishes:
            numbers += wish[1:]
        rows = cast("list[list[int]]", self._take(keys=[self._key(wish.key) for wish in wishes], args=numbers))
        return [Grant(granted, taken, window, milliseconds / 1000) for granted, taken, window, milliseconds in rows]
