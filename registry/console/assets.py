"""The console's own files: style sheets, scripts, and the two libraries that stand in `assets/vendor`.

All are read once; the address of each carries the digest of what it holds, so that a browser may keep it for good. No name leads
anywhere but into that table.
"""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple, cast

from flask import Response, request, url_for
from werkzeug.exceptions import NotFound

from registry.console.session import SIGNED_OUT, signed_in

FOLDER = Path(__file__).with_name("assets")
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
YEAR_SECONDS = 365 * 86_400


class Asset(NamedTuple):
    """A file's bytes, its type, and the start of its digest."""

    data: bytes
    kind: str
    digest: str


@cache
def assets() -> dict[str, Asset]:
    """Return every file by its path below the folder."""
    found = {}
    for path in sorted(FOLDER.rglob("*")):
        if path.suffix in TYPES:
            data = path.read_bytes()
            found[path.relative_to(FOLDER).as_posix()] = Asset(data, TYPES[path.suffix], sha256(data).hexdigest()[:16])
    return found


def url(name: str) -> str:
    """Return the address of a file. Raises KeyError for one that isn't there."""
    return url_for("console.send_asset", file=name, v=assets()[name].digest)


@signed_in(SIGNED_OUT)
def send_asset(file: str) -> Response:
    """Send one of the console's files."""
    asset = assets().get(file)
    if asset is None:
        raise NotFound
    response = Response(asset.data, mimetype=asset.kind)
    response.set_etag(asset.digest)
    response.cache_control.public = True
    if request.args.get("v") == asset.digest:
        response.cache_control.max_age = YEAR_SECONDS
        response.cache_control.immutable = True
    return cast("Response", response.make_conditional(request))
