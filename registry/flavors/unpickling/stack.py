"""The part of the machine that can't hurt: numbers, texts, containers of plain type, and the memo.

Must never call a method of anything but exact built-in containers, and never hash anything but scalars.
"""

from __future__ import annotations

import struct
from collections import OrderedDict, defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np
from sklearn.utils import Bunch

from registry.flavors.refusals import Refused
from registry.flavors.unpickling.source import Damaged, Source
from registry.flavors.unpickling.tokens import Pending

HIGHEST_PROTOCOL = 5
#: A 128-bit random state takes 17 bytes; nothing else in a model comes near.
LONGEST_INTEGER_BYTES = 64
MOST_KEY_PARTS = 64
#: Tuples of equal hash can be computed, and a dict compares each with all others.
MOST_TUPLE_KEYS = 5_000
#: Python hashes a tuple inside a tuple by calling itself, without a look at how much of the C stack is left.
DEEPEST_TUPLE = 32

#: What an empty container costs, about (sys.getsizeof of CPython 3.11, with its place on the stack).
_LIST_BYTES, _DICT_BYTES, _SET_BYTES = 64, 72, 224
#: Python's hash of an integer is its remainder by this prime: larger ones collide at will.
_HASH_PRIME = 2**61 - 1

#: So many levels of tuples are counted anew each time: they are in the state of every array.
_PLAIN_LEVELS = 2
_SCALARS = frozenset({str, int, float, bool, bytes, type(None)})
_LISTS = frozenset({list})
_DICTS = frozenset({dict, OrderedDict, defaultdict, Bunch})
_SETS = frozenset({set})
_FLOATS = frozenset({np.float16, np.float32, np.float64})
_FLOAT = struct.Struct(">d")


