"""The fields of a protobuf message, read from its bytes without a library and within bounds.

Stricter than a protobuf parser: groups, overlong tags and cut-off fields are refused, so that what was looked at is
what a library will see. Must never copy a field's bytes or call itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

_MAX_VARINT_BYTES, _MAX_TAG_BYTES = 10, 5
_MAX_FIELD = 1 << 29
_SHORT = 32


class Malformed(Exception):
    """The bytes aren't a message that is read here."""


class Reader:
    """Reads messages out of one file, and counts the fields over all of them."""

    def __init__(self, data: memoryview, max_fields: int) -> None:
        """Prepare to read `data`; `max_fields` bounds the work."""
        self.data = data
        self._left = max_fields

    def fields(self, start: int, end: int, skipped: re.Pattern[bytes] | None = None) -> Iterator[tuple[int, int, int, int, int]]:
        """Yield number, wire type, value, start and end of each field between two offsets; `skipped` matches what needn't be seen.

        The value is that of a varint, 0 for other types. Raises Malformed.
        """
        at = start
        while at < end:
            if skipped is not None and (run := skipped.match(self.data, at, end)) is not None and run.end() > at:
                at = run.end()
                continue
            self._left -= 1
            if self._left < 0:
                raise Malformed("it has too many fields")
            tag, at = self.varint(at, end, _MAX_TAG_BYTES)
            number, kind = tag >> 3, tag & 7
            if not 0 < number < _MAX_FIELD:
                raise Malformed("a field has no valid number")
            value, first, at = self._extent(kind, at, end)
            yield number, kind, value, first, at

    def varint(self, at: int, end: int, most: int = _MAX_VARINT_BYTES) -> tuple[int, int]:
        """Return the number at an offset, and the offset behind it. Raises Malformed."""
        value = 0
        for index in range(most):
            if at + index >= end:
                break
            byte = self.data[at + index]
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:  # noqa: PLR2004 - the bit that says that more follows
                return value, at + index + 1
        raise Malformed("a number is cut off or too long")

    def text(self, start: int, end: int, most: int) -> str:
        """Return a field's text. Raises Malformed where it is longer than `most` bytes or not UTF-8."""
        if end - start > most:
            raise Malformed("a name is too long")
        try:
            return bytes(self.data[start:end]).decode()
        except UnicodeDecodeError:
            raise Malformed("a name isn't UTF-8") from None

    def _extent(self, kind: int, at: int, end: int) -> tuple[int, int, int]:
        """Return value, start and end of the field that begins at an offset."""
        if kind == VARINT:
            value, behind = self.varint(at, end)
            return value, at, behind
        if kind == BYTES:
            length, first = self.varint(at, end)
        elif kind in (FIXED32, FIXED64):
            length, first = (4 if kind == FIXED32 else 8), at
        else:
            raise Malformed("a field is of a kind that isn't read here")
        if length > end - first:
            raise Malformed("a field is cut off")
        return 0, first, first + length


def run_of(*, varints: tuple[int, ...] = (), fixed32: tuple[int, ...] = (), texts: tuple[int, ...] = ()) -> re.Pattern[bytes]:
    """Return a pattern that passes over any run of such fields (numbers below 16; texts shorter than 32 bytes), at the speed of `re`."""
    parts = [rb"%s[\x80-\xff]{0,9}[\x00-\x7f]" % _tag(number, VARINT) for number in varints]
    parts += [rb"%s.{4}" % _tag(number, FIXED32) for number in fixed32]
    lengths = b"|".join(b"%s.{%d}" % (re.escape(bytes([length])), length) for length in range(_SHORT))
    parts += [b"%s(?:%s)" % (_tag(number, BYTES), lengths) for number in texts]
    return re.compile(b"(?:%s)++" % b"|".join(parts), re.DOTALL)


def _tag(number: int, kind: int) -> bytes:
    return re.escape(bytes([number << 3 | kind]))
