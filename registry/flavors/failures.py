"""Foreign exceptions turned into our own: sentences for the publisher, the original text for the log alone.

Never reads a source file for a traceback: behind the lock that isn't possible, and it isn't needed.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from registry.errors import ArtifactRefused, ModelUnloadable, ModelyardError, NotAModel, UnsafeArtifact
from registry.flavors.refusals import Refused
from registry.flavors.unpickling import Damaged

_MAX_FRAMES = 12
_MAX_TEXT = 2000
#: Rules that a file can break without being a danger to anybody.
_NO_MODEL = frozenset({"not-an-object", "old-protocol", "other-scikit-learn", "unknown-protocol"})
_REACHED_OUT = "tried to reach a file, the network or another process, which a model never needs"


def describe(error: BaseException) -> str:
    """Return class, message and the innermost frames of an exception, for the log."""
    try:
        message = str(error)[:_MAX_TEXT]
    except Exception:  # noqa: BLE001 - the exception is a model's own, so its text may raise as well
        message = "(no text)"
    stack = traceback.StackSummary.extract(traceback.walk_tb(error.__traceback__), lookup_lines=False)
    places = [f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in stack[-_MAX_FRAMES:]]
    return "\n  ".join([f"{type(error).__name__}: {message}", *places])


def reached_out(error: BaseException | None) -> bool:
    """Tell whether an exception says that the system refused something. Errors of a bad compressed stream have no number."""
    return isinstance(error, OSError) and error.errno is not None


@contextmanager
def own_refusals() -> Iterator[None]:
    """Turn whatever is raised while an artifact is loaded into an ArtifactRefused."""
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # an operator's own class may raise SystemExit or classes of its own
        raise refusal_of_load(error) from error


@contextmanager
def own_words() -> Iterator[None]:
    """Turn whatever a loaded model's attributes raise into NotAModel; our own errors pass."""
    try:
        yield
    except ModelyardError:
        raise
    except Exception as error:
        raise NotAModel("The model's attributes aren't those of a fitted estimator.", log_detail=describe(error)) from error


@contextmanager
def load_failures() -> Iterator[None]:
    """Turn whatever is raised while an admitted artifact is loaded into ModelUnloadable, in our own words."""
    try:
        yield
    except (KeyboardInterrupt, ModelUnloadable):
        raise
    except BaseException as error:  # as above
        text = error.text if isinstance(error, Refused) else "The artifact raised while it was loaded."
        raise ModelUnloadable(text, log_detail=describe(error)) from error


def refusal_of_call(error: BaseException | None) -> UnsafeArtifact | None:
    """Return the refusal of a model that was stopped by the lock while it predicted, or None."""
    if error is None or not reached_out(error):
        return None
    return UnsafeArtifact(f"While it predicted, the model {_REACHED_OUT}.", log_detail=describe(error))


def refusal_of_load(error: BaseException) -> ArtifactRefused:
    """Return why an artifact that raised `error` while it was loaded is refused."""
    if isinstance(error, ArtifactRefused):
        return error
    log_detail = describe(error)
    if isinstance(error, Refused):
        kind = NotAModel if error.rule in _NO_MODEL else UnsafeArtifact
        return kind(error.text, members={"found": [error.as_found()]}, log_detail=log_detail)
    if reached_out(error):
        return UnsafeArtifact(
            f"While it was loaded, the artifact {_REACHED_OUT}. Publish only the fitted estimator.", log_detail=log_detail
        )
    if not isinstance(error, Exception):
        return UnsafeArtifact("While it was loaded, the artifact tried to end the process.", log_detail=log_detail)
    return NotAModel(_sentence(error), log_detail=log_detail)


def _sentence(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "The artifact needs more memory to load than one worker may have."
    if isinstance(error, Damaged):
        return "The artifact is damaged or cut off: it can't be read to its end. Dump and upload it again."
    return (
        f"Loading the artifact raised {type(error).__name__}. It may be damaged, or made with other versions of its libraries; "
        "dump it again with versions near the server's."
    )
