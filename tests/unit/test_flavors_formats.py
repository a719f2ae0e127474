"""What the first bytes of an artifact tell, and the names in a zip archive."""

from __future__ import annotations

import io
import pickle

import pytest

from registry import flavors
from registry.errors import UnknownFormat
from registry.flavors.formats import require_extra
from tests.fixture_models import dump
from tests.other_formats import zip_of


def recognised(data: bytes) -> str:
    """Return the flavor of a file."""
    return flavors.recognise(io.BytesIO(data))


@pytest.mark.parametrize("compress", [0, "zlib", "gzip", "bz2", "xz", "lzma"])
def test_everything_that_joblib_writes_is_recognised(compress: int | str) -> None:
    """Raw and in each compression."""
    assert recognised(dump({"a": 1}, compress)[: flavors.HEAD_BYTES]) == "sklearn"


@pytest.mark.parametrize("level", range(1, 10))
def test_every_zlib_level_is_recognised(level: int) -> None:
    """Its second byte differs with the level."""
    assert recognised(dump({"a": 1}, level)[:16]) == "sklearn"


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_pickles_are_recognised(protocol: int) -> None:
    """Of protocols 2 to 5."""
    assert recognised(pickle.dumps([1], protocol)) == "sklearn"


@pytest.mark.parametrize(
    ("head", "word"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html>", "HTML"),
        (b"\n  <html>", "HTML"),
        (b"<?xml version='1.0'?>", "PMML"),
        (b"PK\x03\x04\x14\x00", "zip"),
        (b"\x89PNG\r\n", "image"),
        (b"\xff\xd8\xff\xe0", "image"),
        (b"%PDF-1.7", "PDF"),
        (b"\x93NUMPY\x01\x00", "array"),
        (b"\x89HDF\r\n", "HDF5"),
        (b"\x7fELF\x02", "program"),
        (b"tree\nversion=v4", "boosting"),
        (b'{"learner":', "JSON"),
        (b"\x08\x00\x12\x07pytorch", "no format"),
        (zip_of({"keras.json": b"{}"}), "zip"),
        (zip_of({"folder/schema.json": b"{}"}), "zip"),
        (b"ZF" + b"0x1a" * 4, "before 0.10"),
        (b"version https://git-lfs.github.com/spec/v1", "LFS"),
        (pickle.dumps([1], 0), "protocol 0 or 1"),
        (b"\x80\x01x", "no format"),
        (b"\x80\x06x", "no format"),
        (b"\x78\x00\x00", "no format"),
        (b"\x00" * 64, "no format"),
    ],
)
def test_what_is_not_accepted_is_named_with_advice(head: bytes, word: str) -> None:
    """The publisher learns what the bytes are and what to upload instead."""
    with pytest.raises(UnknownFormat) as refused:
        recognised(head)
    assert word in refused.value.detail
    assert "joblib.dump" in refused.value.detail


def test_lz4_skops_and_onnx_are_recognised() -> None:
    """Where their extras are installed, as they are for tests; what a server without them says stands in another test."""
    assert recognised(b"\x04\x22\x4d\x18" + b"\0" * 12) == "sklearn"
    assert recognised(zip_of({"a.npy": b"", "schema.json": b"{}"})) == "skops"
    assert recognised(b"\x08\x0a\x12\x07pytorch") == "onnx"


def test_the_stream_is_left_at_its_start() -> None:
    """So that whoever reads it next sees the whole file."""
    for data in (pickle.dumps([1]), zip_of({"schema.json": b"{}"})):
        stream = io.BytesIO(data)
        flavors.recognise(stream)
        assert stream.tell() == 0


@pytest.mark.parametrize("extra", ["skops", "onnx", "lz4"])
def test_a_format_whose_extra_is_missing_names_it(extra: str) -> None:
    """With the command that installs it."""
    with pytest.raises(UnknownFormat) as refused:
        require_extra(extra, "no_such_package", "Reading it", "ask")
    assert f"the extra `{extra}`" in refused.value.detail
    assert f"make serve EXTRAS={extra}." in refused.value.detail


def test_an_unknown_flavor_is_refused_with_those_there_are() -> None:
    """Names in manifests and databases are only looked up."""
    with pytest.raises(UnknownFormat, match="sklearn, skops, onnx"):
        flavors.open_flavor("keras")
