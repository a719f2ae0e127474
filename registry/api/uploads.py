"""Reading an upload: multipart in either order of its parts, or bare bytes with the manifest in the query string.

Parsed as it arrives, since a form parser would spool the whole artifact before it told of the manifest. Nothing that
an upload names (file name, path, URL) is ever used.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from multipart import MultipartError, MultipartSegment, ParserLimitReached, PushMultipartParser, parse_options_header
from pydantic import AfterValidator, Field, ValidationError

from registry.api.bodies import Description, Metrics, Strict, Tags, require_no_key, strict_json
from registry.api.problems import refuse_invalid
from registry.api.timed_body import TimedBody
from registry.errors import BodyTooLarge, ChecksumMismatch, InvalidRequest, MalformedBody, ModelyardError, UnsupportedMediaType
from registry.flows.publish import Manifest
from registry.naming import require_alias

BARE = "application/octet-stream"
MULTIPART = "multipart/form-data"
#: What boundaries and part headers may take: the rest of an announced body is the artifact and the manifest.
MULTIPART_OVERHEAD_BYTES = 16 * 1024
ENDING_BYTES = len(b"--\r\n")


def _settable(alias: str) -> str:
    try:
        require_alias(alias)
    except ModelyardError as error:
        raise ValueError(error.detail) from None
    return alias


class ScalarFields(Strict):
    """The manifest's scalar fields, also accepted in the query string of a bare upload."""

    description: Description = ""
    flavor: Annotated[str, Field(max_length=40)] | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    alias: Annotated[str, AfterValidator(_settable)] | None = None
    runtime: Literal["exact", "fast"] | None = None
    accept_skew: bool = False
    batching: bool = True


class ManifestBody(ScalarFields, strict=True):
    """The manifest part of an upload."""

    tags: Tags = Field(default_factory=dict)
    metrics: Metrics = Field(default_factory=dict)
    parameters: Annotated[dict[str, Any], Field(max_length=1000)] = Field(default_factory=dict)
    source: Tags = Field(default_factory=dict)
    input_example: Any = None
    signature: dict[str, Any] | None = None


class BareUpload:
    """`application/octet-stream`: the body is the artifact."""

    def __init__(self, body: TimedBody, query: dict[str, str], content_digest: str | None) -> None:
        """Check the query before a byte is read. Raises InvalidRequest."""
        self.least_bytes = body.announced_bytes or 0
        self._body = body
        require_no_key(*query.values())
        self._manifest = _checked(ScalarFields, query)
        self._expected = read_content_digest(content_digest)

    def chunks(self) -> Iterator[bytes]:
        """Yield the artifact."""
        yield from self._body

    def manifest(self) -> Manifest:
        """Return the manifest of the query string."""
        return self._manifest

    def require_digest(self, sha256: str) -> None:
        """Compare the artifact with Content-Digest."""
        _require_same(self._expected, bytes.fromhex(sha256))


