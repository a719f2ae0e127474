"""Both forms of upload, parsed from chunks of any size; hostile multipart ends in an error of ours."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.api.timed_body import Readers, TimedBody
from registry.api.uploads import BareUpload, MultipartUpload, read_content_digest, read_upload
from registry.errors import ChecksumMismatch, InvalidRequest, ModelyardError

ARTIFACT = bytes(range(256)) * 5 + b"\r\n--limi\r\n--limi"
MANIFEST = {"description": "d", "tags": {"a": "b"}, "input_example": [[1.5]], "accept_skew": True}


class _Dribble(io.BytesIO):
    """Gives at most `step` bytes at a time, so that every boundary falls in the middle of something."""

    def __init__(self, content: bytes, step: int) -> None:
        super().__init__(content)
        self._step = step

    def read(self, size: int | None = -1) -> bytes:
        return super().read(self._step if size is None or size < 0 else min(size, self._step))


def _form(*parts: tuple[str, bytes]) -> bytes:
    return (
        b"".join(
            f'--limit\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + content + b"\r\n" for name, content in parts
        )
        + b"--limit--\r\n"
    )


def _upload(
    body: bytes, step: int = 10**6, digest: str | None = None, kind: str = "multipart/form-data; boundary=limit", **query: str
) -> Any:
    timed = TimedBody(_Dribble(body, step), len(body), readers=Readers(9, 9), key_id="a", stall_seconds=5, min_bytes_per_second=0)
    return read_upload(timed, kind, query, digest, 1000)


@pytest.mark.parametrize("step", [1, 2, 3, 7, 64, 10**6])
@pytest.mark.parametrize("first", ["manifest", "artifact"])
def test_both_orders_and_all_chunkings_give_the_same(first: str, step: int) -> None:
    """However the bytes are cut, artifact and manifest come out whole."""
    parts = {"manifest": json.dumps(MANIFEST).encode(), "artifact": ARTIFACT}
    order = [first, *(name for name in parts if name != first)]
    upload = _upload(_form(*((name, parts[name]) for name in order)), step)
    assert isinstance(upload, MultipartUpload)
    assert b"".join(upload.chunks()) == ARTIFACT
    manifest = upload.manifest()
    assert {name: getattr(manifest, name) for name in MANIFEST} == MANIFEST


def test_bare_bytes_are_the_artifact() -> None:
    """And the query is the manifest."""
    upload = _upload(ARTIFACT, kind="application/octet-stream", description="d", batching="false")
    assert isinstance(upload, BareUpload)
    assert (b"".join(upload.chunks()), upload.least_bytes) == (ARTIFACT, len(ARTIFACT))
    assert (upload.manifest().description, upload.manifest().batching) == ("d", False)


def test_content_digest_covers_the_whole_body() -> None:
    """Of multipart that is every part, so a proxy that changes a boundary is noticed."""
    body = _form(("artifact", ARTIFACT))
    for content, passes in ((body, True), (ARTIFACT, False)):
        header = f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"
        upload = _upload(body, digest=header)
        list(upload.chunks())
        if passes:
            upload.require_digest("")
        else:
            with pytest.raises(ChecksumMismatch):
                upload.require_digest("")


def test_a_content_digest_is_read_beside_others_or_refused() -> None:
    """sha-256 must be among them, of the right length."""
    good = f"sha-256=:{base64.b64encode(b'x' * 32).decode()}:"
    assert [read_content_digest(header) for header in (None, good, f"sha-512=:AA==:, {good}")] == [None, b"x" * 32, b"x" * 32]
    for header in ("", "sha-256=", "sha-256=:AA==:", "sha-256=:!!!!:", "xsha-256=:" + "A" * 44 + ":", "md5=:AA==:"):
        with pytest.raises(InvalidRequest):
            read_content_digest(header)


def test_query_fields_beside_multipart_are_refused() -> None:
    """They would be a second manifest."""
    with pytest.raises(InvalidRequest):
        _upload(_form(("artifact", b"x")), alias="production")


@given(st.binary(max_size=300), st.integers(1, 50))
def test_whatever_comes_as_multipart_ends_in_an_error_of_ours(body: bytes, step: int) -> None:
    """No bytes make the parser raise anything that would be a 500."""
    for content in (body, b"--limit\r\n" + body, _form(("artifact", body))[: len(body) + 40]):
        upload = _upload(content, step)
        try:
            list(upload.chunks())
            upload.manifest()
        except ModelyardError as error:
            assert type(error) is not ModelyardError  # noqa: PT017 - either outcome is right
