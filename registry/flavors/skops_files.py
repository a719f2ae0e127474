"""The flavor of scikit-learn estimators in skops files.

Looks through the archive and its schema within bounds, lets skops walk it with a list of trusted names that is ours,
and judges the objects as those of a pickle. Must never trust a name because the file, or skops by default, trusts it.
"""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO
from zipfile import ZipFile

import numpy as np
import scipy.sparse
from sklearn.linear_model import LogisticRegression

from registry.errors import NotAModel
from registry.flavors.admission import judge_estimator
from registry.flavors.contract import Admission
from registry.flavors.failures import load_failures, own_refusals
from registry.flavors.formats import INSTALLED, SKOPS, require_installed
from registry.flavors.golden import replay
from registry.flavors.refusals import Refused, shown_name
from registry.flavors.sklearn import LoadedEstimator
from registry.flavors.soundness import require_sound
from registry.flavors.unpickling import Unpickled, names
from registry.flavors.zip_files import open_archive, read_member

try:
    import skops.io

    from registry.flavors import skops_nodes
except ImportError:  # an optional extra
    skops = None

#: Bounds on the schema: its bytes, its nodes, and how deep they lie in each other.
MAX_SCHEMA_BYTES, MAX_NODES, MAX_DEPTH = 64 << 20, 1_000_000, 120

_SCHEMA = "schema.json"
#: Classes that skops' own nodes stand for; their node makes nothing else. All other names must stand in the unpickler's table.
_PLAIN = frozenset(
    {
        ("builtins", "dict"), ("builtins", "list"), ("builtins", "set"), ("builtins", "slice"), ("builtins", "tuple"), ("builtins", "str"),
        ("numpy.ma", "MaskedArray"), ("numpy.random._generator", "Generator"), ("numpy.random.mtrand", "RandomState"),
    }
)  # fmt: skip
#: Nodes that may be met again under their id: what estimators share, and what the file would otherwise repeat in memory.
_SHARED = frozenset({"NdArrayNode", "ObjectNode", "TreeNode"})
_CALLS = frozenset({"OperatorFuncNode", "MethodNode", "ConstructorFromReduceNode"})
_DAMAGED = "The skops file's schema is damaged: it can't be read. Write the estimator anew with skops.io.dump."


def admit(stream: BinaryIO, manifest: dict[str, Any], budget_bytes: int) -> Admission:
    """Judge an upload that may unpack to `budget_bytes`. Raises NotAModel, UnsafeArtifact, SignatureMismatch."""
    with own_refusals():
        found = read(stream, budget_bytes)
    return judge_estimator(found, manifest, SKOPS, skops=skops.__version__)


def load(stream: BinaryIO, budget_bytes: int) -> LoadedEstimator:
    """Load an artifact that was admitted before. Raises ModelUnloadable."""
    require_installed("skops", "skops")
    with load_failures():
        found = read(stream, budget_bytes)
        return LoadedEstimator(found.value, found.recorded)


def warm_up() -> None:
    """Write, admit and run a small model with every compression of zip, where the extra is installed."""
    if "skops" not in INSTALLED:
        return
    rows = np.arange(12.0).reshape(6, 2)
    model = LogisticRegression().fit(rows, [0, 1] * 3)
    model.warm_ = [scipy.sparse.csr_matrix(rows), {1: "a"}, (None, 2.5), np.array(["a", None], dtype=object), np.float64]
    for method in (0, 8, 12, 14):
        stream = io.BytesIO(skops.io.dumps(model, compression=method))
        admission = admit(stream, {}, 1 << 30)
        stream.seek(0)
        if admission.golden is not None:
            replay(load(stream, 1 << 30), admission.golden)


def read(stream: BinaryIO, budget_bytes: int) -> Unpickled:
    """Return what a skops file holds, every object in it checked. Raises Refused, NotAModel, and whatever skops raises."""
    with warnings.catch_warnings(), open_archive(stream, budget_bytes) as archive:
        warnings.simplefilter("ignore")
        schema, trusted, left = _checked_schema(archive, budget_bytes)
        try:
            value, reading = skops_nodes.build(schema, _Members(archive), trusted, left)
        except RecursionError:
            raise Refused("nested-too-deep", "The file holds an object that lies inside itself.") from None
        require_sound(reading.created)
    return Unpickled(value, reading.created, reading.recorded)


