"""Answers that go out for as long as their clients take them in: artifacts, and files of events.

The server sends with the request's own thread and can't be told to give up, so a few clients that take nothing in could hold all
threads. So many may be under way at once, of one key and altogether; the others are told to come back.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from typing import cast

from flask import Response, current_app
from werkzeug.wsgi import ClosingIterator

from registry.api.auth import caller
from registry.api.whole_body import RETRY_AFTER_SECONDS, Shares
from registry.errors import RateLimited, ServerBusy
from registry.wiring import services

_SHARES = "modelyard-long-answers"


def while_it_is_sent(response: Response) -> Response:
    """Count an answer of the caller's until the server is done with it. Raises RateLimited, ServerBusy instead of sending it."""
    held = ExitStack()
    try:
        held.enter_context(_shares().take(caller().id))
    except (RateLimited, ServerBusy) as error:
        response.close()
        text = "As many files are being sent as may be at once; wait for one of them."
        raise type(error)(text, retry_after_seconds=RETRY_AFTER_SECONDS) from None
    # by its body and not by `call_on_close`: of a file, the server closes the body alone
    response.response = ClosingIterator(cast("Iterable[bytes]", response.response), held.close)
    return response


def _shares() -> Shares:
    """Return the process's: a quarter of its threads, half of that for one key."""
    most = max(2, services().config.web_threads // 4)
    return cast("Shares", current_app.extensions.setdefault(_SHARES, Shares(most // 2, most)))
