"""API keys as text: making, parsing and hashing them.

A key is `my_<id>_<secret><crc>`: a prefix that secret scanners find, a public id, 256 bits in base62 and a
checksum, so that a typo costs no look-up. Never keeps, logs or returns a secret after it was made.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import zlib
from dataclasses import dataclass
from fnmatch import fnmatchcase

SCOPES = ("read", "predict", "publish", "admin")

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID_LENGTH = 12
_SECRET_LENGTH = 43  # 62**43 > 2**256
_CRC_LENGTH = 6  # 62**6 > 2**32
_KEY = re.compile(rf"my_([0-9A-Za-z]{{{_ID_LENGTH}}})_([0-9A-Za-z]{{{_SECRET_LENGTH}}})([0-9A-Za-z]{{{_CRC_LENGTH}}})", re.ASCII)
_LOOKS = re.compile(rf"my_[0-9A-Za-z]{{{_ID_LENGTH}}}_[0-9A-Za-z]{{32}}", re.ASCII)


@dataclass(frozen=True, slots=True)
class ParsedKey:
    """A key whose checksum holds: its public id and the bytes that are hashed."""

    id: str
    secret: bytes


def make_key() -> tuple[str, ParsedKey]:
    """Return a new key's full text, shown once, and its parsed form."""
    key_id = "".join(secrets.choice(_ALPHABET) for _ in range(_ID_LENGTH))
    secret = _base62(secrets.randbits(256), _SECRET_LENGTH)
    return f"my_{key_id}_{secret}{_checksum(key_id, secret)}", ParsedKey(key_id, secret.encode())


def parse_key(text: str) -> ParsedKey | None:
    """Return the parts of a well-formed key, or None for anything that can't be one (no look-up is needed then)."""
    match = _KEY.fullmatch(text)
    if match is None:
        return None
    key_id, secret, crc = match.groups()
    if crc != _checksum(key_id, secret):
        return None
    return ParsedKey(key_id, secret.encode())


def holds_key(text: str) -> bool:
    """Tell whether a key stands anywhere in a text: by its looks, since one with a typo or a cut end gives its secret away as well."""
    return "my_" in text and _LOOKS.search(text) is not None


def hash_secret(secret: bytes, pepper: bytes) -> bytes:
    """Return the HMAC-SHA256 (32 bytes) under which a secret of 256 random bits is stored; a slow hash protects nothing here."""
    return hmac.digest(pepper, secret, hashlib.sha256)


def secret_matches(secret: bytes, stored: bytes, pepper: bytes) -> bool:
    """Compare in constant time, on bytes."""
    return hmac.compare_digest(hash_secret(secret, pepper), stored)


def effective_scopes(scopes: tuple[str, ...]) -> frozenset[str]:
    """Return the scopes with what they imply: `admin` is all of them."""
    return frozenset(SCOPES) if "admin" in scopes else frozenset(scopes)


def may_see(patterns: tuple[str, ...], model: str) -> bool:
    """Tell whether a key with these model patterns may see `model`; no pattern means every model."""
    return not patterns or any(fnmatchcase(model, pattern) for pattern in patterns)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))


def _checksum(key_id: str, secret: str) -> str:
    return _base62(zlib.crc32(f"{key_id}_{secret}".encode()), _CRC_LENGTH)