@dataclass(frozen=True, slots=True)
class _Members:
    """The archive as skops' nodes read it: a member at a time, whole, in bounds."""

    archive: ZipFile

    def read(self, name: str) -> bytes:
        """Return a member's bytes."""
        return read_member(self.archive, name)


def _checked_schema(archive: ZipFile, budget_bytes: int) -> tuple[dict[str, Any], list[str], int]:
    """Return the schema, which of the allowed names stand in it, and what is left of the budget. Raises Refused, NotAModel."""
    if archive.getinfo(_SCHEMA).file_size > MAX_SCHEMA_BYTES:
        raise Refused(
            "too-large-unpacked", f"The file's schema is larger than {MAX_SCHEMA_BYTES >> 20} MiB; publish the joblib file instead."
        )
    try:
        schema = json.loads(read_member(archive, _SCHEMA))
    except RecursionError:
        raise Refused("nested-too-deep", "The file's schema is nested deeper than any model's.") from None
    except ValueError as error:
        raise NotAModel(_DAMAGED, log_detail=str(error)) from error
    check = _SchemaCheck(archive, budget_bytes)
    check.run(schema)
    return schema, sorted(check.trusted), check.bytes_left


@dataclass(slots=True)
class _SchemaCheck:
    """One walk over a schema, without recursion: kinds of nodes, names, depth, and the bytes that they will take."""

    archive: ZipFile
    bytes_left: int
    trusted: set[str] = field(default_factory=set)
    _nodes: int = 0
    _counted: set[int] = field(default_factory=set)

    def run(self, schema: Any) -> None:
        """Walk it. Raises Refused, NotAModel; takes out ids that nothing may be shared by."""
        if not isinstance(schema, dict):
            raise NotAModel(_DAMAGED)
        waiting: list[tuple[Any, int]] = [(schema, 0)]
        while waiting:
            value, depth = waiting.pop()
            if depth > MAX_DEPTH:
                raise Refused("nested-too-deep", "The file's schema is nested deeper than any model's.")
            if isinstance(value, dict) and "__loader__" in value:
                self._check(value)
            waiting += [(one, depth + 1) for one in _inner(value)]

    def _check(self, node: dict[str, Any]) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise Refused("too-large-unpacked", "The file's schema has more parts than any model's.")
        loader, module, name = node["__loader__"], node.get("__module__"), node.get("__class__")
        if not isinstance(module, str) or not isinstance(name, str) or not isinstance(loader, str):
            raise NotAModel(_DAMAGED)
        dotted = f"{module}.{name}"
        if loader in _CALLS:
            text = f"The file holds {shown_name(dotted)} in a form that would call it. Publish only the fitted estimator."
            raise Refused("call-not-allowed", text, name=shown_name(dotted))
        if loader not in skops_nodes.NODES:
            raise Refused(
                "object-not-allowed", f"The file holds a {shown_name(loader)}, which no fitted model needs.", name=shown_name(loader)
            )
        if loader != "JsonNode":  # for which skops asks nobody
            if (module, name) not in _PLAIN:
                names.find(module, name, {})
            self.trusted.add(dotted)
        if loader not in _SHARED:
            node.pop("__id__", None)
        if "file" in node:
            self._count(node["file"], node.get("__id__"))

    def _count(self, name: Any, key: Any) -> None:
        """Count a member's bytes as often as it will be in memory."""
        if not isinstance(name, str) or name == _SCHEMA or name not in self.archive.NameToInfo:
            raise NotAModel("The archive lacks a file that its schema names; write and upload it again.")
        if isinstance(key, int):
            if key in self._counted:
                return
            self._counted.add(key)
        self.bytes_left -= self.archive.getinfo(name).file_size
        if self.bytes_left < 0:
            raise Refused("too-large-unpacked", "Unpacked, the file is larger than this server accepts. Publish a smaller model.")


def _inner(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        return (one for one in value.values() if isinstance(one, (dict, list)))
    return (one for one in value if isinstance(one, (dict, list)))
