"""The exit codes: what a script learns of how a command ended, and the one place where they are defined.

`modelyard --help` prints this table. No command may end with another number, and none may change its meaning.
"""

from __future__ import annotations

from enum import IntEnum
from http import HTTPStatus

from modelyard.errors import ConfigurationError, ConnectionFailed, ModelyardError, Problem


class Exit(IntEnum):
    """How a command ended."""

    WELL = 0
    WRONG = 1
    USAGE = 2
    LATER = 3
    NOT_FOUND = 4
    NOT_ALLOWED = 5
    CONFLICT = 6
    REFUSED = 7
    INTERRUPTED = 130
    CLOSED_PIPE = 141


MEANINGS: dict[Exit, str] = {
    Exit.WELL: "all went well",
    Exit.WRONG: "something is wrong: the service failed, or doctor, verify or db check found something",
    Exit.USAGE: "called wrongly, or not set up: an option, a file, a profile, no key",
    Exit.LATER: "can't be reached, busy or timed out: try again later",
    Exit.NOT_FOUND: "not found, or hidden from the key, or deleted",
    Exit.NOT_ALLOWED: "the key isn't valid, or doesn't allow it",
    Exit.CONFLICT: "it stands otherwise than the call assumes: look, then decide",
    Exit.REFUSED: "refused: what was sent must change",
    Exit.INTERRUPTED: "ended by Ctrl-C",
    Exit.CLOSED_PIPE: "whoever read the output closed it",
}

_OF_STATUS: dict[int, Exit] = {
    HTTPStatus.UNAUTHORIZED: Exit.NOT_ALLOWED,
    HTTPStatus.FORBIDDEN: Exit.NOT_ALLOWED,
    HTTPStatus.NOT_FOUND: Exit.NOT_FOUND,
    HTTPStatus.GONE: Exit.NOT_FOUND,
    HTTPStatus.REQUEST_TIMEOUT: Exit.LATER,
    HTTPStatus.CONFLICT: Exit.CONFLICT,
    HTTPStatus.PRECONDITION_FAILED: Exit.CONFLICT,
    HTTPStatus.TOO_MANY_REQUESTS: Exit.LATER,
    HTTPStatus.BAD_GATEWAY: Exit.LATER,
    HTTPStatus.SERVICE_UNAVAILABLE: Exit.LATER,
    HTTPStatus.GATEWAY_TIMEOUT: Exit.LATER,
    HTTPStatus.INSUFFICIENT_STORAGE: Exit.LATER,
}


def of_status(status: int) -> Exit:
    """Return the exit code of an HTTP status that isn't a success."""
    refused = HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
    return _OF_STATUS.get(status, Exit.REFUSED if refused else Exit.WRONG)


def of_error(error: ModelyardError) -> Exit:
    """Return the exit code of an error."""
    if isinstance(error, Problem):
        return of_status(error.status)
    if isinstance(error, ConnectionFailed):
        return Exit.LATER
    return Exit.USAGE if isinstance(error, ConfigurationError) else Exit.WRONG
