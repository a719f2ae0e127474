"""The virtual machine of the unpickler: one method for each opcode that a fitted model needs.

Every opcode that creates, calls or changes an object is decided here; every other one is refused. Must never call
anything but our own constructors, and never set an attribute of what this stream did not create.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np

from registry.flavors.refusals import Refused
from registry.flavors.unpickling import building, names
from registry.flavors.unpickling.source import Damaged, Source
from registry.flavors.unpickling.stack import Stack, broken, type_name
from registry.flavors.unpickling.tokens import Call, Name, New, Pending, Restore

LONGEST_NAME_BYTES = 300
DEEPEST_STREAM = 4
#: What a made object costs at least, and a generator of random numbers with its 624 words, which a file asks for in four bytes.
_MADE_BYTES, _RANDOM_BYTES = 128, 3_000
_RANDOM = (np.random.RandomState, np.random.Generator, np.random.BitGenerator)

_PROTO, _STOP = 0x80, 0x2E


@dataclass(slots=True)
class Unpickled:
    """What an artifact held: its value, all objects that it created (inner before outer), and the versions found in it."""

    value: Any
    created: list[Any]
    recorded: dict[str, str]


@dataclass(slots=True)
class Reading:
    """One artifact being read: what its outer stream and the streams nested in it share."""

    source: Source
    created: list[Any] = field(default_factory=list)
    recorded: dict[str, str] = field(default_factory=dict)
    unbuilt: dict[int, tuple[Any, Restore, bool]] = field(default_factory=dict)
    depth: int = 0
    pending: int = 0

    def create(self, value: Any, restore: Restore, *, must_be_built: bool) -> Any:
        """Note an object that the stream created and may give a state once; return it."""
        if isinstance(value, _RANDOM):
            self.source.charge(_RANDOM_BYTES)
        self.unbuilt[id(value)] = (value, restore, must_be_built)
        return value

    def nested(self) -> Any:
        """Return the value of the whole pickle that comes next, with a memo of its own. Raises Refused."""
        self.depth += 1
        if self.depth > DEEPEST_STREAM:
            raise Refused("nested-too-deep", "Arrays of objects lie inside each other deeper than any model needs.")
        value = Machine(self).run()
        self.depth -= 1
        return value


def load(stream: BinaryIO, budget_bytes: int) -> Unpickled:
    """Return what the joblib file or pickle in `stream` holds; it may unpack to `budget_bytes` at most.

    `stream` is seekable and at its start. Raises Refused for what breaks a rule, Damaged for what can't be read, and
    whatever a constructor of NumPy, SciPy or scikit-learn raises for arguments that it doesn't take.
    """
    reading = Reading(Source(stream, budget_bytes))
    value = Machine(reading).run()
    reading.source.require_end()
    if reading.pending:
        raise broken("unfinished-object", "an array or a data type without a state")
    for created, _, must_be_built in reading.unbuilt.values():
        if must_be_built:
            raise broken("unfinished-object", f"an object of {type(created).__name__} without a state")
        reading.created.append(created)
    return Unpickled(value, reading.created, reading.recorded)


class Machine(Stack):
    """One pickle stream, with the opcodes that name, make, call and change."""

    __slots__ = ("reading",)

    def __init__(self, reading: Reading) -> None:
        """Start with nothing on the stack."""
        super().__init__(reading.source)
        self.reading = reading

    def run(self) -> Any:
        """Read one pickle to its STOP and return its value. Raises Refused, Damaged."""
        source, operations = self.source, _OPERATIONS
        if source.take(1)[0] != _PROTO:
            raise Refused(
                "old-protocol",
                "What is inside is no pickle of protocol 2 to 5. Dump the fitted estimator with joblib.dump and publish that file.",
            )
        self._proto()
        try:
            while True:
                if source.pos >= source.end:
                    source.refill()
                code = source.data[source.pos]
                source.pos += 1
                if code == _STOP:
                    break
                operations[code](self)
        except (IndexError, UnicodeDecodeError, struct.error) as error:
            raise Damaged from error
        if len(self.stack) != 1 or self.metastack:
            raise Damaged
        return require_object(self.stack.pop())

    # -- names and objects ---------------------------------------------------------------------------------------------

    def _global(self) -> None:
        module = self.source.take_line(LONGEST_NAME_BYTES).decode()
        self._name(module, self.source.take_line(LONGEST_NAME_BYTES).decode())

    def _stack_global(self) -> None:
        qualname = self.stack.pop()
        self._name(self.stack.pop(), qualname)

    def _name(self, module: Any, qualname: Any) -> None:
        if type(module) is not str or type(qualname) is not str:
            raise broken("name-not-text", "a name that isn't text")
        self.stack.append(names.find(module, qualname, self.reading.recorded))

    def _reduce(self) -> None:
        arguments = self.stack.pop()
        called = self.stack[-1]
        if type(called) is not Call:
            raise Refused(
                "call-not-allowed",
                f"The artifact calls {_described(called)} while it is loaded, as no fitted model of scikit-learn does. "
                "Publish only the fitted estimator, dumped with joblib.dump.",
                name=_described(called),
            )
        if type(arguments) is not tuple:
            raise broken("call-not-allowed", "a call whose arguments aren't a tuple")
        self._push_made(called.make(self.reading, arguments))

    def _new_object(self) -> None:
        arguments = self.stack.pop()
        named = self.stack[-1]
        if type(named) is not New or type(arguments) is not tuple:
            raise Refused(
                "object-not-allowed",
                f"The artifact makes an object of {_described(named)} in a way that no fitted model of scikit-learn does. "
                "Publish only the fitted estimator, dumped with joblib.dump.",
                name=_described(named),
            )
        self._push_made(building.make_new(self.reading, named, arguments))

    def _push_made(self, value: Any) -> None:
        self.source.charge(_MADE_BYTES)
        self.reading.pending += type(value) is Pending
        self.stack[-1] = self._shallow(value) if isinstance(value, tuple) else value

    def _build(self) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if type(target) is Pending:
            value = target.finish(self.reading, state)
            self.reading.pending -= 1
            for key in target.keys:
                self.memo[key] = value
            self.stack[-1] = value
            return
        found = self.reading.unbuilt.pop(id(target), None)
        if found is None or found[0] is not target:
            raise broken(
                "state-not-allowed", f"an attempt to change {_described(target)}, which this artifact did not make, or made already"
            )
        found[1](self.reading, target, state)
        self.reading.created.append(target)

    def _refused(self) -> None:
        code = self.source.data[self.source.pos - 1]
        raise broken("opcode-not-allowed", f"an instruction that no fitted model needs (0x{code:02x})", opcode=f"0x{code:02x}")


def require_object(value: Any) -> Any:
    """Return what a stream holds. Raises Refused where that is a mere name, as of a class."""
    if isinstance(value, Name):
        raise Refused("not-an-object", f"The artifact holds the name {value} and no fitted estimator; create it, fit it and dump it again.")
    return value


def _described(value: Any) -> str:
    if isinstance(value, Name):
        return str(value)
    qualname = getattr(value, "__qualname__", None)
    if callable(value) and isinstance(qualname, str):
        return qualname[:100]
    return f"an object of {type_name(value)}"


#: Opcodes of pickletools.opcodes; what isn't here is refused, among them INST, OBJ, NEWOBJ_EX, EXT1 to 4, PERSID, BINPERSID,
#: NEXT_BUFFER, READONLY_BUFFER, DUP, and all that protocols 0 and 1 alone use.
_BY_CODE: dict[int, Callable[[Machine], None]] = {
    0x95: Machine._frame, ord("N"): Machine._none, 0x88: Machine._true, 0x89: Machine._false,
    ord("J"): Machine._int, ord("K"): Machine._int1, ord("M"): Machine._int2, 0x8A: Machine._long1, 0x8B: Machine._long4, ord("G"): Machine._float,
    0x8C: Machine._text1, ord("X"): Machine._text4, 0x8D: Machine._text8,
    ord("C"): Machine._bytes1, ord("B"): Machine._bytes4, 0x8E: Machine._bytes8, 0x96: Machine._bytearray8,
    ord("("): Machine._mark, ord("0"): Machine._pop, ord("1"): Machine._discard,
    ord(")"): Machine._empty_tuple, 0x85: Machine._tuple1, 0x86: Machine._tuple2, 0x87: Machine._tuple3, ord("t"): Machine._tuple,
    ord("]"): Machine._empty_list, ord("a"): Machine._append, ord("e"): Machine._appends,
    ord("}"): Machine._empty_dict, ord("s"): Machine._set_item, ord("u"): Machine._set_items,
    0x8F: Machine._empty_set, 0x90: Machine._add_items, 0x91: Machine._frozenset,
    0x94: Machine._memoize, ord("q"): Machine._put1, ord("r"): Machine._put4, ord("h"): Machine._get1, ord("j"): Machine._get4,
    ord("c"): Machine._global, 0x93: Machine._stack_global, ord("R"): Machine._reduce, 0x81: Machine._new_object, ord("b"): Machine._build,
}  # fmt: skip
_OPERATIONS = tuple(_BY_CODE.get(code, Machine._refused) for code in range(256))
