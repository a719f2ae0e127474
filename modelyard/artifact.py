"""What is uploaded: a file that is there, or a fitted estimator dumped with its owner's joblib into a temporary one.

Also what can be told of an estimator before anything is sent: whether it is fitted, and which names its pickle will hold, so that
the service can refuse it early. Loads nothing: bytes are only ever written and hashed here.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import pickle
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelyard.errors import ConfigurationError

CHUNK_BYTES = 1 << 20
MOST_NAMES = 2000


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file to upload, its size in bytes and its digest; `facts` is what its estimator tells, empty where only a file was given."""

    path: Path
    size_bytes: int
    sha256: str
    facts: dict[str, Any]


@contextlib.contextmanager
def opened(model: Any, facts: dict[str, Any]) -> Iterator[Artifact]:
    """Yield a file of `model`: itself where it is a path, else dumped by joblib and removed afterwards. Raises ConfigurationError."""
    if isinstance(model, str | os.PathLike):
        yield _of_file(Path(model), facts)
        return
    with contextlib.ExitStack() as kept:
        try:
            folder = kept.enter_context(tempfile.TemporaryDirectory(prefix="modelyard-"))
        except OSError as error:
            raise ConfigurationError(f"There is no folder to dump the model to: {error}") from error
        path = Path(folder) / f"{type(model).__name__}.joblib"
        _dump(model, path)
        yield _of_file(path, facts)


def read_facts(model: Any) -> dict[str, Any]:
    """Return what the service is asked about an estimator before it is dumped: `estimator` and `names`; nothing of a path."""
    if isinstance(model, str | os.PathLike):
        return {}
    estimator = {
        "type": type(model).__name__,
        "kind": "class" if isinstance(model, type) else "container" if isinstance(model, dict | list | tuple) else "object",
        "has_fit": callable(getattr(model, "fit", None)),
        "has_predict": callable(getattr(model, "predict", None)),
    }
    fitted = _is_fitted(model)
    return {"estimator": estimator if fitted is None else {**estimator, "fitted": fitted}, "names": names_in(model)}


def names_in(model: Any) -> list[str]:
    """Return the classes and functions that a pickle of `model` names, as `module:qualified name` in its order, as far as it can be pickled.

    Pickled once with the arrays' own bytes left out (protocol 5, PEP 574). NumPy's names depend on how arrays are written, so they
    are left to the upload.
    """
    pickler = _Names()
    with contextlib.suppress(Exception):  # what can't be pickled is named already; the dump will say why
        pickler.dump(model)
    names = [f"{module}:{name}" for module, name in pickler.found if module.partition(".")[0] != "numpy"]
    return names[:MOST_NAMES]


class _Names(pickle.Pickler):
    """Writes nowhere, and remembers each class and function that it is asked to name."""

    def __init__(self) -> None:
        super().__init__(_Nowhere(), protocol=5, buffer_callback=lambda _buffer: None)
        self.found: dict[tuple[str, str], None] = {}

    def reducer_override(self, obj: Any) -> Any:
        """Note what is pickled by its name; everything is pickled as usual."""
        name = getattr(obj, "__qualname__", None)
        module = getattr(obj, "__module__", None)
        if isinstance(name, str) and isinstance(module, str) and callable(obj):
            self.found[module, name] = None
        return NotImplemented


class _Nowhere(io.RawIOBase):
    def write(self, data: Any) -> int:
        return len(data)


def _is_fitted(model: Any) -> bool | None:
    """Return what scikit-learn says, asked as an estimator asks by itself; None where it can't be told."""
    try:
        from sklearn.exceptions import NotFittedError  # noqa: PLC0415 - optional extra: its owner has it, or it isn't an estimator of it
        from sklearn.utils.validation import check_is_fitted  # noqa: PLC0415 - optional extra, as above
    except ImportError:
        return None
    try:
        check_is_fitted(model)
    except NotFittedError:
        return False
    except Exception:  # noqa: BLE001 - it calls the model's own code, and judging it is the service's business
        return None
    return True


def _dump(model: Any, path: Path) -> None:
    try:
        import joblib  # noqa: PLC0415 - optional extra: whoever has an estimator has it
    except ImportError:
        raise ConfigurationError("joblib isn't installed, so an estimator can't be dumped; install it, or publish a file's path.") from None
    try:
        joblib.dump(model, path)
    except OSError as error:
        raise ConfigurationError(f"The {type(model).__name__} can't be dumped to {path.parent}: {error.strerror}.") from error
    except Exception as error:  # whatever the estimator's own code raises
        raise ConfigurationError(f"The {type(model).__name__} can't be pickled: {type(error).__name__}: {error}") from error


def _of_file(path: Path, facts: dict[str, Any]) -> Artifact:
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
                size += len(chunk)
    except OSError as error:
        raise ConfigurationError(f"{path} can't be read: {error.strerror}.") from None
    return Artifact(path, size, digest.hexdigest(), facts)