class MultipartUpload:
    """`multipart/form-data`: parts `artifact` and `manifest`, in either order."""

    def __init__(self, body: TimedBody, boundary: str, content_digest: str | None, max_manifest_bytes: int) -> None:
        """Prepare to parse. Raises MalformedBody for a boundary that can't be one."""
        self.least_bytes = max(0, (body.announced_bytes or 0) - max_manifest_bytes - MULTIPART_OVERHEAD_BYTES)
        self._body = body
        self._digest = hashlib.sha256()
        self._expected = read_content_digest(content_digest)
        self._max_manifest = max_manifest_bytes
        self._manifest_bytes: bytearray | None = None
        self._seen: set[str] = set()
        try:
            self._parser = PushMultipartParser(boundary, max_segment_count=2, strict=True)
        except (MultipartError, ValueError):
            raise MalformedBody("The multipart boundary isn't valid.") from None

    def chunks(self) -> Iterator[bytes]:
        """Yield the artifact's bytes as they come, and collect the manifest on the way."""
        try:
            yield from self._parse()
            self._parser.close()
        except ParserLimitReached:
            raise InvalidRequest("An upload has one part 'artifact' and at most one part 'manifest'.") from None
        except MultipartError:
            raise MalformedBody("The multipart body is broken or ends early.") from None
        if "artifact" not in self._seen:
            raise InvalidRequest("The part 'artifact' is missing.")

    def manifest(self) -> Manifest:
        """Return the manifest part, or an empty manifest."""
        return read_manifest(strict_json(bytes(self._manifest_bytes)) if self._manifest_bytes else {})

    def require_digest(self, _sha256: str) -> None:
        """Compare the whole body with Content-Digest, which covers every part."""
        _require_same(self._expected, self._digest.digest())

    def _parse(self) -> Iterator[bytes]:
        part = ""
        for chunk in self._fed():
            for event in self._parser.parse(chunk):
                if isinstance(event, MultipartSegment):
                    part = self._begin(event.name)
                elif event and part == "artifact":
                    yield bytes(event)
                elif event:
                    self._collect(event)

    def _fed(self) -> Iterator[bytes]:
        """Yield the body so that its last bytes come together: the parser refuses a line break that comes after the final `--`."""
        held = b""
        for chunk in self._body:
            if self._expected is not None:
                self._digest.update(chunk)
            held += chunk
            if len(held) > ENDING_BYTES:
                yield held[:-ENDING_BYTES]
                held = held[-ENDING_BYTES:]
        if held:
            yield held

    def _begin(self, name: str) -> str:
        if name not in {"artifact", "manifest"} or name in self._seen:
            raise InvalidRequest(f"An upload has one part 'artifact' and at most one part 'manifest', not {name!r} as well.")
        self._seen.add(name)
        if name == "manifest":
            self._manifest_bytes = bytearray()
        return name

    def _collect(self, data: bytes | bytearray) -> None:
        assert self._manifest_bytes is not None  # noqa: S101 - begun by _begin
        self._manifest_bytes += data
        if len(self._manifest_bytes) > self._max_manifest:
            raise BodyTooLarge(f"A manifest may have {self._max_manifest} bytes.")


def read_upload(
    body: TimedBody, content_type: str, query: dict[str, str], content_digest: str | None, max_manifest_bytes: int
) -> BareUpload | MultipartUpload:
    """Choose the form of body by its content type. Raises UnsupportedMediaType, InvalidRequest."""
    kind, options = parse_options_header(content_type)
    if kind == BARE:
        return BareUpload(body, query, content_digest)
    if kind == MULTIPART:
        if query:
            raise InvalidRequest("With multipart, put the manifest's fields into the part 'manifest', not into the query.")
        return MultipartUpload(body, options.get("boundary", ""), content_digest, max_manifest_bytes)
    raise UnsupportedMediaType(f"Upload as {MULTIPART} with a part 'artifact', or as {BARE}.")


def read_manifest(values: Any) -> Manifest:
    """Return a manifest of its JSON. Raises InvalidRequest with a pointer to each wrong field."""
    return _checked(ManifestBody, values)


def read_content_digest(header: str | None) -> bytes | None:
    """Return the sha-256 of a Content-Digest header (RFC 9530), or None without one. Raises InvalidRequest."""
    if header is None:
        return None
    match = re.search(r"(?:^|[,\s])sha-256=:([A-Za-z0-9+/=]+):", header, re.ASCII)
    try:
        digest = base64.b64decode(match[1], validate=True) if match else b""
    except binascii.Error:
        digest = b""
    if len(digest) != hashlib.sha256().digest_size:
        raise InvalidRequest("Content-Digest must carry sha-256=:<base64>:.")
    return digest


def _require_same(expected: bytes | None, actual: bytes) -> None:
    if expected is not None and not hmac.compare_digest(expected, actual):
        raise ChecksumMismatch(f"Content-Digest announces {expected.hex()}, but {actual.hex()} came.")


def _checked(fields: type[ScalarFields], values: Any) -> Manifest:
    if not isinstance(values, dict):
        raise InvalidRequest("The manifest must be a JSON object.")
    try:
        return Manifest(**fields.model_validate(values).model_dump())
    except ValidationError as error:
        refuse_invalid(error)
        raise
