"""The only place that imports joblib, scikit-learn and pandas; used by the fork server and its locked workers alone.

`warm_up` is called once before any fork; everything else runs behind the lock, without files, imports or threads.
"""

from __future__ import annotations

from typing import Any, BinaryIO

from registry.errors import UnknownFormat
from registry.flavors import admission, sklearn
from registry.flavors.contract import Admission, Flavor, Loaded
from registry.flavors.formats import HEAD_BYTES, SKLEARN, recognise
from registry.flavors.golden import replay
from registry.flavors.warming import warm_up

__all__ = ["HEAD_BYTES", "Admission", "Flavor", "Loaded", "admit", "open_flavor", "recognise", "replay", "warm_up"]


class SklearnFlavor:
    """Scikit-learn estimators in joblib files and pickles."""

    name = SKLEARN

    def load(self, stream: BinaryIO) -> Loaded:
        """Load an artifact that was admitted before. Raises ModelUnloadable."""
        return sklearn.load(stream)

    def admit(self, stream: BinaryIO, manifest: dict[str, Any]) -> Admission:
        """Judge an upload. Raises NotAModel, UnsafeArtifact, SignatureMismatch."""
        return admission.admit(stream, manifest)


_FLAVORS: dict[str, Flavor] = {SKLEARN: SklearnFlavor()}


def open_flavor(name: str) -> Flavor:
    """Return a flavor by its name. Raises UnknownFormat."""
    if name not in _FLAVORS:
        raise UnknownFormat(f"There is no flavor {name[:64]!r}; there is {', '.join(_FLAVORS)}.")
    return _FLAVORS[name]


def admit(stream: BinaryIO, manifest: dict[str, Any]) -> Admission:
    """Recognise an upload's flavor from its bytes and judge it; `manifest["flavor"]`, where given, must be that one.

    `stream` is seekable and at its start. Raises ArtifactRefused's subclasses and SignatureMismatch.
    """
    name = recognise(stream.read(HEAD_BYTES))
    stream.seek(0)
    wanted = manifest.get("flavor") or name
    if open_flavor(wanted).name != name:
        raise UnknownFormat(f"The manifest says {wanted!r}, but the bytes are of flavor {name!r}.")
    return open_flavor(name).admit(stream, manifest)
