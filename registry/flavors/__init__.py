"""The only place that imports joblib, scikit-learn and pandas; used by the fork server and its locked workers alone.

`warm_up` is called once before any fork; everything else runs behind the lock, without files, imports or threads.
"""

from __future__ import annotations

from typing import Any, BinaryIO

from registry.errors import UnknownFormat
from registry.flavors import admission, announced, onnx_models, sklearn, skops_files
from registry.flavors.compiled import Compilation, compile_version, open_compiled
from registry.flavors.contract import Admission, Flavor, Loaded
from registry.flavors.formats import HEAD_BYTES, ONNX, SKLEARN, SKOPS, recognise, require_reader
from registry.flavors.golden import answers_row_by_row, replay
from registry.flavors.quiet import quieten_for_good
from registry.flavors.skew import require_admissible, require_servable
from registry.flavors.sklearn import find_form
from registry.flavors.warming import warm_up

__all__ = [
    "HEAD_BYTES",
    "Admission",
    "Compilation",
    "Flavor",
    "Loaded",
    "admit",
    "answers_row_by_row",
    "check",
    "compile_version",
    "find_form",
    "open_compiled",
    "open_flavor",
    "quieten_for_good",
    "recognise",
    "replay",
    "require_servable",
    "warm_up",
]


#: Where a caller names none: the default of the largest artifact.
DEFAULT_BUDGET_BYTES = 2 << 30
_FLAVORS = {
    SKLEARN: Flavor(SKLEARN, sklearn.load, admission.admit),
    SKOPS: Flavor(SKOPS, skops_files.load, skops_files.admit),
    ONNX: Flavor(ONNX, onnx_models.load, onnx_models.admit),
}


def open_flavor(name: str) -> Flavor:
    """Return a flavor by its name. Raises UnknownFormat."""
    if name not in _FLAVORS:
        raise UnknownFormat(f"There is no flavor {name[:64]!r}; there is {', '.join(_FLAVORS)}.")
    return _FLAVORS[name]


def admit(stream: BinaryIO, manifest: dict[str, Any], budget_bytes: int = DEFAULT_BUDGET_BYTES) -> Admission:
    """Recognise an upload's flavor from its bytes and judge it; `manifest["flavor"]`, where given, must be that one.

    `stream` is seekable and at its start; unpacked it may have `budget_bytes`. Raises ArtifactRefused's subclasses and SignatureMismatch.
    """
    name = recognise(stream)
    wanted = manifest.get("flavor") or name
    if open_flavor(wanted).name != name:
        raise UnknownFormat(f"The manifest says {wanted!r}, but the bytes are of flavor {name!r}.")
    admitted = open_flavor(name).admit(stream, manifest, budget_bytes)
    recorded = admitted.environment.get("recorded", {})
    require_admissible(recorded, golden=admitted.golden is not None, accepted=bool(manifest.get("accept_skew")))
    return admitted


def check(told: dict[str, Any]) -> None:
    """Raise what `admit` would for an upload that is as `told`: its `manifest`, the `names` in its pickle, its `estimator`'s traits.

    What only its bytes can show passes; where the manifest names no flavor, it is taken for a pickle.
    """
    wanted = told["manifest"].get("flavor") or SKLEARN
    require_reader(open_flavor(wanted).name)
    announced.judge(told, wanted)
