"""Which flavor an artifact belongs to, and what to say of the formats that aren't accepted.

Looks at magic numbers, and at the names in a zip archive; whether the rest is sound is found out by loading it. Runs in a
locked worker, like everything that reads an artifact.
"""

from __future__ import annotations

import importlib.util
from typing import BinaryIO

from registry.errors import ModelUnloadable, UnknownFormat
from registry.flavors.onnx_file import looks_like_onnx
from registry.flavors.zip_files import names_in

HEAD_BYTES = 64
SKLEARN, SKOPS, ONNX = "sklearn", "skops", "onnx"
#: The packages of extras that are there. Found out when the fork server starts: a locked worker can look up nothing.
INSTALLED = frozenset(
    package for package in ("lz4", "onnx", "onnxruntime", "skl2onnx", "skops") if importlib.util.find_spec(package) is not None
)

#: Of flavors that an extra reads: its name, its package, and what needs it.
_READERS = {
    SKOPS: ("skops", "skops", "This is a skops file, and reading it"),
    ONNX: ("onnx", "onnxruntime", "This is an ONNX model, and running it"),
}
_ADVICE = "Publish what joblib.dump(estimator, path) writes."
_LZ4 = b"\x04\x22\x4d\x18"
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x5d\x00\x00")
_PICKLE_PROTOCOLS = (b"\x02", b"\x03", b"\x04", b"\x05")
_HINTS: tuple[tuple[tuple[bytes, ...], str], ...] = (
    ((b"ZF",), "This file was written by joblib before 0.10; load it there and dump it again with a current joblib."),
    ((b"<!doctype", b"<html", b"<head"), "This is an HTML page, probably an error page that was saved in place of the model."),
    ((b"<?xml", b"<pmml"), "This is XML; PMML isn't accepted."),
    (
        _ZIP,
        "This is a zip archive (Keras, PyTorch and .npz files are), and none that skops wrote whole; it isn't accepted. If skops did write it, it is cut off: upload it again.",
    ),
    ((b"\x89PNG", b"\xff\xd8\xff", b"GIF8"), "This is an image."),
    ((b"%PDF",), "This is a PDF document."),
    ((b"\x93NUMPY",), "This is a NumPy array, not a model."),
    ((b"\x89HDF",), "This is an HDF5 file; Keras models aren't accepted."),
    ((b"\x7fELF", b"MZ"), "This is a program."),
    ((b"tree\nversion", b"CBM1"), "This is a native model file of a boosting library; those aren't accepted for now."),
    ((b"{", b"["), "This is JSON or text."),
    ((b"version https://git-lfs",), "This is a Git LFS pointer; fetch the file itself with git lfs pull."),
    ((b"(", b"c", b"]", b"}"), "This may be a pickle of protocol 0 or 1; protocols 2 to 5 are accepted."),
)


def recognise(stream: BinaryIO) -> str:
    """Return the flavor of an artifact, and leave the seekable stream at its start. Raises UnknownFormat with advice."""
    stream.seek(0)
    head = stream.read(HEAD_BYTES)
    stream.seek(0)
    if _is_pickle(head) or _is_zlib(head) or head.startswith(_COMPRESSED):
        return SKLEARN
    if head.startswith(_LZ4):
        require_extra("lz4", "lz4", "The file is compressed with lz4, and reading it", "dump it with compress='zlib', or ask")
        return SKLEARN
    if head.startswith(_ZIP) and "schema.json" in names_in(stream):
        require_reader(SKOPS)
        return SKOPS
    if looks_like_onnx(head):
        require_reader(ONNX)
        return ONNX
    raise UnknownFormat(f"{_hint(head)} {_ADVICE}")


def require_reader(flavor: str) -> None:
    """Raise UnknownFormat, naming the extra, where what a flavor needs isn't installed."""
    if flavor in _READERS:
        require_extra(*_READERS[flavor], "ask")


def require_extra(extra: str, package: str, what: str, ask: str) -> None:
    """Raise UnknownFormat, naming the extra, where its package isn't installed."""
    if package not in INSTALLED:
        raise UnknownFormat(
            f"{what} needs the extra `{extra}` ({package}), which this server was installed without: "
            f"{ask} its operator to install it: make serve EXTRAS={extra}."
        )


def require_installed(extra: str, package: str) -> None:
    """Raise ModelUnloadable, naming the extra, for a version that was admitted while its package was installed."""
    if package not in INSTALLED:
        text = f"The version needs the extra `{extra}` ({package}), which this server doesn't have any more: make serve EXTRAS={extra}."
        raise ModelUnloadable(text, log_detail=text)


def _is_pickle(head: bytes) -> bool:
    return head.startswith(b"\x80") and head[1:2] in _PICKLE_PROTOCOLS


def _is_zlib(head: bytes) -> bool:
    return head.startswith(b"\x78") and int.from_bytes(head[:2], "big") % 31 == 0


def _hint(head: bytes) -> str:
    if not head:
        return "The artifact is empty."
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for prefixes, text in _HINTS:
        if any(head.startswith(prefix) or start.startswith(prefix.lower()) for prefix in prefixes):
            return text
    return "The first bytes belong to no format that is known here."
