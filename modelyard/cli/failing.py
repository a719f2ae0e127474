"""How an error is told: what happened, where, under which request id, and what to do about it.

A few lines on standard error for people, the problem document for programs. Never a traceback, and never a key.
"""

from __future__ import annotations

import math
from typing import Any

import click

from modelyard import errors
from modelyard.cli.exits import of_error
from modelyard.cli.printing import document, note

#: Titles of what no service answered, for documents.
TITLES: dict[type[Exception], str] = {
    errors.ConfigurationError: "Called wrongly, or not set up",
    errors.TimedOut: "No answer in time",
    errors.ConnectionFailed: "No answer",
    errors.DownloadDamaged: "The download is damaged",
    errors.ModelyardError: "It failed",
}
#: What to do, by kind of error; the nearest class counts. Commands that are named here must exist.
ADVICE: dict[type[errors.ModelyardError], str] = {
    errors.ConnectionFailed: "Is the service running, and the address right? Give it by --url, MODELYARD_URL or a profile ('modelyard login').",
    errors.TimedOut: "It may have been carried out all the same: look before you repeat it.",
    errors.Unauthenticated: "Log in with 'modelyard login', or set MODELYARD_KEY to a key that is valid for this service.",
    errors.Forbidden: "An admin can make a key with the scope that is missing: 'modelyard keys create'.",
    errors.ModelNotFound: "'modelyard list' shows the models that your key may see.",
    errors.VersionNotFound: "'modelyard list MODEL' shows the versions.",
    errors.VersionDeleted: "Choose another version ('modelyard list MODEL'), or have it restored over REST.",
    errors.AliasNotFound: "'modelyard show MODEL' shows the aliases; 'modelyard point' makes one.",
    errors.KeyNotFound: "'modelyard keys list' shows the keys.",
    errors.AliasMoved: "Somebody was quicker: look at 'modelyard history MODEL', then decide anew.",
    errors.NothingToRollBackTo: "'modelyard history MODEL' shows where it pointed; 'modelyard point' sets it by hand.",
    errors.RollbackTargetDeleted: "Go further back with --to, or have that version restored over REST.",
    errors.TargetNotServable: "Nothing moved. 'modelyard show MODEL/VERSION' shows why it doesn't load; choose another one.",
    errors.VersionInUse: "Take its pin away ('modelyard unpin'), or point the alias elsewhere ('modelyard point').",
    errors.SignatureMismatch: "'modelyard show MODEL/VERSION' shows the columns and types that are expected.",
    errors.MethodNotAvailable: "'modelyard show MODEL/VERSION' shows its methods.",
    errors.TooManyRows: "Send fewer rows at once.",
    errors.BodyTooLarge: "Send fewer rows at once, or shorter values.",
    errors.VersionSkew: "Publish it with the server's versions, or give --accept-skew if its answers may differ.",
    errors.ModelUnloadable: "Whoever runs the service can see why with 'modelyard verify --load'; 'modelyard rollback' goes back meanwhile.",
    errors.PredictionFailed: "The model's own message is in the service's log under the request id.",
    errors.SandboxUnavailable: "Whoever runs the service can see why with 'modelyard doctor'.",
    errors.RegistryUnavailable: "Whoever runs the service can see why with 'modelyard doctor'.",
    errors.IdempotencyKeyReused: "Repeat the command: each one sends a key of its own.",
}


def report(error: Exception, *, as_json: bool) -> int:
    """Print an error on standard error and return the exit code."""
    if isinstance(error, errors.ModelyardError):
        note(document(_as_document(error)) if as_json else "\n".join(["Error: " + str(error), *_todo(error)]))
        return of_error(error)
    if isinstance(error, click.ClickException):
        if as_json:
            title = TITLES[errors.ConfigurationError if isinstance(error, click.UsageError) else errors.ModelyardError]
            note(document({"type": "about:blank", "title": title, "detail": error.format_message()}))
        else:
            error.show()
        return error.exit_code
    raise error


def _as_document(error: errors.ModelyardError) -> dict[str, Any]:
    if isinstance(error, errors.Problem):
        return error.body
    title = next(TITLES[cls] for cls in type(error).__mro__ if cls in TITLES)
    return {"type": "about:blank", "title": title, "detail": str(error)}


def _todo(error: errors.ModelyardError) -> list[str]:
    lines = [ADVICE[cls] for cls in type(error).__mro__ if cls in ADVICE][:1]
    if isinstance(error, errors.Problem) and error.retry_after_seconds is not None:
        lines.append(f"Try again in {math.ceil(error.retry_after_seconds)} s.")
    return lines