class Stack:
    """A stack with marks, a memo, and the opcodes that only fill them."""

    __slots__ = ("deep", "memo", "metastack", "source", "stack", "tuple_keys")

    def __init__(self, source: Source) -> None:
        """Start with nothing on the stack."""
        self.source = source
        self.stack: list[Any] = []
        self.metastack: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.tuple_keys = 0
        #: Tuples of three levels and more, by id, with how deep they are; kept, so that no id is used twice.
        self.deep: dict[int, tuple[tuple[Any, ...], int]] = {}

    # -- numbers and texts -----------------------------------------------------------------------------------------

    def _proto(self) -> None:
        if self.source.take(1)[0] > HIGHEST_PROTOCOL:
            raise Refused("unknown-protocol", "The pickle's protocol is higher than 5. Dump the estimator with joblib.dump.")

    def _frame(self) -> None:
        self.source.require_budget(int.from_bytes(self.source.take(8), "little"))  # a hint for readers with a buffer, no more

    def _none(self) -> None:
        self.stack.append(None)

    def _true(self) -> None:
        self.stack.append(True)

    def _false(self) -> None:
        self.stack.append(False)

    def _int(self) -> None:
        self.stack.append(int.from_bytes(self.source.take(4), "little", signed=True))

    def _int1(self) -> None:
        self.stack.append(self.source.take(1)[0])

    def _int2(self) -> None:
        self.stack.append(int.from_bytes(self.source.take(2), "little"))

    def _long1(self) -> None:
        self._long(self.source.take(1)[0])

    def _long4(self) -> None:
        self._long(int.from_bytes(self.source.take(4), "little"))

    def _long(self, length: int) -> None:
        if length > LONGEST_INTEGER_BYTES:
            raise Refused("integer-too-long", "A whole number in the artifact is longer than any that a model holds.")
        self.stack.append(int.from_bytes(self.source.take(length), "little", signed=True))

    def _float(self) -> None:
        self.stack.append(_FLOAT.unpack(self.source.take(8))[0])

    def _text1(self) -> None:
        source = self.source
        self.stack.append(str(source.take(source.take(1)[0]), "utf-8", "surrogatepass"))

    def _text4(self) -> None:
        self.stack.append(str(self._sized(4), "utf-8", "surrogatepass"))

    def _text8(self) -> None:
        self.stack.append(str(self._sized(8), "utf-8", "surrogatepass"))

    def _bytes1(self) -> None:
        self.stack.append(self._sized(1))

    def _bytes4(self) -> None:
        self.stack.append(self._sized(4))

    def _bytes8(self) -> None:
        self.stack.append(self._sized(8))

    def _bytearray8(self) -> None:
        self.stack.append(bytearray(self._sized(8)))

    def _sized(self, width: int) -> bytes:
        return self.source.take(int.from_bytes(self.source.take(width), "little"))

    # -- containers --------------------------------------------------------------------------------------------------

    def _mark(self) -> None:
        self.source.charge(_LIST_BYTES)
        self.metastack.append(self.stack)
        self.stack = []

    def _pop_mark(self) -> list[Any]:
        items = self.stack
        self.stack = self.metastack.pop()
        return items

    def _pop(self) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self._pop_mark()

    def _discard(self) -> None:
        self._pop_mark()

    def _empty_tuple(self) -> None:
        self.stack.append(())

    def _tuple1(self) -> None:
        self.stack[-1] = self._shallow((self.stack[-1],))

    def _tuple2(self) -> None:
        self.stack[-2:] = [self._shallow((self.stack[-2], self.stack[-1]))]

    def _tuple3(self) -> None:
        self.stack[-3:] = [self._shallow((self.stack[-3], self.stack[-2], self.stack[-1]))]

    def _tuple(self) -> None:
        items = self._pop_mark()
        self.stack.append(self._shallow(tuple(items)))

    def _shallow(self, made: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return a tuple that has no more than DEEPEST_TUPLE levels of tuples in it. Raises Refused."""
        levels = [self._levels(item) for item in made if isinstance(item, tuple)]
        if levels and (deepest := 1 + max(levels)) > _PLAIN_LEVELS:
            if deepest > DEEPEST_TUPLE:
                raise Refused("nested-too-deep", f"Tuples lie inside each other more than {DEEPEST_TUPLE} deep, as in no model.")
            self.deep[id(made)] = made, deepest
        return made

    def _levels(self, inner: tuple[Any, ...]) -> int:
        known = self.deep.get(id(inner))
        return known[1] if known is not None else 1 + any(isinstance(item, tuple) for item in inner)

    def _empty_list(self) -> None:
        self.source.charge(_LIST_BYTES)
        self.stack.append([])

    def _append(self) -> None:
        item = self.stack.pop()
        self._target(_LISTS).append(item)

    def _appends(self) -> None:
        items = self._pop_mark()
        self._target(_LISTS).extend(items)

    def _empty_dict(self) -> None:
        self.source.charge(_DICT_BYTES)
        self.stack.append({})

    def _set_item(self) -> None:
        value = self.stack.pop()
        key = self.stack.pop()
        self._require_keys((key,))
        target = self._target(_DICTS)
        if type(value) is defaultdict:
            _require_flat(target)
        target[key] = value

    def _set_items(self) -> None:
        items = self._pop_mark()
        if len(items) % 2:
            raise Damaged
        keys = items[::2]
        self._require_keys(keys)
        target = self._target(_DICTS)
        for key, value in zip(keys, items[1::2], strict=True):
            if type(value) is defaultdict:
                _require_flat(target)
            target[key] = value

    def _empty_set(self) -> None:
        self.source.charge(_SET_BYTES)
        self.stack.append(set())

    def _add_items(self) -> None:
        items = self._pop_mark()
        self._require_keys(items)
        self._target(_SETS).update(items)

    def _frozenset(self) -> None:
        items = self._pop_mark()
        self._require_keys(items)
        self.stack.append(frozenset(items))

    def _require_keys(self, keys: Iterable[Any]) -> None:
        """Refuse what may not be a key, and more tuples than any model has as keys."""
        for key in keys:
            if type(key) is not str:
                require_key(key)
                self.tuple_keys += type(key) is tuple
        if self.tuple_keys > MOST_TUPLE_KEYS:
            raise broken("too-many-keys", f"more than {MOST_TUPLE_KEYS} tuples as keys of dicts or members of sets")

    def _target(self, kinds: frozenset[type]) -> Any:
        target = self.stack[-1]
        if type(target) not in kinds:
            raise broken("not-a-container", f"an attempt to fill an object of {type_name(target)} as if it were a container")
        return target

    # -- memo --------------------------------------------------------------------------------------------------------

    def _memoize(self) -> None:
        self._keep(len(self.memo))

    def _put1(self) -> None:
        self._keep(self.source.take(1)[0])

    def _put4(self) -> None:
        self._keep(int.from_bytes(self.source.take(4), "little"))

    def _keep(self, key: int) -> None:
        value = self.stack[-1]
        if key in self.memo:
            raise broken("memo-overwritten", "a place in the memo that is written twice")
        self.memo[key] = value
        if type(value) is Pending:
            value.keys.append(key)

    def _get1(self) -> None:
        self._fetch(self.source.take(1)[0])

    def _get4(self) -> None:
        self._fetch(int.from_bytes(self.source.take(4), "little"))

    def _fetch(self, key: int) -> None:
        try:
            self.stack.append(self.memo[key])
        except KeyError:
            raise Damaged from None


def _require_flat(target: Any) -> None:
    """Refuse a defaultdict in a defaultdict: freeing a chain of them overflows the C stack, which Python guards for other dicts."""
    if type(target) is defaultdict:
        raise broken("nested-too-deep", "a defaultdict inside a defaultdict")


def require_keys(keys: Iterable[Any]) -> None:
    """Raise Refused unless each of `keys` may be the key of a dict or a member of a set."""
    for key in keys:
        if type(key) is not str:
            require_key(key)


def require_key(key: Any) -> None:
    """Raise Refused unless `key` is a scalar or a flat tuple of scalars: hashing anything else runs foreign code, or runs deep.

    Neither complex numbers nor those longer than a double: any number of them have one hash.
    """
    if _is_scalar(key) or (isinstance(key, np.generic) and (key.dtype.kind in "biuSU" or type(key) in _FLOATS)):
        return
    if type(key) is tuple and len(key) <= MOST_KEY_PARTS and all(_is_scalar(part) for part in key):
        return
    raise broken("key-not-allowed", f"{type_name(key)} as a key of a dict or a member of a set")


def _is_scalar(value: Any) -> bool:
    return type(value) in _SCALARS and (type(value) is not int or -_HASH_PRIME < value < _HASH_PRIME)


def broken(rule: str, what: str, **found: Any) -> Refused:
    """Return the refusal of what no pickler writes."""
    return Refused(
        rule,
        f"The artifact holds {what}: joblib.dump never writes this, so it was made otherwise or damaged on its way. Dump the fitted estimator anew and publish that.",
        **found,
    )


def type_name(value: Any) -> str:
    """Return the name of a value's class, cut to a length that fits a message."""
    return f"{type(value).__name__[:64]}"
