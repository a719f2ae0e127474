"""Forms that a page of the console sends: read once, bounded, each field once.

Never reads an upload: that goes its own way, as those of the REST API do.
"""

from __future__ import annotations

from typing import cast
from urllib.parse import parse_qsl

from flask import g, request

from registry.api.bodies import require_no_key
from registry.api.whole_body import whole_body
from registry.errors import InvalidRequest, MalformedBody, UnsupportedMediaType

FORM = "application/x-www-form-urlencoded"
#: As large as the body of any other control request.
MAX_FORM_BYTES = 1 << 20
MAX_FIELDS = 2000
#: The one field in which an API key may stand: that of the sign-in page.
KEY_FIELD = "key"


def form() -> dict[str, str]:
    r"""Return the fields of the request's form, with \n for line breaks. Raises UnsupportedMediaType, MalformedBody, InvalidRequest, BodyTooLarge."""
    if "console_form" not in g:
        g.console_form = _read()
    return cast("dict[str, str]", g.console_form)


def _read() -> dict[str, str]:
    if request.mimetype != FORM:
        raise UnsupportedMediaType(f"Send a form as {FORM}.")
    holder = g.caller.id if "caller" in g else f"address {request.remote_addr}"
    with whole_body(holder, MAX_FORM_BYTES) as body:
        try:
            pairs = parse_qsl(
                body.decode("ascii"), keep_blank_values=True, strict_parsing=bool(body), errors="strict", max_num_fields=MAX_FIELDS
            )
        except ValueError:
            raise MalformedBody("The form can't be read.") from None
    fields = {name: value.replace("\r\n", "\n") for name, value in pairs}
    if len(fields) < len(pairs):
        raise InvalidRequest("A field stands twice in the form.")
    if any("\0" in name or "\0" in value for name, value in pairs):
        raise InvalidRequest("A form can't hold the character NUL.")
    require_no_key(*(text for pair in pairs if pair[0] != KEY_FIELD for text in pair))
    return fields
