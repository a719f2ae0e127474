"""Mutations of good files: of bytes, of opcodes, of the values in them, inside a compressed stream or of the packed bytes.

Drawn from a seeded generator, so that a run can be repeated. Half of them keep the program well-formed, since only such
reach the constructors, the object check and predict.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

from tests.fuzzing.pieces import attributes_in, pieces_of, spans_of, unpacked
from tests.fuzzing.seeds import LOOSE

NUMBERS = (
    0,
    1,
    -1,
    2,
    3,
    7,
    127,
    128,
    255,
    256,
    1000,
    65535,
    2**31 - 1,
    -(2**31),
    2**31,
    2**32 - 1,
    2**62,
    2**63 - 1,
    -(2**63),
    10**6,
    -2,
    -3,
)
FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-300, 1e300, -1e300, float("nan"), float("inf"), float("-inf"), 1e9, 2.0**53)
#: Opcodes without an argument, known and unknown to the loader.
OPCODES = b"N\x88\x89(01)\x85\x86\x87t]ae}su\x8f\x90\x91\x94\x93R\x81b.2dlopQ\x92\x97\x98\x82"
_TEXT1, _BYTES, _BYTES1 = 0x8C, ord("B"), ord("C")
_FLOAT, _BUILD = ord("G"), ord("b")


class Mutator:
    """Makes one mutant after another of a pool of good files."""

    def __init__(self, files: dict[str, bytes], seed: int) -> None:
        """Take the pool apart."""
        self.random = random.Random(seed)
        self.names = sorted(files)
        self.files = files
        self.streams = {name: unpacked(file) for name, file in files.items()}
        self.pieces = {name: pieces_of(stream) for name, (stream, _) in self.streams.items()}
        every = sorted({piece for pieces in self.pieces.values() for piece in pieces if len(piece) < 200})
        self.every = every
        self.loose = [name for name in self.names if name.endswith(LOOSE)]
        self.spans = {name: spans_of(self.pieces[name]) for name in self.loose}
        self.attributes = {name: attributes_in(self.pieces[name]) for name in self.loose}
        self.texts = [piece for piece in every if _is_text(piece)]

    def mutant(self) -> tuple[str, bytes]:
        """Return what was done to which file, and the result."""
        kind = self.random.choices(("exchange", "values", "opcodes", "bytes", "packed"), (30, 34, 16, 14, 6))[0]
        name = self.random.choice(self.loose if kind == "exchange" else self.names)
        _, pack = self.streams[name]
        if kind == "packed":
            return f"{name}, packed", self._bytes_mutated(self.files[name])
        if kind == "bytes":
            return f"{name}, bytes", pack(self._bytes_mutated(self.streams[name][0]))
        pieces = list(self.pieces[name])
        if kind == "exchange":
            self._exchange(pieces, name)
            if self.random.randrange(3):
                return f"{name}, {kind}", b"".join(pieces)
        change = self._change_value if kind in ("values", "exchange") else self._change_opcodes
        for _ in range(self.random.choice((1, 1, 1, 2, 4))):
            change(pieces)
        return f"{name}, {kind}", pack(b"".join(pieces))

    # -- of whole values ---------------------------------------------------------------------------------------------------

    def _exchange(self, pieces: list[bytes], name: str) -> None:
        """Put another value of the same file, or of another, in the place of one: an array, a number, an estimator, a list."""
        start, stop = self._span(name)
        donor = name if self.random.random() < 0.6 else self.random.choice(self.loose)
        from_, to = self._span(donor)
        pieces[start:stop] = self.pieces[donor][from_:to]

    def _span(self, name: str) -> tuple[int, int]:
        """Choose a value: in most cases an attribute, else anything, but nothing that makes up most of the file."""
        spans = self.attributes[name] if self.random.random() < 0.85 else self.spans[name]
        most = len(self.pieces[name]) * 2 // 3
        return self.random.choice([(start, stop) for start, stop in spans if stop - start < most])

    # -- of values --------------------------------------------------------------------------------------------------------

    def _change_value(self, pieces: list[bytes]) -> None:
        """Change one number, text or element of an array; the program stays well-formed."""
        places = [at for at, piece in enumerate(pieces) if _holds_value(piece)]
        wide = [at for at in places if len(pieces[at]) > 12]
        at = self.random.choice(wide if wide and self.random.random() < 0.5 else places)
        piece = pieces[at]
        if _is_text(piece):
            pieces[at] = self.random.choice(self.texts)
        elif piece[0] == _FLOAT:
            pieces[at] = struct.pack(">cd", b"G", self.random.choice(FLOATS))
        elif piece[0] in (_BUILD, _BYTES, _BYTES1):
            pieces[at] = self._with_element_changed(piece, {_BUILD: 1, _BYTES: 5, _BYTES1: 2}[piece[0]])
        else:
            pieces[at] = self._number()

    def _number(self) -> bytes:
        number = self.random.choice(NUMBERS)
        if -(2**31) <= number < 2**31:
            return self.random.choice((struct.pack("<ci", b"J", number), b"N", b"\x88", struct.pack("<ci", b"J", number)))
        return b"\x8a\x09" + number.to_bytes(9, "little", signed=True)

    def _with_element_changed(self, piece: bytes, start: int) -> bytes:
        """Overwrite an element of an array, or several of the same; elements begin at multiples of their width from the end."""
        changed = bytearray(piece)
        width = self.random.choice((1, 4, 8, 8))
        count = (len(piece) - start) // width
        for _ in range(self.random.choice((1, 1, 3, 20)) if count else 0):
            at = len(piece) - width * self.random.randint(1, count)
            changed[at : at + width] = self._element(width)
        return bytes(changed)

    def _element(self, width: int) -> bytes:
        if width == 8 and self.random.random() < 0.4:
            return struct.pack("<d", self.random.choice(FLOATS))
        number = self.random.choice((*NUMBERS, self.random.randrange(32)))
        return (number & (256**width - 1)).to_bytes(width, "little")

    # -- of opcodes -------------------------------------------------------------------------------------------------------

    def _change_opcodes(self, pieces: list[bytes]) -> None:
        at = self.random.randrange(1, len(pieces))
        to = min(len(pieces), at + self.random.choice((1, 1, 2, 5, 20)))
        other = self.random.randrange(1, len(pieces))
        changes: tuple[Callable[[], None], ...] = (
            lambda: pieces.__setitem__(at, bytes([self.random.choice(OPCODES)])),
            lambda: pieces.__setitem__(at, self.random.choice(self.every)),
            lambda: pieces.insert(at, bytes([self.random.choice(OPCODES)])),
            lambda: pieces.insert(at, self.random.choice(self.every)),
            lambda: pieces.insert(at, b"h" + bytes([self.random.randrange(80)])),
            lambda: pieces.__delitem__(slice(at, to)),
            lambda: pieces.insert(other, b"".join(pieces[at:to])),
            lambda: pieces.__setitem__(slice(at, to), self._part_of_another()),
            lambda: pieces.__setitem__(slice(at, at + 1), [pieces[other]]),
        )
        self.random.choice(changes)()

    def _part_of_another(self) -> list[bytes]:
        donor = self.pieces[self.random.choice(self.names)]
        start = self.random.randrange(1, len(donor))
        return donor[start : start + self.random.choice((1, 4, 16, 64))]

    # -- of bytes ---------------------------------------------------------------------------------------------------------

    def _bytes_mutated(self, raw: bytes) -> bytes:
        changed = bytearray(raw)
        for _ in range(self.random.choice((1, 1, 2, 4, 16))):
            self._change_bytes(changed)
        return bytes(changed)

    def _change_bytes(self, changed: bytearray) -> None:
        if not changed:
            changed += b"\x80"
        size = len(changed)
        at = self.random.randrange(size)
        span = min(size - at, self.random.choice((1, 2, 4, 8, 64)))
        match self.random.randrange(7):
            case 0:
                changed[at] ^= 1 << self.random.randrange(8)
            case 1:
                changed[at] = self.random.choice((0, 1, 0x7F, 0x80, 0xFF, self.random.choice(OPCODES)))
            case 2:
                changed[at:at] = self.random.randbytes(span)
            case 3:
                del changed[at : at + span]
            case 4:
                to = self.random.randrange(size)
                changed[to:to] = changed[at : at + span]
            case 5:
                del changed[at:]
            case _:
                other = self.streams[self.random.choice(self.names)][0]
                start = self.random.randrange(len(other))
                changed[at : at + span] = other[start : start + span]


def _is_text(piece: bytes) -> bool:
    return piece[0] in (_TEXT1, ord("X"))


def _holds_value(piece: bytes) -> bool:
    return _is_text(piece) or piece[0] in b"JKM\x8aGBC" or (piece[0] == _BUILD and len(piece) > 1)
