"""A zip archive read within bounds: its directory first, then members that it can't lie about.

Refuses what no writer of models makes: encrypted, repeated or path-like members, and far more bytes than the file has.
Must never unpack a member whole before its size was counted.
"""

from __future__ import annotations

import errno
import re
import struct
import zipfile
from typing import BinaryIO

from registry.errors import NotAModel
from registry.flavors.refusals import Refused

#: Bounds on the directory: its bytes, and what all members unpack to for each byte of the file, beyond FREE_BYTES.
MAX_DIRECTORY_BYTES, HIGHEST_RATIO, FREE_BYTES = 8 << 20, 200, 64 << 20

_END = b"PK\x05\x06"
_END_BYTES, _LONGEST_COMMENT = 22, 0xFFFF
_MEMBER = re.compile(r"[A-Za-z0-9_-]{1,64}\.(?:npy|npz|json)", re.ASCII)
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_BROKEN = (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, UnicodeError, OverflowError, struct.error)
_DAMAGED = "The zip archive is damaged or cut off: it can't be read to its end. Write and upload it again."


def names_in(stream: BinaryIO) -> frozenset[str]:
    """Return the names in an archive, none where it can't be read; leaves the stream at its start."""
    try:
        return frozenset(_opened(stream).namelist())
    except (Refused, NotAModel):
        return frozenset()
    finally:
        stream.seek(0)


def open_archive(stream: BinaryIO, budget_bytes: int) -> zipfile.ZipFile:
    """Return the archive once its directory is sound. Raises Refused, NotAModel."""
    size = stream.seek(0, 2)
    archive = _opened(stream)
    members = archive.infolist()
    if len({member.filename for member in members}) != len(members):
        raise Refused("duplicate-member", "The archive holds two files of the same name. Write it anew with skops.io.dump.")
    for member in members:
        _require_plain(member)
    total = sum(member.file_size for member in members)
    if total > budget_bytes:
        raise Refused("too-large-unpacked", "Unpacked, the archive is larger than this server accepts. Publish a smaller model.")
    if total > FREE_BYTES + HIGHEST_RATIO * size:
        text = f"The archive unpacks to more than {HIGHEST_RATIO} times its size, as no model does. Write it anew with skops.io.dump."
        raise Refused("decompression-bomb", text)
    return archive


def read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    """Return a member's bytes; never more than the directory announced. Raises NotAModel where it is missing or damaged."""
    try:
        with archive.open(name) as member:
            announced = archive.getinfo(name).file_size
            content = member.read(announced)
            if len(content) != announced or member.read(1):
                raise zipfile.BadZipFile("a member isn't as long as announced")
            return content
    except KeyError:
        raise NotAModel("The archive lacks a file that its schema names; write and upload it again.") from None
    except (*_BROKEN, OSError) as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise NotAModel(_DAMAGED, log_detail=str(error)) from error
    except Exception as error:
        if type(error).__module__ in ("zlib", "_lzma", "lzma"):
            raise NotAModel(_DAMAGED, log_detail=str(error)) from error
        raise


def _opened(stream: BinaryIO) -> zipfile.ZipFile:
    _require_small_directory(stream)
    try:
        return zipfile.ZipFile(stream)
    except _BROKEN as error:
        raise NotAModel(_DAMAGED, log_detail=str(error)) from error


def _require_small_directory(stream: BinaryIO) -> None:
    """Refuse a directory that would take much memory, before it is read. It ends with what says how long it is."""
    size = stream.seek(0, 2)
    stream.seek(max(0, size - _END_BYTES - _LONGEST_COMMENT))
    tail = stream.read()
    at = tail.rfind(_END)
    if at < 0 or len(tail) - at < _END_BYTES:
        raise NotAModel(_DAMAGED)
    if len(tail) - at != _END_BYTES:
        raise Refused(
            "trailing-bytes", "The archive goes on after its end. Publish the file as skops.io.dump wrote it, with nothing appended."
        )
    if tail[at - 20 : at - 16] == b"PK\x06\x07" or int.from_bytes(tail[at + 12 : at + 16], "little") > MAX_DIRECTORY_BYTES:
        raise Refused("too-large-unpacked", "The archive holds more files than any model has.")


def _require_plain(member: zipfile.ZipInfo) -> None:
    if not _MEMBER.fullmatch(member.filename) or member.orig_filename != member.filename:
        raise Refused("member-not-allowed", "The archive holds a file that skops doesn't write. Write it anew with skops.io.dump.")
    if member.flag_bits & 0x1 or member.compress_type not in _METHODS:
        raise Refused("member-not-allowed", "The archive is encrypted, or packed in a way that isn't read here.")
