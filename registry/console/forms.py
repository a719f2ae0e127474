"""Forms that a page of the console sends: read once, bounded, each field once.

Never reads an upload: that goes its own way, as those of the REST API do. What strangers send, to sign in, must never take a thread
or a slot that holders of keys need.
"""

from __future__ import annotations

from typing import cast
from urllib.parse import parse_qsl

from flask import Flask, current_app, g, request

from registry.api.bodies import require_no_key
from registry.api.whole_body import Shares, announced_bytes, whole_body
from registry.errors import BodyTooLarge, InvalidRequest, MalformedBody, RateLimited, ServerBusy, UnsupportedMediaType

FORM = "application/x-www-form-urlencoded"
#: As large as the body of any other control request.
MAX_FORM_BYTES = 1 << 20
#: A key and where to go on to; larger than that is no sign-in.
MAX_SIGN_IN_BYTES = 16 << 10
MAX_FIELDS = 2000
#: The one field in which an API key may stand: that of the sign-in page.
KEY_FIELD = "key"

_STRANGERS = "modelyard-strangers"


def register(app: Flask, web_threads: int) -> None:
    """Let strangers hold an eighth of the threads while they send, half of them from one address: the server can't end a read that stalls."""
    most = max(2, web_threads // 8)
    app.extensions[_STRANGERS] = Shares(most // 2, most)


def form() -> dict[str, str]:
    r"""Return the fields of the request's form, with \n for line breaks. Raises UnsupportedMediaType, MalformedBody, InvalidRequest, BodyTooLarge."""
    if "console_form" not in g:
        g.console_form = _read()
    return cast("dict[str, str]", g.console_form)


def _read() -> dict[str, str]:
    if request.mimetype != FORM:
        raise UnsupportedMediaType(f"Send a form as {FORM}.")
    if "caller" in g:
        with whole_body(g.caller.id, MAX_FORM_BYTES) as body:
            pairs = _parse(body)
    else:
        pairs = _parse(_body_of_stranger())
    fields = {name: value.replace("\r\n", "\n") for name, value in pairs}
    if len(fields) < len(pairs):
        raise InvalidRequest("A field stands twice in the form.")
    if any("\0" in name or "\0" in value for name, value in pairs):
        raise InvalidRequest("A form can't hold the character NUL.")
    require_no_key(*(text for pair in pairs if pair[0] != KEY_FIELD for text in pair))
    return fields


def _parse(body: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            body.decode("ascii"), keep_blank_values=True, strict_parsing=bool(body), errors="strict", max_num_fields=MAX_FIELDS
        )
    except ValueError:
        raise MalformedBody("The form can't be read.") from None


def _body_of_stranger() -> bytes:
    announced = announced_bytes()
    if announced is None or announced > MAX_SIGN_IN_BYTES:
        raise BodyTooLarge(f"Without a session, a form must announce its size, {MAX_SIGN_IN_BYTES} bytes at most.")
    try:
        with cast("Shares", current_app.extensions[_STRANGERS]).take(request.remote_addr or "unknown"):
            body: bytes = request.environ["wsgi.input"].read(announced)
    except (RateLimited, ServerBusy) as error:
        raise ServerBusy("Too many are signing in just now. Try again.", retry_after_seconds=error.retry_after_seconds) from None
    g.body_is_read = True
    if len(body) < announced:
        raise MalformedBody("The form ended early.")
    return body
