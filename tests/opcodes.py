"""A small assembler for pickles that pickle itself would not write."""

from __future__ import annotations

import struct


def text(value: str) -> bytes:
    """Push a text."""
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def name(module: str, qualname: str) -> bytes:
    """Push what a name stands for."""
    return text(module) + text(qualname) + b"\x93"


def program(*parts: bytes, protocol: int = 4) -> bytes:
    """Return a whole pickle of these instructions."""
    return b"\x80" + bytes([protocol]) + b"".join(parts) + b"."


def call(module: str, qualname: str, *arguments: bytes) -> bytes:
    """Push what calling a name with arguments gives."""
    return name(module, qualname) + b"(" + b"".join(arguments) + b"tR"


def new(module: str, qualname: str, *arguments: bytes) -> bytes:
    """Push an empty object of a class."""
    return name(module, qualname) + b"(" + b"".join(arguments) + b"t\x81"


def build(state: bytes) -> bytes:
    """Give what lies on top of the stack a state."""
    return state + b"b"


def mapping(**items: bytes) -> bytes:
    """Push a dict."""
    return b"}(" + b"".join(text(key) + value for key, value in items.items()) + b"u"
