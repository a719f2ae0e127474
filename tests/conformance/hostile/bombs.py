"""Compressed files that grow, lie about their length, are cut, follow one another, or hide another format."""

# ruff: noqa: ARG005 - each maker is handed its canary, also where it leaves no trace
from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator

from tests.conformance.hostile.assembler import Program, Raw, code_of, loading, planted, planted_joblib, wrapper
from tests.conformance.hostile.case import Canary, Hostile, Trap
from tests.conformance.hostile.names import COMPRESSED, fitted, with_state
from tests.conformance.hostile.payloads import call

Maker = Callable[[Canary], bytes]
MEGABYTES = 2048
CHUNK = bytes(16 << 20)


def _deflated(opening: bytes, wbits: int) -> bytes:
    """Return a stream that gives `opening` and then two gigabytes of nothing, by one block again and again."""
    press = zlib.compressobj(9, wbits=wbits)
    start = press.compress(opening) + press.flush(zlib.Z_FULL_FLUSH)
    block = press.compress(CHUNK) + press.flush(zlib.Z_FULL_FLUSH)
    return start + block * (MEGABYTES // 16) + press.flush()


def _chained(opening: bytes, compress: Callable[[bytes], bytes]) -> bytes:
    """Return the same as streams that follow one another, which these formats allow."""
    return compress(opening + CHUNK) + compress(CHUNK) * (MEGABYTES // 16)


#: A program that asks for two gigabytes of bytes, and gets them.
OPENING = b"\x80\x04\x8e" + struct.pack("<Q", MEGABYTES << 20)

BOMBS: dict[str, Maker] = {
    "zlib": lambda c: _deflated(OPENING, 15),
    "gzip": lambda c: _deflated(OPENING, 31),
    "bz2": lambda c: _chained(OPENING, bz2.compress),
    "xz": lambda c: _chained(OPENING, lambda data: lzma.compress(data, preset=0)),
    "lzma": lambda c: lzma.compress(OPENING + CHUNK * 12, lzma.FORMAT_ALONE, preset=0),
    "zlib-behind-a-model": lambda c: _deflated(planted(fitted()), 15),
    "xz-behind-a-model": lambda c: _chained(planted(fitted()), lambda data: lzma.compress(data, preset=0)),
    "zlib-of-lists": lambda c: _deflated(b"\x80\x04" + b"]" * (8 << 20), 15),
    "zlib-of-one-line": lambda c: _deflated(b"\x80\x02V", 15),
    "zlib-of-an-array": lambda c: _array_bomb(),
    "zlib-in-zlib": lambda c: zlib.compress(_deflated(OPENING, 15), 9),
    "gzip-in-gzip": lambda c: gzip.compress(gzip.compress(loading(call("os:system", c.command)))),
    "xz-with-a-huge-dictionary": lambda c: _xz_dictionary(),
    "lzma-with-a-huge-dictionary": lambda c: b"\x5d\x00\x00\x00\xff" + lzma.compress(planted(fitted()), lzma.FORMAT_ALONE)[5:],
    "empty-gzip-members": lambda c: gzip.compress(b"", mtime=0) * 50_000,
}

LYING: dict[str, Maker] = {
    **{f"{name}-cut": (lambda c, press=press: press(planted(fitted()))[:-12]) for name, press in COMPRESSED.items()},
    **{f"{name}-header-only": (lambda c, press=press: press(planted(fitted()))[:10]) for name, press in COMPRESSED.items()},
    **{f"{name}-broken": (lambda c, press=press: _broken(press(planted(fitted())))) for name, press in COMPRESSED.items()},
    **{
        f"{name}-with-trailing-bytes": (lambda c, press=press: press(planted(fitted())) + b"trailing") for name, press in COMPRESSED.items()
    },
    **{f"{name}-of-nothing": (lambda c, press=press: press(b"")) for name, press in COMPRESSED.items()},
    **{
        f"{name}-with-trailing-bytes-inside": (lambda c, press=press: press(planted(fitted()) + b"x")) for name, press in COMPRESSED.items()
    },
    "zlib-with-a-dictionary": lambda c: b"\x78\xf9" + bytes(40),
    "gzip-with-a-long-file-name": lambda c: b"\x1f\x8b\x08\x08" + bytes(6) + b"a" * (2 << 20),
    "gzip-with-a-wrong-checksum": lambda c: _checksum(gzip.compress(planted(fitted()))),
    "gzip-with-two-members": lambda c: gzip.compress(planted(fitted())) + gzip.compress(b"x"),
    "two-pickles": lambda c: planted(fitted()) * 2,
    "pickle-then-a-joblib-file": lambda c: planted(fitted()) + planted_joblib(fitted()),
    "pickle-then-zip": lambda c: planted(fitted()) + _zip(c),
    "pickle-then-nul": lambda c: planted(fitted()) + b"\0",
    "pickle-then-newline": lambda c: planted(fitted()) + b"\n",
    "good-pickle-then-hostile": lambda c: planted(fitted()) + loading(call("os:system", c.command)),
    "frame-longer-than-the-file": lambda c: Program().frame(planted(fitted())[2:-1], 1 << 20).stop(),
    "frame-shorter-than-its-text": lambda c: Program().frame(code_of("text"), 3).stop(),
    "frame-in-the-middle-of-an-array": lambda c: planted(with_state(coef_=Raw(b"\x95" + struct.pack("<Q", 4) + b"N"))),
    "joblib-file-cut": lambda c: planted_joblib(fitted())[:-40],
    "joblib-file-with-trailing-bytes": lambda c: planted_joblib(fitted()) + b"x" * 16,
}

#: Formats that are recognised and not taken: 415.
FORMATS: dict[str, Maker] = {
    "joblib-before-0-10": lambda c: b"ZF" + b"0x1b".ljust(19) + zlib.compress(loading(call("os:system", c.command))),
    "protocol-0": lambda c: b"cos\nsystem\n(V" + c.command.encode() + b"\ntR.",
    "protocol-0-inst": lambda c: b"(V" + c.command.encode() + b"\nios\nsystem\n.",
    "protocol-1": lambda c: b"cos\nsystem\nq\x00(X" + struct.pack("<I", len(c.command)) + c.command.encode() + b"tR.",
    "zip": lambda c: _zip(c),  # noqa: PLW0108 - it is defined below
    "numpy-file": lambda c: b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + b"{'descr': '|O', 'shape': (1,)}".ljust(118) + loading(1),
    "hdf5": lambda c: b"\x89HDF\r\n\x1a\n" + bytes(64),
    "nothing": lambda c: b"",
}


def _array_bomb() -> bytes:
    placeholder = code_of(wrapper(shape=((MEGABYTES << 20) // 8,)))
    return _deflated(planted(with_state(coef_=Raw(placeholder)), 2).partition(placeholder)[0] + placeholder, 15)


def _xz_dictionary() -> bytes:
    """Return an xz file whose block says that its dictionary has four gigabytes."""
    data = bytearray(lzma.compress(planted(fitted())))
    size = (data[12] + 1) * 4
    data[12 + 4] = 40
    data[12 + size - 4 : 12 + size] = struct.pack("<I", zlib.crc32(data[12 : 12 + size - 4]))
    return bytes(data)


def _broken(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes(byte ^ 0x55 for byte in data[middle : middle + 8]) + data[middle + 8 :]


def _checksum(data: bytes) -> bytes:
    return data[:-8] + bytes(4) + data[-4:]


def _zip(canary: Canary) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../../marker", "x")
        archive.writestr("data.pkl", loading(call("os:system", canary.command)))
    return buffer.getvalue()


def make(trap: Trap) -> Iterator[Hostile]:
    """Make every file of this kind."""
    for kind, status, makers in (("bomb", 422, BOMBS), ("bomb", 422, LYING), ("format", 415, FORMATS)):
        for title, build in makers.items():
            canary = trap.canary(f"{kind}-{title}")
            yield Hostile(canary.folder.name, kind, build(canary), canary, status=status, fires=title.startswith("protocol"))
